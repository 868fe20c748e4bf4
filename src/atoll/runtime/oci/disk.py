"""The disk of a sandbox: a sparse file with an ext4 file system in it, so that writing past its size is ENOSPC.

Its root holds ``upper`` and ``work`` (the overlay's) and ``data`` (what people see as ``/mnt/data``); owners are
written as the sandbox sees them (0 to 65535), so the whole lies in folders that only root may enter. A file system
of each size is made once and copied from then on, which is quicker than making it.
"""

import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

from atoll.holes import share_blocks, written

DISK_NAME: Final = "disk.ext4"
DISK_BYTES_MIN: Final = 64 << 20
_TEMPLATES_MAX: Final = 16
_CHUNK_BYTES: Final = 64 << 10
# Part of a template's name: another number makes new templates where the file system below has changed.
_LAYOUT: Final = 2
# All of them, whatever this system's mke2fs.conf says. Without room to grow the table of groups (disks keep their size,
# and it is 4 MiB of each), and without the file of orphans of newer systems (2 MiB, for many deletions at once).
_FEATURES: Final = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
    "extra_isize,metadata_csum"
)


class DiskMaker:
    """Makes disks from templates kept in ``templates_dir``; safe to share between threads."""

    def __init__(self, templates_dir: Path, user_id: int) -> None:
        self._templates_dir = templates_dir
        self._user_id = user_id
        self._lock = threading.Lock()

    def make(self, folder: Path, size_bytes: int) -> Path:
        """Make ``disk.ext4`` in ``folder``, whole by the time it has that name.

        Raises ``OSError``, ``subprocess.SubprocessError``.
        """
        unfinished = folder / f"{DISK_NAME}.unfinished"
        template = self._template(size_bytes)
        _copy_sparse(template, unfinished)
        disk = folder / DISK_NAME
        unfinished.rename(disk)
        return disk

    def _template(self, size_bytes: int) -> Path:
        template = self._templates_dir / f"v{_LAYOUT}-{size_bytes}.ext4"
        with self._lock:
            if not template.exists():
                self._templates_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._drop_old_templates()
                unfinished = template.with_suffix(".unfinished")
                unfinished.unlink(missing_ok=True)
                self._make_file_system(unfinished, size_bytes)
                unfinished.rename(template)
        return template

    def _drop_old_templates(self) -> None:
        templates = sorted(self._templates_dir.glob("*.ext4"), key=lambda path: path.stat().st_mtime)
        for template in templates[: max(0, len(templates) - _TEMPLATES_MAX + 1)]:
            template.unlink()

    def _make_file_system(self, path: Path, size_bytes: int) -> None:
        with tempfile.TemporaryDirectory(dir=self._templates_dir) as tree:
            for name in ("upper", "work", "data"):
                folder = Path(tree, name)
                folder.mkdir()
                folder.chmod(0o755)
            os.chown(Path(tree, "data"), self._user_id, self._user_id)
            with path.open("xb") as file:
                file.truncate(size_bytes)
            options = [
                "-O",
                _FEATURES,
                "-E",
                "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
                "-e",
                "remount-ro",
            ]
            subprocess.run(
                ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", *options, "-d", tree, str(path)],
                check=True,
                capture_output=True,
                timeout=120,
            )


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy what is written in ``source``, leaving its holes."""
    with source.open("rb") as reader, target.open("xb") as writer:
        os.fchmod(writer.fileno(), 0o600)
        if not share_blocks(reader.fileno(), writer.fileno()):  # every other reason to fail will fail the copy too
            _copy_written(reader.fileno(), writer.fileno())


def _copy_written(reader: int, writer: int) -> None:
    size = os.fstat(reader).st_size
    os.ftruncate(writer, size)
    for start, end in written(reader, 0, size):
        for offset in range(start, end, _CHUNK_BYTES):
            chunk = os.pread(reader, min(_CHUNK_BYTES, end - offset), offset)
            # Much of what is allocated is zeros, an empty journal for one.
            if chunk.count(0) != len(chunk):
                os.pwrite(writer, chunk, offset)
