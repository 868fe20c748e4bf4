"""Uploaded files: a row always has its bytes."""

import pytest

from atoll.blobs.blobs import BlobsFullError
from atoll.model.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError, StorageFullError
from atoll.model.files import ByteRange, File
from atoll.model.pages import PageQuery
from atoll.reconcile.files import remove_expired_files, remove_orphaned_blobs
from atoll.store.connection import Work
from tests.unit.service.world import START, World, at_every_step, bytes_of, described, failing_after


async def rows(world: World) -> list[File]:
    return list((await world.services.files.list(world.project, PageQuery(limit=10_000))).items)


async def blobs(world: World) -> list[str]:
    return [name async for name in world.services.blobs.names()]


async def read(world: World, file: File, wanted: ByteRange | None = None) -> bytes:
    content = await world.services.files.open(world.project, file.id, wanted)
    data = b"".join([chunk async for chunk in content.chunks])
    assert len(data) == content.length
    return data


async def test_what_was_uploaded_is_read(world: World) -> None:
    file = await world.services.files.create(world.project, "d/a.txt", bytes_of(b"abc", b"def"), described())
    assert (file.filename, file.bytes, file.created_at, file.expires_at) == ("a.txt", 6, START, None)
    assert await rows(world) == [file]
    assert await world.services.files.retrieve(world.project, file.id) == file
    assert await read(world, file) == b"abcdef"
    assert await read(world, file, ByteRange(4, None)) == b"ef"
    assert await read(world, file, ByteRange(None, 2)) == b"ef"
    assert await read(world, file, ByteRange(6, None)) == b""
    empty = await world.services.files.create(world.project, "e", bytes_of(), described())
    assert await read(world, empty) == b""


async def test_a_broken_upload_leaves_nothing(world: World) -> None:
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError) as caught:
        await world.services.files.create(world.project, "a", failing_after(b"a", error=error), described())
    assert caught.value is error
    assert (await rows(world), await blobs(world)) == ([], [])


async def test_a_cancelled_upload_leaves_nothing(world: World) -> None:
    async def nothing_is_there() -> None:
        assert (await rows(world), await blobs(world)) == ([], [])
        assert not world.services.files.arriving

    await at_every_step(
        lambda: world.services.files.create(world.project, "a", bytes_of(b"a", b"b"), described()),
        nothing_is_there,
    )
    assert len(await rows(world)) == len(await blobs(world)) == 1


async def test_limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    create = world.services.files.create
    for seconds in (3600, 2_592_000):
        file = await create(world.project, "a", bytes_of(b"a"), described(seconds))
        assert file.expires_at == START + seconds
    for seconds in (3599, 2_592_001):
        with pytest.raises(InvalidRequestError):
            await create(world.project, "a", bytes_of(b"a"), described(seconds))
    object.__setattr__(world.limits, "upload_bytes_max", 3)
    assert (await create(world.project, "a", bytes_of(b"abc"), described())).bytes == 3
    with pytest.raises(PayloadTooLargeError):
        await create(world.project, "a", bytes_of(b"abc", b"d"), described())
    with pytest.raises(InvalidRequestError):
        await create(world.project, "..", bytes_of(b"a"), described())


async def test_a_full_disk_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> int:
        raise BlobsFullError

    monkeypatch.setattr(world.services.blobs, "put", full)
    with pytest.raises(StorageFullError):
        await world.services.files.create(world.project, "a", bytes_of(b"a"), described())


async def test_deleted_and_foreign_files_are_not_found(world: World) -> None:
    file = await world.services.files.create(world.project, "a", bytes_of(b"a"), described())
    other = (await world.services.keys.create("k", "other"))[0].project_id
    with pytest.raises(NotFoundError):
        await world.services.files.delete(other, file.id)
    await world.services.files.delete(world.project, file.id)
    assert (await rows(world), await blobs(world)) == ([], [])
    for use in (world.services.files.delete, world.services.files.retrieve, world.services.files.open):
        for name in (file.id, "x"):
            with pytest.raises(NotFoundError) as caught:
                await use(world.project, name)
            assert (caught.value.message, caught.value.param) == (f"No such File object: {name}", "id")


async def test_expired_files_are_gone_at_once_and_their_bytes_soon(world: World) -> None:
    file = await world.services.files.create(world.project, "a", bytes_of(b"a"), described(3600))
    kept = await world.services.files.create(world.project, "b", bytes_of(b"a"), described())
    world.clock.tick(3600)
    with pytest.raises(NotFoundError):
        await world.services.files.retrieve(world.project, file.id)
    assert await rows(world) == [kept]
    assert await remove_expired_files(world.services) == 1
    assert await remove_expired_files(world.services) == 0
    assert await blobs(world) == [kept.id]


async def test_bytes_without_a_row_are_removed_but_not_those_that_arrive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await world.services.files.create(world.project, "b", bytes_of(b"a"), described())
    orphan = "file-" + "0" * 32
    await world.services.blobs.put(orphan, bytes_of(b"left by a killed server"))
    await world.services.blobs.put("somebody-elses", bytes_of(b"x"))
    removed = []
    write = world.services.database.write

    async def write_after_a_reconciler(work: Work[None]) -> None:
        removed.append(await remove_orphaned_blobs(world.services))
        await write(work)

    monkeypatch.setattr(world.services.database, "write", write_after_a_reconciler)
    arrived = await world.services.files.create(world.project, "c", bytes_of(b"a"), described())
    assert removed == [1]
    assert sorted(await blobs(world)) == sorted([kept.id, arrived.id, "somebody-elses"])
