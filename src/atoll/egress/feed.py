"""Tells the server of every decision, over a Unix socket; what happens while nobody listens is kept for a while.

Lines of JSON. From here: ``{"decision": {...}}`` as decisions fall, ``{"lost": count}`` for those that were not kept,
``{"settled": id}``, ``{"counts": {...}, "id": id}`` and ``{"traffic": {...} or null, "id": id}`` as answers. To here:
``{"settle": id}``, which is answered after every decision that fell before it, ``{"count": id}``, and ``{"traffic": id,
"sandbox_id": ...}``. The listener that came last is told.
"""

import asyncio
import json
import logging
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from atoll.model.container_stats import Traffic

_log = logging.getLogger(__name__)

_KEPT_MAX: Final = 10_000
_UNREAD_BYTES_MAX: Final = 8 << 20
_LINE_BYTES_MAX: Final = 4096
_DECISION: Final = b'{"decision": %b}\n'
_CREDENTIALS: Final = struct.Struct("3i")
# Since Python 3.13 a server looks up the path of its socket to remove it at the end. Ours was bound by way of a
# descriptor, so that path leads nowhere by now; and the next start removes what lies there.
_LEAVE_PATH_ALONE: Final[Mapping[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Feed:
    """Belongs to one event loop."""

    def __init__(self, allowed_uids: frozenset[int]) -> None:
        self._allowed_uids = allowed_uids
        self._counts: Callable[[], Mapping[str, Any]] = dict
        self._on_settle: Callable[[], None] = lambda: None
        self._traffic: Callable[[str], Traffic | None] = lambda _: None
        self._kept: deque[bytes] = deque()
        self._lost = 0
        self._listener: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def serve(
        self,
        sock: socket.socket,
        counts: Callable[[], Mapping[str, Any]],
        on_settle: Callable[[], None],
        traffic: Callable[[str], Traffic | None] = lambda _: None,
    ) -> None:
        """Let listeners connect to a bound socket.

        ``counts`` gives what is counted; ``on_settle`` is called when a listener asks for everything until then,
        ``traffic`` gives what went through for one sandbox.
        """
        self._counts, self._on_settle, self._traffic = counts, on_settle, traffic
        self._server = await asyncio.start_unix_server(
            self._welcome, sock=sock, limit=_LINE_BYTES_MAX, **_LEAVE_PATH_ALONE
        )

    def tell(self, decision: bytes) -> None:
        """Pass a decision on, which is in JSON already."""
        if self._listener is not None and not self._is_deaf(self._listener):
            self._listener.write(_DECISION % decision)
            return
        if len(self._kept) >= _KEPT_MAX:
            self._kept.popleft()
            self._lost += 1
        self._kept.append(decision)

    def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        if self._listener is not None:
            self._listener.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(peer)[1] not in self._allowed_uids:
            writer.close()
            return
        if self._listener is not None:
            self._listener.close()
        self._listener = writer
        self._tell_kept(writer)
        try:
            while line := await reader.readline():
                self._answer(writer, line)
        except (OSError, ValueError) as error:
            _log.warning("the listener is hung up on: %s", error)
        finally:
            if self._listener is writer:
                self._listener = None
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        """Raise ``ValueError`` for what is no question."""
        question = json.loads(line)
        if not isinstance(question, dict):
            raise ValueError("not a question")  # noqa: TRY004 - one kind of error for whatever is wrong with it
        if "settle" in question:
            self._on_settle()
            self._say(writer, {"settled": question["settle"]})
        elif "count" in question:
            self._say(writer, {"counts": self._counts(), "id": question["count"]})
        elif "traffic" in question:
            traffic = self._traffic(str(question.get("sandbox_id")))
            self._say(writer, {"traffic": traffic and asdict(traffic), "id": question["traffic"]})

    def _tell_kept(self, writer: asyncio.StreamWriter) -> None:
        if self._lost:
            self._say(writer, {"lost": self._lost})
            self._lost = 0
        while self._kept:
            writer.write(_DECISION % self._kept.popleft())

    def _is_deaf(self, writer: asyncio.StreamWriter) -> bool:
        if writer.is_closing():
            return True
        if writer.transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
            writer.transport.abort()
            return True
        return False

    def _say(self, writer: asyncio.StreamWriter, value: Mapping[str, Any]) -> None:
        writer.write(json.dumps(value).encode() + b"\n")
