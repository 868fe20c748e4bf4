"""``atoll logs``: what happened to a container."""

import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from atoll.cli.arguments import AsJson, Container, Follow, print_json_line, target_of
from atoll.cli.connection import connect
from atoll.cli.event_stream import EventStream, number_of
from atoll.cli.tables import size_text, time_text
from atoll.cli.terminal import harmless

_WHERE = ("type", "id", "container_id", "at")


def logs(
    context: typer.Context,
    container: Container,
    *,
    limit: Annotated[int | None, typer.Option(help="Only the last so many of those that were.", min=0)] = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a container. As far as the server keeps it; with --json one object a line.

    Looking does not keep a container from expiring. With --follow it ends when the container does.
    """
    tell: Callable[[dict[str, Any]], None] = print_json_line if as_json else _tell
    with connect(target_of(context)) as connection:
        stream = EventStream(connection, connection.find_container(container))
        newest = stream.newest()
        if not newest and not follow:
            return
        held: deque[dict[str, Any]] = deque(maxlen=limit)
        is_new = not newest
        for event in stream.follow():
            if is_new:
                tell(event)
                continue
            held.append(event)
            if number_of(event) >= newest:
                for one in held:
                    tell(one)
                if not follow:
                    return
                is_new = True


def _tell(event: dict[str, Any]) -> None:
    line = f"{time_text(int(event['at']))}  {event['type']:18}  {_text(event)}"
    sys.stdout.write(harmless(" ".join(line.splitlines())).rstrip() + "\n")
    sys.stdout.flush()


def _text(event: dict[str, Any]) -> str:
    match event:
        case {"type": "call.started", "kind": one, "call_id": by} | {"type": "limit.hit", "limit": one, "call_id": by}:
            return f"{one} {by or ''}"
        case {"type": "call.ended", "kind": kind, "call_id": call_id, "outcome": outcome, "duration_ms": duration_ms}:
            return f"{kind} {call_id} {outcome} after {duration_ms} ms"
        case {"type": "file.changed", "path": path, "change": change, "bytes": size, "source": source}:
            return f"{path} {change} by {source}" + ("" if size is None else f", {size_text(size)}")
        case {"type": "network.refused", "name": name, "port": port, "reason": reason}:
            return f"{name}:{'-' if port is None else port} {reason}"
        case {"type": "container.expiring", "expires_at": expires_at}:
            return f"at {datetime.fromtimestamp(expires_at, UTC).astimezone():%H:%M:%S} unless it is used"
    more = {name: value for name, value in event.items() if name not in _WHERE and value is not None}
    return " ".join(f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in more.items())
