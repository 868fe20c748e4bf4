"""Rows of keys and projects."""

from functools import partial

from atoll.model.ids import KeyId
from atoll.store import keys, projects
from atoll.store.database import Database
from tests.unit.store.rows import a_key, add_project


async def test_a_key_opens_its_project(database: Database) -> None:
    project_id = await add_project(database, "p")
    key = a_key(project_id)
    await database.write(lambda c: keys.add(c, key, "0" * 64))
    found = await database.read(lambda c: keys.find_secret(c, "0" * 64))
    assert found is not None
    assert found[0] == key
    assert found[1] == await database.read(lambda c: projects.find_name(c, "p"))
    assert await database.read(lambda c: keys.find_secret(c, "1" * 64)) is None
    assert await database.read(keys.every) == [key]


async def test_revoking_again_keeps_the_first_time(database: Database) -> None:
    key = a_key(await add_project(database, "p"))
    await database.write(lambda c: keys.add(c, key, "0" * 64))
    for moment in (5, 6):
        assert await database.write(partial(keys.revoke, key_id=key.id, now=moment))
    assert not await database.write(lambda c: keys.revoke(c, KeyId("key_x"), 7))
    (found,) = await database.read(keys.every)
    assert found.revoked_at == 5
