"""``atoll run``: Python in a container, its output as it comes; without code, a prompt."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from atoll.cli.arguments import AsJson, FromFile, TimeoutSeconds, milliseconds, print_json, read_source, target_of
from atoll.cli.completion import complete_container
from atoll.cli.connection import Connection, connect
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.progress import waiting
from atoll.cli.python_call import show, stream_call
from atoll.cli.raw_terminal import has_terminal


def run(
    context: typer.Context,
    container: Annotated[
        str | None,
        typer.Argument(
            help="A container's id, or its name where no other has it; without one, a new container that is removed "
            "at the end.",
            autocompletion=complete_container,
        ),
    ] = None,
    code: Annotated[str | None, typer.Argument(help="Python code; `-` reads it from stdin.")] = None,
    *,
    file: FromFile = None,
    timeout: TimeoutSeconds = None,
    images: Annotated[
        Path, typer.Option(help="Folder for the figures that the code shows.", file_okay=False, exists=True)
    ] = Path(),
    html: Annotated[
        bool, typer.Option("--html", help="With --json: tables and other values in their HTML form, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run Python code and print its output as it comes. Figures become files. Without code, a Python prompt.

    The exit code is 0 when the code ran to its end, even when that was a traceback, as the API has it, and 1 when it
    was stopped (time, interrupt) or its Python died.
    """
    is_prompt = code is None and file is None and has_terminal()
    if is_prompt and as_json:
        fail("A prompt has no JSON; give code, too.", code=ExitCode.USAGE)
    if html and not as_json:
        fail("--html goes with --json; a terminal shows values as text.", code=ExitCode.USAGE)
    source = "" if is_prompt else _source(code, file)
    with connect(target_of(context)) as connection, _container(connection, container) as container_id:
        if is_prompt:
            from atoll.cli.prompt import prompt  # noqa: PLC0415 - slow to load

            prompt(connection, container_id, timeout_ms=milliseconds(timeout), images=images)
            return
        body = {"code": source, "timeout_ms": milliseconds(timeout), "html": html or None}
        path = f"/containers/{container_id}/code_interpreter_calls"
        if as_json:
            item = connection.post(path, **body)
            print_json(item)
        else:
            item = show(stream_call(connection, path, body), images)
    _tell_outcome(item, as_json=as_json)


def _source(code: str | None, file: Path | None) -> str:
    """Read the code; like Python's own command from stdin where nothing else is said and nobody types there."""
    if code is None and file is None and not sys.stdin.isatty():
        source = sys.stdin.read()
        if source.strip():
            return source
    return read_source(code, file, "code")


def _tell_outcome(item: dict[str, Any], *, as_json: bool) -> None:
    if item["status"] != "completed":
        sys.stderr.write("" if as_json else f"[the call is {item['status']}]\n")
        raise SystemExit(ExitCode.FAILED)


@contextmanager
def _container(connection: Connection, container: str | None) -> Iterator[str]:
    """Give a container's id; without one, that of a new one that goes with the block."""
    if container is not None:
        yield connection.find_container(container)
        return
    with waiting("Making a container"):
        container_id = str(connection.post("/containers", name="atoll run")["id"])
    try:
        yield container_id
    finally:
        connection.delete(f"/containers/{container_id}")
