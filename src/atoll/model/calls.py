"""Running code: what is asked for, and the events that come back while it runs.

A call's life on the host is a stream of these events, in order, ending in exactly one ``PythonEnded`` or
``ShellEnded``. Text is already decoded, bounded and safe to put into JSON.
"""

from dataclasses import dataclass
from typing import Literal

from atoll.model.files import ContainerFile
from atoll.model.ids import CallId


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCall:
    """``timeout_ms`` ``None`` means the operator's default; ``html`` asks for values in their HTML form."""

    code: str
    timeout_ms: int | None = None
    html: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCall:
    """Commands for ``bash``, run in order; ``timeout_ms`` bounds them all together.

    ``max_output_length`` counts characters of stdout and stderr together, for each command.
    """

    commands: tuple[str, ...]
    timeout_ms: int | None = None
    max_output_length: int | None = None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The call left the queue and runs now."""

    id: CallId


@dataclass(frozen=True, slots=True)
class Logs:
    """Text that a Python call wrote: stdout, stderr, last value and traceback, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A figure or displayed image, where it appeared. In Base64 from the start, so that nobody keeps it twice."""

    media_type: str
    base64: bytes


@dataclass(frozen=True, slots=True)
class Html:
    """A value that has an HTML form, such as a table, where it appeared. Whatever code wrote: hostile as its text."""

    text: str


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """A piece of one command's output."""

    index: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """One command's end; ``exit_code`` is ``None`` when its time ran out, 128 + n when signal n ended it."""

    index: int
    exit_code: int | None


EndCause = Literal[
    "itself", "timeout", "interrupted", "memory", "died", "overdue", "lost", "deleted", "no_room", "refused"
]
"""What ended a call, for whoever watches.

``timeout`` and ``interrupted`` stopped it; ``memory`` is the limit, ``died`` any other end of its Python; ``overdue``
is an agent that did not do what it must and was ended by the host, ``lost`` a sandbox that went away under it,
``deleted`` its container; ``no_room`` is output that the server had no memory for; ``refused`` was never run.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonEnded:
    """``failed`` is a Python that died, ``incomplete`` one that was stopped (time, interrupt).

    Code that raises is ``completed``: its traceback is output like any other.
    """

    status: Literal["completed", "incomplete", "failed"]
    files: tuple[ContainerFile, ...]
    cause: EndCause = "itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellEnded:
    """``incomplete`` when a command was stopped (time, interrupt)."""

    status: Literal["completed", "incomplete"]
    files: tuple[ContainerFile, ...]
    cause: EndCause = "itself"


PythonEvent = CallStarted | Logs | Image | Html | PythonEnded
ShellEvent = CallStarted | CommandOutput | CommandEnded | ShellEnded
