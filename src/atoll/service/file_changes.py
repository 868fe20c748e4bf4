"""What differs between the rows of a container's files and what was found in ``/mnt/data``; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from atoll.agent.files import AgentFile, FileListing
from atoll.model.files import ContainerFile
from atoll.model.ids import ContainerFileId


@dataclass(frozen=True, slots=True)
class FileChanges:
    """What has to be written so that the rows tell what is there."""

    appeared: tuple[AgentFile, ...]
    resized: tuple[tuple[ContainerFileId, int], ...]
    vanished: tuple[ContainerFileId, ...]

    def __bool__(self) -> bool:
        return bool(self.appeared or self.resized or self.vanished)


def compare(rows: Sequence[ContainerFile], listing: FileListing, rows_max: int) -> FileChanges:
    """Give the changes; never more than ``rows_max`` rows follow from them.

    Of a listing that is not complete nothing can be said about the files that are not in it.
    """
    found = {file.path: file for file in listing.files}
    known = {row.path for row in rows}
    vanished = tuple(row.id for row in rows if row.path not in found) if listing.complete else ()
    resized = tuple(
        (row.id, found[row.path].size) for row in rows if row.path in found and found[row.path].size != row.bytes
    )
    room = max(0, rows_max - len(rows) + len(vanished))
    # In the order in which code wrote them, so that their ids sort that way.
    appeared = sorted(
        (file for file in listing.files if file.path not in known), key=lambda file: (file.mtime_ns, file.path)
    )
    return FileChanges(tuple(appeared[:room]), resized, vanished)


def rewritten(
    rows: Sequence[ContainerFile], before: FileListing, after: FileListing
) -> tuple[tuple[ContainerFileId, int], ...]:
    """Give those of the rows' files, with their sizes, whose time of change is another and whose size is the same."""
    old = {file.path: file for file in before.files}
    anew = {
        file.path
        for file in after.files
        if (then := old.get(file.path)) is not None and then.size == file.size and then.mtime_ns != file.mtime_ns
    }
    return tuple((row.id, row.bytes) for row in rows if row.path in anew)
