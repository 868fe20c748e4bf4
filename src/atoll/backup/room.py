"""Whether there is room for a copy, asked before anything is copied: the containers share the disk with it."""

import shutil
import tempfile
from pathlib import Path

from atoll.backup import sparse_file
from atoll.backup.errors import BackupError


def require_room(folder: Path, needed_bytes: int, *, spared_bytes: int) -> None:
    """Refuse a copy that would not fit beside what has to stay free. Raises ``BackupError``."""
    free = shutil.disk_usage(folder).free
    if needed_bytes + spared_bytes > free:
        kept = f", and {_text(spared_bytes)} have to stay free for containers (disk_free_bytes_min)"
        raise BackupError(
            f"There is no room: about {_text(needed_bytes)} are to be copied{kept if spared_bytes else ''}, and "
            f"{_text(free)} are free at {folder}. Nothing was copied. Make room, or name a folder on another disk."
        )


def can_share_blocks(source_dir: Path, folder: Path) -> bool:
    """Tell whether copies from one folder into the other take no room."""
    if source_dir.stat().st_dev != folder.stat().st_dev:
        return False
    with tempfile.NamedTemporaryFile(dir=source_dir) as source, tempfile.NamedTemporaryFile(dir=folder) as target:
        source.write(b"x" * 4096)
        source.flush()
        return sparse_file.clone(Path(source.name), Path(target.name))


def _text(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.2f} GiB"
