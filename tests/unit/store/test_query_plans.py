"""No query on a table of any size scans it or sorts it: asked of SQLite's own planner, for every store function."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import event

from atoll.model.containers import ContainerChange
from atoll.model.egress_decision import EgressReason, EgressRecord
from atoll.model.ids import ContainerFileId, ContainerId, EgressId, FileId, ProjectId, SandboxId
from atoll.model.pages import PageQuery
from atoll.store import container_files, containers, egress_decisions, files, keys, projects
from atoll.store.connection import Connection
from atoll.store.database import open_database
from atoll.store.sqlite import Direct, SqliteDatabase

P, C, CF, F, S = ProjectId("p"), ContainerId("c"), ContainerFileId("cf"), FileId("f"), SandboxId("s")
RECORD = EgressRecord(
    id=EgressId("e"),
    container_id=C,
    at_ms=1,
    name="n",
    port=443,
    reason=EgressReason.ALLOWED,
    bytes_sent=1,
    bytes_received=1,
)
PAGES = [PageQuery(order=order, after=after) for order in ("asc", "desc") for after in (None, "a")]

QUERIES: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "containers.find": lambda c: containers.find(c, P, C),
    "containers.count_all_running": containers.count_all_running,
    "containers.count_running": lambda c: containers.count_running(c, P),
    "containers.hold_running": lambda c: containers.hold_running(c, C),
    "containers.remove": lambda c: containers.remove(c, P, C),
    "containers.replace_sandbox": lambda c: containers.replace_sandbox(c, C, S, S),
    "containers.touch": lambda c: containers.touch(c, {C: 1}),
    "containers.due": lambda c: containers.due(c, 1, 1),
    "containers.soon_due": lambda c: containers.soon_due(c, 1, 60, 12),
    "containers.expire": lambda c: containers.expire(c, C, 1),
    "containers.forget_expired": lambda c: containers.forget_expired(c, 1, 1),
    "containers.newest_id": containers.newest_id,
    "containers.behind": lambda c: containers.behind(c, [S]),
    "containers.change": lambda c: containers.change(c, C, ContainerChange(name="n", expires_after_minutes=1)),
    "egress_decisions.add": lambda c: egress_decisions.add(c, [RECORD]),
    "egress_decisions.keep_newest": lambda c: egress_decisions.keep_newest(c, C, 1),
    "egress_decisions.newest_id": egress_decisions.newest_id,
    "container_files.resize": lambda c: container_files.resize(c, [(CF, 1)]),
    "container_files.remove": lambda c: container_files.remove(c, [CF]),
    "container_files.find": lambda c: container_files.find(c, C, CF),
    "container_files.find_path": lambda c: container_files.find_path(c, C, "p"),
    "container_files.at_paths": lambda c: container_files.at_paths(c, C, ["p", "q"]),
    "container_files.all_of": lambda c: container_files.all_of(c, C),
    "container_files.count": lambda c: container_files.count(c, C),
    "container_files.newest_id": container_files.newest_id,
    "files.find": lambda c: files.find(c, P, F, 1),
    "files.remove": lambda c: files.remove(c, P, F, 1),
    "files.remove_expired": lambda c: files.remove_expired(c, 1, 1),
    "files.existing": lambda c: files.existing(c, [F]),
    "files.newest_id": files.newest_id,
    "projects.find_name": lambda c: projects.find_name(c, "n"),
    "keys.find_secret": lambda c: keys.find_secret(c, "s"),
}
for number, query in enumerate(PAGES):
    QUERIES |= {
        f"containers.page {number}": partial(containers.page, project_id=P, query=query, name=None),
        f"containers.page by name {number}": partial(containers.page, project_id=P, query=query, name="n"),
        f"container_files.page {number}": partial(container_files.page, container_id=C, query=query),
        f"egress_decisions.page {number}": partial(egress_decisions.page, container_id=C, query=query),
        f"files.page {number}": partial(files.page, project_id=P, query=query, purpose=None, now=1),
        f"files.page by purpose {number}": partial(files.page, project_id=P, query=query, purpose="n", now=1),
    }


@pytest.mark.parametrize("name", QUERIES)
async def test_uses_an_index(tmp_path: Path, name: str) -> None:
    plans: list[str] = []

    async def explain(connection: Connection) -> None:
        assert isinstance(connection, Direct)
        asked: list[str] = []
        connection.driver.set_trace_callback(asked.append)
        await QUERIES[name](connection)
        connection.driver.set_trace_callback(None)
        for statement in asked:
            if statement.split(maxsplit=1)[0] in {"SELECT", "UPDATE", "DELETE"}:
                plans.extend(str(row[3]) for row in connection.driver.execute(f"EXPLAIN QUERY PLAN {statement}"))

    async with open_database(f"sqlite:///{tmp_path}/a.db") as database:
        await database.write(explain)
    assert plans
    for plan in plans:
        # "SEARCH t" alone is what SQLite says of max(id): one step to the end of the index.
        assert plan.startswith(("SEARCH ", "LIST SUBQUERY", "USING INDEX", "REUSE LIST")), plans
        assert "TEMP B-TREE" not in plan, plans
        assert "INDEX" in plan or not plan.startswith("SEARCH ") or name.endswith("newest_id"), plans


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_page_seeks_to_its_cursor(tmp_path: Path, by_name: bool) -> None:
    found: list[str] = []

    def explain(connection: BlockingConnection, _c: object, statement: str, parameters: Any, *_: object) -> None:
        rows = connection.connection.cursor()
        rows.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        found.extend(str(row[3]) for row in rows.fetchall())
        rows.close()

    async with open_database(f"sqlite:///{tmp_path}/a.db") as database:
        assert isinstance(database, SqliteDatabase)
        event.listen(database.engine, "before_cursor_execute", explain)
        await database.read(lambda c: containers.page(c, P, PageQuery(after="a"), "n" if by_name else None))
    (plan,) = found
    assert plan.endswith("(project_id=? AND name=? AND id<?)" if by_name else "(project_id=? AND id<?)")
