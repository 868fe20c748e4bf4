"""The copy of one sandbox's disk while the server works: of one moment, or said not to be.

A large disk is copied first while its sandbox goes on. When nothing was written to it meanwhile, which is so for
whatever idles, that copy is of one moment already. Else the disk is held still for what has changed, and so is a small
one from the beginning. One that cannot be held, or takes too long to be read for the minute that a hold lasts, is
copied once more as it goes on. What is left are disks that are written to all the time; a copy of such a one is torn,
and no backup may pass it off as whole.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atoll.backup import sparse_file, stillness
from atoll.backup.sparse_file import Advance
from atoll.backup.stillness import Pause
from atoll.model.ids import SandboxId
from atoll.runtime.contract import RuntimeFailure, SandboxNotFoundError
from atoll.runtime.oci import record
from atoll.runtime.oci.disk import DISK_NAME
from atoll.supervisor.hold import Held, holding
from atoll.supervisor.wire import HOLD_S_MAX

_LARGE_BYTES: Final = 64 << 20
_QUICK_S: Final = HOLD_S_MAX / 2
_UNHELD_MAX: Final = 2
_HOLDS_MAX: Final = 3


class _HoldEndedError(Exception):
    """What was held goes on."""


@dataclass(slots=True)
class DiskCopier:
    """Copies disks; ``supervisor_socket`` is ``None`` when nothing runs, and nothing will."""

    supervisor_socket: Path | None
    advance: Advance
    pause: Pause = time.sleep

    def copy(self, sandbox_id: SandboxId, folder: Path, target: Path) -> tuple[record.Record | None, bool]:
        """Copy record and disk from one folder into another; gives the record, and whether the disk is whole.

        ``None`` is a record that nobody can read: of such a sandbox the disk is copied, as well as may be. Raises
        ``FileNotFoundError`` and ``SandboxNotFoundError`` when it is gone, ``OSError``.
        """
        disk = _Disk(folder / DISK_NAME, target / DISK_NAME)
        try:
            kept = _copy_record(folder, target)
        except record.RecordDamagedError:
            disk.copy(self.advance)
            return None, False
        if self.supervisor_socket is None:
            disk.copy(self.advance)
            return kept, True
        is_quick = sparse_file.written_bytes(disk.source) <= _LARGE_BYTES
        for _ in range(_UNHELD_MAX):  # the first is about writing the copy, too
            if is_quick:
                break
            if self._copy_unheld(disk):
                return _copy_record(folder, target), True
            is_quick = disk.took_s <= _QUICK_S
        if is_quick:
            held = self._copy_in_holds(sandbox_id, folder, target, disk)
            if held is not None:
                return held, True
            if any(self._copy_unheld(disk) for _ in range(_UNHELD_MAX)):
                return _copy_record(folder, target), True
        return _copy_record(folder, target), False  # unless it is gone, which nobody has to be told of

    def _copy_in_holds(self, sandbox_id: SandboxId, folder: Path, target: Path, disk: "_Disk") -> record.Record | None:
        """Copy what stands still; gives the record, ``None`` when it could not be held for long enough."""
        assert self.supervisor_socket is not None  # noqa: S101 - or nobody is asked
        for _ in range(_HOLDS_MAX):
            began_at = time.monotonic()
            try:
                with holding(self.supervisor_socket, sandbox_id) as held:
                    kept = _copy_record(folder, target)
                    if not held.is_still:
                        return None
                    if self._copy_held(disk, held):
                        return kept
            except SandboxNotFoundError:
                raise
            except RuntimeFailure:
                return None
            if time.monotonic() - began_at >= HOLD_S_MAX:  # else the supervisor was ended, and another one comes
                return None
        return None

    def _copy_held(self, disk: "_Disk", held: Held) -> bool:
        def advance(size: int) -> None:
            self.advance(size)
            if not held.has_lasted():
                raise _HoldEndedError

        try:
            disk.copy(advance)
        except _HoldEndedError:
            return False
        return held.has_lasted()

    def _copy_unheld(self, disk: "_Disk") -> bool:
        still = stillness.settled(disk.source, self.pause)
        disk.copy(self.advance)
        return still is not None and still.has_lasted()


@dataclass(slots=True)
class _Disk:
    source: Path
    target: Path
    known: sparse_file.Known = field(default_factory=dict)
    took_s: float = 0.0

    def copy(self, advance: Advance) -> None:
        began_at = time.monotonic()
        if not sparse_file.clone(self.source, self.target):
            sparse_file.bring_up_to_date(self.source, self.target, advance, self.known)
        self.took_s = time.monotonic() - began_at


def _copy_record(folder: Path, target: Path) -> record.Record:
    kept = record.read(folder)
    if kept is None:
        raise FileNotFoundError(folder)
    record.write(target, kept)
    return kept
