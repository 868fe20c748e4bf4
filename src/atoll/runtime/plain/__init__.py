"""The real guest agent as an ordinary program, with no walls around it: for developing where there is no root.

People's code can do here whatever the server's user can do. A sandbox is a folder (``folders``) and, while it runs,
a small process (``keeper``) with the agent and everything that people's code started below it. The keepers listen
to the server through a pipe: when the server ends, however it ends, so do they, and the folders stay.
"""

from atoll.runtime.plain.engine import PlainRuntime

__all__ = ["PlainRuntime"]
