"""``atoll sh``: a shell command in a container, as if it ran here."""

import sys
from typing import Annotated, Any

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
from atoll.cli.connection import Target, connect
from atoll.cli.exit_codes import ExitCode, own_failures_apart
from atoll.cli.failure import fail
from atoll.cli.python_call import stream_call
from atoll.cli.terminal import write


def sh(
    context: typer.Context,
    container: Container,
    command: Annotated[str | None, typer.Argument(help="A command for bash; `-` reads it from stdin.")] = None,
    *,
    file: FromFile = None,
    timeout: TimeoutSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Run a shell command. Its output goes where it went, its exit code is this one's.

    It is 124 when the time was over, and 125 when Atoll itself failed.
    """
    with own_failures_apart():
        body = {"commands": [read_source(command, file, "command")], "timeout_ms": milliseconds(timeout)}
        outcome = _run(target_of(context), container, body, as_json=as_json)
    raise SystemExit(outcome["exit_code"] if outcome["type"] == "exit" else ExitCode.OUT_OF_TIME)


def _run(target: Target, container: str, body: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Make the call, print what it says. Gives its outcome."""
    with connect(target) as connection:
        path = f"/containers/{connection.find_container(container)}/shell_calls"
        if not as_json:
            return _show(stream_call(connection, path, body))
        item = connection.post(path, **body)
    print_json(item)
    outcome: dict[str, Any] = item["output"][0]["outcome"]
    return outcome


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
        fail("The server ended the stream before the command was done.", code=ExitCode.UNREACHABLE)
    return outcome
