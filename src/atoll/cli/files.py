"""``atoll files list|put|get|rm``: the files of a container."""

from typing import Annotated

import typer
from typer.core import TyperGroup

from atoll.cli.arguments import AsJson, Container, To, check_output, print_json, target_of
from atoll.cli.connection import connect
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.progress import Progress, waiting
from atoll.cli.tables import print_table, size_text, time_text
from atoll.cli.transfers import find_file, get, put


class _ListsByDefault(TyperGroup):
    """A group in which `atoll files CONTAINER` means `atoll files list CONTAINER`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["list", *args]
        return super().parse_args(ctx, args)


files_app = typer.Typer(
    cls=_ListsByDefault, help="The files of a container.", no_args_is_help=True, rich_markup_mode=None
)
_Paths = Annotated[list[str], typer.Argument(help="Paths below /mnt/data, or ids.")]


@files_app.command("list")
def list_(context: typer.Context, container: Container, *, as_json: AsJson = False) -> None:
    """List a container's files, the oldest first; `atoll files CONTAINER` is short for it."""
    with connect(target_of(context)) as connection, waiting("Looking"):
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


@files_app.command("put")
def put_(
    context: typer.Context,
    container: Container,
    files: Annotated[list[str] | None, typer.Argument(help="Files or folders here.")] = None,
    *,
    file_id: Annotated[
        list[str] | None, typer.Option("--file-id", help="Copy in one of `atoll uploads`; may be repeated.")
    ] = None,
    folder: Annotated[str, typer.Option("--into", help="The folder below /mnt/data that they go into.")] = "",
    as_json: AsJson = False,
) -> None:
    """Copy files and folders into a container; those of the same names are replaced."""
    if not files and not file_id:
        fail("Say what goes in: files or folders here, or --file-id.", code=ExitCode.USAGE)
    if file_id and folder:
        fail("What --file-id names goes to /mnt/data itself; --into is for files of this machine.", code=ExitCode.USAGE)
    with connect(target_of(context)) as connection:
        place = folder and folder.rstrip("/") + "/"
        answers = [put(connection, file, container, place) for file in files or ()]
        if file_id:
            path = f"/containers/{connection.find_container(container)}/files"
            answers += [connection.post(path, file_id=one) for one in file_id]
    if as_json:
        print_json(answers)


@files_app.command("get")
def get_(
    context: typer.Context,
    container: Container,
    paths: _Paths,
    *,
    to: To = ".",
    as_json: AsJson = False,
) -> None:
    """Copy files and folders out of a container."""
    check_output(to, as_json=as_json)
    with connect(target_of(context)) as connection:
        answers = [get(connection, container, path, to) for path in paths]
    if as_json:
        print_json(answers)


@files_app.command("rm")
def rm_(context: typer.Context, container: Container, paths: _Paths, *, as_json: AsJson = False) -> None:
    """Remove files. All are looked up first: one that is not there removes nothing."""
    with connect(target_of(context)) as connection:
        container_id = connection.find_container(container)
        found = [find_file(connection, container_id, path) for path in paths]
        for path, file in zip(paths, found, strict=True):
            if file is None:
                fail(f"{path} is a folder; `atoll sh {container_id} 'rm -r …'` removes folders.")
        with Progress("Removing", len(found), unit="files") as progress:
            answers = []
            for file in found:
                assert file is not None  # noqa: S101 - looked at above
                answers.append(connection.delete(f"/containers/{container_id}/files/{file['id']}"))
                progress.advance(1)
    if as_json:
        print_json(answers)
