"""Rows of uploaded files."""

from functools import partial

from atoll.model.pages import PageQuery
from atoll.store import files
from atoll.store.database import Database
from tests.unit.store.rows import a_file, add_project


async def test_files_are_of_their_project_purpose_and_time(database: Database) -> None:
    project, other = await add_project(database, "p"), await add_project(database, "q")
    lasting = a_file(project)
    passing = a_file(project, purpose="vision", expires_at=100)
    for file in (lasting, passing):
        await database.write(partial(files.add, file=file))
    assert await database.read(lambda c: files.find(c, project, lasting.id, 99)) == lasting
    assert await database.read(lambda c: files.find(c, other, lasting.id, 99)) is None
    assert await database.read(lambda c: files.find(c, project, passing.id, 99)) == passing
    assert await database.read(lambda c: files.find(c, project, passing.id, 100)) is None
    for purpose, now, expected in [
        (None, 99, (passing, lasting)),
        (None, 100, (lasting,)),
        ("vision", 99, (passing,)),
        ("vision", 100, ()),
    ]:
        page = await database.read(partial(files.page, project_id=project, query=PageQuery(), purpose=purpose, now=now))
        assert page.items == expected


async def test_removal(database: Database) -> None:
    project, other = await add_project(database, "p"), await add_project(database, "q")
    lasting, passing = a_file(project), a_file(project, expires_at=100)
    for file in (lasting, passing):
        await database.write(partial(files.add, file=file))
    assert await database.read(lambda c: files.existing(c, {lasting.id, a_file(project).id})) == {lasting.id}
    assert not await database.write(lambda c: files.remove(c, other, lasting.id, 1))
    assert await database.write(lambda c: files.remove(c, project, lasting.id, 1))
    assert not await database.write(lambda c: files.remove(c, project, lasting.id, 1))
    assert await database.write(lambda c: files.remove_expired(c, 99, 10)) == ()
    assert await database.write(lambda c: files.remove_expired(c, 100, 10)) == (passing.id,)
