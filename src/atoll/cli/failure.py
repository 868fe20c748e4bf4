"""Ending a command with a message instead of a traceback."""

import sys
from typing import NoReturn


class Failure(SystemExit):
    """The end of a command that failed and has said so."""


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say on stderr what went wrong and end the command; for ``code`` see ``atoll.cli.exit_codes``."""
    sys.stderr.write(f"atoll: {message}\n")
    raise Failure(int(code))
