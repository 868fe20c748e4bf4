"""``atoll attach``: a real terminal in a container."""

import asyncio
import sys
from typing import Annotated, Any

import typer

from atoll.cli.arguments import AsJson, Container, print_json, target_of
from atoll.cli.connection import Connection, Target, connect, http_options, segment
from atoll.cli.escape_key import EscapeReader, key_of
from atoll.cli.exit_codes import ExitCode, own_failures_apart
from atoll.cli.failure import fail
from atoll.cli.raw_terminal import has_terminal
from atoll.cli.tables import print_table, time_text
from atoll.cli.terminal import harmless


def attach(
    context: typer.Context,
    container: Container,
    *,
    terminal: Annotated[str | None, typer.Option(help="Go on with this terminal, instead of opening one.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", "-r", help="Go on with the newest terminal that nobody has.")
    ] = False,
    escape: Annotated[
        str, typer.Option(help="The key before `d` that detaches: ctrl- and a letter or one of @[\\]^_, or none.")
    ] = "ctrl-]",
    list_: Annotated[bool, typer.Option("--list", help="Only list the container's terminals.")] = False,
    close: Annotated[str | None, typer.Option(metavar="TERMINAL", help="Only end this terminal.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open a terminal in a container, or go on with one.

    Everything typed goes there, Ctrl-C, too. Ctrl-] and then d detaches: what runs there runs on. The exit code is the
    shell's, 0 after detaching, and 125 when Atoll itself failed.
    """
    if list_ or close is not None:
        with connect(target_of(context)) as connection:
            _look_after(connection, connection.find_container(container), close, as_json=as_json)
        return
    try:
        key = key_of(escape)
    except ValueError:
        fail(f"{escape!r} is no key that --escape takes: give one like ctrl-] or none.", code=ExitCode.USAGE)
    if terminal is not None and resume:
        fail("Give --terminal or --resume, not both.", code=ExitCode.USAGE)
    if not has_terminal():
        fail("There is no terminal here to attach; `atoll sh` runs commands without one.", code=ExitCode.USAGE)
    with own_failures_apart():
        target = target_of(context)
        with connect(target) as connection:
            container_id = connection.find_container(container)
            if resume:
                terminal = _newest_free(connection, container_id)
        exit_code = _attach(target, container_id, terminal, EscapeReader(key))
    raise SystemExit(exit_code)


def _attach(target: Target, container_id: str, terminal_id: str | None, escape: EscapeReader) -> int:
    from atoll.cli.attachment import NoTerminalError, Way, attach  # noqa: PLC0415 - slow to load, and no other command needs it

    options = http_options(target)
    url = f"{options['base_url'].replace('http', 'ws', 1)}/containers/{container_id}/terminal"
    way = Way(url, options["headers"], is_remote=options["trust_env"])
    try:
        ended = asyncio.run(attach(way, terminal_id, escape))
    except NoTerminalError as error:
        fail(str(error), code=error.code)
    if ended.exit_code is None:
        if ended.terminal_id is None:
            raise SystemExit(ExitCode.INTERRUPTED)
        terminal_id = harmless(ended.terminal_id)
        sys.stderr.write(f"\n[detached; to go on: atoll attach {container_id} --terminal {terminal_id}]\n")
    return ended.exit_code or 0


def _newest_free(connection: Connection, container_id: str) -> str:
    found = connection.get(f"/containers/{container_id}/terminals")["data"]
    free = [item["id"] for item in found if not item["attached"]]
    if not free:
        fail("There is no terminal in it that nobody has; without --resume you get a new one.", code=ExitCode.NOT_THERE)
    return str(free[-1])


def _look_after(connection: Connection, container_id: str, close: str | None, *, as_json: bool) -> None:
    answer: Any
    if close is not None:
        answer = connection.delete(f"/containers/{container_id}/terminals/{segment(close, 'terminal')}")
    else:
        answer = connection.get(f"/containers/{container_id}/terminals")["data"]
    if as_json:
        print_json(answer)
    elif close is None:
        print_table(
            ("id", "created", "size", ""),
            (
                (
                    item["id"],
                    time_text(item["created_at"]),
                    f"{item['cols']}x{item['rows']}",
                    "attached" if item["attached"] else "",
                )
                for item in answer
            ),
        )
