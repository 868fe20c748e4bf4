"""Files of containers: what is listed is there, what is there is listed."""

import asyncio
from pathlib import Path

import pytest

from atoll.model.errors import (
    ContainerExpiredError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    SandboxFailedError,
    StorageFullError,
)
from atoll.model.files import ByteRange, ContainerFile
from atoll.model.ids import is_id
from atoll.model.pages import PageQuery
from atoll.reconcile.expiry import expire_containers
from atoll.runtime.contract import RuntimeUnavailableError
from tests.unit.service.world import (
    START,
    World,
    at_every_step,
    bytes_of,
    described,
    eventually,
    failing_after,
    open_world,
)

ASC = PageQuery(order="asc", limit=100)


async def listed(world: World, container_id: str) -> list[ContainerFile]:
    return list((await world.services.container_files.list(world.project, container_id, ASC)).items)


async def read(world: World, container_id: str, file_id: str, wanted: ByteRange | None = None) -> bytes:
    content = await world.services.container_files.open(world.project, container_id, file_id, wanted)
    data = b"".join([chunk async for chunk in content.chunks])
    assert len(data) == content.length
    return data


async def test_an_upload_is_there_and_keeps_its_id_when_repeated(world: World) -> None:
    container = await world.container()
    put = world.services.container_files.put
    first = await put(world.project, container.id, "sub/dir/x.txt", bytes_of(b"a", b"", b"bc"))
    assert is_id("cfile_", first.id)
    assert (first.path, first.bytes, first.source, first.created_at) == ("/mnt/data/x.txt", 3, "user", START)
    world.clock.tick(5)
    again = await put(world.project, container.id, "x.txt", bytes_of(b"other"))
    assert (again.id, again.bytes, again.created_at) == (first.id, 5, START)
    assert await listed(world, container.id) == [again]
    assert await read(world, container.id, first.id) == b"other"
    assert await world.services.container_files.retrieve(world.project, container.id, first.id) == again


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "a/..", "a\0b", "x" * 256, "é" * 128, "\ud800"])
async def test_a_name_that_no_file_can_have_is_refused(world: World, name: str) -> None:
    container = await world.container()
    with pytest.raises(InvalidRequestError):
        await world.services.container_files.put(world.project, container.id, name, bytes_of(b"a"))
    assert world.sandbox(container).files == {}


@pytest.mark.parametrize("name", ["x" * 255, "a\nb", " ", "-rf", "~", "é" * 127, "\\", "\x7f", "…"])
async def test_an_odd_name_is_kept(world: World, name: str) -> None:
    container = await world.container()
    file = await world.services.container_files.put(world.project, container.id, name, bytes_of(b"a"))
    assert file.path == f"/mnt/data/{name}"
    content = await world.services.container_files.open(world.project, container.id, file.id)
    assert content.filename == name


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("error", [BrokenError(), TimeoutError(), PayloadTooLargeError("x")])
async def test_a_broken_upload_changes_nothing(world: World, error: Exception) -> None:
    container = await world.container()
    put = world.services.container_files.put
    await put(world.project, container.id, "x", bytes_of(b"old"))
    for name in ("x", "y"):
        with pytest.raises(type(error)) as caught:
            await put(world.project, container.id, name, failing_after(b"new", error=error))
        assert caught.value is error
    assert world.sandbox(container).files == {"/mnt/data/x": b"old"}
    assert [file.bytes for file in await listed(world, container.id)] == [3]


async def test_an_upload_is_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path, upload_bytes_max=10) as world:
        container = await world.container()
        put = world.services.container_files.put
        assert (await put(world.project, container.id, "x", bytes_of(b"12345", b"67890"))).bytes == 10
        with pytest.raises(PayloadTooLargeError):
            await put(world.project, container.id, "y", bytes_of(b"12345", b"67890", b"1"))
        assert len(await listed(world, container.id)) == 1


async def test_a_full_disk_changes_nothing(world: World) -> None:
    container = await world.container()
    world.sandbox(container).disk_full = True
    with pytest.raises(StorageFullError):
        await world.services.container_files.put(world.project, container.id, "x", bytes_of(b"a"))
    assert await listed(world, container.id) == []


async def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path, files_per_container_max=2) as world:
        container = await world.container()
        put = world.services.container_files.put
        for name in ("a", "b", "a"):
            await put(world.project, container.id, name, bytes_of(b"1"))
        with pytest.raises(InvalidRequestError, match="no more than 2"):
            await put(world.project, container.id, "c", bytes_of(b"1"))


