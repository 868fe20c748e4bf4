"""Asking an agent to do things: one method an operation, nothing taken on trust."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from atoll.agent.archive import AgentUnpacked, ArchiveDownload, read_unpacked
from atoll.agent.download import Download
from atoll.agent.errors import AgentMisbehavedError
from atoll.agent.exchange import READ_BYTES, Exchange, Frame, MakeRoom, frames_of, open_exchange, unlimited
from atoll.agent.fields import Fields, read_boolean, read_integer
from atoll.agent.files import AgentContent, AgentFile, FileListing, ListingReader, is_data_path, read_file
from atoll.agent.patience import Patience
from atoll.agent.process import AgentProcessEvent, ProcessReader
from atoll.agent.python import AgentPythonEvent, PythonReader
from atoll.agent.shell import AgentShellEvent, ShellReader
from atoll.agent.terminal import AgentTerminal, ListedTerminal, read_attached, read_terminals
from atoll.agent.upload import FRAME_BYTES_MAX, Upload
from atoll.guest.protocol import DATA_ROOT, PROTOCOL_VERSION, FrameType, encode
from atoll.model.processes import NewProcess
from atoll.model.terminals import TerminalSize
from atoll.runtime.contract import Stream

_NO_ENVIRONMENT: Final[Mapping[str, str]] = {}

IMAGES_MAX: Final = 100
IMAGES_BYTES_MAX: Final = 64 * 1024 * 1024

Event_co = TypeVar("Event_co", covariant=True)
Event = TypeVar("Event")


class CallReader(Protocol[Event_co]):
    """What turns a call's frames into events."""

    def take(self, frame_type: FrameType, payload: bytes) -> Iterator[Event_co]:
        """Give the events of the next frame."""
        ...


