"""One ``warm`` operation: Python is started and imports before any call, and nobody sees anything of it."""

from collections.abc import Callable

from atoll.guest.python import Python
from atoll.guest.reactor import ChildEnd
from atoll.guest.requests import StopReason


class WarmUp:
    """Runs once. Whatever comes of it, the first call is right afterwards: it starts its own Python where none is."""

    def __init__(self, modules: tuple[str, ...], python: Python, on_end: Callable[[], None]) -> None:
        self._modules = modules
        self._python = python
        self._on_end = on_end
        self._is_stopped = False

    @property
    def is_congested(self) -> bool:
        """Never: the text is dropped."""
        return False

    def start(self) -> None:
        """Begin, unless people's Python is there already: their modules are their own concern."""
        if self._is_stopped or self._python.is_alive:
            self._on_end()
            return
        try:
            self._python.warm(self._modules, self)
        except OSError:
            self._on_end()

    def stop(self, _reason: StopReason) -> None:
        """End it: a Python that was cut off in an import is of no use."""
        self._is_stopped = True
        self._python.kill()

    def text(self, data: bytes) -> None:
        """Drop what the modules print."""

    def image(self, payload: bytes) -> None:
        """Drop it."""

    def done(self, *, ok: bool) -> None:  # noqa: ARG002 - the other sort of call tells the two apart
        """Python is warm."""
        self._on_end()

    def died(self, _end: ChildEnd) -> None:
        """A module ended it."""
        self._on_end()

    def failed(self, _error: BaseException) -> None:
        """The agent failed over it."""
        self._python.kill()
        self._on_end()
