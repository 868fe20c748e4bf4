"""``atoll stats`` and ``atoll top``: what containers hold, once and all the time."""

import io
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from atoll.cli.arguments import AsJson, Containers, print_json, target_of
from atoll.cli.connection import Connection, connect
from atoll.cli.failure import Failure
from atoll.cli.living import Living
from atoll.cli.patience import Patience
from atoll.cli.progress import waiting
from atoll.cli.raw_terminal import has_terminal, keys_at_once
from atoll.cli.signal_handling import handling
from atoll.cli.tables import print_table, size_text, table_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Row = dict[str, Any]

_HELD: Final = ("id", "memory", "of", "cores", "cpu time", "processes", "disk", "sent", "received")
_COLUMNS: Final = ("name", *_HELD, "expires in")
_AT_ONCE: Final = 8
_TOP_LIMIT: Final = 50
_WIDTH_FOR_IDS: Final = 160  # a third of it is an id
_SLICE_S: Final = 0.25
# By which key, with which question, the largest first.
_ORDERS: Final[dict[str, tuple[str, Callable[[Row], float]]]] = {
    "m": ("memory", lambda row: row["stats"]["memory"]["used_bytes"]),
    "c": ("cores", lambda row: row["stats"]["cpu"]["cores"]),
    "p": ("processes", lambda row: row["stats"]["processes"]["count"]),
    "d": ("disk", lambda row: row["stats"]["disk"]["used_bytes"] or 0),
    "n": ("newest", lambda row: row["container"]["created_at"]),
}
_QUIT: Final = ("q", "\x1b", "\x04")
_ARROWS: Final = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O.)")  # and other keys that are more than a character


