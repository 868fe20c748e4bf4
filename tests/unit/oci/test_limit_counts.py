"""Adding up what cgroups count, of sandboxes that come and go."""

from pathlib import Path

import pytest

from atoll.runtime.oci import cgroup
from atoll.runtime.oci.limit_counts import Counts, LimitCounts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    return tmp_path


def say(root: Path, sandbox_id: str, kills: int, refused: int) -> None:
    group = root / "atoll" / sandbox_id
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.events").write_text(f"oom 9\noom_kill {kills}\n")
    (group / "pids.events").write_text(f"max {refused}\n")


def test_each_is_counted_once(root: Path) -> None:
    counts = LimitCounts(cgroup.detect("/atoll", root))
    say(root, "a", 1, 10)
    say(root, "b", 2, 20)
    counts.look("a")
    counts.look("a")
    counts.look("b")
    assert counts.counts() == Counts(3, 30)
    say(root, "a", 2, 10)
    counts.look("a")
    assert counts.counts() == Counts(4, 30)


def test_another_life_begins_at_nothing(root: Path) -> None:
    counts = LimitCounts(cgroup.detect("/atoll", root))
    say(root, "a", 3, 1)
    counts.look("a")
    counts.forget("a")
    say(root, "a", 2, 0)
    counts.look("a")
    assert counts.counts() == Counts(5, 1)


def test_a_cgroup_that_is_gone_takes_nothing_away(root: Path) -> None:
    counts = LimitCounts(cgroup.detect("/atoll", root))
    say(root, "a", 3, 1)
    counts.look("a")
    for path in (root / "atoll" / "a").iterdir():
        path.unlink()
    counts.look("a")
    counts.look("never")
    say(root, "a", 3, 1)
    counts.look("a")
    assert counts.counts() == Counts(3, 1)


def test_what_an_earlier_supervisor_counted_is_not_counted_again(root: Path) -> None:
    counts = LimitCounts(cgroup.detect("/atoll", root))
    say(root, "a", 3, 1)
    counts.adopt("a")
    counts.look("a")
    assert counts.counts() == Counts()
    say(root, "a", 4, 3)
    counts.look("a")
    assert counts.counts() == Counts(1, 2)
