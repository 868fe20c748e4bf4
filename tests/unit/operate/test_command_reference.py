"""The reference page of the command line names every command and every option but for settings."""

import re
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from atoll.operate.commands import all_commands as app
from tests.harness.server import PROJECT_DIR

PAGE = (PROJECT_DIR / "docs/reference/cli.md").read_text(encoding="utf-8")


def all_commands() -> dict[str, Any]:
    """Give each command by its words."""
    root: Any = get_command(app)
    found = {}
    for name, command in root.commands.items():
        for sub, inner in getattr(command, "commands", {"": command}).items():
            found[f"{name} {sub}".strip()] = inner
    return found


def test_every_command_is_told() -> None:
    def is_told(words: str) -> bool:
        group, _, sub = words.partition(" ")
        return any(not sub or re.search(rf"\b{sub}\b", line) for line in re.findall(rf".*[` ]atoll {group}\b.*", PAGE))

    assert len(all_commands()) > 25
    assert [words for words in all_commands() if not is_told(words)] == []


def test_the_list_of_commands_cuts_no_sentence() -> None:
    outcome = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"})
    assert outcome.exit_code == 0
    _, _, listed = outcome.stdout.partition("Commands:")
    assert len(listed.splitlines()) > 25
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


def test_every_option_is_told() -> None:
    options = {
        f"{words} {parameter.opts[0]}"
        for words, command in all_commands().items()
        for parameter in command.params
        if parameter.opts[0].startswith("--")
        and not (getattr(parameter, "rich_help_panel", None) or "").startswith("Set")
    }
    assert len(options) > 40
    assert sorted(option for option in options if f"{option.split()[-1]}" not in PAGE) == []
