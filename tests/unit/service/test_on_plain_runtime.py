"""The services on the real agent, without walls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from atoll.model.calls import (
    CommandEnded,
    CommandOutput,
    Logs,
    PythonCall,
    PythonEnded,
    ShellCall,
    ShellEnded,
)
from atoll.model.containers import Container, NewContainer
from atoll.model.files import ByteRange
from atoll.model.ids import ProjectId
from atoll.model.pages import PageQuery
from atoll.reconcile.orphans import remove_orphans
from atoll.runtime.plain import PlainRuntime
from atoll.service.app import Services
from atoll.service.limits import ServiceLimits
from tests.unit.service.world import Clock, bytes_of, opened


class Place:
    def __init__(self, services: Services, project: ProjectId) -> None:
        self.services, self.project = services, project

    async def container(self) -> Container:
        return await self.services.containers.create(self.project, NewContainer(name="c"))

    async def python(self, container: Container, code: str) -> tuple[str, PythonEnded]:
        text, end = "", None
        async for event in self.services.calls.run_python(self.project, container.id, PythonCall(code=code)):
            if isinstance(event, Logs):
                text += event.text
            if isinstance(event, PythonEnded):
                end = event
        assert end is not None
        return text, end


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    runtime = PlainRuntime(tmp_path / "sandboxes")
    try:
        async with opened(tmp_path, runtime, Clock(), ServiceLimits()) as (services, project):
            yield Place(services, project)
    finally:
        for sandbox in await runtime.observe():
            await runtime.destroy(sandbox.id)
        await runtime.aclose()


async def test_fill_compute_and_read(place: Place) -> None:
    container = await place.container()
    files = place.services.container_files
    upload = await files.put(place.project, container.id, "in.txt", bytes_of(b"20", b"22"))
    text, end = await place.python(container, "x = int(open('in.txt').read()); x + 1")
    assert "2023" in text
    assert (end.status, end.files) == ("completed", ())
    text, end = await place.python(container, "open('out.txt', 'w').write(str(x)); print('done')")
    assert text.startswith("done\n")
    (made,) = end.files
    assert (made.path, made.bytes, made.source) == ("/mnt/data/out.txt", 4, "assistant")
    listed = await files.list(place.project, container.id, PageQuery(order="asc"))
    assert listed.items == (upload, made)
    content = await files.open(place.project, container.id, made.id, ByteRange(None, 2))
    assert (content.total, content.offset) == (4, 2)
    assert b"".join([chunk async for chunk in content.chunks]) == b"22"
    await files.delete(place.project, container.id, upload.id)
    assert [f.id for f in (await files.list(place.project, container.id, PageQuery())).items] == [made.id]


async def test_a_shell_call(place: Place) -> None:
    container = await place.container()
    call = ShellCall(commands=("echo out; echo err >&2; echo x > made", "exit 3"))
    told = [event async for event in place.services.calls.run_shell(place.project, container.id, call)]
    output = [event for event in told if isinstance(event, CommandOutput)]
    assert "".join(event.stdout for event in output) == "out\n"
    assert "".join(event.stderr for event in output) == "err\n"
    assert [event.exit_code for event in told if isinstance(event, CommandEnded)] == [0, 3]
    assert isinstance(told[-1], ShellEnded)
    assert [file.path for file in told[-1].files] == ["/mnt/data/made"]


@pytest.mark.parametrize("asked", [None, 10 << 20])
async def test_the_commands_of_a_call_share_its_output(place: Place, asked: int | None) -> None:
    container = await place.container()
    count, most = 4, place.services.limits.output_bytes_max
    command = f"head -c {most // 2} /dev/zero | tr '\\0' x"
    call = ShellCall(commands=(command,) * count, max_output_length=asked)
    sizes = [0] * count
    async for event in place.services.calls.run_shell(place.project, container.id, call):
        if isinstance(event, CommandOutput):
            sizes[event.index] += event.stdout.count("x")
    assert sizes == [most // count] * count


async def test_a_left_call_frees_the_container_for_the_next(place: Place) -> None:
    container = await place.container()
    call = PythonCall(code="print('up', flush=True)\nimport time\nwhile True: time.sleep(1)")
    async with aclosing(place.services.calls.run_python(place.project, container.id, call)) as events:
        async for event in events:
            if isinstance(event, Logs):
                break
    text, end = await asyncio.wait_for(place.python(container, "print('next')"), 30)
    assert (text, end.status) == ("next\n", "completed")


async def test_python_that_kills_itself_and_a_sandbox_that_is_stopped(place: Place) -> None:
    container = await place.container()
    text, end = await place.python(container, "open('kept', 'w').close()\nimport os\nos.kill(os.getpid(), 9)")
    assert end.status == "failed"
    assert "[atoll]" in text
    await place.services.sandboxes.stop(container)
    listed = await place.services.container_files.list(place.project, container.id, PageQuery())
    assert [file.path for file in listed.items] == ["/mnt/data/kept"]
    assert (await place.python(container, "print(1)"))[0] == "1\n"


async def test_a_deleted_container_leaves_no_sandbox(place: Place) -> None:
    container = await place.container()
    running = asyncio.create_task(place.python(container, "print('up')\nimport time\ntime.sleep(600)"))
    await asyncio.sleep(0)
    await place.services.containers.delete(place.project, container.id)
    await asyncio.wait([running], timeout=30)
    assert running.done()
    running.exception()
    assert await remove_orphans(place.services) == 0
