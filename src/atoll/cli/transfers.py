"""Files and folders on their way into a container and out of it."""

import contextlib
import os
import posixpath
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from atoll.cli.connection import Connection
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.packing import pack, size_of
from atoll.cli.progress import Progress
from atoll.cli.unpacking import unpack

DATA_ROOT: Final = "/mnt/data"
_TAR: Final = "application/x-tar"


def put(connection: Connection, source: str, container: str, place: str) -> Any:
    """Copy a file or folder into a container; gives the server's answer.

    ``place`` is its new path below the data folder; empty, or with a slash at its end, the folder that it goes into. Of
    a folder named ``.``, or with ``/.`` at its end, only what is in it goes there.
    """
    path = Path(source)
    target = inside(place)
    if (place == "" or place.endswith("/")) and source != "." and not source.endswith("/."):
        target = posixpath.join(target, path.resolve().name)
    try:
        if path.is_dir():
            return _put_tar(connection, path, container, target)
        folder, name = posixpath.split(target)
        if not _is_utf8(name):
            fail(f"{name!r} is no UTF-8: name it anew, `atoll cp … {container}:NAME`.", code=ExitCode.USAGE)
        if folder == DATA_ROOT:
            return upload(connection, f"/containers/{connection.find_container(container)}/files", path, name)
        if not name:
            fail(f"{source} needs a name in {container}.", code=ExitCode.USAGE)
        return _put_tar(connection, path, container, folder, name)
    except OSError as error:
        fail(f"{error.filename or source} cannot be read: {error.strerror}.")


def get(connection: Connection, container: str, path: str, destination: str) -> Any:
    """Copy a file or folder out of a container; gives the file as the server has it, or what a folder became.

    A ``destination`` that is a folder gets it under its own name; ``-`` is standard output, a folder there a tar.
    """
    container_id = connection.find_container(container)
    file = None if path == "" or path.endswith("/") else find_file(connection, container_id, path)
    if file is not None:
        url = f"/containers/{container_id}/files/{file['id']}/content"
        download(connection, url, posixpath.basename(file["path"]), file["bytes"], destination)
        return file
    target = inside(path)
    if destination == "-":
        with (
            Progress(posixpath.basename(target), None) as progress,
            connection.stream("GET", f"/containers/{container_id}/archive", params={"path": target}) as response,
        ):
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
                progress.advance(len(chunk))
        sys.stdout.buffer.flush()
        return {"object": "container.archive", "container_id": container_id, "path": target}
    place = Path(destination)
    if place.is_dir() and target != DATA_ROOT:
        place /= posixpath.basename(target)
    with (
        Progress(posixpath.basename(target), None) as progress,
        connection.stream("GET", f"/containers/{container_id}/archive", params={"path": target}) as response,
    ):
        count = unpack(response.iter_bytes(), Path(os.path.abspath(place)), progress.advance)  # noqa: PTH100 - links stay
    return {
        "object": "container.archive",
        "container_id": container_id,
        "path": target,
        "files": count,
        "here": str(place),
    }


def upload(
    connection: Connection, url: str, source: Path, name: str, texts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Send a file of this machine as a form, with ``texts`` beside it; gives the server's answer.

    One that cannot be read ends the command.
    """
    try:
        with source.open("rb") as content, Progress(source.name, os.fstat(content.fileno()).st_size) as progress:
            answer: dict[str, Any] = connection.upload(url, name, _Watched(content, progress), texts)
            return answer
    except OSError as error:
        fail(f"{source} cannot be read: {error.strerror}.")


def download(connection: Connection, url: str, name: str, size: int, destination: str) -> None:
    """Bring a file here: to a file, under its own ``name`` into a folder, or to standard output for ``-``."""
    with (
        Progress(name, size) as progress,
        connection.stream("GET", url) as response,
        _opened(destination, name) as output,
    ):
        for chunk in response.iter_bytes():
            output.write(chunk)
            progress.advance(len(chunk))


def _is_utf8(name: str) -> bool:
    """Tell whether a name is text; bytes of this machine's names that are none stand in it as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def inside(place: str) -> str:
    """Give a path in a container whole. What is not below the data folder ends the command."""
    target = posixpath.normpath(posixpath.join(DATA_ROOT, place))
    if target != DATA_ROOT and not target.startswith(DATA_ROOT + "/"):
        fail(f"Files are kept in {DATA_ROOT} and below, which {target} is not.", code=ExitCode.USAGE)
    return target


def find_file(connection: Connection, container_id: str, path: str) -> dict[str, Any] | None:
    """Give the file with a path or id; ``None`` for a folder. What is not there ends the command."""
    wanted = posixpath.normpath(posixpath.join(DATA_ROOT, path))
    is_folder = False
    for file in connection.pages(f"/containers/{container_id}/files"):
        if path == file["id"] or wanted == file["path"]:
            return file
        is_folder = is_folder or file["path"].startswith(wanted + "/")
    if not is_folder:
        fail(
            f"There is no file {wanted} in {container_id}; `atoll files list {container_id}` lists them.",
            code=ExitCode.NOT_THERE,
        )
    return None


def _put_tar(connection: Connection, source: Path, container: str, folder: str, name: str = "") -> Any:
    with Progress(source.name or str(source), size_of(source)) as progress:
        container_id = connection.find_container(container)
        pieces = _watched(pack(source, name, skipped=_say_skipped), progress)
        return connection.put(f"/containers/{container_id}/archive", pieces, _TAR, {"path": folder})


def _say_skipped(path: Path) -> None:
    sys.stderr.write(f"[{path} is left out: no file, folder or link]\n")


def _watched(pieces: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress.advance(len(piece))


class _Watched:
    """A file that tells how far it has been read."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._progress.advance(len(data))
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


@contextlib.contextmanager
def _opened(destination: str, name: str) -> Iterator[BinaryIO]:
    """Open where a download goes; a file here is replaced only when all of it has come."""
    if destination == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(destination)
    if path.is_dir():
        path /= name
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as output:
            yield output
        part.replace(path)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
    finally:
        part.unlink(missing_ok=True)
