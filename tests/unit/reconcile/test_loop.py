"""The owner of the reconcilers, and the orphans that they find."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atoll.model.ids import SandboxId
from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.reconcile.loop import Reconciler, reconcilers, reconciling
from atoll.reconcile.orphans import remove_orphans
from atoll.runtime.contract import RuntimeUnavailableError, SandboxSpec
from atoll.service.app import Services
from tests.unit.service.fake_sandboxes import FakeRuntime
from tests.unit.service.world import World, eventually, open_world

PAGE = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text()
SPEC = SandboxSpec(memory_bytes=1, disk_bytes=1, pids_max=1, cpus=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def test_a_sandbox_without_a_row_is_removed_and_no_other(world: World) -> None:
    container = await world.container()
    orphan = await world.runtime.create(SPEC)
    assert await remove_orphans(world.services) == 1
    assert await remove_orphans(world.services) == 0
    assert orphan.id not in world.runtime.sandboxes
    assert container.sandbox_id in world.runtime.sandboxes


def test_use_is_written_often_enough_to_lose_no_more_than_a_second(world: World) -> None:
    (activity,) = [one for one in reconcilers(world.services) if one.name == "activity"]
    assert activity.interval_s + activity.pause_s <= 0.5, "the other half is for the writing"


async def test_a_sandbox_that_is_being_made_is_no_orphan(world: World) -> None:
    world.runtime.create_gate.clear()
    making = asyncio.create_task(world.container())
    await eventually(lambda: bool(world.runtime.sandboxes))
    removing = asyncio.create_task(remove_orphans(world.services))
    await eventually(lambda: "observe" in world.runtime.calls)
    world.runtime.create_gate.set()
    container = await making
    assert await removing == 0
    assert container.sandbox_id in world.runtime.sandboxes


async def test_what_a_killed_server_left_is_put_right_at_the_next_start(tmp_path: Path) -> None:
    """Killed after each write of a create, a delete and an expiry: the next start removes what has no row."""
    runtime = FakeRuntime()
    async with open_world(tmp_path, runtime=runtime) as world:
        kept = await world.container()
        deleted = await world.container()
        expired = await world.container(expires_after_minutes=1)
        await runtime.create(SPEC)  # killed before the row
        runtime.failures["destroy"] += [RuntimeUnavailableError("killed")] * 2
        await world.services.containers.delete(world.project, deleted.id)  # killed after the row
        world.clock.tick(60)
        await world.services.containers.retrieve(world.project, kept.id)
        await reconcilers(world.services)[1].turn(world.services)
        assert len(runtime.sandboxes) == 4
    async with (
        open_world(tmp_path, runtime=runtime, clock=world.clock) as again,
        reconciling(again.services, ReconcilerCounts()),
    ):
        await eventually(lambda: set(runtime.sandboxes) == {kept.sandbox_id})
        assert (await again.services.containers.retrieve(again.project, expired.id)).status == "expired"
    await runtime.aclose()


async def test_a_reconciler_that_fails_is_counted_and_tried_again(world: World) -> None:
    turns = 0

    async def fails_twice(_: Services) -> None:
        nonlocal turns
        turns += 1
        if turns <= 2:
            raise ZeroDivisionError

    reconciler = Reconciler("test", fails_twice, 0, pause_s=0)
    counts = ReconcilerCounts()
    async with reconciling(world.services, counts, (reconciler,)):
        await eventually(lambda: counts.turns["test"] >= 1)
    assert counts.failures["test"] == 2
    so_far = turns
    await asyncio.sleep(0)
    assert turns == so_far


async def test_a_signal_brings_the_next_turn_at_once(world: World) -> None:
    async def idle(_: Services) -> None:
        return

    reconciler = Reconciler("test", idle, 3600, pause_s=0)
    counts = ReconcilerCounts()
    async with reconciling(world.services, counts, (reconciler,)):
        await eventually(lambda: counts.turns["test"] == 1)
        reconciler.signal.set()
        await eventually(lambda: counts.turns["test"] == 2)


async def test_everything_runs_at_the_start_and_ends_with_its_owner(world: World) -> None:
    counts = ReconcilerCounts()
    async with reconciling(world.services, counts):
        names = {reconciler.name for reconciler in reconcilers(world.services)}
        assert set(counts.failures) == names, "a first failure must be seen as one more than before"
        await eventually(lambda: {name for name, turns in counts.turns.items() if turns} == names)
    assert all(f"\n| `{name}` |" in PAGE for name in names)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("reconcile")]


async def test_an_overdue_container_that_is_seen_is_expired_by_signal(world: World) -> None:
    chosen = tuple(one for one in reconcilers(world.services) if one.name == "expiry")
    container = await world.container(expires_after_minutes=1)
    counts = ReconcilerCounts()
    async with reconciling(world.services, counts, chosen):
        await eventually(lambda: counts.turns["expiry"] == 1)
        world.clock.tick(60)
        await world.services.containers.retrieve(world.project, container.id)
        await eventually(lambda: world.runtime.sandboxes == {})


async def test_orphans_wait_for_a_runtime_that_is_away(world: World) -> None:
    sandbox = await world.runtime.create(SPEC)
    world.runtime.failures["destroy"].append(RuntimeUnavailableError("away"))
    await remove_orphans(world.services)
    assert sandbox.id in world.runtime.sandboxes
    assert world.services.signals.orphans.is_set()
    await remove_orphans(world.services)
    assert SandboxId(sandbox.id) not in world.runtime.sandboxes
