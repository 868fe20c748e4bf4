"""A progress bar for what takes over a second, where somebody looks."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from atoll.cli.terminal import harmless

if TYPE_CHECKING:
    import rich.progress

Unit = Literal["bytes", "files", "containers", "runs"]

_SHOWN_AFTER_S: Final = 1.0


class Progress:
    """Counts what is done; shows itself on stderr once it has taken a second, if that is a terminal.

    ``total`` is ``None`` where nobody knows it; ``name`` may be a container's.
    """

    def __init__(self, name: str, total: int | None, *, unit: Unit = "bytes") -> None:
        self._name = harmless(" ".join(name.splitlines()))
        self._total = total
        self._unit = unit
        self._done = 0
        self._bar: rich.progress.Progress | None = None
        self._showing = ExitStack()

    def advance(self, size: int) -> None:
        """Count on."""
        self._done += size
        if self._bar is not None:
            self._update(self._bar)

    def _show(self) -> Callable[[], object]:
        from rich import progress  # noqa: PLC0415 - slow to load, rarely needed
        from rich.console import Console  # noqa: PLC0415 - slow to load, rarely needed

        of_bytes = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            *(of_bytes if self._unit == "bytes" else (progress.MofNCompleteColumn(),)),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        bar.add_task(self._name, total=self._total)
        bar.start()
        self._bar = bar
        self._update(bar)  # what was counted before the bar was to be seen by others
        return bar.stop

    def _update(self, bar: "rich.progress.Progress") -> None:
        bar.update(bar.task_ids[0], completed=self._done)

    def __enter__(self) -> Self:
        self._showing.enter_context(_when_slow(self._show))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._showing.close()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Turn a wheel on stderr, if that is a terminal, while a single answer takes over a second."""

    def show() -> Callable[[], object]:
        from rich.console import Console  # noqa: PLC0415 - slow to load, rarely needed
        from rich.status import Status  # noqa: PLC0415 - likewise

        status = Status(what, console=Console(stderr=True))
        status.start()
        return status.stop

    with _when_slow(show):
        yield


@contextmanager
def _when_slow(show: Callable[[], Callable[[], object]]) -> Iterator[None]:
    """Call ``show`` once the block has taken a second, whatever it is busy with, and at its end what ``show`` gave."""
    if not sys.stderr.isatty():
        yield
        return
    hide: list[Callable[[], object]] = []
    timer = threading.Timer(_SHOWN_AFTER_S, lambda: hide.append(show()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for one in hide:
            one()
