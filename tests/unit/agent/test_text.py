"""Text out of a sandbox is whole, Unicode, and bounded."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.text import TextDecoder, is_storable, printable


@given(st.text(), st.data())
def test_cutting_utf8_anywhere_changes_nothing(text: str, data: st.DataObject) -> None:
    encoded = text.encode(errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=5)))
    decoder = TextDecoder()
    pieces = [decoder.feed(encoded[start:end]) for start, end in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
    assert "".join(pieces) + decoder.finish() == encoded.decode()


@given(st.lists(st.binary()))
def test_any_bytes_become_text_that_can_be_encoded(pieces: list[bytes]) -> None:
    decoder = TextDecoder()
    text = "".join(decoder.feed(piece) for piece in pieces) + decoder.finish()
    assert text == b"".join(pieces).decode(errors="replace")
    text.encode()


def test_half_a_character_at_the_end_becomes_one_replacement() -> None:
    decoder = TextDecoder()
    assert decoder.feed("é".encode()[:1]) == ""
    assert decoder.finish() == "\ufffd"
    assert decoder.finish() == ""
    assert decoder.feed(b"ok") == "ok"


@given(st.text())
def test_messages_are_one_printable_line(message: str) -> None:
    cleaned = printable(message + "\ud800\x00\n" * 1000)
    assert cleaned.isprintable()
    assert len(cleaned) <= 500


def test_surrogates_and_nul_cannot_be_stored() -> None:
    assert is_storable("naïve 🐢\n")
    assert not is_storable("a\0b")
    assert not is_storable("a\ud800b")
    assert not is_storable("\udfff")
