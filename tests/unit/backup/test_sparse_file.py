"""Copies of files with holes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.backup import sparse_file

SIZE = 64 << 20
PIECES = ((0, b"a" * 4096), ((1 << 20) + 4096, b"b" * 70_000), (SIZE - 10, b"c" * 10))


def sparse(path: Path, *pieces: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(SIZE)
        for offset, piece in pieces:
            os.pwrite(file.fileno(), piece, offset)
    return path


def nothing(_: int) -> None:
    pass


def up_to_date(source: Path, target: Path) -> None:
    sparse_file.bring_up_to_date(source, target, nothing)


def once(source: Path, target: Path) -> None:
    assert sparse_file.copy(source, target, nothing).digest == sparse_file.digest_of(source, nothing)


@pytest.mark.parametrize("copy", [up_to_date, once])
def test_a_copy_is_the_same_and_as_sparse(tmp_path: Path, copy: Callable[[Path, Path], None]) -> None:
    source = sparse(tmp_path / "source", *PIECES)
    copy(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert sparse_file.written_bytes(tmp_path / "target") < 1 << 20
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600


def test_what_changed_since_is_brought_up_to_date(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", *PIECES, (8 << 20, b"goes away" * 1000))
    up_to_date(source, tmp_path / "target")
    sparse(source, (0, b"other"), (16 << 20, b"new"))
    up_to_date(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_what_is_remembered_of_a_copy_is_what_it_holds(tmp_path: Path) -> None:
    target, known = tmp_path / "target", sparse_file.Known()
    large = (0, b"a" * (2 << 20))
    for pieces in ((large,), ((0, b"b" * (1 << 19)),), (large,), (), (large,)):
        source = sparse(tmp_path / "source", *pieces)
        sparse_file.bring_up_to_date(source, target, nothing, known)
        assert target.read_bytes() == source.read_bytes()


def test_a_digest_is_of_the_bytes_and_not_of_the_holes(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", *PIECES)
    (tmp_path / "full").write_bytes(source.read_bytes())
    digest = sparse_file.digest_of(source, nothing)
    assert sparse_file.digest_of(tmp_path / "full", nothing) == digest
    for other in ((0, b"b"), (5 << 20, b"x"), (SIZE, b"\0")):
        with source.open("r+b") as file:
            os.pwrite(file.fileno(), other[1], other[0])
        changed = sparse_file.digest_of(source, nothing)
        assert changed != digest
        digest = changed
