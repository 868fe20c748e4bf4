"""The real application on scripted services, and a client that compares every answer with the OpenAPI document."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from atoll.server import create_app
from atoll.settings import Settings
from tests.api.contract import Contract
from tests.api.scripted import KEY, Script, scripted_app
from tests.api.serving import Address, alive, serving, serving_in_thread


@pytest.fixture
def script() -> Script:
    """Give what the services will do."""
    return Script()


@pytest.fixture
async def address(script: Script, tmp_path: Path) -> AsyncIterator[Address]:
    """Give a running server on the script."""
    async with serving(scripted_app(script)) as found:
        yield found


@pytest.fixture
async def client(script: Script, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with a key, inside this process; each of its answers is compared with the document."""
    app = scripted_app(script)
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


@dataclass(frozen=True, slots=True)
class Live:
    """The whole server on the `plain` runtime, in a thread of its own."""

    url: str
    key: str

    @property
    def base_url(self) -> str:
        """Where SDKs are pointed to."""
        return f"{self.url}/v1"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """Give the server as ``atoll serve --runtime plain`` composes it."""
    with tempfile.TemporaryDirectory(prefix="atoll-api-", dir="/var/tmp") as folder:
        data_dir = Path(folder)
        key = "sk-atoll-" + secrets.token_urlsafe(32)
        settings = Settings(
            data_dir=data_dir, run_dir=data_dir / "run", runtime="plain", upload_bytes_max=8 << 20, port=0
        )
        with serving_in_thread(create_app(settings, first_key=key)) as url:
            yield Live(url, key)
