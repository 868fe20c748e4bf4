"""Starts programs, by way of a small process beside the agent where the agent itself is large.

An agent that was forked preloaded has all of pandas in its memory. A fork of it copies the tables of that memory, and
tears them down again, for a program that is executed at once: that takes longer than many a command. So it keeps a
fresh, small interpreter (``fork_server``) that forks in its stead, with ``CLONE_PARENT``: what is forked is the agent's
own child in every way. It is started with the first program, which is forked as before, and used when it is ready.
"""

import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from atoll.guest import fork_server
from atoll.guest.options import Options
from atoll.guest.program import Program
from atoll.guest.reactor import Reactor, log
from atoll.guest.spawn import execute, fork, launch, place_descriptors

_ANSWER_BYTES_MAX: Final = 16
_ANSWER_S_MAX: Final = 30.0
_GUEST_ROOT: Final = str(Path(__file__).parents[2])
# Too large for the socket of this machine, or too many descriptors on their way in it: nothing was forked.
_NOT_TAKEN: Final = frozenset({errno.EMSGSIZE, errno.ETOOMANYREFS})


class ForkClient:
    """Starts programs of people's code."""

    def __init__(self, options: Options, reactor: Reactor) -> None:
        self._options = options
        self._reactor = reactor
        self._server: _Server | None = None
        self._wants_server = options.forks_python and fork_server.can_run()

    def spawn(self, argv: Sequence[str], fds: Mapping[int, int]) -> int:
        """Start a program; see ``atoll.guest.spawn.spawn``. Raises ``OSError`` when there is no room for it."""
        arguments = [os.fsencode(argument) for argument in argv]
        return self._fork(b"", arguments, fds, lambda: execute(argv, fds, self._options.people))

    def launch(self, program: Program, fds: Mapping[int, int]) -> int:
        """Start a program; see ``atoll.guest.spawn.launch``. Raises ``OSError`` when there is no room for it."""
        encoded = program.encoded()
        return self._fork(fork_server.PROGRAM, encoded, fds, lambda: launch(program, fds, self._options.people))

    def _fork(self, mark: bytes, fields: Sequence[bytes], fds: Mapping[int, int], in_child: Callable[[], None]) -> int:
        if self._server is not None and self._server.is_ready():
            pid = self._ask(self._server, mark, fields, fds)
            if pid is not None:
                return pid
        pid = fork(in_child)
        if self._wants_server and self._server is None:
            self._start()
        return pid

    def _ask(self, server: "_Server", mark: bytes, fields: Sequence[bytes], fds: Mapping[int, int]) -> int | None:
        try:
            return server.fork(mark, fields, fds)
        except _ServerGoneError as error:
            # Whether it has forked before it died is not known; whoever has no room ends all that may be left.
            self._server = None
            raise OSError(errno.ENOMEM, "the process that forks has died") from error

    def _start(self) -> None:
        try:
            server = _Server(self._options)
        except OSError as error:
            log(error)
            self._wants_server = False
            return
        self._server = server
        self._reactor.watch_child(server.pid, lambda _end: self._forget(server), log)

    def _forget(self, server: "_Server") -> None:
        self._wants_server = self._wants_server and server.is_ready()
        server.close()
        if self._server is server:
            self._server = None


class _ServerGoneError(Exception):
    """It died, or does not answer."""


class _Server:
    """The agent's end of a running one. Raises ``OSError`` when there is no room for it."""

    def __init__(self, options: Options) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._is_ready = False
        try:
            with theirs:
                self._socket.settimeout(_ANSWER_S_MAX)
                self._socket.send(json.dumps(asdict(options.people)).encode())
                self.pid = _start(options, theirs.fileno())
        except OSError:
            self._socket.close()
            raise

    def is_ready(self) -> bool:
        """Tell whether it can be asked, or could be once."""
        if not self._is_ready:
            with contextlib.suppress(OSError):
                self._is_ready = self._socket.recv(_ANSWER_BYTES_MAX, socket.MSG_DONTWAIT) == fork_server.READY
        return self._is_ready

    def fork(self, mark: bytes, fields: Sequence[bytes], fds: Mapping[int, int]) -> int | None:
        """Give the process's number; ``None`` when the question cannot be put. Raises ``OSError`` as a fork does."""
        message = b"\0".join([" ".join(map(str, fds)).encode() + mark, *fields])
        if len(message) > fork_server.MESSAGE_BYTES_MAX:
            return None
        answer = b""
        try:
            socket.send_fds(self._socket, [message], list(fds.values()))
            answer = self._socket.recv(_ANSWER_BYTES_MAX)
        except OSError as error:
            if error.errno in _NOT_TAKEN:
                return None
        if not answer:
            self.close()
            raise _ServerGoneError
        number = int(answer)
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return number

    def close(self) -> None:
        """Let go of it, and see that it ends."""
        if self._socket.fileno() != -1:
            self._socket.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _start(options: Options, fd: int) -> int:
    argv = [options.python, "-I", "-S", "-B", fork_server.__file__, _GUEST_ROOT]

    def in_child() -> None:
        place_descriptors({fork_server.SOCKET_FD: fd})
        os.execve(argv[0], argv, {"LANG": "C.UTF-8"})  # noqa: S606 - a list of arguments, no shell: as it should be

    # Not by posix_spawn: it leaves two signals ignored, which everything started from there would inherit.
    return fork(in_child)
