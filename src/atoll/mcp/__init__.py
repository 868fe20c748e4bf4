"""The Model Context Protocol: what a model may do with containers, as tools over the HTTP API.

Knows the server by its HTTP API alone, so one set of tools serves both ways in: ``/mcp`` on the server itself and
``atoll mcp`` on anybody's machine. Loaded only when used: the protocol's library is large.
"""
