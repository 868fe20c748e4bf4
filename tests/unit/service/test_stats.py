"""What a container holds is measured when somebody asks, and for a while after."""

import pytest

from atoll.model.container_stats import ContainerStats
from atoll.model.containers import Container
from atoll.model.errors import ContainerExpiredError, NotFoundError
from atoll.model.ids import ProjectId
from atoll.reconcile.expiry import expire_containers
from atoll.runtime.contract import RuntimeUnavailableError, SandboxState
from atoll.service.stats import WATCHED_MAX, Stats
from tests.unit.service.world import START, World


class Watching:
    """The service on a clock that only it and the test move; each second a busy sandbox uses half a core."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 1000.0
        services = world.services
        self.stats = Stats(
            access=services.calls._access,
            sandboxes=services.sandboxes,
            egress=services.egress,
            clock=lambda: START + self.now,
            monotonic=lambda: self.now,
            pause=self.pass_time,
        )

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for sandbox in self.world.runtime.sandboxes.values():
            sandbox.cpu_s += seconds / 2

    async def of(self, container: Container) -> ContainerStats:
        return await self.stats.of(self.world.project, container.id)


@pytest.fixture
def watching(world: World) -> Watching:
    return Watching(world)


async def test_the_first_question_and_the_next_ones(world: World, watching: Watching) -> None:
    container = await world.container()
    first = await watching.of(container)
    spec = world.sandbox(container).spec
    assert (first.now.memory_bytes, first.now.processes, first.now.disk_bytes, first.now.traffic) == (5, 1, 7, None)
    assert first.now.cores == pytest.approx(0.5)
    assert (first.memory_bytes_max, first.cores_max) == (spec.memory_bytes, spec.cpus)
    assert (first.processes_max, first.disk_bytes_max) == (spec.pids_max, spec.disk_bytes)
    asked = world.runtime.calls.count("measurement")
    await watching.pass_time(0.2)
    assert await watching.of(container) == first
    assert world.runtime.calls.count("measurement") == asked, "however many ask, it is looked at twice a second at most"
    await watching.pass_time(0.8)
    second = await watching.of(container)
    assert second.now.at == first.now.at + 1
    assert second.history == first.history


async def test_the_history_goes_back_five_minutes_and_ends_when_nobody_asks(world: World, watching: Watching) -> None:
    container, other = await world.container(), await world.container()
    await watching.of(container)
    for _ in range(59):
        await watching.pass_time(5)
        await watching.stats.sample()
    history = (await watching.of(container)).history
    assert len(history) == 60
    assert {round(sample.at - START - 1000.1, 3) for sample in history} == {5.0 * n for n in range(60)}
    for _ in range(10):
        await watching.pass_time(5)
        await watching.stats.sample()
    assert (await watching.of(container)).history[0].at == history[10].at
    await watching.pass_time(301)
    await watching.of(other)
    await watching.stats.sample()
    assert len(watching.stats) == 1, "nobody asked about the other one any more"


async def test_one_that_sleeps_holds_nothing(world: World, watching: Watching) -> None:
    container = await world.container()
    world.sandbox(container).state = SandboxState.STOPPED
    world.runtime.limits = True
    stats = await watching.of(container)
    assert (stats.now.memory_bytes, stats.now.processes, stats.now.cores, stats.now.disk_bytes) == (0, 0, 0, None)
    assert stats.memory_bytes_max == container.memory_limit.size_bytes
    world.sandbox(container).state = SandboxState.RUNNING
    await watching.pass_time(5)
    assert (await watching.of(container)).now.memory_bytes == 5


async def test_looking_is_no_use_of_it_and_nobody_is_watched_beyond_the_end(world: World, watching: Watching) -> None:
    container = await world.container(expires_after_minutes=1)
    world.clock.tick(59)
    await watching.of(container)
    world.clock.tick(2)
    await expire_containers(world.services)
    with pytest.raises(ContainerExpiredError):
        await watching.of(container)
    await watching.stats.sample()
    assert len(watching.stats) == 0


async def test_what_cannot_be_measured(world: World, watching: Watching) -> None:
    container = await world.container()
    await watching.of(container)
    world.runtime.failures["measurement"] = [RuntimeUnavailableError("away")]
    await watching.pass_time(5)
    await watching.stats.sample()
    assert (await watching.of(container)).now.memory_bytes == 5
    with pytest.raises(NotFoundError):
        await watching.stats.of(ProjectId("proj_" + "0" * 24), container.id)
    with pytest.raises(NotFoundError):
        await watching.stats.of(world.project, "cntr_x")


async def test_only_so_many_are_watched(world: World, watching: Watching) -> None:
    first = await world.container()
    await watching.of(first)
    for _ in range(WATCHED_MAX):
        await watching.of(await world.container())
    assert len(watching.stats) == WATCHED_MAX
