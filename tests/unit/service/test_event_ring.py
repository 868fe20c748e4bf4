"""The ring keeps the newest events, in bounded memory, and knows how many went before them."""

from atoll.model.container_events import CallBegan, ContainerCreated, FileChanged
from atoll.service.event_ring import READ_BYTES_MAX, UNREAD_BYTES_MAX, EventRing


def test_what_is_kept_and_what_is_gone() -> None:
    ring = EventRing(bytes_max=256 * 3)
    assert (len(ring), ring.oldest, ring.newest) == (0, 1, 0)
    for number in range(1, 6):
        ring.add(float(number), CallBegan(f"ci_{number}", "shell"))
    assert (len(ring), ring.oldest, ring.newest) == (3, 3, 5)
    gone, found = ring.after(0, 10, 5)
    assert gone == 2
    assert [(one.number, one.at) for one in found] == [(3, 3.0), (4, 4.0), (5, 5.0)]
    assert [one.number for one in ring.after(3, 1, 5)[1]] == [4]
    assert [one.number for one in ring.after(0, 10, 4)[1]] == [3, 4]
    assert ring.after(0, 10, 1) == (2, []), "all that was asked for is gone"
    assert ring.after(5, 10, 5) == (0, [])


def test_long_names_take_the_place_of_many_events() -> None:
    ring = EventRing()
    for _ in range(1000):
        ring.add(0.0, ContainerCreated())
    assert 50 < len(ring) <= UNREAD_BYTES_MAX // 256
    for _ in range(10):
        ring.add(0.0, FileChanged("/mnt/data/" + "x" * 4000, "created", 1, "user"))
    assert 0 < len(ring) <= 2
    ring.bytes_max = READ_BYTES_MAX
    for _ in range(1000):
        ring.add(0.0, ContainerCreated())
    assert len(ring) <= READ_BYTES_MAX // 256
