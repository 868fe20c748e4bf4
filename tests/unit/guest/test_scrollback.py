"""What is shown again of a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.guest.scrollback import Scrollback


def test_all_of_it_while_it_is_little() -> None:
    kept = Scrollback(100)
    kept.write(b"one\r\n")
    kept.write(b"\x1b[31mtwo")
    assert kept.replay() == b"one\r\n\x1b[31mtwo"


def test_the_newest_whole_lines_of_much() -> None:
    kept = Scrollback(100)
    for number in range(1000):
        kept.write(b"line %d\n" % number)
    lines = kept.replay().split(b"\n")
    assert lines[-2] == b"line 999"
    assert all(line.startswith(b"line ") for line in lines[:-1])


def test_a_character_is_not_begun_in_its_middle() -> None:
    kept = Scrollback(10)
    kept.write("ä".encode() * 20 + b"b")
    assert kept.replay().decode().endswith("äb")


def test_the_screen_that_was_shown_is_shown_again() -> None:
    kept = Scrollback(100)
    kept.write(b"\x1b[?1049hvim")
    kept.write(b"x\n" * 200)
    assert kept.replay().startswith(b"\x1b[?1049h")
    kept.write(b"\x1b[?1049lprompt\n" + b"y\n" * 200)
    assert not kept.replay().startswith(b"\x1b")


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 200))
def test_it_is_bounded_and_the_newest(pieces: list[bytes], bytes_max: int) -> None:
    kept = Scrollback(bytes_max)
    for piece in pieces:
        kept.write(piece)
    shown = kept.replay().removeprefix(b"\x1b[?1049h")
    assert len(shown) <= 2 * bytes_max
    assert b"".join(pieces).endswith(shown)
