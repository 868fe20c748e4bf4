"""A progress bar for what takes over a second, where somebody looks."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import rich.progress

_SHOWN_AFTER_S: Final = 1.0


class Progress:
    """Counts bytes on their way; shows itself on stderr once it has taken a second, if that is a terminal."""

    def __init__(self, name: str, total_bytes: int) -> None:
        self._name = name
        self._total = total_bytes
        self._done = 0
        self._begun_at = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def advance(self, size: int) -> None:
        """Count bytes."""
        self._done += size
        if self._bar is None and sys.stderr.isatty() and time.monotonic() - self._begun_at >= _SHOWN_AFTER_S:
            self._show()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def _show(self) -> None:
        from rich import progress  # noqa: PLC0415 - slow to load, rarely needed
        from rich.console import Console  # noqa: PLC0415 - slow to load, rarely needed

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
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
