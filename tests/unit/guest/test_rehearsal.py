"""What is rehearsed is what is imported, as often as it takes, and a scene that fails does no harm."""

import sys
from types import ModuleType
from typing import Any

import pytest

from atoll.guest import rehearsal

SCENES = {
    "rehearsed_one": "show(rehearsed := 1)",
    "rehearsed_two": "show(2)\nraise RuntimeError\nshow(3)",
    "not_imported": "show(4)",
}


def test_what_is_imported_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SCENES", SCENES)
    for name in ("rehearsed_one", "rehearsed_two"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    shown: list[Any] = []
    rehearsal.run(shown.append)
    assert shown == [1, 1, 1, 2]
    assert not hasattr(rehearsal, "rehearsed")
