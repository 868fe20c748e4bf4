"""What is told of containers, by whom, and what readers get of it."""

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from atoll.model.calls import PythonCall, ShellCall
from atoll.model.container_events import (
    CallBegan,
    CallFinished,
    ContainerCreated,
    ContainerDeleted,
    ContainerEvent,
    ContainerExpired,
    ContainerExpiring,
    ContainerUpdated,
    FileChanged,
    LimitHit,
    NetworkRefused,
    ToldEvents,
)
from atoll.model.containers import Container, ContainerChange, NewContainer
from atoll.model.errors import BusyError, ContainerExpiredError, NotFoundError, StorageFullError
from atoll.model.ids import ContainerId, ProjectId
from atoll.model.pages import PageQuery
from atoll.reconcile.expiry import expire_containers, tell_expiring
from atoll.service.app import open_services
from atoll.service.events import Events
from atoll.service.limits import ServiceLimits
from tests.unit.service.fake_sandboxes import FakeRuntime
from tests.unit.service.test_egress import POLICY, RefusingFeed
from tests.unit.service.world import START, World, open_world

ID = ContainerId("cntr_" + "a" * 48)


async def told(world: World, container: Container, after: str = "start") -> list[ContainerEvent]:
    """Give all that was told of a container so far, calls' ids and durations left out."""
    async with world.services.event_streams.reading(world.project, container.id, after) as reader:
        found = await reader.next(0.01)
    assert found is not None
    assert found.missed is None
    return [bare(one.event) for one in found.events]


def bare(event: ContainerEvent) -> ContainerEvent:
    match event:
        case CallBegan(_, kind):
            return CallBegan("", kind)
        case CallFinished(_, kind, outcome, _):
            return CallFinished("", kind, outcome, 0)
        case LimitHit(limit, call_id):
            return LimitHit(limit, None if call_id is None else "")
        case _:
            return event


async def python(world: World, container: Container, code: str) -> None:
    async for _ in world.services.calls.run_python(world.project, container.id, PythonCall(code=code, timeout_ms=500)):
        pass


async def test_the_life_of_a_container(world: World) -> None:
    container = await world.container()
    change = ContainerChange(name="d", expires_after_minutes=30)
    await world.services.containers.change(world.project, container.id, change)
    await python(world, container, "write a.txt one\nsay hello")
    await python(world, container, "write a.txt two")
    files = await world.services.container_files.list(world.project, container.id, PageQuery())
    await world.services.container_files.delete(world.project, container.id, files.items[0].id)
    path = "/mnt/data/a.txt"
    assert await told(world, container) == [
        ContainerCreated(),
        ContainerUpdated(("name", "expires_after")),
        CallBegan("", "code_interpreter"),
        FileChanged(path, "created", 3, "assistant"),
        CallFinished("", "code_interpreter", "completed", 0),
        CallBegan("", "code_interpreter"),
        FileChanged(path, "modified", 3, "assistant"),
        CallFinished("", "code_interpreter", "completed", 0),
        FileChanged(path, "deleted", None, "user"),
    ]


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("oom", [LimitHit("memory", ""), CallFinished("", "code_interpreter", "memory", 0)]),
        ("fork 300", [LimitHit("processes", ""), CallFinished("", "code_interpreter", "completed", 0)]),
        ("die", [CallFinished("", "code_interpreter", "failed", 0)]),
        ("fall", [CallFinished("", "code_interpreter", "failed", 0)]),
    ],
)
async def test_limits_and_ends_of_calls(world: World, code: str, events: list[ContainerEvent]) -> None:
    container = await world.container()
    await python(world, container, code)
    assert (await told(world, container))[2:] == events


async def test_a_client_that_goes_away_interrupts_its_call(world: World) -> None:
    container = await world.container()
    call = world.services.calls.run_shell(world.project, container.id, ShellCall(commands=("wait",)))
    async with aclosing(call):
        await anext(call)
    assert (await told(world, container))[1:] == [CallBegan("", "shell"), CallFinished("", "shell", "interrupted", 0)]


async def test_a_full_disk(world: World) -> None:
    container = await world.container()
    world.sandbox(container).disk_full = True

    async def chunks() -> object:
        yield b"x"

    with pytest.raises(StorageFullError):
        await world.services.container_files.put(world.project, container.id, "a", chunks())  # type: ignore[arg-type] # an async generator
    assert (await told(world, container))[1:] == [LimitHit("disk", None)]


async def test_a_container_that_is_about_to_expire_says_so_once(world: World) -> None:
    container = await world.container(expires_after_minutes=2)
    world.clock.tick(2 * 60 - 25)
    await tell_expiring(world.services)
    world.clock.tick(2)
    for _ in range(2):
        await tell_expiring(world.services)
    expiring = ContainerExpiring(START + 120.0)
    assert await told(world, container) == [ContainerCreated(), expiring]
    await world.services.containers.retrieve(world.project, container.id)
    await tell_expiring(world.services)
    world.clock.tick(100)
    await world.services.activity.flush()
    await tell_expiring(world.services)
    assert (await told(world, container))[2:] == [ContainerExpiring(START + 97.0 + 120)]


