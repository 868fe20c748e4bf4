"""Only what is more than before is left behind."""

from benchmarks.leftovers import beyond


def test_more_is_left_behind() -> None:
    before = {"processes": 5, "mounts": 2, "files": 40}
    assert beyond({"processes": 5, "mounts": 1, "files": 40}, before) == {}
    assert beyond({"processes": 7, "mounts": 2, "files": 40, "cgroups": 1}, before) == {"processes": 2, "cgroups": 1}
