"""Connections that are kept from call to call: used while they are good, let go of in time, and never too many."""

from atoll.model.containers import Container
from atoll.model.ids import SandboxId
from atoll.service.kept_streams import KeptStreams
from tests.unit.service.fake_sandboxes import stream_pair
from tests.unit.service.test_calls import ended, python
from tests.unit.service.world import World, eventually


async def said(world: World, container: Container, *lines: str) -> tuple[str, str]:
    text, end = await ended(python(world, container, *lines))
    return text, end.status


def dials(world: World) -> int:
    return world.runtime.calls.count("dial")


async def test_calls_share_a_connection(world: World) -> None:
    container = await world.container()
    for number in range(5):
        assert await said(world, container, f"say {number}") == (str(number), "completed")
    assert dials(world) == 1


async def test_each_sandbox_has_its_own(world: World) -> None:
    one, other = await world.container(), await world.container()
    await said(world, one, "write a.txt x")
    await said(world, other, "write b.txt x")
    await said(world, one, "write c.txt x")
    assert set(world.sandbox(one).files) == {"/mnt/data/a.txt", "/mnt/data/c.txt"}
    assert dials(world) == 2


async def test_a_sandbox_that_was_stopped_meanwhile_is_dialled_anew_and_the_call_runs_once(world: World) -> None:
    container = await world.container()
    await said(world, container, "say 1")
    await world.sandbox(container).fall()
    assert await said(world, container, "write a.txt 2", "say 2") == ("2", "completed")
    assert world.sandbox(container).requests == ["say 1", "write a.txt 2\nsay 2"]
    assert world.runtime.calls.count("start") == 1


async def test_a_sandbox_that_dies_under_the_call_is_not_asked_again(world: World) -> None:
    container = await world.container()
    await said(world, container, "say 1")
    text, status = await said(world, container, "fall")
    assert status == "failed"
    assert "ended during the call" in text
    assert world.sandbox(container).requests == ["say 1", "fall"]


async def test_an_agent_that_goes_on_talking_is_hung_up_on(world: World) -> None:
    container = await world.container()
    await said(world, container, "say 1")
    (stream,) = world.sandbox(container).streams
    await stream.write(b"psst")
    assert await said(world, container, "say 2") == ("2", "completed")
    assert stream.closed
    assert dials(world) == 2


async def test_a_call_that_was_hung_up_on_leaves_no_connection(world: World) -> None:
    container = await world.container()
    events = python(world, container, "say on", "wait")
    await anext(events)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    await eventually(lambda: not world.sandbox(container).streams)
    assert await said(world, container, "say 2") == ("2", "completed")


async def test_a_refusal_leaves_no_connection(world: World) -> None:
    container = await world.container()
    await said(world, container, "say 1")
    world.sandbox(container).busy = 1
    assert await said(world, container, "say 2") == ("2", "completed")
    assert dials(world) == 2


async def test_deleting_hangs_up(world: World) -> None:
    container = await world.container()
    await said(world, container, "say 1")
    (stream,) = world.sandbox(container).streams
    await world.services.containers.delete(world.project, container.id)
    assert stream.closed


async def test_no_more_are_kept_than_allowed() -> None:
    kept = KeptStreams(streams_max=2)
    pairs = {SandboxId(name): stream_pair() for name in "abc"}
    for sandbox_id, (host, _) in pairs.items():
        await kept.put(sandbox_id, host)
    assert await kept.take(SandboxId("a")) is None
    assert pairs[SandboxId("a")][0].closed
    assert await kept.take(SandboxId("b")) is pairs[SandboxId("b")][0]
    assert await kept.take(SandboxId("b")) is None  # it is in use now
    await kept.aclose()
    assert pairs[SandboxId("c")][0].closed
    assert not pairs[SandboxId("b")][0].closed


async def test_a_second_one_takes_the_first_one_s_place() -> None:
    kept = KeptStreams()
    (first, _), (second, _) = stream_pair(), stream_pair()
    await kept.put(SandboxId("a"), first)
    await kept.put(SandboxId("a"), second)
    assert first.closed
    assert await kept.take(SandboxId("a")) is second
    await second.aclose()
