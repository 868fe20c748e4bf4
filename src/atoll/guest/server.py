"""Accepts the host's connections and hands each one's request to whom it concerns."""

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from atoll.guest.calls import Calls
from atoll.guest.connection import Connection
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import Options
from atoll.guest.paths import PathError, parts_of
from atoll.guest.protocol import PROTOCOL_VERSION, FrameType, ProtocolError, decode_json, encode_json
from atoll.guest.reactor import READ, Reactor, log
from atoll.guest.requests import (
    RequestError,
    read_archive,
    read_get,
    read_process,
    read_put,
    read_python,
    read_shell,
    read_terminal,
    read_terminal_id,
    read_trust,
    read_warm,
)
from atoll.guest.room import Room
from atoll.guest.spawn import become, fork
from atoll.guest.terminals import Terminals
from atoll.guest.transfer import Peer, carry_out, delete, get, put
from atoll.guest.tree import FoundFile, Walk, walk_in_slices
from atoll.guest.trusted_roots import trust

_CONNECTIONS_MAX: Final = 64
_UNREAD_BYTES_MAX: Final = 32 * 1024 * 1024
_BATCH_FILES: Final = 256
_REST_S: Final = 0.2
# What comes often enough for a new connection each time to show.
_KEEPING: Final = ("python", "shell", "process")


