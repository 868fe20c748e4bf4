"""What the kernel holds for connections that are not read from."""

from atoll.egress.bounds import Bounds
from atoll.egress.buffers import LARGE_BYTES, SMALL_BYTES, buffer_bytes


def test_one_has_what_it_needs_and_all_together_are_bounded() -> None:
    sizes = [buffer_bytes(number) for number in range(1, Bounds().connections_max + 1)]
    assert sizes[0] == LARGE_BYTES
    assert sizes[-1] == SMALL_BYTES
    assert sum(sizes) <= 16 << 20
