"""The composition root: settings become the server that they describe."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.server import create_app, service_limits
from atoll.service.limits import ServiceLimits
from atoll.settings import Settings
from atoll.store.migrations.steps import DatabaseTooNewError
from tests.api.serving import alive

KEY = "sk-atoll-" + "s" * 43


def settings(data_dir: Path, **values: object) -> Settings:
    plain = Settings(data_dir=data_dir, run_dir=data_dir / "run", runtime="plain")
    return dataclasses.replace(plain, **values)  # type: ignore[arg-type]  # one test's own settings


def test_every_limit_that_is_a_setting_comes_from_it(tmp_path: Path) -> None:
    shared = {field.name for field in dataclasses.fields(ServiceLimits)} & {
        field.name for field in dataclasses.fields(Settings)
    }
    assert {"upload_bytes_max", "timeout_ms_max", "pids_max", "disk_bytes", "calls_waiting_max"} <= shared
    chosen = settings(tmp_path, upload_bytes_max=7, timeout_ms_max=200_000, cpus=0.5)
    limits = service_limits(chosen)
    assert (limits.upload_bytes_max, limits.timeout_ms_max, limits.cpus) == (7, 200_000, 0.5)
    assert all(getattr(limits, name) == getattr(chosen, name) for name in shared)
    assert service_limits(settings(tmp_path)).cpus >= 1


async def test_a_server_starts_again_on_what_it_left(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    made = ""
    for _ in range(2):
        app = create_app(settings(folder), first_key=KEY)
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # httpx and Litestar type the same messages
        async with alive(app), httpx.AsyncClient(transport=transport, base_url="http://atoll.test") as client:
            client.headers["authorization"] = f"Bearer {KEY}"
            assert (await client.get("/health")).json() == {"status": "ok"}
            if not made:
                made = (await client.post("/v1/containers", json={"name": "kept"})).json()["id"]
            listed = (await client.get("/v1/containers")).json()["data"]
            assert [container["id"] for container in listed] == [made]
            call = await client.post(f"/v1/containers/{made}/code_interpreter_calls", json={"code": "1+1"})
            assert call.json()["outputs"] == [{"type": "logs", "logs": "2\n"}]
            stored = await client.post("/v1/files", files={"file": ("x", b"y")}, data={"purpose": "vision"})
            assert stored.status_code == 200


async def test_a_start_that_is_refused_says_why_and_shows_no_traceback(tmp_path: Path) -> None:
    async with alive(create_app(settings(tmp_path), first_key=KEY)):
        pass
    with closing(sqlite3.connect(tmp_path / "atoll.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    said: list[Any] = []

    async def order() -> Any:
        return {"type": "lifespan.startup"}

    async def report(message: Any) -> None:
        said.append(message)

    with pytest.RaisesGroup(DatabaseTooNewError, flatten_subgroups=True):
        await create_app(settings(tmp_path))({"type": "lifespan"}, order, report)  # type: ignore[arg-type]
    (refused,) = said
    assert refused["type"] == "lifespan.startup.failed"
    assert refused["message"].startswith("The database is at revision 9999, which a newer Atoll made")
