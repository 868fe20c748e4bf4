"""Rows of projects."""

import pytest
from sqlalchemy.exc import IntegrityError

from atoll.store import projects
from atoll.store.database import Database
from tests.unit.store.rows import add_project


async def test_names_are_unique(database: Database) -> None:
    project_id = await add_project(database, "p")
    found = await database.read(lambda c: projects.find_name(c, "p"))
    assert found is not None
    assert found.id == project_id
    assert await database.read(lambda c: projects.find_name(c, "P")) is None
    with pytest.raises(IntegrityError):
        await add_project(database, "p")
