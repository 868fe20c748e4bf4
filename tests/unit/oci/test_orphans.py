"""What ended in a pid namespace below is collected, and no other child."""

import subprocess
from pathlib import Path

import pytest

from atoll.runtime.oci import orphans


def status(state: str, *numbers: int) -> str:
    return f"Name:\tx (y)\nState:\t{state}\nNSpid:\t" + "\t".join(map(str, numbers)) + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (status("Z (zombie)", 700, 3), True),
        (status("Z (zombie)", 700), False),
        (status("S (sleeping)", 700, 3), False),
        ("", False),
    ],
)
def test_who_is_to_be_collected(text: str, expected: bool) -> None:
    assert orphans._is_to_be_collected(text) is expected


def test_a_child_that_somebody_awaits_is_left_alone() -> None:
    with subprocess.Popen(["true"]) as child:
        Path(f"/proc/{child.pid}/stat").read_text()
        orphans.collect()
        assert child.wait(10) == 0
