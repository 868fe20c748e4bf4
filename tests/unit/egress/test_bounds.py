"""The token bucket, by a clock of our own."""

from atoll.egress.bounds import TokenBucket


def test_a_burst_then_a_steady_rate() -> None:
    now = 0.0
    bucket = TokenBucket(10, lambda: now)
    assert [bucket.take() for _ in range(20)] == [0.0] * 20
    assert bucket.take() == 0.1
    now = 0.1
    assert bucket.take() == 0.0
    assert bucket.take() > 0
    now = 100.0
    assert [bucket.take() for _ in range(20)] == [0.0] * 20
    assert bucket.take() > 0
