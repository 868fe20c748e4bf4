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
    then: Annotated[
        list[str] | None,
        typer.Option("--then", metavar="COMMAND", help="One more after it, in a bash of its own; may be repeated."),
    ] = None,
    timeout: TimeoutSeconds = None,
    max_output: Annotated[
        int | None,
        typer.Option(metavar="CHARACTERS", help="How much of each command's output comes back at most.", min=0),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a shell command. Its output goes where it went, its exit code is this one's.

    It is 124 when the time was over, and 125 when Atoll itself failed. Of several commands all are run, and it is that
    of the first that did not end with 0.
    """
    with own_failures_apart():
        body = {
            "commands": [read_source(command, file, "command"), *(then or ())],
            "timeout_ms": milliseconds(timeout),
            "max_output_length": max_output,
        }
        codes = map(_exit_code, _run(target_of(context), container, body, as_json=as_json))
    raise SystemExit(next(filter(None, codes), 0))


def _exit_code(outcome: dict[str, Any]) -> int:
    return int(outcome["exit_code"]) if outcome["type"] == "exit" else ExitCode.OUT_OF_TIME


def _run(target: Target, container: str, body: dict[str, Any], *, as_json: bool) -> list[dict[str, Any]]:
    """Make the call, print what it says. Gives each command's outcome."""
    with connect(target) as connection:
        path = f"/containers/{connection.find_container(container)}/shell_calls"
        if not as_json:
            return _show(stream_call(connection, path, body), len(body["commands"]))
        item = connection.post(path, **body)
    print_json(item)
    return [output["outcome"] for output in item["output"]]


def _show(events: Any, count: int) -> list[dict[str, Any]]:
    """Print the commands' output as it comes. Gives the outcome of each of ``count``."""
    outcomes: list[dict[str, Any]] = []
    for event in events:
        match event["type"]:
            case "response.shell_call_output_content.delta":
                for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
                    if event["delta"].get(name):
                        write(stream, event["delta"][name])
            case "response.shell_call_output_content.done":
                outcomes.append(event["output"][0]["outcome"])
            case "response.output_item.done":
                break
    if len(outcomes) < count:
        fail("The server ended the stream before the command was done.", code=ExitCode.UNREACHABLE)
    return outcomes
