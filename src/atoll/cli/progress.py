"""A progress bar for what takes over a second, where somebody looks."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        self._begun_at = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def advance(self, size: int) -> None:
        """Count on."""
        self._done += size
        if self._bar is None and sys.stderr.isatty() and time.monotonic() - self._begun_at >= _SHOWN_AFTER_S:
            self._show()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def _show(self) -> None:
        from rich import progress  # noqa: PLC0415 - slow to load, rarely needed
        from rich.console import Console  # noqa: PLC0415 - slow to load, rarely needed

        of_bytes = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            *(of_bytes if self._unit == "bytes" else (progress.MofNCompleteColumn(),)),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(self._name, total=self._total)
        self._bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Turn a wheel on stderr, if that is a terminal, while a single answer takes over a second."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - slow to load, for terminals only
    from rich.status import Status  # noqa: PLC0415 - likewise

    status = Status(what, console=Console(stderr=True))
    timer = threading.Timer(_SHOWN_AFTER_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
