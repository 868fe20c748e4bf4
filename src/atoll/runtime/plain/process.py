"""A running sandbox: a keeper with the agent below it, and the socket on which the agent listens."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import atoll
from atoll.guest.protocol import FrameDecoder, FrameType, encode_json
from atoll.runtime.contract import RuntimeUnavailableError, SandboxNotRunningError, Stream
from atoll.runtime.plain import keeper
from atoll.runtime.plain.strays import end_strays
from atoll.runtime.stream import stream_from_socket

_SOCKET: Final = "agent.sock"
_LOG: Final = "agent.log"
_HOME: Final = "home"
_LOG_CHARS: Final = 2000
_BACKLOG: Final = 128
_PAUSE_S: Final = 0.01
_DIAL_S: Final = 5.0
_READY_S: Final = 30.0
_END_S: Final = 15.0


class KeeperProcess:
    """One keeper, from its start to its end. The pipe to it is its leash: closing it ends the sandbox's processes."""

    def __init__(self, folder: Path, *, file_bytes_max: int, lock_fd: int) -> None:
        """Start keeper and agent on a sandbox's folder. Raises ``RuntimeUnavailableError``.

        ``lock_fd`` goes to the keeper and is closed here in any case.
        """
        self._folder = folder
        try:
            self._process = _spawn(folder, file_bytes_max, lock_fd)
        except OSError as error:
            raise RuntimeUnavailableError(f"the agent could not be started: {error.strerror}") from error
        finally:
            os.close(lock_fd)
        self._ended = asyncio.Event()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the keeper is there; the agent may be gone already while its processes are being ended."""
        return not self._ended.is_set()

    async def wait_until_ready(self) -> None:
        """Wait until the agent answers. Raises ``RuntimeUnavailableError`` with its last words when it does not."""
        greeting = asyncio.ensure_future(_greet(self._folder))
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({greeting, ending}, return_when=asyncio.FIRST_COMPLETED, timeout=_READY_S)
            if not greeting.done() or greeting.exception() is not None:
                raise RuntimeUnavailableError(f"the agent did not start: {_last_words(self._folder)}")
        finally:
            for task in (greeting, ending):
                task.cancel()
            await asyncio.gather(greeting, ending, return_exceptions=True)

    async def end(self) -> None:
        """End every process of the sandbox."""
        self._let_go()
        try:
            async with asyncio.timeout(_END_S):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()  # and its agent dies with it
            await self._ended.wait()

    async def wait_until_ended(self) -> None:
        """Wait for a sandbox whose agent is gone already."""
        await self._ended.wait()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._process.wait() < 0:
            end_strays(self._folder / _HOME)
        self._let_go()
        self._ended.set()


async def dial(folder: Path) -> Stream:
    """Connect to the agent of a folder. Raises ``SandboxNotRunningError``, ``RuntimeUnavailableError``."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(_DIAL_S):
            # The loop's own sock_connect takes "too many are waiting" for "connected" on Unix sockets; and no
            # event tells when there is room again.
            while not _connect(sock, folder):  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError as error:
        sock.close()
        raise RuntimeUnavailableError("the agent does not take connections") from error
    except BaseException:
        sock.close()
        raise
    return await stream_from_socket(sock)


def is_listening(folder: Path) -> bool:
    """Tell whether an agent holds the socket, without waiting for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        try:
            _connect(sock, folder)
        except SandboxNotRunningError:
            return False
    return True


def _connect(sock: socket.socket, folder: Path) -> bool:
    try:
        with _short_path(folder) as path:
            sock.connect(f"{path}/{_SOCKET}")
    except BlockingIOError:
        return False
    except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError) as error:
        raise SandboxNotRunningError("the sandbox does not run") from error
    return True


async def _greet(folder: Path) -> None:
    stream = await dial(folder)
    try:
        await stream.write(encode_json(FrameType.REQUEST, {"op": "hello"}))
        decoder = FrameDecoder()
        while data := await stream.read(4096):
            for frame_type, _ in decoder.feed(data):
                if frame_type is FrameType.RESULT:
                    return
        raise RuntimeUnavailableError("the agent hung up")
    finally:
        await stream.aclose()


@contextmanager
def _listening_socket(folder: Path) -> Iterator[socket.socket]:
    with suppress(FileNotFoundError):
        (folder / _SOCKET).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with _short_path(folder) as path:
            listener.bind(f"{path}/{_SOCKET}")
        listener.listen(_BACKLOG)
        yield listener


@contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """Name a folder in a few characters: a Unix socket's path holds 107 bytes, and folders may lie deeper."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _spawn(folder: Path, file_bytes_max: int, lock_fd: int) -> subprocess.Popen[bytes]:
    with _listening_socket(folder) as listener, (folder / _LOG).open("wb") as log:
        listen_fd = listener.fileno()
        agent = [
            *(sys.executable, "-s", "-P", "-m", "atoll.guest"),
            *("--listen-fd", str(listen_fd)),
            *("--data-dir", str(folder / "data")),
            *("--file-bytes-max", str(file_bytes_max)),
        ]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(listen_fd), str(lock_fd), *agent],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=folder / "data",
            env=_environment(folder),
            pass_fds=(listen_fd, lock_fd),
            start_new_session=True,
        )


def _environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder / _HOME),
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(Path(atoll.__file__).parent.parent),
    }


def _last_words(folder: Path) -> str:
    try:
        return (folder / _LOG).read_text(errors="replace")[-_LOG_CHARS:].strip() or "it said nothing"
    except OSError:
        return "it left no log"
