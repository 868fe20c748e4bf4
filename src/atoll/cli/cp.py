"""``atoll cp``: files and folders into a container and out of it."""

from typing import Annotated

import typer

from atoll.cli.arguments import AsJson, print_json, target_of
from atoll.cli.completion import complete_place
from atoll.cli.connection import connect
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.transfers import get, put


def cp(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="A file or folder here, or CONTAINER:PATH.", autocompletion=complete_place)
    ],
    destination: Annotated[
        str, typer.Argument(help="CONTAINER:PATH, or a file or folder here, or `-`.", autocompletion=complete_place)
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a file or folder into a container or out of it. PATH is one below /mnt/data, or a file's id.

    Into `CONTAINER:` or `CONTAINER:FOLDER/` it keeps its name, `CONTAINER:NAME` is its new one. Folders that are there
    are joined, files replaced, each only when all has come.
    """
    inside_from, inside_to = _split(source), _split(destination)
    if (inside_from is None) == (inside_to is None):
        fail("One of the two must be in a container, written CONTAINER:FILE.", code=ExitCode.USAGE)
    with connect(target_of(context)) as connection:
        if inside_to is not None:
            answer = put(connection, source, *inside_to)
        else:
            assert inside_from is not None  # noqa: S101 - for the type checker: exactly one of them is
            answer = get(connection, *inside_from, destination)
    if as_json:
        print_json(answer)


def _split(place: str) -> tuple[str, str] | None:
    """Split ``CONTAINER:FILE``; what starts like a path here is one (``./a:b``, ``/a:b``)."""
    container, colon, path = place.partition(":")
    return (container, path) if colon and container and not place.startswith(("/", "./", "../")) else None
