"""Files as an agent tells of them: paths that can lead nowhere else, sizes and times that fit."""

from dataclasses import dataclass
from typing import Final

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.fields import INT64_MAX, Fields, read_boolean, read_fields, read_integer, read_objects, read_string
from atoll.agent.text import is_storable
from atoll.guest.protocol import DATA_ROOT, FrameType
from atoll.model.files import ClosableChunks

PATH_BYTES_MAX: Final = 4096
FILES_IN_MESSAGE_MAX: Final = 100_000
_EMPTY_BATCHES_MAX: Final = 100
_MTIME_NS_ANY: Final = 2**128


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A regular file: ``path`` is absolute, in normal form, under ``/mnt/data``; times are unix nanoseconds.

    ``mtime_ns`` is whatever people's code set it to, held to 64 signed bits.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class FileListing:
    """The files found, each path once; ``complete`` is false when there are more than were asked for."""

    files: tuple[AgentFile, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class AgentContent:
    """A file being read: ``size`` is the whole file's when it was opened.

    ``chunks`` gives exactly the bytes asked for as far as ``size`` has them, or raises ``AgentError``; it must be
    iterated to its end or closed.
    """

    size: int
    chunks: ClosableChunks


def is_data_path(path: str) -> bool:
    """Tell whether a path is absolute, under ``/mnt/data``, in normal form, and storable as it is."""
    if not path.startswith(DATA_ROOT + "/") or not is_storable(path) or len(path.encode()) > PATH_BYTES_MAX:
        return False
    return all(part not in {"", ".", ".."} for part in path.split("/")[1:])


def read_file(fields: Fields) -> AgentFile:
    """Check one FILE object."""
    path = read_string(fields, "path")
    if not is_data_path(path):
        raise AgentMisbehavedError(f"a file's path cannot be {path[:200]!a}")
    mtime_ns = read_integer(fields, "mtime_ns", -_MTIME_NS_ANY, _MTIME_NS_ANY)
    return AgentFile(
        path=path,
        size=read_integer(fields, "size", 0, INT64_MAX),
        # `touch -d` can set a time that does not fit: file systems keep more than 64 bits of nanoseconds.
        mtime_ns=max(-INT64_MAX - 1, min(mtime_ns, INT64_MAX)),
    )


def read_files(fields: Fields) -> tuple[AgentFile, ...]:
    """Check the FILE objects of a message's ``files``; a path that comes twice counts once, as last told."""
    files = [read_file(item) for item in read_objects(fields, "files", FILES_IN_MESSAGE_MAX)]
    return tuple({file.path: file for file in files}.values())


class ListingReader:
    """Takes the frames of one ``files_list`` in order; pure. ``listing`` is set when there is no need to go on."""

    def __init__(self, files_max: int) -> None:
        self._files_max = files_max
        self._files: dict[str, AgentFile] = {}
        self._batches_left = files_max + _EMPTY_BATCHES_MAX
        self.listing: FileListing | None = None

    def take(self, frame_type: FrameType, payload: bytes) -> None:
        """Take the next frame. Raises ``AgentMisbehavedError``."""
        match frame_type:
            case FrameType.EVENT:
                self._take_batch(read_fields(payload))
            case FrameType.RESULT:
                self.listing = self._listing(complete=read_boolean(read_fields(payload), "complete"))
            case _:
                raise AgentMisbehavedError(f"a {frame_type.name} frame has no place in a list of files")

    def _take_batch(self, fields: Fields) -> None:
        self._batches_left -= 1
        if read_string(fields, "event") != "files" or self._batches_left < 0:
            raise AgentMisbehavedError("an event that has no place in a list of files")
        self._files.update({file.path: file for file in read_files(fields)})
        if len(self._files) > self._files_max:
            self.listing = self._listing(complete=False)

    def _listing(self, *, complete: bool) -> FileListing:
        return FileListing(tuple(self._files.values())[: self._files_max], complete)
