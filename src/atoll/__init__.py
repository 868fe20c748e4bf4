"""Atoll: the OpenAI Containers API as a server you run yourself, with a real sandbox behind every container."""

__version__ = "0.1.0"
