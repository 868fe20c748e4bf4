"""The tiers in bytes."""

import pytest

from atoll.model.memory_limit import MemoryLimit


@pytest.mark.parametrize(("text", "gib"), [("1g", 1), ("4g", 4), ("16g", 16), ("64g", 64)])
def test_sizes(text: str, gib: int) -> None:
    assert MemoryLimit(text).size_bytes == gib * 1024**3
