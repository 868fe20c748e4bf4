"""Blobs: whole or not there at all, streamed both ways."""

import asyncio
import errno
import itertools
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from atoll.blobs.blobs import Blobs, BlobsFullError
from atoll.blobs.bucket import BucketBlobs
from atoll.blobs.location import open_blobs

MIB = 1024 * 1024


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return open_blobs(f"file://{tmp_path}/blobs") if request.param == "folder" else BucketBlobs(MemoryStore())


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def names(blobs: Blobs) -> set[str]:
    return {name async for name in blobs.names()}


async def read(blobs: Blobs, name: str, offset: int, length: int) -> bytes:
    return b"".join([chunk async for chunk in await blobs.open(name, offset, length)])


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


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
async def test_a_broken_put_leaves_nothing(blobs: Blobs, tmp_path: Path, size: int) -> None:
    error = BrokenError()

    async def broken() -> AsyncIterator[bytes]:
        for start in range(0, size, MIB):
            yield b"x" * min(MIB, size - start)
        raise error

    with pytest.raises(BrokenError) as caught:
        await blobs.put("file-1", broken())
    assert caught.value is error
    assert await names(blobs) == files_in(tmp_path / "blobs") == set()


async def test_a_cancelled_put_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
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
    assert await names(blobs) == files_in(tmp_path / "blobs") == set()


async def test_delete_again_is_no_error(blobs: Blobs) -> None:
    await blobs.put("file-1", chunks(b"a"))
    await blobs.delete("file-1")
    await blobs.delete("file-1")
    assert await names(blobs) == set()
    with pytest.raises(FileNotFoundError):
        await blobs.open("file-1", 0, 1)


@pytest.mark.parametrize(("step", "good"), [("write", 0), ("write", 1), ("fsync", 0)])
async def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, good: int
) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")
    real, left = getattr(os, step), itertools.count(good, -1)

    def full(*arguments: Any) -> Any:
        if next(left) > 0:
            return real(*arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(BlobsFullError):
        await blobs.put("file-1", chunks(*[b"x" * MIB] * 4))
    assert files_in(tmp_path / "blobs") == set()


async def test_another_error_of_the_source_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise OSError(errno.ENOSPC, "somebody else's disk")

    with pytest.raises(OSError, match="somebody else's disk"):
        await open_blobs(f"file://{tmp_path}/blobs").put("file-1", broken())


async def test_reading_stops_anywhere_and_leaves_no_file_open(blobs: Blobs) -> None:
    await blobs.put("file-1", chunks(b"x" * MIB))
    before = open_files()
    for steps in (0, 1):
        content = await blobs.open("file-1", 0, MIB)
        for _ in range(steps):
            await anext(aiter(content))
        await content.aclose()
        await content.aclose()
    assert len(await read(blobs, "file-1", 0, MIB)) == MIB
    assert open_files() == before


async def test_what_is_not_in_the_page_cache_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")
    await blobs.put("file-1", chunks(b"abc"))
    real = os.preadv

    def cold(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError
        return real(file, buffers, offset)

    monkeypatch.setattr(os, "preadv", cold)
    assert await read(blobs, "file-1", 1, 2) == b"bc"


async def test_a_blob_that_was_cut_short_is_not_given_as_whole(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/blobs")
    await blobs.put("file-1", chunks(b"abcd"))
    os.truncate(tmp_path / "blobs" / "file-1", 2)
    with pytest.raises(EOFError):
        await read(blobs, "file-1", 0, 4)


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
