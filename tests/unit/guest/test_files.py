"""Files by path: in whole or not at all, regular files only, nothing followed, nothing that can hang."""

import os
import struct
from pathlib import Path

import pytest

from atoll.guest.protocol import FrameType, encode
from tests.harness.poll import wait_until
from tests.unit.guest.agent_process import Agent, Call
from tests.unit.guest.conftest import StartAgent


def test_what_is_put_is_listed_got_and_deleted(agent: Agent) -> None:
    data = os.urandom(1_000_000)
    result = agent.put("some/deep/file.bin", data).result
    assert (result["path"], result["size"]) == ("/mnt/data/some/deep/file.bin", len(data))
    assert agent.files() == {"some/deep/file.bin": len(data)}
    answer = agent.get("some/deep/file.bin")
    assert answer.events == [{"event": "opened", "size": len(data)}]
    assert answer.data == data
    assert answer.result == {}
    assert agent.delete("some/deep/file.bin").result == {"deleted": True}
    assert agent.delete("some/deep/file.bin").result == {"deleted": False}
    assert agent.files() == {}


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"012"), (8, None, b"89"), (8, 100, b"89"), (10, None, b""), (1 << 60, None, b""), (3, 0, b"")],
)
def test_a_part_can_be_got(shared_agent: Agent, offset: int, length: int | None, expected: bytes) -> None:
    shared_agent.put("digits", b"0123456789")
    answer = shared_agent.get("digits", offset, length)
    assert answer.events == [{"event": "opened", "size": 10}]
    assert answer.data == expected
    shared_agent.delete("digits")


def test_exclusive_refuses_to_replace(agent: Agent) -> None:
    assert agent.put("a", b"first", exclusive=True).result["size"] == 5
    assert agent.put("a", b"second", exclusive=True).failure["code"] == "exists"
    assert agent.get("a").data == b"first"
    assert agent.put("a", b"third").result["size"] == 5
    assert agent.get("a").data == b"third"


def test_nothing_shows_before_the_end_and_a_hang_up_leaves_what_was_there(agent: Agent) -> None:
    agent.put("a", b"old")
    call = agent.call(op="file_put", path="/mnt/data/new/a", exclusive=False)
    call.send(encode(FrameType.DATA, b"half"))
    second = agent.call(op="file_put", path="/mnt/data/a", exclusive=False).send(encode(FrameType.DATA, b"half"))
    assert agent.files() == {"a": 3}
    call.close()
    second.close()
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children")
    wait_until(lambda: not children.read_text().split(), what="the transfers are over")
    assert [path.name for path in agent.data_dir.iterdir()] == ["a"]
    assert agent.get("a").data == b"old"


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "/etc/passwd",
        "/mnt/data",
        "/mnt/data/",
        "/mnt/data/../x",
        "/mnt/data/a/./b",
        "/mnt/data//a",
        "/mnt/data/a\0b",
        "/mnt/data/" + "x" * 256,
        "/mnt/data/" + "x/" * 3000 + "x",
        7,
        None,
    ],
)
def test_impossible_paths_are_refused(shared_agent: Agent, path: object) -> None:
    for op in ("file_get", "file_put", "file_delete"):
        assert shared_agent.call(op=op, path=path, offset=0, length=None).answer().failure["code"] == "bad_request"


def test_a_name_of_255_bytes_and_odd_characters_work(agent: Agent) -> None:
    for name in ("x" * 255, "new\nline", "-rf", "quote'\"", "ünï"):
        assert agent.put(name, b"1").result["size"] == 1
        assert agent.get(name).data == b"1"
    assert len(agent.files()) == 5


def test_symlinks_fifos_folders_and_sockets_are_not_regular(agent: Agent) -> None:
    (agent.data_dir / "link").symlink_to("/etc/passwd")
    (agent.data_dir / "outside").symlink_to("/etc")
    os.mkfifo(agent.data_dir / "fifo")
    (agent.data_dir / "folder").mkdir()
    for name in ("link", "fifo", "folder", "outside/passwd", "link/x"):
        assert agent.get(name).failure["code"] == "not_regular", name
        assert agent.delete(name).failure["code"] == "not_regular", name
    assert agent.put("folder", b"x").failure["code"] == "not_regular"
    assert agent.put("outside/x", b"x").failure["code"] == "not_regular"
    assert not Path("/etc/x").exists()
    assert agent.files() == {}


