"""Ending a command with a message instead of a traceback."""

import sys
from typing import NoReturn


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say on stderr what went wrong and end the command. ``code`` 2 is for what was typed wrong."""
    sys.stderr.write(f"atoll: {message}\n")
    raise SystemExit(code)
