"""The life of containers, and what is left when something fails in the middle of it."""

import asyncio
from pathlib import Path

import pytest

from atoll.model.containers import ContainerStatus
from atoll.model.errors import (
    BusyError,
    ContainerExpiredError,
    InvalidRequestError,
    NotFoundError,
    SandboxFailedError,
    StorageFullError,
)
from atoll.model.ids import FileId, ProjectId, is_id
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NetworkPolicy
from atoll.model.pages import PageQuery
from atoll.reconcile.expiry import expire_containers, forget_expired
from atoll.reconcile.orphans import remove_orphans
from atoll.runtime.contract import NoRoomError, RuntimeUnavailableError, SpecRefusedError
from tests.unit.service.world import START, World, at_every_step, bytes_of, described, eventually, open_world

ALL = PageQuery(limit=100)


async def listed(world: World) -> list[str]:
    return [c.id for c in (await world.services.containers.list(world.project, ALL)).items]


async def test_a_new_container_has_the_defaults(world: World) -> None:
    container = await world.container(name="demo")
    assert is_id("cntr_", container.id)
    assert int(container.id[5:13], 16) == container.created_at == container.last_active_at == START
    assert (container.name, container.status) == ("demo", ContainerStatus.RUNNING)
    assert container.expires_after_minutes == 20
    assert container.memory_limit is MemoryLimit.ONE_GIB
    assert await world.services.containers.retrieve(world.project, container.id) == container
    assert world.sandbox(container).spec.memory_bytes == 1 << 30


async def test_lists_newest_first_by_name_and_page(world: World) -> None:
    made = [await world.container(name=name) for name in "abab"]
    ids = [container.id for container in made]
    assert await listed(world) == ids[::-1]
    page = await world.services.containers.list(world.project, PageQuery(limit=1), "a")
    assert ([c.id for c in page.items], page.has_more) == ([ids[2]], True)
    page = await world.services.containers.list(world.project, PageQuery(limit=1, after=ids[2]), "a")
    assert ([c.id for c in page.items], page.has_more) == ([ids[0]], False)


@pytest.mark.parametrize("query", [PageQuery(limit=0), PageQuery(limit=101), PageQuery(after="cntr_1")])
async def test_a_page_that_cannot_be_is_refused(world: World, query: PageQuery) -> None:
    with pytest.raises(InvalidRequestError):
        await world.services.containers.list(world.project, query)


async def test_an_after_that_is_gone_still_works(world: World) -> None:
    first, second = await world.container(), await world.container()
    await world.services.containers.delete(world.project, second.id)
    page = await world.services.containers.list(world.project, PageQuery(after=second.id))
    assert [c.id for c in page.items] == [first.id]


async def test_another_project_sees_nothing(world: World) -> None:
    container = await world.container()
    other = ProjectId((await world.services.keys.create("k", "other"))[0].project_id)
    assert (await world.services.containers.list(other, ALL)).items == ()
    with pytest.raises(NotFoundError) as caught:
        await world.services.containers.retrieve(other, container.id)
    assert caught.value.message == f"Container with id '{container.id}' not found."
    with pytest.raises(NotFoundError):
        await world.services.containers.delete(other, container.id)
    assert await listed(world) == [container.id]


async def test_expires_after_is_bounded(world: World) -> None:
    assert (await world.container(expires_after_minutes=43_200)).expires_after_minutes == 43_200
    with pytest.raises(InvalidRequestError) as caught:
        await world.container(expires_after_minutes=43_201)
    assert caught.value.message == (
        "Invalid 'expires_after.minutes': integer above maximum value. Expected a value <= 43200, "
        "but got 43201 instead."
    )
    assert (caught.value.param, caught.value.code) == ("expires_after.minutes", "integer_above_max_value")
    with pytest.raises(InvalidRequestError):
        await world.container(expires_after_minutes=0)


async def test_a_policy_that_is_not_enforced_is_not_accepted(world: World) -> None:
    world.runtime.allowlists = False
    with pytest.raises(InvalidRequestError) as caught:
        await world.container(network_policy=NetworkPolicy("allowlist", ("example.com",)))
    assert caught.value.param == "network_policy.type"
    assert world.runtime.calls == []


