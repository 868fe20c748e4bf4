"""When sandboxes are frozen for want of disk."""

from atoll.runtime.oci.disk_guard import DiskGuard, interval_s, must_freeze
from tests.harness.poll import wait_until

GIB = 1 << 30


def test_freezing_below_half_and_thawing_above_all_of_the_minimum() -> None:
    assert not must_freeze(GIB // 2, GIB, is_frozen=False)
    assert must_freeze(GIB // 2 - 1, GIB, is_frozen=False)
    assert must_freeze(GIB - 1, GIB, is_frozen=True)
    assert not must_freeze(GIB, GIB, is_frozen=True)


def test_looking_more_often_when_less_is_free() -> None:
    assert interval_s(100 * GIB, GIB) == 2.0
    assert interval_s(5 * GIB // 2, GIB) == 0.5
    assert interval_s(0, GIB) == 0.05


def test_the_guard_acts_and_goes_on() -> None:
    free = [0]
    acts: list[str] = []
    guard = DiskGuard(lambda: free[0], GIB, freeze=lambda: acts.append("freeze"), thaw=lambda: acts.append("thaw"))
    guard.start()
    try:
        assert acts[0] == "freeze"  # at once: a supervisor that comes back does not know what was frozen
        wait_until(lambda: len(acts) > 2, what="a second look: some may have been started since")
        free[0] = 100 * GIB
        wait_until(lambda: acts[-1] == "thaw", what="thawing")
    finally:
        guard.close()
    assert acts.count("thaw") == 1


def test_a_disk_that_cannot_be_looked_at_for_a_moment() -> None:
    looks = iter([100 * GIB])
    acts: list[str] = []

    def free_bytes() -> int:
        for value in looks:
            return value
        acts.append("looked")
        raise OSError("no")

    guard = DiskGuard(free_bytes, GIB, freeze=lambda: None, thaw=lambda: acts.append("thaw"))
    guard.start()
    try:
        wait_until(lambda: "looked" in acts, what="a look that fails")
    finally:
        guard.close()
    assert acts[0] == "thaw"
