"""``atoll sh``: a shell command in a container, as if it ran here."""

import sys
from typing import Annotated, Any, Final

import typer

from atoll.cli.arguments import (
    AsJson,
    Container,
    FromFile,
    TimeoutSeconds,
    milliseconds,
    print_json,
    read_source,
    target_of,
)
from atoll.cli.connection import connect
from atoll.cli.failure import fail
from atoll.cli.run import stream_call
from atoll.cli.terminal import write

_TIMED_OUT: Final = 124  # what timeout(1) says


def sh(
    context: typer.Context,
    container: Container,
    command: Annotated[str | None, typer.Argument(help="A command for bash; `-` reads it from stdin.")] = None,
    *,
    file: FromFile = None,
    timeout: TimeoutSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Run a shell command; its output goes where it went, its exit code is this one's (124 when out of time)."""
    body = {"commands": [read_source(command, file, "command")], "timeout_ms": milliseconds(timeout)}
    with connect(target_of(context)) as connection:
        path = f"/containers/{connection.find_container(container)}/shell_calls"
        if as_json:
            item = connection.post(path, **body)
            print_json(item)
            outcome = item["output"][0]["outcome"]
        else:
            outcome = _show(stream_call(connection, path, body))
    code = outcome["exit_code"] if outcome["type"] == "exit" else _TIMED_OUT
    raise SystemExit(code)


def _show(events: Any) -> dict[str, Any]:
    """Print the command's output as it comes. Gives its outcome."""
    outcome: dict[str, Any] | None = None
    for event in events:
        match event["type"]:
            case "response.shell_call_output_content.delta":
                for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
                    if event["delta"].get(name):
                        write(stream, event["delta"][name])
            case "response.shell_call_output_content.done":
                outcome = event["output"][0]["outcome"]
            case "response.output_item.done":
                break
    if outcome is None:
        fail("The server ended the stream before the command was done.")
    return outcome