async def test_more_memory_than_the_machine_has_is_refused_with_what_it_has(world: World) -> None:
    with pytest.raises(InvalidRequestError, match=r"it has 4\.0g") as caught:
        await world.container(memory_limit=MemoryLimit.SIXTEEN_GIB)
    assert caught.value.param == "memory_limit"
    assert (await world.container(memory_limit=MemoryLimit.FOUR_GIB)).memory_limit == "4g"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (NoRoomError("full", retry_after_s=7), BusyError),
        (SpecRefusedError("no"), InvalidRequestError),
        (RuntimeUnavailableError("away"), SandboxFailedError),
    ],
)
async def test_no_sandbox_no_container(world: World, failure: Exception, expected: type[Exception]) -> None:
    world.runtime.failures["create"].append(failure)
    with pytest.raises(expected) as caught:
        await world.container()
    assert getattr(caught.value, "retry_after_s", 7) == 7
    assert await listed(world) == []
    assert world.runtime.sandboxes == {}


async def test_files_come_in_before_the_answer_and_none_overwrites_another(world: World) -> None:
    files = [
        await world.services.files.create(world.project, "a.txt", bytes_of(text), described())
        for text in (b"one", b"two", b"")
    ]
    ids = tuple(file.id for file in files)
    container = await world.container(file_ids=(*ids, ids[0]))
    assert world.sandbox(container).files == {
        "/mnt/data/a.txt": b"one",
        f"/mnt/data/{ids[1]}-a.txt": b"two",
        f"/mnt/data/{ids[2]}-a.txt": b"",
    }
    page = await world.services.container_files.list(world.project, container.id, PageQuery(order="asc"))
    assert [(file.path, file.bytes, file.source) for file in page.items] == [
        ("/mnt/data/a.txt", 3, "user"),
        (f"/mnt/data/{ids[1]}-a.txt", 3, "user"),
        (f"/mnt/data/{ids[2]}-a.txt", 0, "user"),
    ]


async def test_an_unknown_file_makes_nothing(world: World) -> None:
    with pytest.raises(NotFoundError, match=r"^No such File object: file-1$") as caught:
        await world.container(file_ids=(FileId("file-1"),))
    assert caught.value.param == "id"
    assert world.runtime.calls == []


async def test_a_full_disk_at_create_leaves_nothing(world: World) -> None:
    file = await world.services.files.create(world.project, "a", bytes_of(b"one"), described())
    world.runtime.create_gate.clear()
    making = asyncio.create_task(world.container(file_ids=(file.id,)))
    await eventually(lambda: bool(world.runtime.sandboxes))
    world.runtime.only.disk_full = True
    world.runtime.create_gate.set()
    with pytest.raises(StorageFullError):
        await making
    assert (await listed(world), world.runtime.sandboxes) == ([], {})


async def test_a_cancelled_create_leaves_nothing(world: World) -> None:
    file = await world.services.files.create(world.project, "a", bytes_of(b"one"), described())

    async def nothing_is_there() -> None:
        assert await listed(world) == []
        await remove_orphans(world.services)
        assert world.runtime.sandboxes == {}

    steps = await at_every_step(lambda: world.container(file_ids=(file.id,)), nothing_is_there)
    assert steps >= 2  # on Python 3.14; before, three
    assert len(await listed(world)) == len(world.runtime.sandboxes) == 1


async def test_a_cancelled_delete_deletes_or_does_not(world: World) -> None:
    container = await world.container()

    async def both_or_none() -> None:
        nonlocal container
        ids = await listed(world)
        assert len(ids) == len(world.runtime.sandboxes)
        container = container if ids else await world.container()

    await at_every_step(lambda: world.services.containers.delete(world.project, container.id), both_or_none)
    assert (await listed(world), world.runtime.sandboxes) == ([], {})


