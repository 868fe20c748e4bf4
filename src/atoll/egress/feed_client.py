"""The server's ear at the egress process: hears every decision, and asks what it counts."""

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from atoll.model.container_stats import Traffic
from atoll.model.egress_decision import EgressCounts, EgressDecision, EgressReason
from atoll.model.ids import SandboxId

_log = logging.getLogger(__name__)

_RETRY_PAUSE_S: Final = 0.1
_ANSWER_S_MAX: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1024


class FeedClient:
    """Belongs to one event loop; ``run`` has to run for anything to be heard."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    async def run(self, on_decision: Callable[[EgressDecision], None]) -> None:
        """Hear until cancelled; connects again whenever the process was away."""
        while True:
            with suppress(OSError):
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_LINE_BYTES_MAX)
                try:
                    await self._hear(reader, on_decision)
                except ValueError:
                    _log.exception("the egress process says what cannot be understood")
                finally:
                    self._lose()
            await asyncio.sleep(_RETRY_PAUSE_S)

    async def settle(self) -> None:
        """Return once everything that was decided before now was heard, or nobody is there to tell."""
        await self._ask("settle")

    async def counts(self) -> EgressCounts | None:
        """Give what the process counts; ``None`` when it is away."""
        answer = await self._ask("count")
        return None if answer is None else _counts(answer["counts"])

    async def traffic(self, sandbox_id: SandboxId) -> Traffic | None:
        """Give what went through for one sandbox; ``None`` when nothing may, or the process is away."""
        answer = await self._ask("traffic", sandbox_id=sandbox_id)
        found = None if answer is None else answer["traffic"]
        if found is None:
            return None
        return Traffic(sent=int(found["sent"]), received=int(found["received"]), refused=int(found["refused"]))

    async def _ask(self, question: str, **more: str) -> Mapping[str, Any] | None:
        writer = self._writer
        if writer is None:
            return None
        number = next(self._numbers)
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            writer.write(json.dumps({question: number, **more}).encode() + b"\n")
            async with asyncio.timeout(_ANSWER_S_MAX):
                return await future
        except (OSError, TimeoutError):
            return None
        finally:
            self._waiting.pop(number, None)

    async def _hear(self, reader: asyncio.StreamReader, on_decision: Callable[[EgressDecision], None]) -> None:
        while line := await reader.readline():
            value = json.loads(line)
            if "decision" in value:
                decision = value["decision"]
                on_decision(EgressDecision(**{**decision, "reason": EgressReason(decision["reason"])}))
            elif "lost" in value:
                _log.warning("%d decisions of the egress process are in its own log only", value["lost"])
            else:
                future = self._waiting.get(value["settled"] if "settled" in value else value["id"])
                if future is not None and not future.done():
                    future.set_result(value)

    def _lose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the egress process went away"))


def _counts(value: Mapping[str, Any]) -> EgressCounts:
    return EgressCounts(
        sandboxes=int(value["sandboxes"]),
        connections_open=int(value["connections_open"]),
        decisions={EgressReason(reason): int(count) for reason, count in value["decisions"].items()},
        bytes_sent=int(value["bytes_sent"]),
        bytes_received=int(value["bytes_received"]),
    )