async def test_the_list_follows_what_is_really_there(world: World) -> None:
    container = await world.container()
    files = world.sandbox(container).files
    upload = await world.services.container_files.put(world.project, container.id, "up", bytes_of(b"1"))
    files["/mnt/data/made"] = b"22"
    found = await listed(world, container.id)
    assert [(file.path, file.bytes, file.source) for file in found] == [
        ("/mnt/data/up", 1, "user"),
        ("/mnt/data/made", 2, "assistant"),
    ]
    files["/mnt/data/up"] = b"333"
    del files["/mnt/data/made"]
    after = await listed(world, container.id)
    assert [(file.id, file.bytes, file.source) for file in after] == [(upload.id, 3, "user")]
    with pytest.raises(NotFoundError) as caught:
        await world.services.container_files.retrieve(world.project, container.id, found[1].id)
    assert caught.value.message == f"File {found[1].id} not found on container {container.id}."


async def test_delete_removes_and_a_vanished_file_is_not_found(world: World) -> None:
    container = await world.container()
    services = world.services.container_files
    file = await services.put(world.project, container.id, "x", bytes_of(b"1"))
    await services.delete(world.project, container.id, file.id)
    assert world.sandbox(container).files == {}
    for use in (services.delete, services.retrieve, services.open):
        with pytest.raises(NotFoundError):
            await use(world.project, container.id, file.id)
    with pytest.raises(NotFoundError):
        await services.delete(world.project, container.id, "nonsense")

    file = await services.put(world.project, container.id, "x", bytes_of(b"1"))
    world.sandbox(container).files.clear()
    with pytest.raises(NotFoundError):
        await services.open(world.project, container.id, file.id)
    assert await listed(world, container.id) == []


@pytest.mark.parametrize(
    ("wanted", "expected", "offset"),
    [
        (None, bytes(range(250)) * 10, 0),
        (ByteRange(0, 0), b"\0", 0),
        (ByteRange(1, 3), b"\1\2\3", 1),
        (ByteRange(2498, None), b"\xf8\xf9", 2498),
        (ByteRange(2498, 9999), b"\xf8\xf9", 2498),
        (ByteRange(None, 1), b"\xf9", 2499),
        (ByteRange(None, 9999), bytes(range(250)) * 10, 0),
        (ByteRange(2500, None), b"", 0),
        (ByteRange(3, 1), b"", 0),
    ],
)
async def test_ranges(world: World, wanted: ByteRange | None, expected: bytes, offset: int) -> None:
    container = await world.container()
    file = await world.services.container_files.put(world.project, container.id, "x", bytes_of(bytes(range(250)) * 10))
    content = await world.services.container_files.open(world.project, container.id, file.id, wanted)
    assert (content.total, content.offset, content.length) == (2500, offset, len(expected))
    assert b"".join([chunk async for chunk in content.chunks]) == expected


