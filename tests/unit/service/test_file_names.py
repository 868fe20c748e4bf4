"""Names that files get in containers."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.files import is_data_path
from atoll.model.errors import InvalidRequestError
from atoll.model.files import File
from atoll.model.ids import FileId, IdGenerator, ProjectId
from atoll.service.file_names import base_name, path_of, place, prefixed_name

IDS = IdGenerator()


@given(st.text())
def test_a_name_is_refused_or_makes_a_path_directly_below(text: str) -> None:
    try:
        name = base_name(text)
    except InvalidRequestError:
        return
    assert "/" not in name
    assert is_data_path(path_of(name))


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(lambda t: len(t.encode()) <= 255)
)
def test_a_prefixed_name_fits_and_keeps_the_id(name: str) -> None:
    file_id = FileId(IDS.new("file-"))
    prefixed = prefixed_name(file_id, name)
    assert prefixed.startswith(f"{file_id}-")
    assert len(prefixed.encode()) <= 255
    assert base_name(prefixed) == prefixed


@given(st.lists(st.sampled_from(["a.csv", "b.csv", "x" * 255])))
def test_every_file_gets_a_place_of_its_own(names: list[str]) -> None:
    files = [
        File(
            id=FileId(IDS.new("file-")),
            project_id=ProjectId("p"),
            filename=name,
            purpose="p",
            bytes=0,
            created_at=0,
            expires_at=None,
        )
        for name in names
    ]
    placed = place(files)
    assert list(placed.values()) == files
    assert all(is_data_path(path) for path in placed)


def test_a_long_name_keeps_its_suffix() -> None:
    assert prefixed_name(FileId("file-1"), "x" * 251 + ".csv").endswith("x.csv")
