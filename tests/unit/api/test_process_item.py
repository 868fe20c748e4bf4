"""A program's bytes become text or Base64, whole and piece by piece."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.api import wire
from atoll.api.json_text import JsonPieces
from atoll.api.process_item import ProcessItem
from atoll.model.ids import ProcessId
from atoll.model.processes import Exited, ProcessEnded, ProcessEvent, ProcessGap, ProcessOutput, ProcessStarted

ENDED = ProcessEnded(outcome=Exited(0), notes=(), cause="itself")


def play(encoding: wire.Encoding, *events: ProcessEvent) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give the whole item and the deltas of the stream, as they are sent."""
    item = ProcessItem("cntr_1", encoding)
    said = [one for event in (ProcessStarted(ProcessId("proc_1")), *events, ENDED) for one in item.take(event)]
    assert [one.sequence_number for one in said] == list(range(len(said)))
    whole = msgspec.json.decode(b"".join(JsonPieces(item.item())))
    return whole, [one["delta"] for one in msgspec.json.decode(msgspec.json.encode(said[1:-1]))]


@given(st.lists(st.binary(max_size=10), max_size=10))
def test_base64_is_of_exactly_the_bytes(pieces: list[bytes]) -> None:
    whole, deltas = play("base64", *(ProcessOutput(piece, b"") for piece in pieces))
    assert base64.b64decode(whole["stdout"], validate=True) == b"".join(pieces)
    assert b"".join(base64.b64decode(delta["stdout"], validate=True) for delta in deltas) == b"".join(pieces)


@given(st.lists(st.binary(max_size=10), max_size=10))
def test_text_is_the_same_however_it_was_cut(pieces: list[bytes]) -> None:
    whole, deltas = play("utf-8", *(ProcessOutput(b"", piece) for piece in pieces))
    assert whole["stderr"] == b"".join(pieces).decode(errors="replace")
    assert "".join(delta["stderr"] for delta in deltas) == whole["stderr"]


@pytest.mark.parametrize(
    ("encoding", "stdout"), [("utf-8", "ab\n[atoll] 7 bytes of output are left out here.\nyz"), ("base64", "YWJ5eg==")]
)
def test_a_gap(encoding: wire.Encoding, stdout: str) -> None:
    whole, _ = play(
        encoding, ProcessOutput(b"ab", b"e"), ProcessGap(is_stderr=False, omitted_bytes=7), ProcessOutput(b"yz", b"")
    )
    assert whole["stdout"] == stdout
    assert whole["stdout_omitted"] == {"offset": 2, "bytes": 7}
    assert whole["stderr_omitted"] is None
