"""Rows of decisions: kept in order, of containers that are there, and no more than so many."""

from dataclasses import replace

import pytest

from atoll.model.egress_decision import EgressReason, EgressRecord
from atoll.model.ids import ContainerId, EgressId
from atoll.model.pages import Order, PageQuery
from atoll.store import containers, egress_decisions
from atoll.store.database import Database
from tests.unit.store.rows import IDS, add_container, add_project


def record(container_id: ContainerId, name: str = "example.com") -> EgressRecord:
    return EgressRecord(
        id=EgressId(IDS.new("egr_")),
        container_id=container_id,
        at_ms=1_234,
        name=name,
        port=443,
        reason=EgressReason.OTHER_NAME,
        bytes_sent=1,
        bytes_received=2,
    )


async def names(database: Database, container_id: ContainerId) -> list[str]:
    query = PageQuery(order="asc", limit=100)
    page = await database.read(lambda connection: egress_decisions.page(connection, container_id, query))
    return [item.name for item in page.items]


async def test_the_newest_are_kept(database: Database) -> None:
    project = await add_project(database, "p")
    mine, other = (await add_container(database, project)).id, (await add_container(database, project)).id
    rows = [record(mine, str(number)) for number in range(5)] + [record(other, "other")]
    await database.write(lambda connection: egress_decisions.add(connection, rows))
    await database.write(lambda connection: egress_decisions.keep_newest(connection, mine, 3))
    assert await names(database, mine) == ["2", "3", "4"]
    assert await names(database, other) == ["other"]
    await database.write(lambda connection: egress_decisions.keep_newest(connection, mine, 3))
    assert await names(database, mine) == ["2", "3", "4"]
    assert await database.read(egress_decisions.newest_id) == rows[-1].id


async def test_a_row_comes_back_as_it_was(database: Database) -> None:
    container = (await add_container(database, await add_project(database, "p"))).id
    row = record(container)
    await database.write(lambda connection: egress_decisions.add(connection, [row]))
    page = await database.read(lambda connection: egress_decisions.page(connection, container, PageQuery()))
    assert page.items == (row,)


async def test_they_go_with_their_container(database: Database) -> None:
    project = await add_project(database, "p")
    gone = (await add_container(database, project)).id
    await database.write(lambda connection: egress_decisions.add(connection, [record(gone)]))
    await database.write(lambda connection: containers.remove(connection, project, gone))
    await database.write(lambda connection: egress_decisions.add(connection, [record(gone)]))
    assert await names(database, gone) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_while_the_oldest_go(database: Database, order: Order) -> None:
    project = await add_project(database, "p")
    mine, other = (await add_container(database, project)).id, (await add_container(database, project)).id
    rows = [record(mine, str(number)) for number in range(7)]
    await database.write(lambda connection: egress_decisions.add(connection, [*rows, record(other)]))
    walked: list[str] = []
    query = PageQuery(order=order, limit=2)
    while True:
        page = await database.read(lambda connection: egress_decisions.page(connection, mine, query))  # noqa: B023 - awaited at once
        walked += [item.name for item in page.items]
        if not page.has_more:
            break
        query = PageQuery(order=order, limit=2, after=page.items[-1].id)
        await database.write(lambda connection: egress_decisions.keep_newest(connection, mine, 6))
    # The cursor's own row may be gone: the walk goes on where it would have been.
    newest_first = [str(number) for number in range(6, 0, -1)]
    assert walked == (["0", *reversed(newest_first)] if order == "asc" else newest_first)


async def test_more_bytes_than_a_small_integer_holds(database: Database) -> None:
    container = (await add_container(database, await add_project(database, "p"))).id
    row = replace(record(container, "n" * 253), port=65_535, bytes_sent=1 << 40, bytes_received=(1 << 53) - 1)
    await database.write(lambda connection: egress_decisions.add(connection, [row]))
    page = await database.read(lambda connection: egress_decisions.page(connection, container, PageQuery()))
    assert page.items == (row,)
