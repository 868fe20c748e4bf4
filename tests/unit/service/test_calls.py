"""Calls: in order, bounded, watched, and honest about how they ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from atoll.guest.protocol import FrameType, encode_json
from atoll.model.calls import (
    CallStarted,
    CommandEnded,
    CommandOutput,
    Logs,
    PythonCall,
    PythonEnded,
    PythonEvent,
    ShellCall,
    ShellEnded,
    ShellEvent,
)
from atoll.model.containers import Container
from atoll.model.errors import (
    BusyError,
    ContainerExpiredError,
    InvalidRequestError,
    NotFoundError,
    SandboxFailedError,
)
from atoll.model.ids import is_id
from atoll.model.pages import PageQuery
from atoll.reconcile.expiry import expire_containers
from atoll.runtime.contract import NoRoomError, RuntimeUnavailableError
from atoll.service.answer_room import NoAnswerRoomError
from tests.unit.service.world import World, eventually, open_world

LOST = "Variables are lost; files in /mnt/data are kept.\n"


def python(world: World, container: Container, *lines: str, **fields: Any) -> AsyncIterator[PythonEvent]:
    call = PythonCall(code="\n".join(lines), **fields)
    return world.services.calls.run_python(world.project, container.id, call)


def shell(world: World, container: Container, *commands: str, **fields: Any) -> AsyncIterator[ShellEvent]:
    return world.services.calls.run_shell(world.project, container.id, ShellCall(commands=commands, **fields))


async def every(events: AsyncIterator[PythonEvent]) -> list[PythonEvent]:
    return [event async for event in events]


async def ended(events: AsyncIterator[PythonEvent]) -> tuple[str, PythonEnded]:
    told = await every(events)
    text = "".join(event.text for event in told if isinstance(event, Logs))
    assert isinstance(told[-1], PythonEnded)
    return text, told[-1]


async def test_events_of_a_python_call(world: World) -> None:
    container = await world.container()
    told = await every(python(world, container, "say hello", "write a.txt 12"))
    assert isinstance(told[0], CallStarted)
    assert is_id("ci_", told[0].id)
    assert told[1] == Logs("hello")
    (file,) = (await world.services.container_files.list(world.project, container.id, PageQuery())).items
    assert told[2:] == [PythonEnded(status="completed", files=(file,))]
    assert (file.path, file.source) == ("/mnt/data/a.txt", "assistant")


async def test_events_of_a_shell_call(world: World) -> None:
    container = await world.container()
    told = [event async for event in shell(world, container, "say hi", "exit 3", "write b 1")]
    assert isinstance(told[0], CallStarted)
    assert is_id("sho_", told[0].id)
    assert told[1:4] == [CommandOutput(0, "hi", ""), CommandEnded(0, 0), CommandEnded(1, 3)]
    assert isinstance(told[-1], ShellEnded)
    assert (told[-1].status, [file.path for file in told[-1].files]) == ("completed", ["/mnt/data/b"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"timeout_ms": 3_600_001}, "timeout_ms"),
    ],
)
async def test_a_time_limit_out_of_range_is_refused(world: World, fields: dict[str, int], param: str) -> None:
    container = await world.container()
    with pytest.raises(InvalidRequestError) as caught:
        await every(python(world, container, "say", **fields))
    assert caught.value.param == param
    with pytest.raises(InvalidRequestError):
        await anext(shell(world, container, "say", **fields))


async def test_sizes_are_bounded_at_the_limit_and_one_past_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, code_bytes_max=5, commands_max=2, command_bytes_max=5) as world:
        container = await world.container()
        await ended(python(world, container, "say x"))
        with pytest.raises(InvalidRequestError) as caught:
            await every(python(world, container, "say xy"))
        assert (caught.value.param, caught.value.code) == ("code", "string_above_max_length")
        assert isinstance(await anext(shell(world, container, "say x", "say y")), CallStarted)
        for commands, param in [
            (("a",) * 3, "commands"),
            (("a", "say xy"), "commands[1]"),
            ((), "commands"),
            (("\ud800",), "commands[0]"),
        ]:
            with pytest.raises(InvalidRequestError) as caught:
                await anext(shell(world, container, *commands))
            assert caught.value.param == param


async def test_unknown_expired_and_unreachable_raise_before_the_first_event(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    with pytest.raises(NotFoundError):
        await anext(world.services.calls.run_python(world.project, "cntr_1", PythonCall(code="")))
    for failure, expected in [
        (RuntimeUnavailableError("away"), SandboxFailedError),
        (NoRoomError("full"), BusyError),
    ]:
        world.runtime.failures["dial"].append(failure)
        with pytest.raises(expected):
            await anext(python(world, container, "say"))
    world.clock.tick(60)
    with pytest.raises(ContainerExpiredError):
        await anext(python(world, container, "say"))


async def test_calls_run_one_at_a_time_in_the_order_they_came(world: World) -> None:
    container = await world.container()
    finished: list[int] = []

    async def call(number: int) -> None:
        await ended(python(world, container, "wait" if number == 0 else f"say {number}"))
        finished.append(number)

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(call(number)))
        await asyncio.sleep(0)
    await eventually(lambda: world.sandbox(container).running_call is not None)
    assert finished == []
    world.sandbox(container).release.set()
    await asyncio.gather(*tasks)
    assert finished == [0, 1, 2, 3, 4]


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path, calls_waiting_max=2) as world:
        container = await world.container()
        running = [asyncio.create_task(ended(python(world, container, "wait"))) for _ in range(3)]
        await eventually(lambda: world.sandbox(container).running_call is not None)
        with pytest.raises(BusyError):
            await ended(python(world, container, "say"))
        other = await world.container()
        assert (await ended(python(world, other, "say x")))[0] == "x"
        running[1].cancel()
        await asyncio.wait([running[1]])
        more = asyncio.create_task(ended(python(world, container, "say")))
        world.sandbox(container).release.set()
        await asyncio.gather(more, running[0], running[2])


async def test_a_call_holds_off_expiry_and_its_end_is_the_last_use(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    running = asyncio.create_task(ended(python(world, container, "wait")))
    waiting = asyncio.create_task(ended(python(world, container, "say late")))
    await eventually(lambda: world.sandbox(container).running_call is not None)
    world.clock.tick(10_000)
    assert await expire_containers(world.services) == 0
    assert (await world.services.containers.retrieve(world.project, container.id)).status == "running"
    world.sandbox(container).release.set()
    assert (await running)[1].status == "completed"
    assert (await waiting)[0] == "late"
    world.clock.tick(59)
    assert await expire_containers(world.services) == 0
    world.clock.tick(1)
    assert await expire_containers(world.services) == 1


async def test_closing_the_events_interrupts_and_frees_the_turn(world: World) -> None:
    container = await world.container()
    async with aclosing(python(world, container, "say x", "wait")) as events:  # type: ignore[type-var] # a generator
        assert isinstance(await anext(events), CallStarted)
        assert await anext(events) == Logs("x")
    await eventually(lambda: world.sandbox(container).interrupted_by_hang_up == 1)
    assert (await ended(python(world, container, "say next")))[0] == "next"


async def test_a_call_that_is_closed_before_it_began_leaves_no_connection(world: World) -> None:
    container = await world.container()
    events = python(world, container, "say x")
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined] # a generator
    await eventually(lambda: not world.sandbox(container).streams)


async def test_an_agent_still_busy_with_a_call_that_was_left_is_waited_for(world: World) -> None:
    container = await world.container()
    world.sandbox(container).busy = 3
    text, end = await ended(python(world, container, "say x"))
    assert (text, end.status) == ("x", "completed")


async def test_interrupt_stops_what_runs_only(world: World) -> None:
    container = await world.container()
    assert await world.services.calls.interrupt(world.project, container.id) is False
    running = asyncio.create_task(ended(python(world, container, "wait")))
    waiting = asyncio.create_task(ended(python(world, container, "say later")))
    await eventually(lambda: world.sandbox(container).running_call is not None)
    assert await world.services.calls.interrupt(world.project, container.id) is True
    assert (await running)[1].status == "incomplete"
    assert await waiting == ("later", PythonEnded(status="completed", files=()))


async def test_restart_while_a_call_runs(world: World) -> None:
    container = await world.container()
    running = asyncio.create_task(ended(python(world, container, "wait")))
    await eventually(lambda: world.sandbox(container).running_call is not None)
    await world.services.calls.restart(world.project, container.id)
    assert (await running)[1].status == "incomplete"
    assert world.sandbox(container).restarts == 1


async def test_interrupt_and_restart_do_not_wake_a_sandbox(world: World) -> None:
    container = await world.container()
    world.runtime.reboot()
    assert await world.services.calls.interrupt(world.project, container.id) is False
    await world.services.calls.restart(world.project, container.id)
    assert "start" not in world.runtime.calls


async def test_restart_of_an_agent_that_cannot_stops_the_sandbox(world: World) -> None:
    container = await world.container()
    world.sandbox(container).lies = b"\xff" * 9
    await world.services.calls.restart(world.project, container.id)
    assert world.sandbox(container).state == "stopped"


async def test_a_memory_kill_is_named(world: World) -> None:
    container = await world.container()
    text, end = await ended(python(world, container, "say x", "oom"))
    assert text == ("x\n[atoll] Python was ended because the container reached its memory limit (1g). " + LOST)
    assert end.status == "failed"
    text, end = await ended(python(world, container, "oom machine"))
    assert (
        text == "[atoll] Python was ended because the machine's memory for all containers together was used up. " + LOST
    )
    text, end = await ended(python(world, container, "die"))
    assert (text, end.status, end.cause) == ("", "failed", "died")
    told = [event async for event in shell(world, container, "oom", "say x")]
    assert told[1:3] == [
        CommandOutput(0, "", "[atoll] The command was ended because the container reached its memory limit (1g).\n"),
        CommandEnded(0, 137),
    ]
    told = [event async for event in shell(world, container, "die")]
    assert told[1] == CommandEnded(0, 137)


async def test_memory_kills_from_before_this_server_are_not_this_calls(tmp_path: Path, world: World) -> None:
    container = await world.container()
    await ended(python(world, container, "oom"))
    async with open_world(tmp_path, runtime=world.runtime, clock=world.clock) as again:
        assert (await ended(python(again, container, "die")))[0] == ""
        assert "memory limit" in (await ended(python(again, container, "oom")))[0]


async def test_processes_that_could_not_be_started_are_named_once(world: World) -> None:
    container = await world.container()
    asked = world.runtime.calls.count("usage")
    assert (await ended(python(world, container, "fork 20", "say x")))[0] == "x"
    assert world.runtime.calls.count("usage") == asked, "nothing is asked while there is room"
    refused = "[atoll] The container reached its limit of 256 processes and threads, so some could not be started."
    full = f"{refused} 256 of them still run. A restart of the container ends them all. {LOST}"
    text, end = await ended(python(world, container, "say x", "fork 300"))
    assert (text, end.status) == ("x\n" + full, "completed")
    assert (await ended(python(world, container, "say y")))[0] == "y"
    world.sandbox(container).fork(1)  # between two calls
    told = [event async for event in shell(world, container, "say a", "say b")]
    assert told[1:4] == [CommandOutput(0, "a", ""), CommandOutput(0, "", full), CommandEnded(0, 0)]
    assert told[4:6] == [CommandOutput(1, "b", ""), CommandEnded(1, 0)]
    world.sandbox(container).pids = 3
    world.sandbox(container).pids_refused += 1
    assert (await ended(python(world, container, "say y")))[0] == f"y\n{refused}\n"


async def test_a_runtime_that_cannot_be_asked_for_its_limits_fails_no_call(world: World) -> None:
    container = await world.container()
    world.runtime.failures["usage"] = [RuntimeUnavailableError("away")]
    text, end = await ended(python(world, container, "fork 300", "say x"))
    assert (text, end.status) == ("x", "completed")
    assert "limit of 256 processes" in (await ended(python(world, container, "say y")))[0], "told by the next call"


async def test_a_sandbox_that_falls_ends_the_call_and_the_next_works(world: World) -> None:
    container = await world.container()
    text, end = await ended(python(world, container, "say x", "write f 1", "fall"))
    assert text == "x\n[atoll] The container's processes ended during the call. " + LOST
    assert (end.status, end.files) == ("failed", ())
    assert (await ended(python(world, container, "say y")))[0] == "y"
    found = (await world.services.container_files.list(world.project, container.id, PageQuery())).items
    assert [file.path for file in found] == ["/mnt/data/f"]
    told = [event async for event in shell(world, container, "say a", "fall", "say c")]
    assert isinstance(told[3], CommandOutput)
    assert "processes ended during the call" in told[3].stderr
    assert told[4:] == [
        CommandEnded(1, None),
        CommandEnded(2, None),
        ShellEnded(status="incomplete", files=(), cause="lost"),
    ]


async def test_an_agent_over_its_time_is_stopped(world: World) -> None:
    container = await world.container()
    text, end = await ended(python(world, container, "say x\n", "silent", timeout_ms=1))
    assert text.startswith("x\n[atoll] The call did not end when it should have")
    assert end.status == "failed"
    assert world.sandbox(container).state == "stopped"
    assert (await ended(python(world, container, "say y")))[0] == "y"


async def test_an_agent_that_breaks_the_protocol_is_stopped(world: World) -> None:
    container = await world.container()
    text, end = await ended(python(world, container, "garbage"))
    assert "[atoll] The call did not end when it should have" in text
    assert (end.status, world.sandbox(container).state) == ("failed", "stopped")


async def test_an_agent_that_refuses_is_quoted(world: World) -> None:
    container = await world.container()
    world.sandbox(container).lies = encode_json(FrameType.FAILURE, {"code": "internal", "message": "no luck"})
    text, end = await ended(python(world, container, "say"))
    assert "[atoll] The call could not be run: no luck" in text
    assert end.status == "failed"


async def test_output_without_room_ends_the_call_and_the_next_works(world: World) -> None:
    async def no_room(_: int) -> None:
        raise NoAnswerRoomError

    container = await world.container()
    call = PythonCall(code="say hello")
    text, end = await ended(world.services.calls.run_python(world.project, container.id, call, no_room))
    assert text.lstrip().startswith("[atoll] The call was ended: there was no room for its output")
    assert (end.status, end.cause) == ("incomplete", "no_room")
    commands = ShellCall(commands=("say hello", "say you"))
    told = [event async for event in world.services.calls.run_shell(world.project, container.id, commands, no_room)]
    assert told[2:] == [
        CommandEnded(0, None),
        CommandEnded(1, None),
        ShellEnded(status="incomplete", files=(), cause="no_room"),
    ]
    assert await ended(python(world, container, "say hello")) == ("hello", PythonEnded(status="completed", files=()))


async def test_deleting_a_container_ends_its_calls_cleanly(world: World) -> None:
    container = await world.container()
    running = asyncio.create_task(ended(python(world, container, "say x", "wait")))
    waiting = asyncio.create_task(ended(python(world, container, "say later")))
    await eventually(lambda: world.sandbox(container).running_call is not None)
    await world.services.containers.delete(world.project, container.id)
    text, end = await running
    assert text == "x\n[atoll] The container was deleted during the call.\n"
    assert end.status == "failed"
    with pytest.raises(NotFoundError):
        await waiting
    assert world.runtime.sandboxes == {}


async def test_a_call_after_a_reboot_wakes_the_sandbox(world: World) -> None:
    container = await world.container()
    await ended(python(world, container, "write a 1"))
    world.runtime.reboot()
    assert (await ended(python(world, container, "say up")))[0] == "up"
    assert world.sandbox(container).files == {"/mnt/data/a": b"1"}


async def test_files_over_the_limit_are_there_but_not_listed(tmp_path: Path) -> None:
    async with open_world(tmp_path, files_per_container_max=2) as world:
        container = await world.container()
        _, end = await ended(python(world, container, "write a 1"))
        _, end = await ended(python(world, container, "write a 22", "write b 1", "write c 1"))
        assert [(file.path, file.bytes) for file in end.files] == [("/mnt/data/a", 2), ("/mnt/data/b", 1)]
        assert len(world.sandbox(container).files) == 3
