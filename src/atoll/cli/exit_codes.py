"""What commands end with: numbers that scripts may rely on, told in docs/reference/cli.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from atoll.cli.failure import Failure


class ExitCode(IntEnum):
    """Why a command ended otherwise than well."""

    FAILED = 1
    """It could not be done: the server said no, or a call was stopped."""

    USAGE = 2
    """The command line is wrong; nothing was asked of the server."""

    UNREACHABLE = 3
    """No server there, the connection broke, or the server itself failed."""

    NO_ACCESS = 4
    """No key, or one that opens nothing."""

    NOT_THERE = 5
    """No such container, file or terminal."""

    BUSY = 6
    """No room now; the same may work later."""

    OUT_OF_TIME = 124
    """The time given was over: what timeout(1) says."""

    NOT_THE_COMMANDS = 125
    """Atoll's own failure where the exit code is that of a command in a container: again as timeout(1) has it."""

    INTERRUPTED = 130
    """Ctrl-C: what shells say."""


_CODES: Final = {"rate_limit_exceeded": 429, "sandbox_failed": 500, "server_error": 500, "server_stopping": 503}
"""The status that goes with an error's code, for those that are told in the middle of a stream, where none is."""


def code_of_error(code: object) -> ExitCode:
    """Give the code for an error that is told in a stream, by its ``code``."""
    return code_of_status(_CODES.get(str(code), 400))


def code_of_status(status: int) -> ExitCode:
    """Give the code for an HTTP status that is an error."""
    if status in (401, 403):
        return ExitCode.NO_ACCESS
    if status == 404:
        return ExitCode.NOT_THERE
    if status in (429, 503):
        return ExitCode.BUSY
    return ExitCode.UNREACHABLE if status >= 500 else ExitCode.FAILED


@contextmanager
def own_failures_apart() -> Iterator[None]:
    """Within, failures of Atoll end with ``NOT_THE_COMMANDS``, so that the other codes are a command's own."""
    try:
        yield
    except Failure as failure:
        if failure.code == ExitCode.USAGE:
            raise
        raise SystemExit(ExitCode.NOT_THE_COMMANDS) from None
