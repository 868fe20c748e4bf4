"""What follows from a listing, against the plain truth."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.agent.files import AgentFile, FileListing
from atoll.model.files import ContainerFile
from atoll.model.ids import ContainerFileId, ContainerId
from atoll.service.file_changes import compare, rewritten

FILES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3))


@given(FILES, FILES, st.booleans(), st.integers(0, 10))
def test_rows_afterwards_are_what_was_found(
    before: dict[str, int], found: dict[str, int], complete: bool, rows_max: int
) -> None:
    rows = [
        ContainerFile(
            id=ContainerFileId(f"id-{path}"),
            container_id=ContainerId("c"),
            path=path,
            bytes=size,
            created_at=0,
            source="user",
        )
        for path, size in before.items()
    ]
    listing = FileListing(tuple(AgentFile(path, size, 0) for path, size in found.items()), complete)
    changes = compare(rows, listing, rows_max)
    after = {row.id: (row.path, row.bytes) for row in rows}
    for gone in changes.vanished:
        del after[gone]
    for file_id, size in changes.resized:
        after[file_id] = (after[file_id][0], size)
    rows_after = dict(after.values()) | {file.path: file.size for file in changes.appeared}
    kept = set(found) if complete else set(found) | set(before)
    expected = {path: found.get(path, before.get(path)) for path in kept}
    assert rows_after.items() <= expected.items()
    if rows_max >= len(expected):
        assert rows_after == expected
    assert len(rows_after) <= max(rows_max, len(after))
    assert bool(changes) == (rows_after != before)


def test_what_was_written_anew_has_another_time_and_the_same_size() -> None:
    def listing(*files: tuple[str, int, int]) -> FileListing:
        return FileListing(tuple(AgentFile(*file) for file in files), complete=True)

    before = listing(("same", 1, 5), ("anew", 2, 5), ("larger", 3, 5), ("gone", 4, 5))
    after = listing(("same", 1, 5), ("anew", 2, 4), ("larger", 9, 6), ("new", 4, 6))
    rows = [
        ContainerFile(
            id=ContainerFileId(path), container_id=ContainerId("c"), path=path, bytes=size, created_at=0, source="user"
        )
        for path, size in (("same", 1), ("anew", 2), ("larger", 3), ("gone", 4))
    ]
    assert rewritten(rows, before, after) == (("anew", 2),)
