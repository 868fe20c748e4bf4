"""Walks the data folder: regular files only, no symlink followed, bounded in count, depth and time.

Names that are not valid UTF-8 cannot travel as JSON text and are left out, with everything below them; so are paths
over 4096 bytes and the temporary files of uploads.
"""

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from atoll.guest.options import People
from atoll.guest.paths import PATH_BYTES_MAX, TEMPORARY_PREFIX, public_path
from atoll.guest.spawn import acting_as

FILES_MAX: Final = 20_000
_ENTRIES_MAX: Final = 200_000
_DEPTH_MAX: Final = 32
_WALK_S_MAX: Final = 5.0
_SLICE_ENTRIES: Final = 256
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file, by its public path."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def as_json(self) -> dict[str, Any]:
        """Give the protocol's FILE."""
        return {"path": self.path, "size": self.size, "mtime_ns": self.mtime_ns}


@dataclass(slots=True)
class _Folder:
    fd: int
    parts: tuple[str, ...]
    entries: Iterator[os.DirEntry[str]]


class Walk:
    """An iteration over the tree that gives a file, or ``None`` for anything else it has looked at.

    ``is_complete`` turns false when a bound was met. ``close`` must be called unless the iteration ended.
    """

    def __init__(self, data_dir: str, files_max: int = FILES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_complete = True
        self._files_left = files_max
        self._entries_left = _ENTRIES_MAX
        self._clock = clock
        self._deadline = clock() + _WALK_S_MAX
        self._stack: list[_Folder] = []
        self._data_dir = data_dir
        self._started = False

    def __iter__(self) -> "Walk":
        return self

    def __next__(self) -> FoundFile | None:
        if not self._started:
            self._started = True
            self._enter(self._data_dir, None, ())
        while self._stack:
            if self._entries_left <= 0 or self._clock() > self._deadline:
                self._give_up()
                return None
            folder = self._stack[-1]
            entry = _next_entry(folder)
            if entry is None:
                os.close(self._stack.pop().fd)
                continue
            self._entries_left -= 1
            return self._look(folder, entry)
        raise StopIteration

    def close(self) -> None:
        """Let go of the folders that are open."""
        while self._stack:
            os.close(self._stack.pop().fd)

    def _give_up(self) -> None:
        self.is_complete = False
        self.close()

    def _look(self, folder: _Folder, entry: os.DirEntry[str]) -> FoundFile | None:
        parts = (*folder.parts, entry.name)
        if entry.name.startswith(TEMPORARY_PREFIX) or not _can_travel(parts):
            return None
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            self._enter(entry.name, folder.fd, parts)
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if self._files_left <= 0:
            self._give_up()
            return None
        self._files_left -= 1
        path = public_path(parts)
        return FoundFile(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def _enter(self, name: str, parent: int | None, parts: tuple[str, ...]) -> None:
        if len(self._stack) >= _DEPTH_MAX:
            self.is_complete = False
            return
        flags = _FOLDER_FLAGS if parent is not None else _FOLDER_FLAGS & ~os.O_NOFOLLOW
        try:
            fd = os.open(name, flags, dir_fd=parent)
        except OSError:
            return  # not readable, or replaced since it was listed
        try:
            self._stack.append(_Folder(fd, parts, os.scandir(fd)))
        except OSError:
            os.close(fd)


def walk_in_slices(walk: Walk, people: People, take: Callable[[list[FoundFile]], None]) -> Iterator[None]:
    """Walk with people's rights, a few hundred entries for each step; ``take`` gets each step's files."""
    try:
        while True:
            with acting_as(people):
                looked_at = list(itertools.islice(walk, _SLICE_ENTRIES))
            take([found for found in looked_at if found is not None])
            if len(looked_at) < _SLICE_ENTRIES:
                return
            yield
    finally:
        walk.close()


def _next_entry(folder: _Folder) -> os.DirEntry[str] | None:
    with contextlib.suppress(OSError):
        return next(folder.entries, None)
    return None


def _can_travel(parts: tuple[str, ...]) -> bool:
    try:
        return len(public_path(parts).encode()) <= PATH_BYTES_MAX
    except UnicodeEncodeError:
        return False
