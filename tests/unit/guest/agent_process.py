"""A real agent as a subprocess, and a small blocking client that speaks the wire to it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atoll.guest.protocol import FrameDecoder, FrameType, decode_json, encode, encode_json

SOURCE = str(Path(__file__).parents[3] / "src")
ANSWER_S = 30


@dataclass
class Answer:
    """All frames of one operation, sorted by kind."""

    frames: list[tuple[FrameType, bytes]] = field(default_factory=list)

    def all(self, frame_type: FrameType) -> list[bytes]:
        return [payload for kind, payload in self.frames if kind is frame_type]

    @property
    def stdout(self) -> str:
        return b"".join(self.all(FrameType.STDOUT)).decode()

    @property
    def stderr(self) -> str:
        return b"".join(self.all(FrameType.STDERR)).decode()

    @property
    def data(self) -> bytes:
        return b"".join(self.all(FrameType.DATA))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [decode_json(payload) for payload in self.all(FrameType.EVENT)]

    @property
    def result(self) -> dict[str, Any]:
        last_type, payload = self.frames[-1]
        assert last_type is FrameType.RESULT, self.frames[-1]
        return decode_json(payload)

    @property
    def failure(self) -> dict[str, Any]:
        last_type, payload = self.frames[-1]
        assert last_type is FrameType.FAILURE, self.frames[-1]
        return decode_json(payload)

    @property
    def outcome(self) -> str:
        return str(self.result["outcome"]["type"])

    @property
    def file_names(self) -> set[str]:
        return {file["path"].removeprefix("/mnt/data/") for file in self.result["files"]}

    @property
    def exit_codes(self) -> list[int | None]:
        return [event["exit_code"] for event in self.events if event["event"] == "command_ended"]


class Call:
    """One connection with one operation on it."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(ANSWER_S)
        self.socket.connect(path)
        self._decoder = FrameDecoder()
        self._waiting: list[tuple[FrameType, bytes]] = []

    def send(self, *frames: bytes) -> "Call":
        self.socket.sendall(b"".join(frames))
        return self

    def ask(self, **fields: Any) -> "Call":
        return self.send(encode_json(FrameType.REQUEST, fields))

    def frame(self) -> tuple[FrameType, bytes] | None:
        """Wait for the next frame; ``None`` at the end."""
        while not self._waiting:
            data = self.socket.recv(65536)
            if not data:
                assert self._decoder.at_boundary
                return None
            self._waiting.extend(self._decoder.feed(data))
        return self._waiting.pop(0)

    def read_until(self, text: str) -> str:
        """Wait until the text output so far holds ``text``."""
        seen = b""
        while text.encode() not in seen:
            frame = self.frame()
            assert frame is not None, f"the call ended with {seen!r}"
            assert frame[0] in (FrameType.STDOUT, FrameType.STDERR), frame
            seen += frame[1]
        return seen.decode()

    def answer(self) -> Answer:
        """Wait for the rest, to its end."""
        answer = Answer()
        while (frame := self.frame()) is not None:
            answer.frames.append(frame)
        self.close()
        return answer

    def close(self) -> None:
        self.socket.close()


@dataclass
class Agent:
    """A running agent."""

    socket_path: str
    data_dir: Path
    process: subprocess.Popen[bytes]

    def call(self, **fields: Any) -> Call:
        return Call(self.socket_path).ask(**fields)

    def begin_python(self, code: str, **fields: Any) -> Call:
        defaults: dict[str, Any] = {"timeout_ms": 20_000, "output_bytes_max": 1_000_000, "images_max": 10}
        return self.call(op="python", code=code, **defaults | fields)

    def begin_shell(self, *commands: str, **fields: Any) -> Call:
        defaults: dict[str, Any] = {"timeout_ms": 20_000, "output_chars_max": None}
        return self.call(op="shell", commands=commands, **defaults | fields)

    def begin_program(self, *argv: str, **fields: Any) -> Call:
        defaults: dict[str, Any] = {"timeout_ms": 20_000, "output_bytes_max": 1_000_000}
        return self.call(op="process", argv=argv, **defaults | fields)

    def program(self, *argv: str, **fields: Any) -> Answer:
        return self.begin_program(*argv, **fields).answer()

    def python(self, code: str, **fields: Any) -> Answer:
        return self.begin_python(code, **fields).answer()

    def shell(self, *commands: str, **fields: Any) -> Answer:
        return self.begin_shell(*commands, **fields).answer()

    def put(self, name: str, data: bytes, *, exclusive: bool = False) -> Answer:
        call = self.call(op="file_put", path=f"/mnt/data/{name}", exclusive=exclusive)
        pieces = [data[start : start + 200_000] for start in range(0, len(data), 200_000)]
        return call.send(*(encode(FrameType.DATA, piece) for piece in pieces), encode(FrameType.END)).answer()

    def get(self, name: str, offset: int = 0, length: int | None = None) -> Answer:
        return self.call(op="file_get", path=f"/mnt/data/{name}", offset=offset, length=length).answer()

    def delete(self, name: str) -> Answer:
        return self.call(op="file_delete", path=f"/mnt/data/{name}").answer()

    def put_archive(self, data: bytes, path: str = "/mnt/data", *, entries_max: int = 1000) -> Answer:
        call = self.call(op="archive_put", path=path, entries_max=entries_max)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            for start in range(0, len(data), 200_000):
                call.send(encode(FrameType.DATA, data[start : start + 200_000]))
            call.send(encode(FrameType.END))
        return call.answer()

    def get_archive(self, path: str = "/mnt/data", *, entries_max: int = 1000) -> Answer:
        return self.call(op="archive_get", path=path, entries_max=entries_max).answer()

    def files(self) -> dict[str, int]:
        answer = self.call(op="files_list").answer()
        assert answer.result == {"complete": True}
        files = [file for event in answer.events for file in event["files"]]
        return {file["path"].removeprefix("/mnt/data/"): file["size"] for file in files}

    def end(self) -> None:
        """Ask the agent to end, and wait until it has."""
        _end(self.process.pid)
        self.process.wait(10)

    def is_well(self) -> bool:
        return self.call(op="hello").answer().result == {"protocol": 1}


@contextmanager
def running_agent(folder: Path, options: Sequence[str] = (), prefix: Sequence[str] = ()) -> Iterator[Agent]:
    """Start an agent on ``folder/data``; end it, and all it started, afterwards."""
    data_dir = folder / "data"
    data_dir.mkdir()
    socket_path = str(folder / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(64)
        command = [sys.executable, "-s", "-P", "-m", "atoll.guest", "--listen-fd", str(listener.fileno())]
        process = subprocess.Popen(
            [*prefix, *command, "--data-dir", str(data_dir), *options],
            pass_fds=[listener.fileno()],
            env={"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"], "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    try:
        yield Agent(socket_path, data_dir, process)
    finally:
        _end(process.pid)
        _, complaints = process.communicate(timeout=10)
    assert complaints == b"", complaints.decode()


def _end(pid: int) -> None:
    """Ask the agent to end; unshare(1), where it waits for one, takes no SIGTERM itself."""
    with suppress(FileNotFoundError, ProcessLookupError):
        if Path(f"/proc/{pid}/comm").read_text() == "unshare\n":
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        os.kill(pid, signal.SIGTERM)
