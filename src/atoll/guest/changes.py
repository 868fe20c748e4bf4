"""Tells which files a call made or changed, from a look at the data folder before and after it."""

import time
from typing import Any, Final

from atoll.guest.protocol import FrameType, encode_json
from atoll.guest.tree import FoundFile

CHANGED_FILES_MAX: Final = 1000
_CHANGED_BYTES_MAX: Final = 2 * 1024 * 1024

# The clock that file systems stamp with; it lags the exact one by up to a tick. Python has no name for it.
_CLOCK_REALTIME_COARSE: Final = 5


class Changes:
    """``note_before`` every file, run the call, then ``note_after`` every file.

    When the first look met a bound, a file it had not seen counts as changed if its inode was touched since then
    (``ctime``, which people's code cannot set).
    """

    def __init__(self) -> None:
        self.before_is_complete = True
        self._before: dict[str, tuple[int, int, int]] = {}
        self._since_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        self._changed: list[dict[str, Any]] = []
        self._bytes = 0

    @property
    def files(self) -> list[dict[str, Any]]:
        """The changed files as the protocol's FILEs; at most 1000, at most 2 MiB of JSON."""
        return self._changed

    def note_before(self, found: list[FoundFile]) -> None:
        """Remember files as they were."""
        for file in found:
            self._before[file.path] = (file.size, file.mtime_ns, file.inode)

    def note_after(self, found: list[FoundFile]) -> None:
        """Compare files with what was remembered."""
        for file in found:
            if self._is_changed(file) and len(self._changed) < CHANGED_FILES_MAX:
                value = file.as_json()
                self._bytes += len(encode_json(FrameType.EVENT, value))
                if self._bytes <= _CHANGED_BYTES_MAX:
                    self._changed.append(value)

    def _is_changed(self, file: FoundFile) -> bool:
        before = self._before.get(file.path)
        if before is None and not self.before_is_complete:
            return file.ctime_ns >= self._since_ns
        return before != (file.size, file.mtime_ns, file.inode)