def stats(
    context: typer.Context,
    containers: Containers,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what containers hold and use now. JSON has the last minutes, too, from the first look on.

    Looking does not keep a container from expiring. `cores` were used since the look before.
    """
    with connect(target_of(context)) as connection, waiting("Looking"):
        ids = [connection.find_container(container) for container in containers]
        found = [connection.get(f"/containers/{container_id}/stats") for container_id in ids]
    if as_json:
        print_json(found)
    else:
        print_table(_HELD, map(_held_cells, found))


def top(
    context: typer.Context,
    *,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.5, max=3600)] = 2.0,
    limit: Annotated[int, typer.Option(help="Only the newest so many containers.", min=1, max=250)] = _TOP_LIMIT,
    order: Annotated[str, typer.Option(help="memory, cores, processes, disk or newest.")] = "memory",
    as_json: AsJson = False,
) -> None:
    """Show what all living containers hold, again and again. One table where nobody sits at a terminal.

    Keys: m, c, p, d, n sort by memory, cores, processes, disk, age; q leaves.
    """
    key = next((key for key, (name, _) in _ORDERS.items() if name == order), None)
    if key is None:
        raise typer.BadParameter(f"{order!r} is none of {', '.join(name for name, _ in _ORDERS.values())}.")
    with connect(target_of(context)) as connection:
        if as_json or not has_terminal():
            with waiting("Looking"):
                rows = _sorted(_look(connection, Living(connection), limit), key)
            if as_json:
                print_json([{"name": row["container"]["name"], **row["stats"]} for row in rows])
            else:
                print_table(_COLUMNS, map(_cells, rows))
            return
        _live(connection, interval, limit, key)


def _live(connection: Connection, interval: float, limit: int, key: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to load
    from rich.live import Live  # noqa: PLC0415 - slow to load

    living, patience = Living(connection), Patience()
    with waiting("Looking"):
        rows = _look(connection, living, limit)  # before the screen is taken: what fails at once is told and ends it
    said = io.StringIO()  # on the screen that is drawn on nobody would see it
    try:
        with _leaving() as leaving, keys_at_once(), Live(console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                note = "no answer now, asking again" if patience.is_needed else ""
                key = _draw(live, rows, key, time.monotonic() + interval, leaving, note=note)
                if key in _QUIT or leaving.is_set():
                    return
                with redirect_stderr(said), patience.trying():
                    rows = _look(connection, living, limit)
    except Failure:
        sys.stderr.write(said.getvalue())
        raise


def _draw(live: "Live", rows: list[Row], key: str, until: float, leaving: Event, *, note: str) -> str:
    """Draw until it is time for the next look; give the key of the order that was chosen last, or one to leave by."""
    live.update(_page(live, _sorted(rows, key), key, note), refresh=True)
    while not leaving.is_set() and (left := until - time.monotonic()) > 0:
        # In slices: a signal that comes just before the wait does not end it.
        if not select.select([sys.stdin], [], [], min(left, _SLICE_S))[0]:
            continue
        typed = os.read(sys.stdin.fileno(), 256).decode(errors="replace")
        for pressed in _ARROWS.sub("", typed) if typed else _QUIT[0]:
            if pressed in _QUIT:
                return pressed
            key = pressed if pressed in _ORDERS else key
        live.update(_page(live, _sorted(rows, key), key, note), refresh=True)
    return key


@contextmanager
def _leaving() -> Iterator[Event]:
    """Let Ctrl-C and SIGTERM leave as `q` does: the terminal is put back. A second one insists."""
    leaving = Event()

    def leave(*_: object) -> None:
        if leaving.is_set():
            raise KeyboardInterrupt
        leaving.set()

    with handling((signal.SIGINT, signal.SIGTERM), leave):
        yield leaving


def _look(connection: Connection, living: Living, limit: int) -> list[Row]:
    """Ask for the newest living containers, and what each holds; one that ends meanwhile is left out."""
    containers = living.newest(limit)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda item: connection.find(f"/containers/{item['id']}/stats"), containers)
        return [
            {"container": item, "stats": one} for item, one in zip(containers, found, strict=True) if one is not None
        ]


def _sorted(rows: list[Row], key: str) -> list[Row]:
    return sorted(rows, key=_ORDERS[key][1], reverse=True)


def _page(live: "Live", rows: list[Row], key: str, note: str) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - slow to load
    from rich.text import Text  # noqa: PLC0415 - slow to load

    memory = size_text(sum(row["stats"]["memory"]["used_bytes"] for row in rows))
    cores = sum(row["stats"]["cpu"]["cores"] for row in rows)
    keys = "  ".join(f"{letter} {name}" for letter, (name, _) in _ORDERS.items())
    head = Text(
        f"{len(rows)} containers, {memory}, {cores:.2f} cores   by {_ORDERS[key][0]}   ({keys}  q leaves)   {note}\n"
    )
    if live.console.width >= _WIDTH_FOR_IDS:
        return Group(head, table_of(_COLUMNS, map(_cells, rows)))
    columns, *cells = ((one[0], *one[2:]) for one in (_COLUMNS, *map(_cells, rows)))
    return Group(head, table_of(columns, cells))


def _cells(row: Row) -> tuple[str, ...]:
    return (str(row["container"]["name"]), *_held_cells(row["stats"]), _left_text(row["container"]))


def _held_cells(held: Row) -> tuple[str, ...]:
    memory, cpu, processes, disk, network = (held[name] for name in ("memory", "cpu", "processes", "disk", "network"))
    return (
        str(held["container_id"]),
        size_text(memory["used_bytes"]),
        size_text(memory["limit_bytes"]),
        f"{cpu['cores']:.2f}" + ("" if cpu["limit_cores"] is None else f"/{cpu['limit_cores']:g}"),
        f"{cpu['used_seconds']:.1f} s",
        f"{processes['count']}" + ("" if processes["limit"] is None else f"/{processes['limit']}"),
        size_text(disk["used_bytes"]),
        size_text(network["sent_bytes"] if network else None),
        size_text(network["received_bytes"] if network else None),
    )


def _left_text(container: Row) -> str:
    expiry, last_active_at = container.get("expires_after"), container.get("last_active_at")
    if not expiry or last_active_at is None:
        return "-"
    left_s = max(0, int(last_active_at + expiry["minutes"] * 60 - time.time()))
    return f"{left_s // 60}:{left_s % 60:02}"
