"""Notes every decision: on the log, one line of JSON each, and for whoever listens."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from atoll.model.egress_decision import EgressDecision, EgressReason

AUDIT_LOG: Final = logging.getLogger("atoll.egress.audit")

_SAME_QUERY_S: Final = 1.0
_QUERIES_REMEMBERED_MAX: Final = 10_000


class Audit:
    """All decisions of this process go through here. ``tell`` is called with each, as JSON."""

    def __init__(self, tell: Callable[[bytes], None], clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._refused_queries: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.decisions: Counter[EgressReason] = Counter()
        self.bytes_sent = 0
        self.bytes_received = 0

    def connection(  # noqa: PLR0917 - a record's fields
        self, sandbox_id: str, name: str, port: int, reason: EgressReason, sent: int, received: int
    ) -> None:
        """Note a connection that has ended, or was not let through."""
        self.decisions[reason] += 1
        self.bytes_sent += sent
        self.bytes_received += received
        self._note(
            EgressDecision(
                at=self._clock(),
                sandbox_id=sandbox_id,
                name=name,
                port=port,
                reason=reason,
                bytes_sent=sent,
                bytes_received=received,
            )
        )

    def forget_queries(self) -> None:
        """Note the next query for each name again, however soon it comes."""
        self._refused_queries.clear()

    def refused_query(self, sandbox_id: str, name: str) -> None:
        """Note a query for a name that is not allowed, once a second: programs ask for it in several ways at once."""
        now = self._clock()
        key = (sandbox_id, name)
        if now - self._refused_queries.get(key, float("-inf")) < _SAME_QUERY_S:
            return
        self._refused_queries[key] = now
        self._refused_queries.move_to_end(key)
        if len(self._refused_queries) > _QUERIES_REMEMBERED_MAX:
            self._refused_queries.popitem(last=False)
        self.decisions[EgressReason.NAME_NOT_ALLOWED] += 1
        self._note(
            EgressDecision(at=now, sandbox_id=sandbox_id, name=name, port=53, reason=EgressReason.NAME_NOT_ALLOWED)
        )

    def _note(self, decision: EgressDecision) -> None:
        line = msgspec.json.encode(decision)
        if AUDIT_LOG.isEnabledFor(logging.INFO):
            fields = {"sandbox_id": decision.sandbox_id, "decision": msgspec.to_builtins(decision)}
            AUDIT_LOG.info("%s", line.decode(), extra={"fields": fields, "is_data": True})
        self._tell(line)
