"""Large texts in JSON: the same JSON as any encoder's, in pieces of a bounded size."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.api.json_text import JsonPieces, JsonText

LARGE = 1 << 20


class Thing(msgspec.Struct):
    text: str
    other: str
    number: int = 1


def text_of(*parts: str) -> JsonText:
    text = JsonText()
    for part in parts:
        text.append(part)
    return text


def decoded(value: msgspec.Struct) -> object:
    pieces = JsonPieces(value)
    written = list(pieces)
    assert all(written)
    assert max(map(len, written)) < 2 * LARGE
    assert sum(map(len, written)) == pieces.length
    return json.loads(b"".join(written))


@given(st.lists(st.text()), st.text())
def test_any_text_comes_back(parts: list[str], other: str) -> None:
    parts = [part.encode(errors="replace").decode() for part in parts]
    other = other.encode(errors="replace").decode()
    whole = "".join(parts)
    for padding in ("", "x" * LARGE):
        value = Thing(text=text_of(*parts, padding).as_field(), other=other)
        assert decoded(value) == {"text": whole + padding, "other": other, "number": 1}


def test_several_texts_each_in_its_place() -> None:
    one, two = text_of("1" * LARGE), text_of("2" * LARGE)
    value = Thing(text=one.as_field(), other=two.as_field())
    assert decoded(value) == {"text": "1" * LARGE, "other": "2" * LARGE, "number": 1}
    assert decoded(value) == decoded(value)


def test_plain_text_is_taken_as_it_is() -> None:
    text = JsonText()
    text.append_plain(b"data:image/png;base64,")
    text.append_plain(b"A" * LARGE)
    assert decoded(Thing(text=text.as_field(), other="")) == {
        "text": "data:image/png;base64," + "A" * LARGE,
        "other": "",
        "number": 1,
    }


def test_nothing_else_that_json_does_not_know() -> None:
    class Strange(msgspec.Struct):
        thing: object

    with pytest.raises(NotImplementedError):
        JsonPieces(Strange(thing=object()))
