"""What is the same for every command."""

from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup

from atoll.operate.commands import all_commands

# They go on until they are ended, or do one thing on this machine and say so.
WITHOUT_JSON = {"mcp", "serve", "down", "backup", "restore", "supervisor", "egress-process"}


def leaves(command: object, name: str = "") -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for part, child in command.commands.items():
            yield from leaves(child, f"{name} {part}".strip())
    else:
        assert isinstance(command, TyperCommand)
        yield name, command


def test_every_command_takes_json() -> None:
    found = list(leaves(typer.main.get_command(all_commands)))
    assert len(found) > 30
    assert {name for name, one in found if not any("--json" in option.opts for option in one.params)} == WITHOUT_JSON
