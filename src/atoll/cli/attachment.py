"""A person's terminal connected to one in a container, over breaks of the connection."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from atoll.cli import raw_terminal
from atoll.cli.escape_key import EscapeReader
from atoll.cli.exit_codes import ExitCode, code_of_status
from atoll.cli.raw_terminal import RawTerminal
from atoll.cli.screen_modes import ScreenModes
from atoll.cli.terminal import harmless

_READ_BYTES: Final = 32 * 1024
_CLEAR: Final = b"\x1b[H\x1b[2J"
_CTRL_C: Final = b"\x03"
_OPEN_TIMEOUT_S: Final = 10.0
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_GIVE_UP_S: Final = 60.0
# A connection that held for so long was one: what comes after it is another break, and not the same one still.
_STEADY_S: Final = 15.0
_ERRORS_FROM: Final = 4000  # a closing code above is that of an error: 4000 and its HTTP status


@dataclass(frozen=True, slots=True)
class Way:
    """Where the terminal is: the WebSocket's address without a query, headers, and whether to mind proxies."""

    url: str
    headers: dict[str, str]
    is_remote: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went: the shell's exit code, or ``None`` when it goes on without us; no id where there never was a way."""

    terminal_id: str | None
    exit_code: int | None


class NoTerminalError(Exception):
    """There is no terminal, or no more; the message says why, ``code`` is for scripts."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


async def attach(way: Way, terminal_id: str | None, escape: EscapeReader) -> Ended:
    """Connect this side's terminal until the shell ends or the person leaves. Raises ``NoTerminalError``."""
    with raw_terminal.raw_terminal() as terminal:
        attachment = _Attachment(way, terminal_id, escape)
        try:
            with attachment.hearing_signals(terminal):
                return await attachment.run()
        finally:
            with suppress(OSError):
                raw_terminal.write(attachment.modes.undo())


class _Lost(Exception):  # noqa: N818 - no error: it is connected again
    """The connection broke, but the terminal may well go on."""