class Server:
    """Owns the listening socket and what is open on it."""

    def __init__(self, listener: socket.socket, options: Options, reactor: Reactor) -> None:
        self._listener = listener
        self._options = options
        self._reactor = reactor
        self._connections: set[Connection] = set()
        self._transfers: set[int] = set()
        self._is_accepting = False
        forks = ForkClient(options, reactor)
        self._calls = Calls(reactor, options, Room(reactor, options.people, self._transfers.__contains__), forks)
        self._terminals = Terminals(reactor, options, forks)
        listener.setblocking(False)
        self._accept_more()

    def shut_down(self) -> None:
        """End people's processes and stop."""
        self._calls.shut_down()
        self._reactor.stop()

    def _accept_more(self) -> None:
        room = len(self._connections) + len(self._transfers) < _CONNECTIONS_MAX
        self._reactor.watch(self._listener.fileno(), READ if room else 0, self._on_accept, log)

    def _on_accept(self, _events: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log(error)
            self._rest()
            return
        self._connections.add(Connection(sock, self._reactor, self._on_request, self._on_close, self._drop_hoarders))
        self._accept_more()

    def _rest(self) -> None:
        """Out of descriptors or memory: the listener would stay readable, so look away for a moment."""
        self._reactor.watch(self._listener.fileno(), 0, self._on_accept, log)
        self._reactor.call_later(_REST_S, self._accept_more, log)

    def _drop_hoarders(self) -> None:
        """Keep what half-sent requests hold within a bound, at the expense of the largest."""
        while sum(one.decoder.buffered_bytes for one in self._connections) > _UNREAD_BYTES_MAX:
            max(self._connections, key=lambda one: one.decoder.buffered_bytes).close()

    def _on_close(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._accept_more()

    def _on_request(self, connection: Connection, payload: bytes) -> None:
        try:
            self._dispatch(connection, decode_json(payload))
        except RequestError as error:
            connection.fail("bad_request", str(error), error.field)
        except (ProtocolError, PathError) as error:
            connection.fail("bad_request", str(error))

    def _dispatch(self, connection: Connection, fields: dict[str, Any]) -> None:
        op = fields.get("op")
        connection.is_kept = op in _KEEPING and fields.get("keep") is True
        match op:
            case "hello":
                connection.finish(FrameType.RESULT, {"protocol": PROTOCOL_VERSION})
            case "python":
                self._calls.python(read_python(fields), connection)
            case "shell":
                self._calls.shell(read_shell(fields), connection)
            case "process":
                self._calls.process(read_process(fields), connection)
            case "warm":
                self._calls.warm(read_warm(fields), connection)
            case "interrupt":
                connection.finish(FrameType.RESULT, {"interrupted": self._calls.interrupt()})
            case "trust":
                self._trust(connection, fields)
            case "terminal_open" | "terminal_attach" | "terminal_list" | "terminal_close":
                self._terminal(connection, fields)
            case "restart":
                self._terminals.close_all("restarted")
                self._calls.restart(connection)
            case "files_list":
                self._list_files(connection)
            case "file_put" | "file_get" | "file_delete" | "archive_put" | "archive_get":
                self._transfer(connection, fields)
            case other:
                raise RequestError(f"unknown op {str(other)[:64]!r}")

    def _trust(self, connection: Connection, fields: dict[str, Any]) -> None:
        if self._options.people.uid is None:
            raise RequestError("without walls there is nothing in here that could trust for itself")
        trust(read_trust(fields))
        connection.finish(FrameType.RESULT, {})

    def _terminal(self, connection: Connection, fields: dict[str, Any]) -> None:
        match fields["op"]:
            case "terminal_open":
                self._terminals.open(read_terminal(fields), connection)
            case "terminal_attach":
                self._terminals.attach(read_terminal(fields), connection)
            case "terminal_list":
                self._terminals.list(connection)
            case _:
                self._terminals.close(read_terminal_id(fields), connection)

    def _list_files(self, connection: Connection) -> None:
        walk = Walk(self._options.people.data_dir)
        batch: list[dict[str, Any]] = []

        def take(found: list[FoundFile]) -> None:
            batch.extend(file.as_json() for file in found)
            if len(batch) >= _BATCH_FILES:
                _send_batch(connection, batch)

        def steps() -> Any:
            for _ in walk_in_slices(walk, self._options.people, take):
                yield
            if batch:
                _send_batch(connection, batch)
            connection.finish(FrameType.RESULT, {"complete": walk.is_complete})

        work = steps()
        connection.on_hangup = lambda: self._reactor.forget(work)
        self._reactor.step_through(work, lambda _error: connection.fail("internal", "The listing failed."))

    def _transfer(self, connection: Connection, fields: dict[str, Any]) -> None:
        is_archive = fields["op"] in ("archive_put", "archive_get")
        work = self._archive_work(connection, fields) if is_archive else self._file_work(connection, fields)
        try:
            pid = fork(work)
        except OSError as error:
            is_full = error.errno in (errno.EAGAIN, errno.ENOMEM)
            connection.fail("busy" if is_full else "internal", f"No process for the transfer: {error.strerror}.")
            return
        self._transfers.add(pid)
        self._reactor.watch_child(pid, lambda _end: self._transfer_ended(pid), log)
        connection.on_hangup = None
        connection.close()

    def _file_work(self, connection: Connection, fields: dict[str, Any]) -> Callable[[], None]:
        people = self._options.people
        op, path = fields["op"], fields.get("path")
        parts_of(path)
        get_request = read_get(fields) if op == "file_get" else None
        put_request = read_put(fields) if op == "file_put" else None

        def work(peer: Peer) -> dict[str, Any]:
            if get_request is not None:
                return get(people.data_dir, get_request, peer)
            if put_request is not None:
                return put(people.data_dir, put_request, peer, people.file_bytes_max)
            return delete(people.data_dir, str(path))

        return self._in_child(connection, work)

    def _archive_work(self, connection: Connection, fields: dict[str, Any]) -> Callable[[], None]:
        from atoll.guest import archive_in, archive_out  # noqa: PLC0415 - few agents have use for it, and for tarfile

        people = self._options.people
        request = read_archive(fields)
        if fields["op"] == "archive_get":
            return self._in_child(connection, lambda peer: archive_out.get_archive(people.data_dir, request, peer))
        return self._in_child(connection, lambda peer: archive_in.put_archive(people, request, peer))

    def _in_child(self, connection: Connection, work: Callable[[Peer], dict[str, Any]]) -> Callable[[], None]:
        def in_child() -> None:
            sock = connection.detach()
            _close_others(sock.fileno())
            become(self._options.people)
            peer = Peer(sock, connection.decoder)
            carry_out(peer, lambda: work(peer))

        return in_child

    def _transfer_ended(self, pid: int) -> None:
        self._transfers.discard(pid)
        self._accept_more()


def _close_others(fd: int) -> None:
    """In a transfer's child: hold no one else's connection open, nor the pipes of people's processes."""
    os.closerange(3, fd)
    os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))


def _send_batch(connection: Connection, batch: list[dict[str, Any]]) -> None:
    connection.send(encode_json(FrameType.EVENT, {"event": "files", "files": batch}))
    batch.clear()
