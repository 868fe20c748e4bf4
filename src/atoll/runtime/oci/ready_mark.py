"""Says of a sandbox on disk that it waits in the pool and is nobody's; claiming it is taking the mark away.

The mark lies in the run folder, so taking it away needs no wait for a disk. That is safe because it counts only for
the boot that it was made in: when power is lost, what was on its way to the disk may be lost with it, so afterwards no
mark can be believed, and a sandbox without one is kept until whoever knows the containers says that it is nobody's.
"""

from pathlib import Path

from atoll.runtime.oci.init_process import boot_id


def put(path: Path) -> None:
    """Mark; this has to be there before the record is."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(boot_id())
    unfinished.rename(path)


def stands(path: Path) -> bool:
    """Tell whether a mark is there and is to be believed. Raises ``OSError``."""
    try:
        return path.read_text() == boot_id()
    except FileNotFoundError:
        return False
