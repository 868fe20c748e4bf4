"""Rows of files in containers."""

import dataclasses

from atoll.model.pages import PageQuery
from atoll.store import container_files
from atoll.store.database import Database
from tests.unit.store.rows import a_container_file, add_container, add_project


async def test_a_path_keeps_its_id(database: Database) -> None:
    container = await add_container(database, await add_project(database, "p"))
    first = a_container_file(container.id, "/mnt/data/a")
    assert await database.write(lambda c: container_files.put(c, first)) == first
    again = dataclasses.replace(a_container_file(container.id, "/mnt/data/a", 9), source="user", created_at=77)
    expected = dataclasses.replace(first, bytes=9, source="user")
    assert await database.write(lambda c: container_files.put(c, again)) == expected
    assert await database.read(lambda c: container_files.all_of(c, container.id)) == (expected,)
    assert await database.read(lambda c: container_files.find_path(c, container.id, "/mnt/data/a")) == expected
    paths = [f"/mnt/data/{n}" for n in range(1200)] + ["/mnt/data/a"]
    assert await database.read(lambda c: container_files.at_paths(c, container.id, paths)) == (expected,)


async def test_rows_are_of_their_container(database: Database) -> None:
    project = await add_project(database, "p")
    one, two = await add_container(database, project), await add_container(database, project)
    files = [a_container_file(one.id, f"/mnt/data/{n}\n") for n in range(3)]
    await database.write(lambda c: container_files.add(c, files))
    await database.write(lambda c: container_files.add(c, []))
    assert await database.read(lambda c: container_files.find(c, one.id, files[0].id)) == files[0]
    assert await database.read(lambda c: container_files.find(c, two.id, files[0].id)) is None
    page = await database.read(lambda c: container_files.page(c, one.id, PageQuery(limit=2)))
    assert (page.items, page.has_more) == ((files[2], files[1]), True)
    await database.write(lambda c: container_files.resize(c, [(files[0].id, 5)]))
    await database.write(lambda c: container_files.remove(c, [files[1].id, files[1].id]))
    left = await database.read(lambda c: container_files.page(c, one.id, PageQuery(order="asc")))
    assert [(file.id, file.bytes) for file in left.items] == [(files[0].id, 5), (files[2].id, 1)]
    assert await database.read(lambda c: container_files.count(c, one.id)) == 2
