"""``kill -9`` in the middle of creates, uploads and deletes: what was answered is there, what is listed exists."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from atoll.model.pages import PageQuery
from atoll.reconcile.files import remove_orphaned_blobs
from atoll.reconcile.orphans import remove_orphans
from atoll.runtime.plain import PlainRuntime
from atoll.service.limits import ServiceLimits
from tests.unit.service.world import Clock, opened

ALL = PageQuery(limit=100)

# Works without end in several tasks and tells each answer in a line.
WORKER = """
import asyncio, json, sys
from pathlib import Path
from atoll.model.containers import NewContainer
from atoll.runtime.plain import PlainRuntime
from atoll.service.limits import ServiceLimits
from tests.unit.service.world import Clock, bytes_of, described, opened

def tell(*answer):
    print(json.dumps(answer), flush=True)

async def work(services, project, number):
    while True:
        data = str(number).encode() * 1000
        file = await services.files.create(project, f"f{number}", bytes_of(data, data), described())
        tell("file", file.id, file.bytes)
        container = await services.containers.create(project, NewContainer(name="c", file_ids=(file.id,)))
        tell("container", container.id, "")
        for name in "ab":
            put = await services.container_files.put(project, container.id, name, bytes_of(data))
            tell("put", container.id, put.path)
        tell("deleting", container.id if number % 2 else file.id, "")
        if number % 2:
            await services.containers.delete(project, container.id)
        else:
            await services.files.delete(project, file.id)
        tell("deleted", container.id if number % 2 else file.id, "")
        number += 2

async def main():
    folder = Path(sys.argv[1])
    runtime = PlainRuntime(folder / "sandboxes")
    async with opened(folder, runtime, Clock(), ServiceLimits()) as (services, project):
        await asyncio.gather(work(services, project, 0), work(services, project, 1))

asyncio.run(main())
"""


async def work_until_killed(folder: Path, answers: int) -> list[tuple[str, str, object]]:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WORKER,
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert worker.stdout is not None
    told: list[tuple[str, str, object]] = []
    try:
        while len(told) < answers:
            line = await asyncio.wait_for(worker.stdout.readline(), 60)
            assert line, "the worker ended by itself"
            told.append(tuple(json.loads(line)))
    finally:
        worker.kill()
        rest = await worker.stdout.read()
        await worker.wait()
    told += [tuple(json.loads(line)) for line in rest.splitlines() if line.endswith(b"]")]
    return told


@pytest.mark.parametrize("answers", [1, 4, 7, 12, 21])
async def test_what_was_answered_is_there_and_nothing_else_is_left(tmp_path: Path, answers: int) -> None:
    told = await work_until_killed(tmp_path, answers)
    answered: defaultdict[str, set[str]] = defaultdict(set)
    puts = []
    for kind, name, detail in told:
        answered[kind].add(name)
        if kind == "put":
            puts.append((name, detail))

    runtime = PlainRuntime(tmp_path / "sandboxes")
    try:
        async with opened(tmp_path, runtime, Clock(), ServiceLimits()) as (services, project):
            await remove_orphans(services)
            await remove_orphaned_blobs(services)
            rows = (await services.containers.list(project, ALL)).items
            listed = {row.id for row in rows}
            assert answered["container"] - answered["deleting"] <= listed
            assert not answered["deleted"] & listed
            assert {row.sandbox_id for row in rows} == {box.id for box in await runtime.observe()}
            for container_id, path in puts:
                if container_id in listed - answered["deleting"]:
                    found = (await services.container_files.list(project, container_id, ALL)).items
                    assert path in {file.path for file in found}
            files = (await services.files.list(project, ALL)).items
            assert answered["file"] - answered["deleting"] <= {file.id for file in files}
            assert not answered["deleted"] & {file.id for file in files}
            assert {file.id for file in files} == {name async for name in services.blobs.names()}
            for file in files:
                content = await services.files.open(project, file.id)
                assert sum([len(chunk) async for chunk in content.chunks]) == file.bytes
            for row in rows:
                await services.containers.delete(project, row.id)
            assert list(await runtime.observe()) == []
    finally:
        await runtime.aclose()
