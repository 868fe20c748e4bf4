"""``atoll egress``: what was let out of a container and what was refused."""

import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Final

import typer

from atoll.cli.arguments import AsJson, Container, Follow, print_json, print_json_line, target_of
from atoll.cli.connection import Connection, connect
from atoll.cli.patience import Patience
from atoll.cli.tables import print_table, size_text, time_text
from atoll.cli.terminal import harmless

_COLUMNS: Final = ("when", "", "name", "port", "reason", "sent", "received")
_LIMIT_DEFAULT: Final = 20
_PAUSE_S: Final = 1.0


def egress(
    context: typer.Context,
    container: Container,
    *,
    limit: Annotated[int, typer.Option(help="How many of the last at most.", min=0)] = _LIMIT_DEFAULT,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused or went wrong.")] = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Show what a container's network policy let out and refused. The newest is the last."""
    with connect(target_of(context)) as connection:
        path = f"/containers/{connection.find_container(container)}/egress"
        newest = connection.pages(path, None if refused else max(limit, 1), order="desc")
        head = next(newest, None)
        found = [item for item in ([head] if head else []) if not (refused and item["allowed"])]
        found += islice((item for item in newest if not (refused and item["allowed"])), max(0, limit - len(found)))
        found = found[:limit][::-1]
        if not follow:
            _print(found, as_json=as_json)
            return
        for item in found:
            _print_line(item, as_json=as_json)
        for item in _later(connection, path, head["id"] if head else None):
            if not (refused and item["allowed"]):
                _print_line(item, as_json=as_json)


def _later(connection: Connection, path: str, after: str | None) -> Iterator[dict[str, Any]]:
    patience = Patience()
    while True:
        # Connections are told when they have ended, so there is nothing that a stream could tell sooner.
        time.sleep(_PAUSE_S)
        with patience.trying():
            for item in connection.pages(path, after=after, order="asc"):
                after = item["id"]
                yield item


def _print(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, (_row(item) for item in found))


def _print_line(item: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json_line(item)
        return
    when, verdict, name, port, reason, sent, received = _row(item)
    text = f"{when}  {verdict:7}  {name}:{port}  {reason}  sent {sent}, received {received}"
    sys.stdout.write(harmless(" ".join(text.splitlines())) + "\n")
    sys.stdout.flush()


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        time_text(int(item["created_at"])),
        "allowed" if item["allowed"] else "refused",
        str(item["name"]),
        "-" if item["port"] is None else str(item["port"]),
        str(item["reason"]),
        size_text(item["bytes_sent"]),
        size_text(item["bytes_received"]),
    )
