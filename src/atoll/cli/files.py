"""``atoll files`` and ``atoll cp``: what is in a container, in and out."""

import contextlib
import os
import posixpath
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from atoll.cli.arguments import AsJson, Container, print_json, target_of
from atoll.cli.connection import Connection, connect
from atoll.cli.failure import fail
from atoll.cli.progress import Progress
from atoll.cli.tables import print_table, size_text, time_text

_DATA_ROOT: Final = "/mnt/data"


def files(context: typer.Context, container: Container, *, as_json: AsJson = False) -> None:
    """List a container's files."""
    with connect(target_of(context)) as connection:
        found = list(connection.pages(f"/containers/{connection.find_container(container)}/files", order="asc"))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "path", "size", "source", "created"),
        (
            (item["id"], item["path"], size_text(item["bytes"]), item["source"], time_text(item["created_at"]))
            for item in found
        ),
    )


def cp(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A file here, or CONTAINER:FILE.")],
    destination: Annotated[str, typer.Argument(help="CONTAINER: or CONTAINER:NAME, or a file or folder here, or `-`.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a file into a container or out of it. FILE is a path under /mnt/data, or a file's id."""
    inside_from, inside_to = _split(source), _split(destination)
    if (inside_from is None) == (inside_to is None):
        fail("One of the two must be in a container, written CONTAINER:FILE.", code=2)
    with connect(target_of(context)) as connection:
        if inside_to is not None:
            answer = _put(connection, Path(source), *inside_to)
        else:
            assert inside_from is not None  # noqa: S101 - for the type checker: exactly one of them is
            answer = _get(connection, *inside_from, destination)
    if as_json:
        print_json(answer)


def _split(place: str) -> tuple[str, str] | None:
    """Split ``CONTAINER:FILE``; what starts like a path here is one (``./a:b``, ``/a:b``)."""
    container, colon, path = place.partition(":")
    return (container, path) if colon and container and not place.startswith(("/", "./", "../")) else None


def _put(connection: Connection, source: Path, container: str, path: str) -> Any:
    folder, name = posixpath.split(posixpath.join(_DATA_ROOT, path))
    if folder != _DATA_ROOT:
        fail(f"Files go into {_DATA_ROOT} itself, not into {folder}.", code=2)
    try:
        with source.open("rb") as content, Progress(source.name, os.fstat(content.fileno()).st_size) as progress:
            container_id = connection.find_container(container)
            watched = _Watched(content, progress)
            return connection.upload(f"/containers/{container_id}/files", name or source.name, watched)
    except OSError as error:
        fail(f"{source} cannot be read: {error.strerror}.")


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


def _get(connection: Connection, container: str, path: str, destination: str) -> Any:
    files_path = f"/containers/{connection.find_container(container)}/files"
    file = _find(connection.pages(files_path), path, container)
    name = posixpath.basename(file["path"])
    with (
        connection.stream("GET", f"{files_path}/{file['id']}/content") as response,
        Progress(name, file["bytes"]) as progress,
        _opened(destination, name) as output,
    ):
        for chunk in response.iter_bytes():
            output.write(chunk)
            progress.advance(len(chunk))
    return file


def _find(found: Iterable[dict[str, Any]], path: str, container: str) -> dict[str, Any]:
    wanted = posixpath.normpath(posixpath.join(_DATA_ROOT, path))
    file = next((item for item in found if path == item["id"] or wanted == item["path"]), None)
    if file is None:
        fail(f"There is no file {wanted} in {container}; `atoll files {container}` lists them.")
    return file


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
