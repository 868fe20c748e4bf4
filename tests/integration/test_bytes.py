"""Half a gibibyte in and out: every byte arrives, and no process grows by more than a few buffers."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.api import Api
from tests.harness.file_transfers import FileTransfers
from tests.harness.peaks import PeakGrowth
from tests.harness.server import AtollServer, MakeServer

MIB = 1024 * 1024
SIZE = 512 * MIB
GROWTH_BYTES_MAX = 64 * MIB
PARTS = 4
SLOW_READERS = 16


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file in which every MiB is another."""
    path = tmp_path_factory.mktemp("bytes") / "large.bin"
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(hashlib.sha256(b"%d" % number).digest() * (MIB // 32))
    return path


@pytest.mark.parametrize("runtime", ["oci", "plain"])
def test_no_process_grows(runtime: str, make_server: MakeServer, source: Path) -> None:
    server = make_server("oci" if runtime == "oci" else "plain", disk_bytes="2GiB")
    api, transfers = server.api(), FileTransfers(server.base_url, server.api_key)
    container_id = api.create(memory_limit="1g")["id"]
    box = f"/containers/{container_id}"
    # Bytes that wait to be written to the disk count as the sandbox's memory, of which code leaves little here.
    occupied = 700 * MIB if runtime == "oci" else 1
    api.logs(container_id, f"occupied = b'x' * {occupied}")
    with PeakGrowth(server) as growth:
        file = transfers.post_form("/files", source, {"purpose": "user_data"})
        copied = api.call("POST", f"{box}/files", json={"file_id": file["id"]})
        uploaded = transfers.post_form(f"{box}/files", source)
        assert file["bytes"] == copied["bytes"] == uploaded["bytes"] == SIZE
        assert copied["path"] == uploaded["path"] == f"/mnt/data/{source.name}"
        for path in (f"/files/{file['id']}/content", f"{box}/files/{copied['id']}/content"):
            assert content_of(transfers, path) == expected(source)
            assert parts_of(transfers, path) == SIZE
            with waiting_readers(server, path):
                assert transfers.get(path, byte_range="0-99") == 100
    grown = {name: size for name, size in growth.growth_bytes.items() if size > GROWTH_BYTES_MAX}
    assert not grown
    assert api.logs(container_id, "len(occupied)") == f"{occupied}\n"


def test_sandbox_processes_are_watched(oci_server: AtollServer, oci_api: Api, container: str) -> None:
    """What the test above would see if there were something to see."""
    with PeakGrowth(oci_server) as growth:
        oci_api.logs(container, "x = b'x' * (100 << 20)")
    assert growth.most_bytes > 100 * MIB


def expected(source: Path) -> bytes:
    """Give the digest of what was sent."""
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def content_of(transfers: FileTransfers, path: str) -> bytes:
    """Give the digest of what comes back."""
    seen = hashlib.sha256()
    assert transfers.get(path, take=seen.update) == SIZE
    return seen.digest()


def parts_of(transfers: FileTransfers, path: str) -> int:
    """Fetch a file in several ranges side by side; give how many bytes came."""
    size = SIZE // PARTS
    with ThreadPoolExecutor(PARTS) as pool:
        return sum(
            pool.map(
                lambda number: transfers.get(path, byte_range=f"{number * size}-{(number + 1) * size - 1}"),
                range(PARTS),
            )
        )


@contextmanager
def waiting_readers(server: AtollServer, path: str) -> Iterator[None]:
    """Have clients ask for the whole file and take no more than its first bytes."""
    address = urlsplit(server.base_url)
    head = f"GET {address.path}{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.api_key}\r\n\r\n"
    with ExitStack() as open_ones:
        for _ in range(SLOW_READERS):
            reader = open_ones.enter_context(socket.create_connection((address.hostname or "", address.port or 0)))
            reader.sendall(head.encode())
            assert reader.recv(100).startswith(b"HTTP/1.1 200 ")
        yield
