"""A walk over pages gives each row once, in order, whatever comes and goes meanwhile."""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.model.ids import ContainerId
from atoll.model.pages import Order, PageQuery
from atoll.store import containers
from atoll.store.database import Database, open_database
from tests.unit.store.rows import add_container, add_project


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 12),
    limit=st.integers(1, 5),
    order=st.sampled_from(["asc", "desc"]),
    changes=st.lists(st.sampled_from(["insert", "delete_cursor", "delete_first", "delete_last", "none"]), max_size=8),
)
def test_a_walk_equals_the_whole(count: int, limit: int, order: Order, changes: list[str]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_database(f"sqlite:///{Path(folder)}/a.db") as database:
                await _walk(database, count, limit, order, list(changes))

    asyncio.run(run())


async def _walk(database: Database, count: int, limit: int, order: Order, changes: list[str]) -> None:
    project = await add_project(database, "p")
    all_time = [(await add_container(database, project)).id for _ in range(count)]
    at_the_start = set(all_time)
    removed: set[ContainerId] = set()
    walked: list[str] = []
    after: ContainerId | None = None
    while True:
        query = PageQuery(limit=limit, order=order, after=after)
        page = await database.read(partial(containers.page, project_id=project, query=query, name=None))
        assert len(page.items) <= limit
        assert page.items or not page.has_more
        walked += [item.id for item in page.items]
        if not page.has_more:
            break
        after = page.items[-1].id
        match changes.pop(0) if changes else "none":
            case "insert":
                all_time.append((await add_container(database, project)).id)
            case "delete_cursor":
                removed.add(after)
            case "delete_first":
                removed.add(all_time[0])
            case "delete_last":
                removed.add(all_time[-1])
        for gone in removed:
            await database.write(partial(containers.remove, project_id=project, container_id=gone))
    assert walked == sorted(set(walked), reverse=order == "desc")
    assert set(walked) <= set(all_time)
    assert at_the_start - removed <= set(walked)
