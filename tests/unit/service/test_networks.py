"""Network policies in the services: checked, handed to the runtime, changed, and put right after a crash."""

import asyncio

import pytest

from atoll.model.containers import ContainerChange
from atoll.model.domain_pattern import parse_domain
from atoll.model.errors import InvalidRequestError, NotFoundError, SandboxFailedError
from atoll.model.ids import SandboxId
from atoll.model.network_policy import NETWORK_DISABLED, NetworkPolicy
from atoll.reconcile.networks import hold_policies
from atoll.runtime.contract import RuntimeUnavailableError
from atoll.service.limits import ServiceLimits
from atoll.service.network_policies import check_policy
from tests.unit.service.world import World, eventually

POLICY = NetworkPolicy("allowlist", ("example.com",))
OTHER = NetworkPolicy("allowlist", ("example.org",))


def change(policy: NetworkPolicy) -> ContainerChange:
    return ContainerChange(network_policy=policy)


async def test_a_sandbox_is_made_by_the_policy(world: World) -> None:
    container = await world.container(network_policy=POLICY)
    assert container.sandbox_id is not None
    assert world.runtime.networks == {container.sandbox_id: POLICY}


async def test_a_changed_policy_is_in_force_and_kept(world: World) -> None:
    container = await world.container()
    changed = await world.services.containers.change(world.project, container.id, change(POLICY))
    assert changed.network_policy == POLICY
    assert list(world.runtime.networks.values()) == [POLICY]
    assert (await world.services.containers.retrieve(world.project, container.id)).network_policy == POLICY


async def test_a_change_that_fails_is_no_change(world: World) -> None:
    container = await world.container(network_policy=POLICY)
    world.runtime.failures["set_network"].append(RuntimeUnavailableError("away"))
    with pytest.raises(SandboxFailedError):
        await world.services.containers.change(world.project, container.id, change(OTHER))
    assert (await world.services.containers.retrieve(world.project, container.id)).network_policy == POLICY


async def test_a_change_that_fails_takes_no_other_one_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    container = await world.container(network_policy=POLICY)
    really = world.runtime.set_network
    away = NetworkPolicy("allowlist", ("away.example.com",))

    async def set_network(sandbox_id: SandboxId, network: NetworkPolicy) -> None:
        if network == away:
            raise RuntimeUnavailableError("away")
        await really(sandbox_id, network)

    monkeypatch.setattr(world.runtime, "set_network", set_network)
    changes = (world.services.containers.change(world.project, container.id, change(one)) for one in (OTHER, away))
    done = await asyncio.gather(*changes, return_exceptions=True)
    assert isinstance(done[1], SandboxFailedError)
    kept = (await world.services.containers.retrieve(world.project, container.id)).network_policy
    assert [kept] == list(world.runtime.networks.values()) == [OTHER]


async def test_a_stopped_sandbox_gets_the_policy_when_it_is_started(world: World) -> None:
    container = await world.container(network_policy=POLICY)
    await world.runtime.only.fall()
    await world.services.containers.change(world.project, container.id, change(OTHER))
    assert list(world.runtime.networks.values()) == [POLICY]
    async with world.services.sandboxes.reached(container):
        assert list(world.runtime.networks.values()) == [OTHER]


async def test_a_change_while_the_sandbox_is_started_is_not_lost(world: World) -> None:
    container = await world.container(network_policy=POLICY)
    await world.runtime.only.fall()
    world.runtime.start_gate.clear()

    async def use() -> None:
        async with world.services.sandboxes.reached(container):
            pass

    using = asyncio.create_task(use())
    await eventually(lambda: "start" in world.runtime.calls)
    await world.services.containers.change(world.project, container.id, change(OTHER))
    world.runtime.start_gate.set()
    await using
    assert list(world.runtime.networks.values()) == [OTHER]


async def test_what_is_written_is_put_in_force_after_a_crash(world: World) -> None:
    container = await world.container(network_policy=POLICY)
    assert container.sandbox_id is not None
    world.runtime.networks[container.sandbox_id] = NETWORK_DISABLED
    assert await hold_policies(world.services) == 1
    assert world.runtime.networks == {container.sandbox_id: POLICY}


async def test_a_container_of_nobody_is_not_changed(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.services.containers.change(world.project, f"cntr_{'0' * 48}", change(POLICY))


@pytest.mark.parametrize(
    ("domains", "limits", "message"),
    [
        (("example.com:8443",), ServiceLimits(), "port 8443"),
        (("example.com",), ServiceLimits(egress_outer_domains=(parse_domain("*.example.com"),)), "operator"),
        (("a" * 5000,), ServiceLimits(), "longer"),
    ],
)
def test_what_is_refused_is_named(domains: tuple[str, ...], limits: ServiceLimits, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        check_policy(NetworkPolicy("allowlist", domains), limits, is_enforced=True)
    assert caught.value.param == "network_policy.allowed_domains[0]"
    assert len(caught.value.message) < 300


def test_what_the_operator_opened_is_taken() -> None:
    limits = ServiceLimits(egress_tcp_ports=(80, 443, 8443), egress_outer_domains=(parse_domain("*.example.com:8443"),))
    check_policy(NetworkPolicy("allowlist", ("a.example.com:8443",)), limits, is_enforced=True)