async def test_watching_keeps_nothing_from_expiring_and_ends_with_it(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    async with world.services.event_streams.reading(world.project, container.id, None) as reader:
        world.clock.tick(61)
        assert await expire_containers(world.services) == 1
        found = await reader.next(60)
        assert found is not None
        assert ([one.event for one in found.events], found.is_last) == ([ContainerExpired()], True)
    with pytest.raises(ContainerExpiredError):
        await told(world, container)


async def test_rings_of_containers_that_ended_are_dropped(world: World) -> None:
    container = await world.container()
    call = world.services.calls.run_python(world.project, container.id, PythonCall(code="wait"))
    async with aclosing(call):
        await anext(call)
        async with world.services.event_streams.reading(world.project, container.id, "start") as reader:
            await world.services.containers.delete(world.project, container.id)
            found = await reader.next(60)
            assert found is not None
            ends = [CallFinished("", "code_interpreter", "deleted", 0), ContainerDeleted()]
            assert ([bare(one.event) for one in found.events[-2:]], found.is_last) == (ends, True)
        with suppress(StopAsyncIteration):
            while True:
                await anext(call)
    assert len(world.services.events) == 0, "what its last call tells makes no new ring"
    with pytest.raises(NotFoundError):
        await told(world, container)


async def test_a_connection_to_a_terminal_ends_with_its_expired_container() -> None:
    events = Events(boot="0" * 8)
    with events.reading(ID, None) as reader, events.call(ID, "term_1", "terminal") as telling:
        with events.call(ID, "ci_1", "code_interpreter") as over:
            over.ended("itself")
        events.end(ID, ContainerExpired())
        telling.parted("failed")
        found = await reader.next(60)
    assert found is not None
    assert [bare(one.event) for one in found.events[2:]] == [
        CallFinished("", "code_interpreter", "completed", 0),
        CallFinished("", "terminal", "failed", 0),
        ContainerExpired(),
    ]
    assert len(events) == 0


async def test_another_project_sees_nothing(world: World) -> None:
    container = await world.container()
    with pytest.raises(NotFoundError):
        async with world.services.event_streams.reading(ProjectId("proj_" + "0" * 24), container.id, None):
            pass


async def test_there_are_only_so_many_streams(tmp_path: Path) -> None:
    async with open_world(tmp_path, event_streams_max=1) as world:
        container = await world.container()
        reading = world.services.event_streams.reading
        async with reading(world.project, container.id, None):
            with pytest.raises(BusyError):
                async with reading(world.project, container.id, None):
                    pass
        async with reading(world.project, container.id, None):
            pass


async def test_what_the_network_policy_refuses(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    feed = RefusingFeed(runtime)
    async with open_services(
        database_url=f"sqlite:///{tmp_path}/atoll.db",
        blobs_url=f"file://{tmp_path}/blobs",
        runtime=runtime,
        limits=ServiceLimits(),
        egress_feed=feed,
    ) as services:
        project = (await services.keys.ensure("a test's own secret")).project_id
        container = await services.containers.create(project, NewContainer(name="c", network_policy=POLICY))
        async with services.event_streams.reading(project, container.id, None) as reader:
            await feed.settle()
            found = await reader.next(60)
        assert found is not None
        assert [one.event for one in found.events] == [NetworkRefused("refused.example.com", 53, "name_not_allowed")]
    await runtime.aclose()


async def test_readers_are_woken_together_and_each_reads_at_its_own_pace() -> None:
    events = Events(lambda: 5.0, boot="0" * 8)
    with events.reading(ID, None) as one, events.reading(ID, None) as other:
        waiting = [asyncio.create_task(reader.next(60)) for reader in (one, other)]
        await asyncio.sleep(0)
        for _ in range(3):
            events.tell(ID, ContainerCreated())
        first, second = await asyncio.gather(*waiting)
        assert first is second
        assert first is not None
        assert [(told.number, told.at) for told in first.events] == [(1, 5.0), (2, 5.0), (3, 5.0)]
        for _ in range(5000):
            events.tell(ID, ContainerCreated())
        late = await other.next(60)
        assert late is not None
        assert late.missed is not None
        assert late.events[0].number == 3 + late.missed.count + 1
        assert await one.next(60) is not None
        events.close()
        assert is_bare_end(await one.next(60))
    with events.reading(ID, None) as reader:
        assert is_bare_end(await reader.next(60))


def is_bare_end(found: ToldEvents | None) -> bool:
    return found is not None and (found.missed, tuple(found.events), found.is_last) == (None, (), True)


async def test_a_quiet_container() -> None:
    events = Events(boot="0" * 8)
    with events.reading(ID, None) as reader:
        assert await reader.next(0.0) is None


def test_only_so_many_ends_are_remembered() -> None:
    events = Events(boot="0" * 8)
    for number in range(10_000):
        container = ContainerId(f"cntr_{number:048x}")
        events.tell(container, ContainerCreated())
        events.end(container, ContainerDeleted())
    assert len(events) == 0
    assert len(events._ended) < 5000
