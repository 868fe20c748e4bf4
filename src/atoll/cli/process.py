"""``atoll exec``: one program in a container, with exactly these arguments."""

import codecs
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Final, TextIO

import typer

from atoll.cli.arguments import AsJson, Container, TimeoutSeconds, milliseconds, print_json, target_of
from atoll.cli.connection import Target, connect
from atoll.cli.exit_codes import ExitCode, own_failures_apart
from atoll.cli.failure import fail
from atoll.cli.python_call import stream_call
from atoll.cli.terminal import harmless

_SIGNALLED: Final = 128  # and the signal's number: what shells say


def exec_(
    context: typer.Context,
    container: Container,
    argv: Annotated[list[str], typer.Argument(metavar="PROGRAM [ARGUMENT]...", help="What to run; no shell reads it.")],
    *,
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Let it read what is on standard input.")] = False,
    env: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A variable; may be repeated.")] = None,
    cwd: Annotated[str | None, typer.Option(help="Its working directory; /mnt/data without it.")] = None,
    user: Annotated[str | None, typer.Option(help="The user that it runs as, by name or number.")] = None,
    timeout: TimeoutSeconds = None,
    max_output: Annotated[
        int | None, typer.Option(metavar="BYTES", help="How much of its output comes back at most.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one program with exactly its arguments. Its bytes go where they went. Options come before CONTAINER.

    The exit code is the program's, 128 and the number of the signal that ended it, 124 when the time was over, and 125
    when Atoll itself failed.
    """
    with own_failures_apart():
        body = {
            "argv": argv,
            "env": _environment(env),
            "cwd": cwd,
            "user": user,
            "stdin": b64encode(sys.stdin.buffer.read()).decode() if stdin else None,
            "timeout_ms": milliseconds(timeout),
            "max_output_bytes": max_output,
            "encoding": "base64",
        }
        item = _run(target_of(context), container, body, as_json=as_json)
        code = _exit_code(item["outcome"])
    raise SystemExit(code)


def _environment(texts: list[str] | None) -> dict[str, str] | None:
    pairs = [text.partition("=") for text in texts or []]
    for name, equals, value in pairs:
        if not (name and equals):
            fail(f"A variable is written NAME=VALUE, which {name + equals + value!r} is not.", code=ExitCode.USAGE)
    return {name: value for name, _, value in pairs} or None


def _run(target: Target, container: str, body: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Make the call, print what it says. Gives the ended process."""
    item: dict[str, Any] | None = None
    with connect(target) as connection:
        path = f"/containers/{connection.find_container(container)}/processes"
        if as_json:
            item = connection.post(path, **body)
            print_json(item)
        else:
            item = _show(stream_call(connection, path, body))
    if item is None:
        fail("The server ended the stream before the program was done.", code=ExitCode.UNREACHABLE)
    return item


def _show(events: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    outputs = {"stdout": _Output(sys.stdout), "stderr": _Output(sys.stderr)}
    for event in events:
        if event["type"] == "container.process.output.delta":
            for name, output in outputs.items():
                output.write(b64decode(event["delta"].get(name) or ""))
        elif event["type"] == "container.process.done":
            item: dict[str, Any] = event["item"]
            missing = [(name, item[f"{name}_omitted"]) for name in outputs if item.get(f"{name}_omitted")]
            notes = [f"{one['bytes']} bytes of {name} are missing, over the limit" for name, one in missing]
            sys.stderr.write("".join(f"[atoll] {harmless(str(note))}\n" for note in (*notes, *item["notes"])))
            return item
    return None


class _Output:
    """Bytes as they are, but harmless ones for a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        if self._stream.isatty():
            self._stream.write(harmless(self._decoder.decode(data)))
        else:
            raw: BinaryIO = self._stream.buffer
            raw.write(data)
        self._stream.flush()


def _exit_code(outcome: dict[str, Any]) -> int:
    if outcome["type"] == "exit":
        return int(outcome["exit_code"])
    if outcome["type"] == "signal":
        return _SIGNALLED + int(outcome["signal"])
    if outcome["type"] != "timeout":
        fail(f"The program was lost: {harmless(str(outcome.get('cause')))}.")
    return ExitCode.OUT_OF_TIME
