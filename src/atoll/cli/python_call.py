"""A call whose output comes as it happens, and what is made of it: text on standard output, figures as files."""

import base64
import binascii
import contextlib
import mimetypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from atoll.cli.connection import Connection
from atoll.cli.exit_codes import ExitCode, code_of_error
from atoll.cli.failure import fail
from atoll.cli.server_sent_events import read_events
from atoll.cli.tables import size_text
from atoll.cli.terminal import harmless, write

_SUFFIXES: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg", "image/gif": ".gif"}


def stream_call(connection: Connection, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make a call and give its events. An ``error`` event ends the command."""
    given = {name: value for name, value in body.items() if value is not None}
    with connection.stream("POST", path, json={**given, "stream": True}) as response:
        try:
            for event in read_events(response.iter_lines()):
                if event.get("type") == "error":
                    text = f"{harmless(str(event.get('message')))} (request {response.headers.get('x-request-id')})"
                    fail(text, code=code_of_error(event.get("code")))
                yield event
        except ValueError:
            fail("The server's stream of events cannot be read.", code=ExitCode.UNREACHABLE)


def show(events: Iterator[dict[str, Any]], images: Path) -> dict[str, Any]:
    """Print a call's events as they come. Gives the finished item."""
    at_line_start = True
    item: dict[str, Any] | None = None
    for event in events:
        match event["type"]:
            case "response.code_interpreter_call_logs.delta":
                write(sys.stdout, event["delta"])
                at_line_start = event["delta"].endswith("\n") if event["delta"] else at_line_start
            case "response.code_interpreter_call_image.added":
                sys.stderr.write(f"[figure saved as {_save_image(event['url'], images)}]\n")
            case "response.output_item.done":
                item = event["item"]
                break
    if not at_line_start and sys.stdout.isatty():
        sys.stdout.write("\n")
    if item is None:
        fail("The server ended the stream before the call was done.", code=ExitCode.UNREACHABLE)
    _name_files(item)
    return item


def _name_files(item: dict[str, Any]) -> None:
    for file in item.get("files") or []:
        sys.stderr.write(f"[file {harmless(file['path'])}, {size_text(file['bytes'])}]\n")


def _save_image(url: str, folder: Path) -> Path:
    """Write a data URL's image into a new file; nothing that is there is overwritten."""
    head, _, content = url.partition(";base64,")
    media_type = head.removeprefix("data:")
    suffix = _SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ".bin"
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error:
        fail("The server sent a figure that cannot be read.")
    try:
        path, file = _new_file(folder, suffix)
        with file:
            file.write(data)
    except OSError as error:
        fail(f"The figure cannot be saved in {folder}: {error.strerror}.")
    return path


def _new_file(folder: Path, suffix: str) -> tuple[Path, BinaryIO]:
    number = 0
    while True:
        number += 1
        path = folder / f"figure-{number}{suffix}"
        with contextlib.suppress(FileExistsError):
            return path, path.open("xb")
