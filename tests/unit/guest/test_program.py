"""A program and its report travel as they are."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.guest.program import NotStarted, Program

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NAMES = TEXT.filter(lambda text: text != "" and "=" not in text)


@given(argv=st.lists(TEXT, min_size=1, max_size=5), environment=st.dictionaries(NAMES, TEXT, max_size=5), cwd=TEXT)
def test_it_arrives_as_it_was(argv: list[str], environment: dict[str, str], cwd: str) -> None:
    program = Program(tuple(argv), environment, cwd)
    fields = program.encoded()
    assert not any(b"\0" in field for field in fields)
    assert Program.decoded(fields) == program


@pytest.mark.parametrize(
    ("cwd", "folder"),
    [("/mnt/data", "/elsewhere"), ("/mnt/data/a", "/elsewhere/a"), ("/mnt/database", "/mnt/database"), ("a", "a")],
)
def test_the_data_folder_may_have_another_name(cwd: str, folder: str) -> None:
    assert Program(("true",), {}, cwd).folder_in("/elsewhere") == folder


def test_a_report_says_what_was_wrong() -> None:
    program = Program(("x" * 1000,), {}, "folder")
    missing = NotStarted.decoded(NotStarted("argv", errno.ENOENT).encoded())
    assert missing == NotStarted("argv", errno.ENOENT)
    assert "There is no program 'xxx" in missing.describe(program)
    assert len(missing.describe(program)) < 300
    assert "'folder'" in NotStarted("cwd", errno.ENOTDIR).describe(program)
    assert NotStarted("argv", errno.EAGAIN).is_for_want_of_room