class AgentClient:
    """Speaks with one sandbox's agent, each operation on a connection of its own.

    With ``keep`` the connection of a call that came to its end is handed over instead of closed: ``dial`` may give it
    again to the same sandbox's next operation, if it is still quiet then.
    ``dial`` connects and bounds itself. Every method raises what ``dial`` raises, and ``AgentError``. The generators
    dial when first iterated; close them (``contextlib.aclosing``) to hang up, which interrupts the call.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Stream]],
        *,
        keep: Callable[[Stream], Awaitable[None]] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._dial = dial
        self._keep = keep
        self._patience = patience or Patience()

    async def hello(self) -> None:
        """Check that the agent is there and speaks this version of the protocol."""
        result = await self._ask({"op": "hello"})
        if read_integer(result, "protocol", 0, 2**31) != PROTOCOL_VERSION:
            raise AgentMisbehavedError("the agent speaks another version of the protocol")

    def python(
        self,
        code: str,
        timeout_ms: int,
        output_bytes_max: int,
        images_max: int = IMAGES_MAX,
        *,
        make_room: MakeRoom = unlimited,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
        html: bool = False,
    ) -> AsyncGenerator[AgentPythonEvent, None]:
        """Run code in the sandbox's Python; the last event, and only that, is an ``AgentPythonEnded``.

        ``html`` asks for values in their HTML form, where they have one.
        """
        request = {
            "op": "python",
            "code": code,
            "timeout_ms": timeout_ms,
            "output_bytes_max": output_bytes_max,
            "images_max": images_max,
            **({"environment": dict(environment)} if environment else {}),
            **({"html": True} if html else {}),
        }
        reader = PythonReader(
            output_bytes_max=output_bytes_max, images_max=images_max, images_bytes_max=IMAGES_BYTES_MAX, html=html
        )
        return self._call(request, reader, timeout_ms, make_room)

    def shell(
        self,
        commands: Sequence[str],
        timeout_ms: int,
        output_chars_max: int,
        *,
        make_room: MakeRoom = unlimited,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
    ) -> AsyncGenerator[AgentShellEvent, None]:
        """Run commands one after the other; the last event, and only that, is an ``AgentShellEnded``."""
        request = {
            "op": "shell",
            "commands": list(commands),
            "timeout_ms": timeout_ms,
            "output_chars_max": output_chars_max,
            **({"environment": dict(environment)} if environment else {}),
        }
        reader = ShellReader(commands_count=len(commands), output_chars_max=output_chars_max)
        return self._call(request, reader, timeout_ms, make_room)

    def process(
        self,
        process: NewProcess,
        timeout_ms: int,
        output_bytes_max: int,
        *,
        make_room: MakeRoom = unlimited,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
    ) -> AsyncGenerator[AgentProcessEvent, None]:
        """Run a program beside whatever else runs; the last event, and only that, is an ``AgentProcessEnded``.

        Its own environment goes before ``environment``. One that cannot be started is refused before any event.
        """
        request = {
            "op": "process",
            "argv": list(process.argv),
            "environment": {**environment, **process.environment},
            "cwd": process.cwd,
            "user": process.user,
            "input": process.stdin is not None,
            "timeout_ms": timeout_ms,
            "output_bytes_max": output_bytes_max,
        }
        reader = ProcessReader(output_bytes_max=output_bytes_max)
        return self._call(request, reader, timeout_ms, make_room, process.stdin)

    async def interrupt(self) -> bool:
        """Stop the call that runs; tells whether one did."""
        return read_boolean(await self._ask({"op": "interrupt"}), "interrupted")

    async def open_terminal(
        self,
        terminal_id: str,
        size: TerminalSize,
        *,
        terminals_max: int,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
    ) -> AgentTerminal:
        """Start a shell in a new terminal and connect to it; refused as ``too_many`` where there are so many."""
        request = {"op": "terminal_open", "terminals_max": terminals_max, "environment": dict(environment)}
        return await self._attach(request, terminal_id, size)

    async def attach_terminal(self, terminal_id: str, size: TerminalSize) -> AgentTerminal:
        """Connect to a terminal instead of whoever is; refused as ``not_found``."""
        return await self._attach({"op": "terminal_attach"}, terminal_id, size)

    async def list_terminals(self) -> tuple[ListedTerminal, ...]:
        """Give the terminals there are."""
        return read_terminals(await self._ask({"op": "terminal_list"}))

    async def close_terminal(self, terminal_id: str) -> bool:
        """End a terminal; tells whether it was there."""
        return read_boolean(await self._ask({"op": "terminal_close", "id": terminal_id}), "closed")

    async def trust(self, pem: str) -> None:
        """Have programs inside trust an authority, beside those that they trust already."""
        await self._ask({"op": "trust", "pem": pem})

    async def restart(self) -> None:
        """End every process of people's code; the next call has a fresh Python."""
        await self._ask({"op": "restart"})

    async def list_files(self, files_max: int) -> FileListing:
        """Find at most ``files_max`` regular files under ``/mnt/data``, in no order."""
        exchange = await self._open({"op": "files_list"})
        reader = ListingReader(files_max)
        try:
            while reader.listing is None:
                frame_type, payload = await exchange.receive(until=_now() + self._patience.idle_s)
                reader.take(frame_type, payload)
                if frame_type is FrameType.RESULT:
                    exchange.expect_end()
            return reader.listing
        finally:
            await exchange.aclose()

    async def put_file(self, path: str, chunks: AsyncIterator[bytes], exclusive: bool) -> AgentFile:
        """Write a file; with ``exclusive`` one that is there is not replaced (refused as ``exists``).

        When this raises, whatever it raises, what was at ``path`` before is there unchanged, unless the connection
        broke just before the agent's last word. Errors of ``chunks`` come out unchanged.
        """
        _require_data_path(path)
        exchange = await self._open({"op": "file_put", "path": path, "exclusive": exclusive})
        try:
            file = read_file(await Upload(exchange, chunks, self._patience).run())
        finally:
            await exchange.aclose()
        if file.path != path:
            raise AgentMisbehavedError("the agent wrote another file than it was given")
        return file

    async def get_file(self, path: str, offset: int = 0, length: int | None = None) -> AgentContent:
        """Start reading a file at ``offset``, for ``length`` bytes or to its end."""
        _require_data_path(path)
        exchange = await self._open({"op": "file_get", "path": path, "offset": offset, "length": length})
        try:
            download = Download(exchange, self._patience)
            return AgentContent(size=await download.open(offset, length), chunks=download)
        except BaseException:
            await exchange.aclose()
            raise

    async def put_archive(self, path: str, entries_max: int, chunks: AsyncIterator[bytes]) -> AgentUnpacked:
        """Unpack a tar into a folder; refused as ``bad_archive`` for what is not taken.

        When this raises, whatever it raises, nothing was changed, unless the connection broke just before the agent's
        last word, or code in the sandbox meddled with the folder at that moment. Errors of ``chunks`` come out
        unchanged.
        """
        _require_data_folder(path)
        exchange = await self._open({"op": "archive_put", "path": path, "entries_max": entries_max})
        try:
            return read_unpacked(await Upload(exchange, chunks, self._patience).run())
        finally:
            await exchange.aclose()

    async def get_archive(self, path: str, entries_max: int) -> ArchiveDownload:
        """Start packing a folder or a file; the bytes end with an error when it cannot be gone through with."""
        _require_data_folder(path)
        exchange = await self._open({"op": "archive_get", "path": path, "entries_max": entries_max})
        try:
            download = ArchiveDownload(exchange, self._patience)
            await download.open()
        except BaseException:
            await exchange.aclose()
            raise
        return download

    async def delete_file(self, path: str) -> bool:
        """Remove a file; tells whether it was there."""
        _require_data_path(path)
        return read_boolean(await self._ask({"op": "file_delete", "path": path}), "deleted")

    async def _attach(self, request: Mapping[str, Any], terminal_id: str, size: TerminalSize) -> AgentTerminal:
        exchange = await open_exchange(
            self._dial,
            {**request, "id": terminal_id, "columns": size.columns, "rows": size.rows},
            send_s=self._patience.answer_s,
            read_bytes_max=READ_BYTES,  # what one terminal holds in memory is all that it ever needs to
        )
        try:
            read_attached(*await exchange.receive(until=_now() + self._patience.answer_s), terminal_id)
        except BaseException:
            await exchange.aclose()
            raise
        return AgentTerminal(exchange)

    async def _open(self, request: Mapping[str, Any], make_room: MakeRoom = unlimited) -> Exchange:
        return await open_exchange(self._dial, request, send_s=self._patience.answer_s, make_room=make_room)

    async def _ask(self, request: Mapping[str, Any]) -> Fields:
        exchange = await self._open(request)
        try:
            return await exchange.receive_result(until=_now() + self._patience.answer_s)
        finally:
            await exchange.aclose()

    async def _call(
        self,
        request: Mapping[str, Any],
        reader: CallReader[Event],
        timeout_ms: int,
        make_room: MakeRoom,
        data: bytes | None = None,
    ) -> AsyncGenerator[Event, None]:
        keep = self._keep if data is None else None  # more of the data may still be on its way at the end
        exchange = await self._open({**request, "keep": True} if keep else request, make_room)
        finished = False
        feeding = None if data is None else asyncio.create_task(_feed(exchange, data))
        try:
            deadline = _now() + timeout_ms / 1000 + self._patience.call_grace_s
            while not finished:
                events, finished = _events_of(await exchange.receive(until=deadline), exchange, reader)
                handed_over_at = _now()
                for event in events:
                    yield event
                # The time that a slow reader above holds us up, and through the socket the agent too, is not the
                # agent's.
                deadline += _now() - handed_over_at
        finally:
            if feeding is not None:
                feeding.cancel()
            if finished and keep is not None:
                await keep(exchange.release())
            else:
                await exchange.aclose()
            if feeding is not None:
                await asyncio.wait((feeding,))


async def _feed(exchange: Exchange, data: bytes) -> None:
    """Send what a program reads, as fast as it does. An agent that hangs up says why to whoever listens."""
    with suppress(ConnectionError):
        for frame in frames_of(data, FRAME_BYTES_MAX):
            await exchange.send(frame, within_s=None)
        await exchange.send(encode(FrameType.END), within_s=None)


def _events_of(frame: Frame, exchange: Exchange, reader: CallReader[Event]) -> tuple[tuple[Event, ...], bool]:
    """Give a frame's events, and whether it was the last; nothing else remembers the frame, which may be large."""
    is_last = frame[0] is FrameType.RESULT
    if is_last:
        exchange.expect_end()
    return tuple(reader.take(*frame)), is_last


def _now() -> float:
    return asyncio.get_running_loop().time()


def _require_data_folder(path: str) -> None:
    if path != DATA_ROOT:
        _require_data_path(path)


def _require_data_path(path: str) -> None:
    if not is_data_path(path):
        raise ValueError(f"not the path of a file in a container: {path!a}")
