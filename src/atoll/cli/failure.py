"""Ending a command with a message instead of a traceback."""

import sys
from typing import NoReturn

from atoll.cli.terminal import harmless


class Failure(SystemExit):
    """The end of a command that failed and has said so."""


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say on stderr what went wrong and end the command; for ``code`` see ``atoll.cli.exit_codes``.

    The message may hold what a server or a container said, names of files for instance.
    """
    sys.stderr.write(f"atoll: {harmless(message)}\n")
    raise Failure(int(code))
