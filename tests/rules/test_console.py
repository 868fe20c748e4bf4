"""The console is made of what its lock file pins, and names no place but its own server."""

import json
import re
from pathlib import Path

CONSOLE = Path(__file__).parents[2] / "console"


def test_every_package_is_pinned_by_its_content_and_by_no_address() -> None:
    lock = json.loads((CONSOLE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name.startswith("node_modules/")}
    ours = {name for name, entry in packages.items() if entry.get("link")}
    assert ours == {"node_modules/@napi-rs/canvas"}
    assert {name for name, entry in packages.items() if "integrity" not in entry} == ours
    assert not any("://" in entry.get("resolved", "") for entry in packages.values())


def test_its_sources_name_no_other_place() -> None:
    named = {
        f"{path.name}: {url}"
        for path in (CONSOLE / "src").rglob("*")
        if path.is_file()
        for url in re.findall(r"\b(?:https?|wss?)://[^\s\"'`]+", path.read_text())
        if url != "http://www.w3.org/2000/svg"  # the name of a vocabulary
    }
    assert named == set()


def test_markup_is_never_made_of_text() -> None:
    """Preact writes text as text; these are the ways around it."""
    ways = re.compile(
        r"dangerouslySetInnerHTML|\.innerHTML\s*=|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\("
    )
    found = {path.name for path in (CONSOLE / "src").rglob("*.ts*") if ways.search(path.read_text())}
    assert found == set()