def test_putting_over_a_symlink_replaces_the_link(agent: Agent) -> None:
    target = agent.data_dir / "target"
    target.write_bytes(b"target")
    (agent.data_dir / "link").symlink_to(target)
    agent.put("link", b"new")
    assert target.read_bytes() == b"target"
    assert agent.files() == {"target": 6, "link": 3}


def test_missing_files_are_not_found(shared_agent: Agent) -> None:
    assert shared_agent.get("nowhere/x").failure["code"] == "not_found"
    assert shared_agent.delete("nowhere/x").result == {"deleted": False}


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(start_agent: StartAgent) -> None:
    agent = start_agent("--file-bytes-max", "1000000")
    assert agent.put("ok", bytes(1_000_000)).result["size"] == 1_000_000
    assert agent.put("dir/too-large", bytes(1_000_001)).failure["code"] == "too_large"
    assert [path.name for path in agent.data_dir.iterdir()] == ["ok"]


def test_a_file_that_shrinks_while_it_is_read_is_a_failure(agent: Agent) -> None:
    path = agent.data_dir / "shrinks"
    path.write_bytes(bytes(20_000_000))
    call = agent.call(op="file_get", path="/mnt/data/shrinks", offset=0, length=None)
    assert call.frame() is not None
    os.truncate(path, 1000)
    answer = call.answer()
    assert answer.failure["code"] == "internal"
    assert len(answer.data) < 20_000_000


def test_a_slow_reader_holds_up_nobody(agent: Agent) -> None:
    (agent.data_dir / "large").write_bytes(bytes(5_000_000))
    slow = [agent.call(op="file_get", path="/mnt/data/large", offset=0, length=None) for _ in range(5)]
    assert agent.is_well()
    assert agent.put("other", b"x").result["size"] == 1
    for call in slow:
        assert len(call.answer().data) == 5_000_000


def test_a_sparse_giant_is_only_a_number(start_agent: StartAgent) -> None:
    agent = start_agent()
    with (agent.data_dir / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert agent.files() == {"sparse": 1 << 40}
    assert agent.get("sparse", (1 << 40) - 5).data == bytes(5)


def test_people_cannot_write_files_over_the_limit(start_agent: StartAgent) -> None:
    agent = start_agent("--file-bytes-max", "100000")
    answer = agent.python("open('x', 'wb').truncate(1 << 40)")
    assert answer.outcome == "error"
    assert "File too large" in answer.stdout


def test_the_list_skips_what_cannot_travel(agent: Agent) -> None:
    (agent.data_dir / "fine").touch()
    (agent.data_dir / os.fsdecode(b"bad-\xff")).touch()
    (agent.data_dir / os.fsdecode(b"dir-\xff")).mkdir()
    (agent.data_dir / ".atoll-upload-1").touch()
    assert agent.files() == {"fine": 0}


def test_the_list_is_bounded_in_depth_and_says_so(agent: Agent) -> None:
    agent.shell("d=.; for i in $(seq 40); do d=$d/d; mkdir $d; touch $d/f; done")
    answer = agent.call(op="files_list").answer()
    assert answer.result == {"complete": False}
    assert 20 < sum(len(event["files"]) for event in answer.events) < 40


def test_the_list_comes_in_batches(agent: Agent) -> None:
    agent.shell("touch {1..1500}")
    answer = agent.call(op="files_list").answer()
    assert answer.result == {"complete": True}
    assert len(answer.events) > 2
    assert sum(len(event["files"]) for event in answer.events) == 1500


def test_a_failed_upload_is_answered_while_the_host_still_sends(agent: Agent) -> None:
    agent.put("a", b"x")
    call = agent.call(op="file_put", path="/mnt/data/a", exclusive=True)
    for _ in range(50):
        call.send(encode(FrameType.DATA, bytes(200_000)))
    assert call.answer().failure["code"] == "exists"


def test_a_foreign_frame_in_an_upload_is_refused(agent: Agent) -> None:
    call = agent.call(op="file_put", path="/mnt/data/a", exclusive=False)
    assert call.send(encode(FrameType.STDOUT, b"x")).answer().failure["code"] == "bad_request"
    call = agent.call(op="file_put", path="/mnt/data/a", exclusive=False)
    assert call.send(struct.pack(">BI", FrameType.DATA, 1 << 30)).answer().failure["code"] == "bad_request"
    assert agent.files() == {}


def test_a_path_that_is_not_utf_8_is_refused(shared_agent: Agent) -> None:
    request = encode(FrameType.REQUEST, b'{"op":"file_delete","path":"/mnt/data/\\udcff"}')
    assert Call(shared_agent.socket_path).send(request).answer().failure["code"] == "bad_request"