class _Attachment:
    def __init__(self, way: Way, terminal_id: str | None, escape: EscapeReader) -> None:
        self.modes = ScreenModes()
        self._way = way
        self._terminal_id = terminal_id
        self._escape = escape
        self._socket: ClientConnection | None = None
        self._connected_once = asyncio.Event()
        self._left = asyncio.Event()
        self._resized = asyncio.Event()

    async def run(self) -> Ended:
        keys = asyncio.create_task(self._pass_keys())
        sizes = asyncio.create_task(self._pass_sizes())
        screen = asyncio.create_task(self._show_until_the_end())
        left = asyncio.create_task(self._left.wait())
        tasks: tuple[asyncio.Task[Any], ...] = (keys, sizes, screen, left)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if screen.done():
                return Ended(self._terminal_id, screen.result())
            if keys.done():
                keys.result()
            return Ended(self._terminal_id if self._connected_once.is_set() else None, None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def hearing_signals(self, terminal: RawTerminal) -> Iterator[None]:
        """Mind the window's size, being stopped and continued, and being asked to end."""

        def continued() -> None:
            terminal.enter()
            self._resized.set()

        loop = asyncio.get_running_loop()
        actions = {
            signal.SIGWINCH: self._resized.set,
            signal.SIGCONT: continued,
            signal.SIGTERM: self._left.set,
            signal.SIGHUP: self._left.set,
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield
        finally:
            for number in actions:
                loop.remove_signal_handler(number)

    async def _show_until_the_end(self) -> int:
        """Connect, and connect again while the terminal goes on without us; gives the shell's exit code."""
        clock = asyncio.get_running_loop().time
        lost_at: float | None = None
        attempt = 0
        while True:
            connected_at = clock()
            try:
                async with self._connected() as socket:
                    return await self._show(socket, is_again=lost_at is not None)
            except (_Lost, OSError, TimeoutError, InvalidHandshake) as error:
                if self._terminal_id is None or _is_refusal(error):
                    raise _unreachable("The terminal cannot be reached", error) from error
                now = clock()
                if lost_at is None or now - connected_at > _STEADY_S:
                    lost_at, attempt = now, 0
                    _say(f"the connection broke ({_reason(error)}); connecting again, Ctrl-C leaves")
                if now - lost_at > _GIVE_UP_S:
                    raise _unreachable("The terminal cannot be reached again", error) from error
            await asyncio.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
            attempt += 1

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        columns, rows = raw_terminal.size()
        query = {"cols": columns, "rows": rows} | ({"terminal_id": self._terminal_id} if self._terminal_id else {})
        async with connect(
            f"{self._way.url}?{urlencode(query)}",
            additional_headers=self._way.headers,
            proxy=True if self._way.is_remote else None,
            compression=None,
            open_timeout=_OPEN_TIMEOUT_S,
            max_queue=4,
        ) as socket:
            self._socket = socket
            self._connected_once.set()
            try:
                yield socket
            finally:
                self._socket = None

    async def _show(self, socket: ClientConnection, *, is_again: bool) -> int:
        last: dict[str, Any] = {}
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    await self._write(message)
                    continue
                last = json.loads(message)
                if last["type"] == "attached":
                    self._terminal_id = str(last["terminal_id"])
                    if is_again:  # what the screen shows is shown once more
                        await self._write(self.modes.undo() + _CLEAR)
                elif last["type"] == "exit":
                    return _exit_code(last)
        except ConnectionClosed:
            pass
        raise _why(socket, last)

    async def _write(self, data: bytes) -> None:
        self.modes.feed(data)
        try:
            # A terminal may take its time (a stopped window): meanwhile pings are answered.
            await asyncio.to_thread(raw_terminal.write, data)
        except OSError:
            self._left.set()
            await asyncio.Event().wait()

    async def _pass_keys(self) -> None:
        """Pass on what is typed until the person leaves; what is typed while the connection is broken is dropped."""
        while typed := await _typed():
            data = self._escape.feed(typed)
            if self._socket is None and _CTRL_C in data:
                return
            if data:
                await self._connected_once.wait()
                await self._send(data)
            if self._escape.is_detached:
                return

    async def _send(self, message: bytes | str) -> None:
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(message)

    async def _pass_sizes(self) -> None:
        while True:
            await self._resized.wait()
            self._resized.clear()
            columns, rows = raw_terminal.size()
            await self._send(json.dumps({"type": "resize", "cols": columns, "rows": rows}))


def _why(socket: ClientConnection, last: dict[str, Any]) -> _Lost:
    """Give why a connection ended that the terminal outlives; raises ``NoTerminalError`` for another."""
    code, reason = socket.close_code or 0, socket.close_reason or ""
    if code >= _ERRORS_FROM:
        told = last.get("error", {}).get("message") if last.get("type") == "error" else last.get("message")
        text = harmless(str(told or reason or f"closed with {code}"))
        raise NoTerminalError(text, code_of_status(code - _ERRORS_FROM))
    return _Lost(reason or f"closed with {code or 'nothing said'}")


async def _typed() -> bytes:
    """Wait for keys; empty when the terminal is gone."""
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)
    try:
        return os.read(fd, _READ_BYTES)
    except OSError:
        return b""


def _exit_code(message: dict[str, Any]) -> int:
    code = message["exit_code"]
    return int(code) if code is not None else 128 + int(message["signal"] or 0)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, InvalidStatus) and error.response.status_code < 500


def _unreachable(what: str, error: BaseException) -> NoTerminalError:
    status = error.response.status_code if isinstance(error, InvalidStatus) else 502
    return NoTerminalError(f"{what}: {_reason(error)}.", code_of_status(status))


def _reason(error: BaseException) -> str:
    return harmless(str(error) or type(error).__name__).rstrip(".")


def _say(text: str) -> None:
    sys.stderr.write(f"\r\n[atoll: {text}]\r\n")
    sys.stderr.flush()
