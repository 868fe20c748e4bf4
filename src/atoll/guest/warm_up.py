"""One ``warm`` operation: Python is started and imports before any call, and nobody sees anything of it."""

from collections.abc import Callable
from typing import Final

from atoll.guest.python import Python
from atoll.guest.reactor import ChildEnd, Reactor
from atoll.guest.requests import StopReason

_KILL_AGAIN_S: Final = 0.05


class WarmUp:
    """Runs once. Whatever comes of it, the first call is right afterwards: it starts its own Python where none is."""

    def __init__(
        self, modules: tuple[str, ...], *, python: Python, reactor: Reactor, on_end: Callable[[], None]
    ) -> None:
        self._modules = modules
        self._python = python
        self._reactor = reactor
        self._on_end = on_end
        self._is_stopped = False
        self._has_ended = False

    @property
    def is_congested(self) -> bool:
        """Never: the text is dropped."""
        return False

    def start(self) -> None:
        """Begin, unless people's Python is there already: their modules are their own concern."""
        if self._is_stopped or self._python.is_alive:
            self._end()
            return
        try:
            self._python.warm(self._modules, self)
        except OSError:
            self._end()

    def stop(self, _reason: StopReason) -> None:
        """End it: a Python that was cut off in an import is of no use."""
        self._is_stopped = True
        self._kill()

    def text(self, data: bytes) -> None:
        """Drop what the modules print."""

    def image(self, payload: bytes) -> None:
        """Drop it."""

    def done(self, *, ok: bool) -> None:  # noqa: ARG002 - the other sort of call tells the two apart
        """Python is warm."""
        self._end()

    def died(self, _end: ChildEnd) -> None:
        """A module ended it."""
        self._end()

    def failed(self, _error: BaseException) -> None:
        """The agent failed over it."""
        self._python.kill()
        self._end()

    def _kill(self) -> None:
        """Kill it until it is dead: one that was only just forked does not lead a group yet, and is missed."""
        if not self._has_ended:
            self._python.kill()
            self._reactor.call_later(_KILL_AGAIN_S, self._kill, self.failed)

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end()
