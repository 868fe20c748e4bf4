"""The Typer application with every command that speaks HTTP."""

from typing import Annotated, Final

import typer

import atoll
from atoll.cli.attach import attach
from atoll.cli.bench import bench
from atoll.cli.connection import Local, Target
from atoll.cli.containers import create, interrupt, ls, restart, rm, show, update
from atoll.cli.cp import cp
from atoll.cli.egress import egress
from atoll.cli.files import files_app
from atoll.cli.logs import logs
from atoll.cli.mcp import mcp
from atoll.cli.process import exec_
from atoll.cli.run import run
from atoll.cli.sh import sh
from atoll.cli.stats import stats, top
from atoll.cli.uploads import uploads_app

app: Final = typer.Typer(
    name="atoll",
    help="Containers to compute in, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"atoll {atoll.__version__}")
        raise typer.Exit


@app.callback()
def connect_options(
    context: typer.Context,
    *,
    base_url: Annotated[
        str | None, typer.Option(help="Where the server is; else ATOLL_BASE_URL, else the one on this machine.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help="The key; else ATOLL_API_KEY, else the one kept on this machine.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keep what the options before the command say."""
    find_local = context.obj if callable(context.obj) else Local
    context.obj = Target(base_url, api_key, find_local)


for command in (
    create,
    ls,
    show,
    update,
    rm,
    run,
    sh,
    attach,
    cp,
    logs,
    stats,
    top,
    egress,
    interrupt,
    restart,
    mcp,
    bench,
):
    app.command(rich_help_panel="Containers")(command)
    if command is sh:  # its sibling stands beside it
        as_typed = {"allow_interspersed_args": False}  # what follows the program is the program's
        app.command("exec", rich_help_panel="Containers", context_settings=as_typed)(exec_)
app.add_typer(files_app, name="files", rich_help_panel="Containers")
app.add_typer(uploads_app, name="uploads", rich_help_panel="Containers")
