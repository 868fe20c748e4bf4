"""What an agent says of files is checked field by field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.files import (
    FILES_IN_MESSAGE_MAX,
    PATH_BYTES_MAX,
    AgentFile,
    FileListing,
    ListingReader,
    is_data_path,
    read_file,
    read_files,
)
from atoll.guest.protocol import FrameType, encode_json

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def file_fields(**changes: Any) -> dict[str, Any]:
    return {"path": "/mnt/data/a.txt", "size": 3, "mtime_ns": 1_700_000_000_000_000_000, **changes}


def payload(value: dict[str, Any]) -> bytes:
    return encode_json(FrameType.EVENT, value)[5:]


@pytest.mark.parametrize(
    "path",
    [
        "/mnt/data/a",
        "/mnt/data/a/b c/d.txt",
        "/mnt/data/new\nline",
        "/mnt/data/...",
        "/mnt/data/..a",
        "/mnt/data/ünïcode 🐢",
        "/mnt/data/" + "x" * (PATH_BYTES_MAX - len("/mnt/data/")),
    ],
)
def test_paths_that_can_be(path: str) -> None:
    assert is_data_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a.txt",
        "/",
        "/mnt/data",
        "/mnt/data/",
        "/mnt/data/a/",
        "/mnt/data//a",
        "/mnt/data/./a",
        "/mnt/data/..",
        "/mnt/data/../etc/passwd",
        "/mnt/data/a/../../etc",
        "/mnt/database/a",
        "/etc/passwd",
        "/mnt/data/a\0b",
        "/mnt/data/a\ud800",
        "/mnt/data/" + "x" * (PATH_BYTES_MAX - len("/mnt/data/") + 1),
        "/mnt/data/" + "é" * (PATH_BYTES_MAX // 2),
    ],
)
def test_paths_that_cannot_be(path: str) -> None:
    assert not is_data_path(path)
    with pytest.raises(AgentMisbehavedError):
        read_file(file_fields(path=path))


@given(st.text())
def test_no_path_leads_out(tail: str) -> None:
    path = "/mnt/data/" + tail
    if is_data_path(path):
        assert ".." not in path.split("/")
        assert "//" not in path
        path.encode()


def test_a_good_file_is_read() -> None:
    assert read_file(file_fields(extra=1)) == AgentFile("/mnt/data/a.txt", 3, 1_700_000_000_000_000_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1},
        {"size": 2**63},
        {"size": True},
        {"size": 1.0},
        {"size": "3"},
        {"size": None},
        {"mtime_ns": None},
        {"mtime_ns": 0.5},
        {"mtime_ns": 10**1000},
        {"path": 3},
        {"path": None},
    ],
)
def test_a_file_with_a_wrong_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AgentMisbehavedError):
        read_file(file_fields(**changes))


@pytest.mark.parametrize("name", ["path", "size", "mtime_ns"])
def test_a_file_without_a_field_is_refused(name: str) -> None:
    fields = file_fields()
    del fields[name]
    with pytest.raises(AgentMisbehavedError):
        read_file(fields)


def test_times_are_held_to_what_a_database_keeps() -> None:
    assert read_file(file_fields(mtime_ns=2**64)).mtime_ns == 2**63 - 1
    assert read_file(file_fields(mtime_ns=-(2**64))).mtime_ns == -(2**63)
    assert read_file(file_fields(size=2**63 - 1, mtime_ns=-5)).mtime_ns == -5


@given(ANY_JSON)
def test_anything_at_all_is_a_good_list_or_misbehaviour(value: Any) -> None:
    try:
        files = read_files({"files": value})
    except AgentMisbehavedError:
        return
    assert all(is_data_path(file.path) and file.size >= 0 for file in files)


@given(st.dictionaries(st.sampled_from(["path", "size", "mtime_ns"]), ANY_JSON))
def test_any_file_is_good_or_misbehaviour(changes: dict[str, Any]) -> None:
    try:
        file = read_file(file_fields(**changes))
    except AgentMisbehavedError:
        return
    assert is_data_path(file.path)
    assert 0 <= file.size < 2**63
    assert -(2**63) <= file.mtime_ns < 2**63


def test_the_number_of_files_in_a_message_is_bounded() -> None:
    fields = file_fields()
    assert len(read_files({"files": [fields] * FILES_IN_MESSAGE_MAX})) == 1
    with pytest.raises(AgentMisbehavedError):
        read_files({"files": [fields] * (FILES_IN_MESSAGE_MAX + 1)})


def batch(*names: str) -> bytes:
    return payload({"event": "files", "files": [file_fields(path=f"/mnt/data/{name}") for name in names]})


def listing_of(reader: ListingReader) -> FileListing | None:
    return reader.listing


def paths(reader: ListingReader) -> list[str]:
    assert reader.listing is not None
    return [file.path.removeprefix("/mnt/data/") for file in reader.listing.files]


def test_a_listing_gathers_batches_until_the_result() -> None:
    reader = ListingReader(files_max=10)
    reader.take(FrameType.EVENT, batch("a", "b"))
    reader.take(FrameType.EVENT, batch())
    assert listing_of(reader) is None
    reader.take(FrameType.EVENT, batch("c", "a"))
    reader.take(FrameType.RESULT, payload({"complete": True}))
    assert paths(reader) == ["a", "b", "c"]
    assert reader.listing is not None
    assert reader.listing.complete


def test_a_listing_at_its_limit_is_complete_and_one_past_it_is_not() -> None:
    reader = ListingReader(files_max=2)
    reader.take(FrameType.EVENT, batch("a", "b"))
    assert listing_of(reader) is None
    reader.take(FrameType.EVENT, batch("c"))
    assert paths(reader) == ["a", "b"]
    assert reader.listing is not None
    assert not reader.listing.complete


def test_an_agent_may_say_itself_that_there_is_more() -> None:
    reader = ListingReader(files_max=2)
    reader.take(FrameType.RESULT, payload({"complete": False}))
    assert reader.listing == FileListing((), complete=False)


@pytest.mark.parametrize(
    ("frame_type", "content"),
    [
        (FrameType.STDOUT, b"hello"),
        (FrameType.DATA, b"hello"),
        (FrameType.END, b""),
        (FrameType.EVENT, b"{"),
        (FrameType.EVENT, b"[]"),
        (FrameType.EVENT, b'{"event":"opened","size":1}'),
        (FrameType.EVENT, b'{"event":"files"}'),
        (FrameType.EVENT, b'{"event":"files","files":[1]}'),
        (FrameType.RESULT, b"{}"),
        (FrameType.RESULT, b'{"complete":1}'),
    ],
)
def test_what_has_no_place_in_a_listing_is_refused(frame_type: FrameType, content: bytes) -> None:
    with pytest.raises(AgentMisbehavedError):
        ListingReader(files_max=2).take(frame_type, content)


def test_empty_batches_cannot_go_on_for_ever() -> None:
    reader = ListingReader(files_max=2)

    def flood() -> None:
        for _ in range(1000):
            reader.take(FrameType.EVENT, batch())

    with pytest.raises(AgentMisbehavedError):
        flood()
