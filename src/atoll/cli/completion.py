"""What shells complete: containers by name and id, where a quick answer is to be had; never a message, never a wait."""

import contextlib
import io
import os
import re
import time
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import typer

from atoll.cli.connection import Connection, Local, Target, http_options
from atoll.cli.living import LISTED_MAX

_TIMEOUT_S: Final = 1.0
_LIMIT: Final = 100
# What a shell takes as it is. It puts a word into the line unquoted (bash), or evaluates it (zsh), so that a name that
# somebody else gave a container could be a command here.
_PLAIN: Final = re.compile(r"[\w./@+,][\w./@+,-]*")
_NOT_PLAIN: Final = re.compile(r"[^\w./@+, -]")

Found = list[tuple[str, str]]


def complete_container(context: typer.Context, incomplete: str) -> Found:
    """Give names and ids of containers that live, each with what it is."""
    return [found for found in _containers(context) if found[0].startswith(incomplete)]


def complete_place(context: typer.Context, incomplete: str) -> Found:
    """Give what may stand in `atoll cp`: files here, or a container and a colon."""
    here = [(str(path) + ("/" if path.is_dir() else ""), "") for path in _paths(incomplete)]
    if "/" in incomplete or ":" in incomplete:
        return here
    return here + [(f"{name}:", text) for name, text in complete_container(context, incomplete)]


def _containers(context: typer.Context) -> Found:
    # Whatever goes wrong here is no business of somebody who presses Tab.
    with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stderr(io.StringIO()):
        import httpx  # noqa: PLC0415 - slow to load

        root = context.find_root()
        find_local = root.obj if callable(root.obj) else Local
        options = http_options(Target(root.params.get("base_url"), root.params.get("api_key"), find_local))
        with httpx.Client(**{**options, "timeout": _TIMEOUT_S}) as client:
            until = time.monotonic() + _TIMEOUT_S
            listed = takewhile(lambda _: time.monotonic() < until, Connection(client).pages("/containers", LISTED_MAX))
            living = list(islice((item for item in listed if item["status"] != "expired"), _LIMIT))
        names = dict.fromkeys(str(item["name"]) for item in living)
        ids = [(str(item["id"]), _NOT_PLAIN.sub("_", str(item["name"]))) for item in living]
        return [found for found in [*((name, "") for name in names), *ids] if _PLAIN.fullmatch(found[0])]
    return []


def _paths(incomplete: str) -> Iterator[Path]:
    folder, begun = os.path.split(incomplete)
    with contextlib.suppress(OSError):
        for path in sorted(Path(folder or ".").iterdir()):
            is_meant = path.name.startswith(begun) and (begun or not path.name.startswith("."))
            if is_meant and _PLAIN.fullmatch(path.name):
                yield Path(folder) / path.name
