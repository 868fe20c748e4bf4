"""The small contract of everything that is compared, and the facts that stand beside its figures."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

CALL_S_MAX = 60.0  # what has not answered by then has failed


class NotHereError(Exception):
    """A contender cannot run on this machine; the message says why, for the table."""


class ContenderError(Exception):
    """A start, a call or an end went wrong: a failure to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a contender is besides quick or slow, as it is run here; in words for readers.

    ``state`` is what lives from one piece of code to the next, ``more`` what it does that Atoll does not.
    """

    walls: str
    network: str
    memory_limit: str
    state: str
    files: str
    expiry: str
    more: str


class Session(Protocol):
    """One isolated place in which Python has run."""

    def run(self, code: str) -> str:
        """Run another piece of Python in the same place; give its text output. Raises ``ContenderError``."""
        ...

    def end(self) -> None:
        """End it; returns when nothing of it runs any more."""
        ...


class Started(NamedTuple):
    """A place, and what the first code in it printed."""

    session: Session
    output: str


class Contender(ABC):
    """A way to run Python that nobody has read. Everything it starts, it ends by ``close``.

    ``again`` says what a second piece of code runs in; ``None`` where the first one's place is gone with it, so that
    there is nothing to be called.
    """

    name: ClassVar[str]
    facts: ClassVar[Facts]
    again: ClassVar[str | None] = None
    serves: ClassVar[bool] = False  # whether something of its own runs for all its sandboxes, and takes memory
    packages: ClassVar[tuple[str, ...]] = ()  # Debian's, for `--install`

    @abstractmethod
    def why_not(self) -> str | None:
        """Say what is missing on this machine, or ``None``. Quick, and starts nothing that stays."""

    @abstractmethod
    def open(self) -> None:
        """Make it ready for ``start``; not timed. Raises ``NotHereError`` when it turns out not to run here."""

    @abstractmethod
    def version(self) -> str:
        """Say which one this is; asked once it is open."""

    @abstractmethod
    def start(self, code: str) -> Started:
        """Start an isolated Python and get the output of a first piece of code: what is timed.

        Raises ``ContenderError``, and then leaves nothing behind.
        """

    @abstractmethod
    def close(self) -> None:
        """End everything that is left; may be called at any time, and twice."""

    def hold(self, code: str) -> Started:
        """Like ``start``, and what the code has imported stays in memory until the session's end."""
        return self.start(code)

    def settle(self) -> None:  # noqa: B027 - most have nothing that goes on in the background
        """Wait until nothing goes on in the background that would disturb whoever is next."""
