"""Arguments that several commands share."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from atoll.cli.completion import complete_container
from atoll.cli.connection import Target
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.terminal import write

Container = Annotated[
    str,
    typer.Argument(help="A container's id, or its name where no other has it.", autocompletion=complete_container),
]
Containers = Annotated[
    list[str],
    typer.Argument(help="Ids, or names where no other has them.", autocompletion=complete_container),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AlwaysJson = Annotated[bool, typer.Option("--json", help="Taken as everywhere; it is JSON without it, too.")]
To = Annotated[str, typer.Option(help="The file or folder here that they go to; `-` is standard output.")]
TimeoutSeconds = Annotated[
    float | None,
    typer.Option("--timeout", help="Seconds after which the call is stopped.", metavar="SECONDS", min=0.001),
]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with what happens from now on, until Ctrl-C.")]
FromFile = Annotated[Path | None, typer.Option("--file", "-f", help="Read it from a file.", dir_okay=False)]


def target_of(context: typer.Context) -> Target:
    """Give what the options before the command said."""
    target = context.obj
    assert isinstance(target, Target)  # noqa: S101 - set by the application's callback, for the type checker
    return target


def milliseconds(seconds: float | None) -> int | None:
    """Turn an option's seconds into the API's milliseconds."""
    return None if seconds is None else max(1, round(seconds * 1000))


def check_output(to: str, *, as_json: bool) -> None:
    """End the command where files and JSON would both go to standard output."""
    if as_json and to == "-":
        fail("Standard output cannot have both, files and JSON.", code=ExitCode.USAGE)


def read_source(text: str | None, file: Path | None, noun: str) -> str:
    """Give code: from the argument, from stdin for ``-``, or from a file."""
    if (text is None) == (file is None):
        fail(f"Give the {noun} as an argument, `-` to read it from stdin, or --file.", code=ExitCode.USAGE)
    try:
        if file is not None:
            return file.read_text("utf-8")
        return sys.stdin.read() if text == "-" else str(text)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        fail(f"The {noun} is not UTF-8 text.")


def print_json(value: Any) -> None:
    """Print an answer for programs."""
    write(sys.stdout, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_json_line(value: Any) -> None:
    """Print one of many answers for programs, each on a line of its own, at once."""
    write(sys.stdout, json.dumps(value, ensure_ascii=False) + "\n")