async def test_a_download_holds_the_container_until_it_is_closed(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    file = await world.services.container_files.put(world.project, container.id, "x", bytes_of(bytes(5000)))
    content = await world.services.container_files.open(world.project, container.id, file.id)
    world.clock.tick(3600)
    assert await expire_containers(world.services) == 0
    assert await anext(content.chunks)
    await content.chunks.aclose()
    world.clock.tick(60)
    assert await expire_containers(world.services) == 1


async def test_an_unread_download_lets_go_when_closed(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    file = await world.services.container_files.put(world.project, container.id, "x", bytes_of(b"1"))
    content = await world.services.container_files.open(world.project, container.id, file.id)
    await content.chunks.aclose()
    world.clock.tick(60)
    assert await expire_containers(world.services) == 1


async def test_a_file_of_the_project_is_copied_in_and_replaces_nothing(world: World) -> None:
    container = await world.container()
    files, own = world.services.files, world.services.container_files
    one = await files.create(world.project, "a.txt", bytes_of(b"one"), described())
    two = await files.create(world.project, "a.txt", bytes_of(b"two"), described())
    first = await own.put_file(world.project, container.id, one.id)
    second = await own.put_file(world.project, container.id, two.id)
    again = await own.put_file(world.project, container.id, two.id)
    assert first.path == "/mnt/data/a.txt"
    assert second.path == f"/mnt/data/{two.id}-a.txt"
    assert second == again
    assert world.sandbox(container).files[first.path] == b"one"
    with pytest.raises(NotFoundError, match="No such File object: file-x") as caught:
        await own.put_file(world.project, container.id, "file-x")
    assert caught.value.param == "id"


async def test_a_stopped_sandbox_is_woken_once_for_all(world: World) -> None:
    container = await world.container()
    await world.services.container_files.put(world.project, container.id, "x", bytes_of(b"1"))
    world.runtime.reboot()
    world.runtime.calls.clear()
    world.runtime.start_gate.clear()
    lists = [asyncio.create_task(listed(world, container.id)) for _ in range(5)]
    retrieval = asyncio.create_task(world.services.calls.restart(world.project, container.id))
    await eventually(lambda: "start" in world.runtime.calls)
    lists[0].cancel()
    world.runtime.start_gate.set()
    found = await asyncio.gather(*lists[1:])
    await retrieval
    assert [len(files) for files in found] == [1] * 4
    assert world.runtime.calls.count("start") == 1


async def test_a_sandbox_that_is_gone_is_replaced(world: World) -> None:
    container = await world.container()
    await world.services.container_files.put(world.project, container.id, "x", bytes_of(b"1"))
    world.runtime.sandboxes.clear()
    found = await asyncio.gather(*(listed(world, container.id) for _ in range(3)))
    assert found == [[], [], []]
    renewed = await world.services.containers.retrieve(world.project, container.id)
    assert renewed.sandbox_id == world.runtime.only.id != container.sandbox_id


async def test_a_container_deleted_while_its_sandbox_is_made_anew_leaves_nothing(world: World) -> None:
    container = await world.container()
    world.runtime.sandboxes.clear()
    world.runtime.create_gate.clear()
    listing = asyncio.create_task(listed(world, container.id))
    await eventually(lambda: bool(world.runtime.sandboxes))
    await world.services.containers.delete(world.project, container.id)
    world.runtime.create_gate.set()
    with pytest.raises(NotFoundError):
        await listing
    assert world.runtime.sandboxes == {}


async def test_a_cancelled_upload_is_there_or_not(world: World) -> None:
    container = await world.container()
    number = 0

    async def upload() -> None:
        nonlocal number
        number += 1
        await world.services.container_files.put(world.project, container.id, f"{number}", bytes_of(b"x" * number))

    async def rows_tell_what_is_there() -> None:
        there = {path: len(content) for path, content in world.sandbox(container).files.items()}
        assert {file.path: file.bytes for file in await listed(world, container.id)} == there

    await at_every_step(upload, rows_tell_what_is_there)
    assert f"/mnt/data/{number}" in world.sandbox(container).files


async def test_lies_of_an_agent_are_the_sandboxs_fault(world: World) -> None:
    container = await world.container()
    world.sandbox(container).lies = b"\xff" * 100
    with pytest.raises(SandboxFailedError):
        await listed(world, container.id)


async def test_a_runtime_that_is_away_is_told(world: World) -> None:
    container = await world.container()
    world.runtime.failures["dial"].append(RuntimeUnavailableError("away"))
    with pytest.raises(SandboxFailedError):
        await listed(world, container.id)


async def test_an_upload_into_a_container_that_is_deleted_meanwhile_is_not_found(world: World) -> None:
    container = await world.container()

    async def chunks() -> object:
        yield b"1"
        await world.services.containers.delete(world.project, container.id)
        yield b"2"

    with pytest.raises(NotFoundError, match="Container with id"):
        await world.services.container_files.put(world.project, container.id, "x", chunks())  # type: ignore[arg-type] # yields bytes


async def test_files_of_expired_containers_are_gone(world: World) -> None:
    container = await world.container(expires_after_minutes=1)
    file = await world.services.container_files.put(world.project, container.id, "x", bytes_of(b"1"))
    world.clock.tick(60)
    services = world.services.container_files
    for use in (services.retrieve, services.delete, services.open, services.put_file):
        with pytest.raises(ContainerExpiredError):
            await use(world.project, container.id, file.id)
    with pytest.raises(ContainerExpiredError):
        await services.put(world.project, container.id, "y", bytes_of(b"1"))


async def test_uploads_and_listings_at_once_agree_in_the_end(world: World) -> None:
    container = await world.container()
    put = world.services.container_files.put
    await asyncio.gather(
        *(put(world.project, container.id, f"{n % 7}", bytes_of(b"x" * n)) for n in range(40)),
        *(listed(world, container.id) for _ in range(20)),
    )
    there = {path: len(content) for path, content in world.sandbox(container).files.items()}
    found = await listed(world, container.id)
    assert {file.path: file.bytes for file in found} == there
    assert {file.source for file in found} == {"user"}
