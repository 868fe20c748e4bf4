"""Where files go in a container; pure.

A name from outside keeps its last part only: directories in it would be somebody else's, and could lead away.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from atoll.guest.protocol import DATA_ROOT
from atoll.model.errors import InvalidRequestError
from atoll.model.files import File
from atoll.model.ids import FileId

NAME_BYTES_MAX = 255


def base_name(filename: str) -> str:
    """Give the name that a file is kept under (``sub/dir/x.txt`` -> ``x.txt``).

    Raises ``InvalidRequestError`` for names that no file can have.
    """
    name = filename.rpartition("/")[2]
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise _impossible("it is not Unicode") from None
    if name in {"", ".", ".."}:
        raise _impossible("it is empty or leads to a directory")
    if "\0" in name:
        raise _impossible("it holds a zero character")
    if size > NAME_BYTES_MAX:
        raise _impossible(f"it has {size} bytes, and a file's name at most {NAME_BYTES_MAX}")
    return name


def path_of(name: str) -> str:
    """Give the path of a file of that name in the container's own view."""
    return f"{DATA_ROOT}/{name}"


def prefixed_name(file_id: FileId, name: str) -> str:
    """Give ``<file_id>-<name>``, the name for a file whose own name is taken.

    Where that would be too long, the middle of it gives way: the id and the suffix stay.
    """
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > NAME_BYTES_MAX // 4:
        suffix = ""
    stem = name.removesuffix(suffix) if suffix else name
    room = NAME_BYTES_MAX - len(f"{file_id}-{suffix}".encode())
    return f"{file_id}-{stem.encode()[:room].decode(errors='ignore')}{suffix}"


def place(files: Iterable[File]) -> dict[str, File]:
    """Give each of several files a path of its own; of two with one name the second gets its id before it."""
    placed: dict[str, File] = {}
    for file in files:
        path = path_of(file.filename)
        if path in placed:
            path = path_of(prefixed_name(file.id, file.filename))
        placed[path] = file
    return placed


def _impossible(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid file name: {why}.", param="file")
