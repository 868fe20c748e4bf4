"""A program with all that it is started with, and why it could not be; pure."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from atoll.guest.protocol import DATA_ROOT

REPORT_FD: Final = 3
"""Where a child says what kept it from becoming its program; becoming it closes this."""

REPORT_BYTES_MAX: Final = 64

Step = Literal["cwd", "argv"]

_SHORT_OF_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE})


@dataclass(frozen=True, slots=True)
class Program:
    """``environment`` comes on top of what people's code has anyway; ``cwd`` is a path, empty for the data folder."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str

    def encoded(self) -> list[bytes]:
        """Give it as byte strings without zero bytes in them."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [os.fsencode(field) for field in (str(len(variables)), self.cwd, *variables, *self.argv)]

    @classmethod
    def decoded(cls, fields: Sequence[bytes]) -> Self:
        """Read what ``encoded`` gave."""
        count, cwd, *rest = (os.fsdecode(field) for field in fields)
        variables = (text.partition("=") for text in rest[: int(count)])
        return cls(tuple(rest[int(count) :]), {name: value for name, _, value in variables}, cwd)

    def folder_in(self, data_dir: str) -> str:
        """Give the working directory as the kernel knows it, where the data folder may bear another name."""
        if self.cwd == DATA_ROOT or self.cwd.startswith(f"{DATA_ROOT}/"):
            return data_dir + self.cwd.removeprefix(DATA_ROOT)
        return self.cwd


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Why a program was not started."""

    step: Step
    number: int

    def encoded(self) -> bytes:
        """Give the report of the child."""
        return f"{self.step} {self.number}".encode()

    @classmethod
    def decoded(cls, report: bytes) -> Self:
        """Read a report."""
        step, _, number = report.decode("ascii").partition(" ")
        return cls("cwd" if step == "cwd" else "argv", int(number))

    @property
    def is_for_want_of_room(self) -> bool:
        """Whether it may go better another time."""
        return self.number in _SHORT_OF_ROOM

    def describe(self, program: Program) -> str:
        """Say it to whoever asked for the program."""
        reason = os.strerror(self.number)
        if self.step == "cwd":
            return f"The working directory {_shown(program.cwd)} cannot be used: {reason}."
        if self.number == errno.ENOENT:
            return (
                f"There is no program {_shown(program.argv[0])} in the container, or what its first line names to run "
                "it is missing."
            )
        return f"The program {_shown(program.argv[0])} cannot be started: {reason}."


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "…")
