"""Places for what stays open."""

from contextlib import ExitStack

import pytest

from atoll.model.errors import BusyError
from atoll.model.ids import ProjectId
from atoll.service.places import Places

MINE, YOURS = ProjectId("proj_1"), ProjectId("proj_2")


def test_one_project_leaves_room_for_others() -> None:
    places = Places(4, what="streams", reason="event_streams")
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.taken(MINE))
        with pytest.raises(BusyError, match="The project has 3 streams"):
            held.enter_context(places.taken(MINE))
        held.enter_context(places.taken(YOURS))
        with pytest.raises(BusyError, match="The server has 4 streams"):
            held.enter_context(places.taken(YOURS))
        assert len(places) == 4
    assert len(places) == 0
    with places.taken(MINE):
        assert len(places) == 1


@pytest.mark.parametrize(("most", "given"), [(0, 0), (1, 1), (2, 2), (1000, 750)])
def test_a_project_alone(most: int, given: int) -> None:
    places = Places(most, what="streams", reason="event_streams")
    with ExitStack() as held:
        for _ in range(given):
            held.enter_context(places.taken(MINE))
        with pytest.raises(BusyError):
            held.enter_context(places.taken(MINE))
