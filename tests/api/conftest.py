"""The real application on scripted services, and a client that compares every answer with the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.api.contract import Contract
from tests.api.scripted import KEY, Script, scripted_app
from tests.api.serving import Address, alive, serving


@pytest.fixture
def script() -> Script:
    """Give what the services will do."""
    return Script()


@pytest.fixture
async def address(script: Script, tmp_path: Path) -> AsyncIterator[Address]:
    """Give a running server on the script."""
    async with serving(scripted_app(script, tmp_path)) as found:
        yield found


@pytest.fixture
async def client(script: Script, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with a key, inside this process; each of its answers is compared with the document."""
    app = scripted_app(script, tmp_path)
    transport = httpx.ASGITransport(cast("Any", app))  # httpx and Litestar write the same messages as other types
    async with alive(app), checked_client("http://atoll.test", transport=transport) as found:
        yield found


@pytest.fixture
async def wire_client(address: Address) -> AsyncIterator[httpx.AsyncClient]:
    """Give the same through a real port."""
    async with checked_client(address.url) as found:
        yield found


@asynccontextmanager
async def checked_client(
    url: str, key: str = KEY, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose every answer is compared with the server's document."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=30, transport=transport
    ) as found:
        document = (await found.get("/openapi.json")).json()
        found.event_hooks["response"].append(Contract(document).check)
        yield found