async def test_a_project_can_be_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path, containers_per_project_max=2) as world:
        made = await asyncio.gather(*(world.container() for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(one, BusyError) for one in made) == 1
        assert len(await listed(world)) == len(world.runtime.sandboxes) == 2


async def test_delete_frees_everything_and_only_once(world: World) -> None:
    container = await world.container()
    await world.services.containers.delete(world.project, container.id)
    assert (await listed(world), world.runtime.sandboxes) == ([], {})
    with pytest.raises(NotFoundError):
        await world.services.containers.delete(world.project, container.id)
    with pytest.raises(NotFoundError):
        await world.services.containers.delete(world.project, "cntr_x")


async def test_delete_succeeds_when_the_sandbox_has_to_wait(world: World) -> None:
    container = await world.container()
    world.runtime.failures["destroy"].append(RuntimeUnavailableError("away"))
    await world.services.containers.delete(world.project, container.id)
    assert await listed(world) == []
    assert world.services.signals.orphans.is_set()


async def test_use_moves_activity_and_listing_does_not(world: World) -> None:
    container = await world.container()
    world.clock.tick(100)
    assert (await world.services.containers.list(world.project, ALL)).items[0].last_active_at == START
    assert (await world.services.containers.retrieve(world.project, container.id)).last_active_at == START + 100
    assert (await world.services.containers.list(world.project, ALL)).items[0].last_active_at == START + 100


async def test_a_clock_set_back_moves_nothing_back(world: World) -> None:
    container = await world.container()
    world.clock.tick(-1000)
    seen = await world.services.containers.retrieve(world.project, container.id)
    assert seen.last_active_at == START
    second = await world.container()
    assert second.id > container.id
    assert second.created_at >= container.created_at


async def test_activity_survives_a_restart(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        container = await world.container()
        world.clock.tick(60)
        await world.services.containers.retrieve(world.project, container.id)
        await world.services.activity.flush()
    async with open_world(tmp_path, clock=world.clock) as again:
        page = await again.services.containers.list(again.project, ALL)
        assert page.items[0].last_active_at == START + 60
        assert (await again.container()).id > container.id


async def test_expired_is_readable_unusable_and_holds_nothing(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    world.clock.tick(59)
    await world.services.containers.retrieve(world.project, container.id)
    world.clock.tick(59.9)
    assert await expire_containers(world.services) == 0
    world.clock.tick(0.1)

    # At once, before any reconciler ran:
    seen = await world.services.containers.retrieve(world.project, container.id)
    assert (seen.status, seen.last_active_at) == (ContainerStatus.EXPIRED, START + 59)
    with pytest.raises(ContainerExpiredError, match=r"^Container is expired\.$"):
        await world.services.container_files.list(world.project, container.id, PageQuery())

    assert await expire_containers(world.services) == 1
    assert await expire_containers(world.services) == 0
    assert world.runtime.sandboxes == {}
    seen = await world.services.containers.retrieve(world.project, container.id)
    assert (seen.status, seen.last_active_at) == (ContainerStatus.EXPIRED, START + 59)
    assert [c.status for c in (await world.services.containers.list(world.project, ALL)).items] == ["expired"]
    with pytest.raises(ContainerExpiredError):
        await world.services.calls.restart(world.project, container.id)


async def test_expired_rows_are_forgotten_in_the_end(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    living = await world.container(expires_after_minutes=43_200)
    world.clock.tick(60)
    await expire_containers(world.services)
    world.clock.tick(30 * 86_400 - 1)
    assert await forget_expired(world.services) == 0
    world.clock.tick(1)
    assert await forget_expired(world.services) == 1
    assert await listed(world) == [living.id]
    await world.services.containers.delete(world.project, living.id)
    with pytest.raises(NotFoundError):
        await world.services.containers.retrieve(world.project, container.id)


async def test_an_expired_container_can_be_deleted(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    world.clock.tick(60)
    await expire_containers(world.services)
    await world.services.containers.delete(world.project, container.id)
    assert await listed(world) == []


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 1001])
async def test_a_name_that_cannot_be_kept_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await world.container(name=name)
    assert caught.value.param == "name"
