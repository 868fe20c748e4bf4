"""What a call tells of refusals, and what is known of a sandbox's trust, when its sandbox is another one by now."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from atoll.model.calls import CommandOutput, ShellCall
from atoll.model.container_stats import Traffic
from atoll.model.containers import NewContainer
from atoll.model.egress_decision import EgressCounts, EgressDecision, EgressReason
from atoll.model.ids import SandboxId
from atoll.model.network_policy import NetworkPolicy
from atoll.model.pages import PageQuery
from atoll.service.app import open_services
from atoll.service.egress import Refusals
from atoll.service.limits import ServiceLimits
from tests.unit.service.fake_sandboxes import FakeRuntime
from tests.unit.service.world import World, open_world

POLICY = NetworkPolicy("allowlist", ("example.com",))


class RefusingFeed:
    """Whenever it is asked, something was just refused to the only sandbox there is."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self._on_decision: Callable[[EgressDecision], None]

    async def run(self, on_decision: Callable[[EgressDecision], None]) -> None:
        self._on_decision = on_decision
        await asyncio.get_running_loop().create_future()

    async def settle(self) -> None:
        self._on_decision(
            EgressDecision(
                at=0,
                sandbox_id=self._runtime.only.id,
                name="refused.example.com",
                port=53,
                reason=EgressReason.NAME_NOT_ALLOWED,
            )
        )

    async def counts(self) -> EgressCounts | None:
        return None

    async def traffic(self, _: SandboxId) -> Traffic | None:
        return Traffic(sent=1, received=2, refused=3)


async def test_refusals_to_a_sandbox_that_was_made_for_the_call(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    async with open_services(
        database_url=f"sqlite:///{tmp_path}/atoll.db",
        blobs_url=f"file://{tmp_path}/blobs",
        runtime=runtime,
        limits=ServiceLimits(),
        egress_feed=RefusingFeed(runtime),
    ) as services:
        project = (await services.keys.ensure("a test's own secret")).project_id
        container = await services.containers.create(project, NewContainer(name="c", network_policy=POLICY))
        assert container.sandbox_id is not None
        await runtime.destroy(container.sandbox_id)
        call = services.calls.run_shell(project, container.id, ShellCall(commands=("say y",)))
        told = "".join([event.stderr async for event in call if isinstance(event, CommandOutput)])
        assert runtime.only.id != container.sandbox_id
        assert "refused.example.com" in told
    await runtime.aclose()


async def test_what_was_decided_last_before_the_end_is_kept(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    feed = RefusingFeed(runtime)
    opened = partial(
        open_services,
        database_url=f"sqlite:///{tmp_path}/atoll.db",
        blobs_url=f"file://{tmp_path}/blobs",
        runtime=runtime,
        limits=ServiceLimits(),
    )
    async with opened(egress_feed=feed) as services:
        project = (await services.keys.ensure("a test's own secret")).project_id
        container = await services.containers.create(project, NewContainer(name="c", network_policy=POLICY))
        await feed.settle()
    async with opened() as services:
        page = await services.egress.list(project, container.id, PageQuery())
        assert [record.name for record in page.items] == ["refused.example.com"]
    await runtime.aclose()


async def test_what_others_are_refused_without_end_keeps_nobody_waiting(tmp_path: Path) -> None:
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

        async def flood() -> None:
            while True:
                await feed.settle()
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(30):
            assert (await services.egress.list(project, container.id, PageQuery())).items
        flooding.cancel()
    await runtime.aclose()


def test_refusals_are_bounded() -> None:
    refusals = Refusals()
    for number in range(100_000):
        name = f"n{number}.example.com"
        refusals.add(EgressDecision(at=0, sandbox_id="sbx_1", name=name, port=53, reason=EgressReason.NAME_NOT_ALLOWED))
    taken = refusals.take()
    assert taken[0] == ("n0.example.com", EgressReason.NAME_NOT_ALLOWED)
    assert len(taken) <= 1_000


async def test_who_is_gone_is_forgotten(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        gone: list[SandboxId] = []
        world.services.sandboxes._on_gone = gone.append
        deleted, replaced = await world.container(), await world.container()
        await world.services.containers.delete(world.project, deleted.id)
        assert replaced.sandbox_id is not None
        await world.runtime.destroy(replaced.sandbox_id)
        await reach(world, replaced.id)
        assert gone == [deleted.sandbox_id, replaced.sandbox_id]


async def reach(world: World, container_id: str) -> None:
    container = await world.services.containers.retrieve(world.project, container_id)
    async with world.services.sandboxes.reached(container) as (sandbox_id, _):
        assert sandbox_id == world.runtime.only.id
