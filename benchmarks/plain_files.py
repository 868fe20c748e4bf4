"""A plain server of the framework that Atoll is built on: a request's body into a file, a file into an answer.

It does nothing else with the bytes, and leaves it to the kernel when they come to the disk.

    python -m benchmarks.plain_files FILE PORT
"""

import http.client
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from litestar import Litestar, Request, get, put
from litestar.response import Stream

from tests.harness.server import free_port

_READ_BYTES: Final = 256 * 1024
_START_S_MAX: Final = 30.0


@contextmanager
def plain_files_server(file: Path) -> Iterator[str]:
    """Run the server in a process of its own, on one file; give its base URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.plain_files", str(file), str(port)])
    try:
        _wait_until_it_listens(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def plain_app(file: Path) -> Litestar:
    """Give the application."""

    @put("/file")
    async def take_in(request: Request[Any, Any, Any]) -> dict[str, int]:
        size = 0
        with file.open("wb") as target:
            async for chunk in request.stream():
                size += target.write(chunk)
        return {"bytes": size}

    @get("/file", sync_to_thread=False)
    def give_out() -> Stream:
        return Stream(_chunks(file), headers={"content-length": str(file.stat().st_size)})

    return Litestar([take_in, give_out], openapi_config=None, request_max_body_size=None, logging_config=None)


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_READ_BYTES):
            yield chunk


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + _START_S_MAX
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


if __name__ == "__main__":
    uvicorn.run(
        plain_app(Path(sys.argv[1])), port=int(sys.argv[2]), loop="uvloop", http="httptools", log_level="warning"
    )
