"""Blobs: whole or not there at all, streamed both ways."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from atoll.blobs.blobs import Blobs, BlobsFullError, open_blobs

MIB = 1024 * 1024


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return open_blobs(f"file://{tmp_path}/blobs") if request.param == "local" else Blobs(MemoryStore())


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def names(blobs: Blobs) -> set[str]:
    return {name async for name in blobs.names()}


async def read(blobs: Blobs, name: str, offset: int, length: int) -> bytes:
    return b"".join([chunk async for chunk in await blobs.open(name, offset, length)])


async def test_what_was_put_is_read(blobs: Blobs) -> None:
    assert await blobs.put("file-1", chunks(b"ab", b"", b"cdef")) == 6
    assert await blobs.put("file-2", chunks()) == 0
    assert await names(blobs) == {"file-1", "file-2"}
    assert await read(blobs, "file-1", 0, 6) == b"abcdef"
    assert await read(blobs, "file-1", 2, 3) == b"cde"


async def test_large_ones_in_parts(blobs: Blobs) -> None:
    pieces = [bytes([n]) * (700 * 1024) for n in range(30)]
    assert await blobs.put("file-1", chunks(*pieces)) == 30 * 700 * 1024
    whole = b"".join(pieces)
    assert await read(blobs, "file-1", 0, len(whole)) == whole
    assert await read(blobs, "file-1", 5 * MIB - 1, 10 * MIB) == whole[5 * MIB - 1 : 15 * MIB - 1]


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("size", [0, 1, 6 * MIB, 20 * MIB])
async def test_a_broken_put_leaves_nothing(tmp_path: Path, size: int) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")
    error = BrokenError()

    async def broken() -> AsyncIterator[bytes]:
        for start in range(0, size, MIB):
            yield b"x" * min(MIB, size - start)
        raise error

    with pytest.raises(BrokenError) as caught:
        await blobs.put("file-1", broken())
    assert caught.value is error
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_a_cancelled_put_leaves_nothing(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"x" * MIB
        waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("file-1", endless()))
    await waiting.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_delete_again_is_no_error(blobs: Blobs) -> None:
    await blobs.put("file-1", chunks(b"a"))
    await blobs.delete("file-1")
    await blobs.delete("file-1")
    assert await names(blobs) == set()
    with pytest.raises(FileNotFoundError):
        await blobs.open("file-1", 0, 1)


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")

    async def full(_store: object, _name: str, content: AsyncIterator[bytes], **_: object) -> None:
        await anext(content)
        raise GenericError("Generic LocalFileSystem error: No space left on device (os error 28)")

    monkeypatch.setattr(obstore, "put_async", full)
    with pytest.raises(BlobsFullError):
        await blobs.put("file-1", chunks(*[b"x"] * 10))


async def test_a_local_folder_is_its_owners_and_half_blobs_go(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "blobs"
    blobs = open_blobs(f"file://{folder}")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await blobs.put("file-1", chunks(b"a"))
    (folder / "file-2#1").write_bytes(b"half")  # a server killed in the middle
    again = open_blobs(f"file://{folder}")
    assert sorted(path.name for path in folder.iterdir()) == ["file-1"]
    assert await names(again) == {"file-1"}


async def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a b%é#"
    blobs = open_blobs(folder.as_uri())
    await blobs.put("file-1", chunks(b"a"))
    assert (folder / "file-1").read_bytes() == b"a"
