"""``atoll uploads list|put|get|rm``: files of the project, uploaded once for any number of containers."""

import posixpath
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from atoll.cli.arguments import AsJson, To, check_output, print_json, target_of
from atoll.cli.connection import connect, segment
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.progress import Progress, waiting
from atoll.cli.tables import print_table, size_text, time_text
from atoll.cli.terminal import write
from atoll.cli.transfers import download, upload

uploads_app = typer.Typer(
    help="Files uploaded once, for any number of containers.", no_args_is_help=True, rich_markup_mode=None
)
_Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `atoll uploads list` shows them.")]


@uploads_app.command("list")
def list_(
    context: typer.Context,
    *,
    purpose: Annotated[str | None, typer.Option(help="Only those of this purpose.")] = None,
    as_json: AsJson = False,
) -> None:
    """List uploaded files, newest first."""
    with connect(target_of(context)) as connection, waiting("Looking"):
        found = list(connection.pages("/files", purpose=purpose))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "size", "purpose", "created", "expires"),
        (
            (
                item["id"],
                item["filename"],
                size_text(item["bytes"]),
                item["purpose"],
                time_text(item["created_at"]),
                time_text(item.get("expires_at")),
            )
            for item in found
        ),
    )


@uploads_app.command("put")
def put_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files here.")],
    *,
    purpose: Annotated[str, typer.Option(help="What they are for, in the API's words.")] = "user_data",
    expires_after: Annotated[
        int | None, typer.Option(metavar="MINUTES", help="Minutes that they are kept; for good without it.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload files and print their ids. `atoll create --file-id` and `atoll files put --file-id` copy them in."""
    texts = {"purpose": purpose}
    if expires_after is not None:
        texts |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_after * 60)}
    for file in files:
        if not file.is_file():
            fail(f"{file} is not a file.", code=ExitCode.USAGE)
    with connect(target_of(context)) as connection:
        answers: list[dict[str, Any]] = []
        for file in files:
            answers.append(upload(connection, "/files", file, file.resolve().name, texts))
            if not as_json:
                write(sys.stdout, answers[-1]["id"] + "\n")
    if as_json:
        print_json(answers)


@uploads_app.command("get")
def get_(
    context: typer.Context,
    ids: _Ids,
    *,
    to: To = ".",
    as_json: AsJson = False,
) -> None:
    """Download uploaded files."""
    check_output(to, as_json=as_json)
    with connect(target_of(context)) as connection:
        found = [connection.get(_path(file_id)) for file_id in ids]
        for file in found:
            download(connection, f"{_path(file['id'])}/content", _name_here(file), file["bytes"], to)
    if as_json:
        print_json(found)


@uploads_app.command("rm")
def rm_(context: typer.Context, ids: _Ids, *, as_json: AsJson = False) -> None:
    """Remove uploaded files; copies in containers stay. All are looked up first: an unknown one removes nothing."""
    with connect(target_of(context)) as connection, Progress("Removing", len(ids), unit="files") as progress:
        paths = [_path(connection.get(_path(file_id))["id"]) for file_id in ids]
        answers = []
        for path in paths:
            answers.append(connection.delete(path))
            progress.advance(1)
    if as_json:
        print_json(answers)


def _path(file_id: str) -> str:
    return f"/files/{segment(file_id, 'file')}"


def _name_here(file: dict[str, Any]) -> str:
    """Give the name under which a file comes; one that means a folder is none."""
    name = posixpath.basename(file["filename"])
    return str(file["id"]) if name in {"", ".", ".."} else name
