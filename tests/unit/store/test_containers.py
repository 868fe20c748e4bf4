"""Rows of containers."""

import dataclasses
from functools import partial

from atoll.model.containers import ContainerStatus
from atoll.model.ids import SandboxId
from atoll.model.pages import PageQuery
from atoll.store import container_files, containers
from atoll.store.database import Database
from tests.unit.store.rows import a_container_file, add_container, add_project


async def test_what_was_written_is_read(database: Database) -> None:
    project = await add_project(database, "p")
    container = await add_container(database, project, name="naïve 🐚")
    assert await database.read(lambda c: containers.find(c, project, container.id)) == container
    other = await add_project(database, "q")
    assert await database.read(lambda c: containers.find(c, other, container.id)) is None


async def test_pages_filter_by_project_and_name(database: Database) -> None:
    project, other = await add_project(database, "p"), await add_project(database, "q")
    made = [await add_container(database, project, name=name) for name in ("a", "b", "a")]
    await add_container(database, other, name="a")
    page = await database.read(lambda c: containers.page(c, project, PageQuery(order="asc"), "a"))
    assert page.items == (made[0], made[2])
    assert not page.has_more
    page = await database.read(lambda c: containers.page(c, project, PageQuery(limit=2), None))
    assert page.items == (made[2], made[1])
    assert page.has_more
    page = await database.read(lambda c: containers.page(c, project, PageQuery(limit=2, after=made[1].id), None))
    assert (page.items, page.has_more) == ((made[0],), False)
    page = await database.read(lambda c: containers.page(c, project, PageQuery(after=made[0].id), None))
    assert (page.items, page.has_more) == ((), False)


async def test_touch_moves_forward_only_and_running_only(database: Database) -> None:
    project = await add_project(database, "p")
    one = await add_container(database, project)
    over = await add_container(database, project, status=ContainerStatus.EXPIRED, sandbox_id=None)
    for moment in (2000, 1500):
        await database.write(partial(containers.touch, active_at={one.id: moment, over.id: moment}))
    found = await database.read(lambda c: containers.find(c, project, one.id))
    assert found == dataclasses.replace(one, last_active_at=2000)
    assert await database.read(lambda c: containers.find(c, project, over.id)) == over
    assert await database.read(lambda c: containers.due(c, 2000 + 1199, 10)) == ()
    assert await database.read(lambda c: containers.due(c, 2000 + 1200, 10)) == (found,)


async def test_expire_once_and_with_its_files(database: Database) -> None:
    project = await add_project(database, "p")
    one = await add_container(database, project)
    file = a_container_file(one.id, "/mnt/data/a")
    await database.write(lambda c: container_files.add(c, [file]))
    assert await database.write(lambda c: containers.expire(c, one.id, one.expires_at - 1)) is None
    assert await database.write(lambda c: containers.expire(c, one.id, one.expires_at)) == (one.sandbox_id,)
    assert await database.write(lambda c: containers.expire(c, one.id, one.expires_at)) is None
    assert await database.read(lambda c: container_files.count(c, one.id)) == 0
    assert not await database.write(lambda c: containers.hold_running(c, one.id))


async def test_a_sandbox_is_replaced_only_where_it_is(database: Database) -> None:
    project = await add_project(database, "p")
    one = await add_container(database, project)
    new, newer = SandboxId("sbx_new"), SandboxId("sbx_newer")
    assert await database.write(lambda c: containers.replace_sandbox(c, one.id, one.sandbox_id, new))
    assert not await database.write(lambda c: containers.replace_sandbox(c, one.id, one.sandbox_id, newer))
    assert set(await database.read(lambda c: containers.behind(c, [new, newer]))) == {new}


async def test_a_removed_row_takes_its_files_along(database: Database) -> None:
    project = await add_project(database, "p")
    one = await add_container(database, project)
    await database.write(lambda c: container_files.add(c, [a_container_file(one.id, "/mnt/data/a")]))
    assert await database.write(lambda c: containers.remove(c, project, one.id)) == one
    assert await database.write(lambda c: containers.remove(c, project, one.id)) is None
    assert await database.read(lambda c: container_files.all_of(c, one.id)) == ()


async def test_old_expired_rows_are_forgotten_a_few_at_a_time(database: Database) -> None:
    project = await add_project(database, "p")
    for moment in (10, 20, 30):
        await add_container(database, project, status=ContainerStatus.EXPIRED, sandbox_id=None, last_active_at=moment)
    await add_container(database, project, last_active_at=5)
    assert await database.write(lambda c: containers.forget_expired(c, 1220, 1)) == 1
    assert await database.write(lambda c: containers.forget_expired(c, 1220, 9)) == 1
    left = await database.read(lambda c: containers.page(c, project, PageQuery(), None))
    assert sorted(item.last_active_at for item in left.items) == [5, 30]


async def test_many_sandboxes_are_asked_for_in_parts(database: Database) -> None:
    project = await add_project(database, "p")
    one = await add_container(database, project)
    assert one.sandbox_id is not None
    asked = [SandboxId(f"sbx_{n}") for n in range(2000)] + [one.sandbox_id]
    assert set(await database.read(lambda c: containers.behind(c, asked))) == {one.sandbox_id}
