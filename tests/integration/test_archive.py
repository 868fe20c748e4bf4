"""Archives of real containers: whole folders in and out, and what is hostile refused with everything as it was."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.harness.api import Api, Json
from tests.harness.peaks import PeakGrowth
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer
from tests.harness.tars import contents_of, entry, folder, hard_link, hostile, members_of, symlink, tar_of

MEBIBYTE = 1 << 20
TAR = {"content-type": "application/x-tar"}


@pytest.fixture
def api(server: AtollServer) -> Api:
    """Give a client of each of the shared servers in turn."""
    return server.api()


@pytest.fixture
def box(api: Api) -> Iterator[str]:
    """Give a container on each of them."""
    container_id = api.create("archive")["id"]
    yield container_id
    api.delete(container_id)


@pytest.fixture(scope="module")
def shared_box(oci_api: Api) -> Iterator[str]:
    """Give one container behind real walls for what changes nothing."""
    container_id = oci_api.create("archive")["id"]
    oci_api.shell(container_id, "echo before > before.txt; echo older > good.txt; mkdir d; ln -s /etc/passwd link")
    yield container_id
    oci_api.delete(container_id)


def put(api: Api, container_id: str, data: bytes, **query: str) -> httpx.Response:
    return api.send("PUT", f"/containers/{container_id}/archive", content=data, params=query, headers=TAR)


def get(api: Api, container_id: str, **query: str) -> bytes:
    response = api.send("GET", f"/containers/{container_id}/archive", params=query)
    assert response.status_code == 200, response.text[:500]
    assert response.headers["content-type"] == "application/x-tar"
    return response.content


def everything(api: Api, container_id: str) -> str:
    look = "find . -mindepth 1 -printf '%p %y %m %i %s %T@ %l\\n' | sort; sha256sum before.txt good.txt"
    (output,) = api.shell(container_id, look)
    text: str = output["stdout"]
    return text


def error_of(response: httpx.Response, status: int = 400) -> Json:
    assert response.status_code == status, response.text[:500]
    error: Json = response.json()["error"]
    return error


def test_from_one_container_to_another(api: Api, box: str) -> None:
    data = tar_of(
        entry("a.txt", b"hello", mode=0o600),
        folder("sub", mode=0o750),
        entry("sub/run.sh", b"#!/bin/sh\necho ran\n", mode=0o4755),
        symlink("sub/up", "../a.txt"),
        hard_link("twice", "a.txt"),
        folder("empty"),
    )
    answer = put(api, box, data).json()
    assert answer == {
        "object": "container.archive",
        "container_id": box,
        "path": "/mnt/data",
        "files": 2,
        "folders": 2,
        "links": 2,
        "bytes": 24,
    }
    listed = {file["path"]: (file["bytes"], file["source"]) for file in api.files(box)}
    assert listed == {
        "/mnt/data/a.txt": (5, "user"),
        "/mnt/data/sub/run.sh": (19, "user"),
        "/mnt/data/twice": (5, "user"),
    }
    look = api.shell(box, "stat -c '%a %U %Y' a.txt; stat -c %a sub sub/run.sh; sub/run.sh; cat sub/up")[0]["stdout"]
    mode, owner, mtime, *rest = look.split()
    assert (mode, mtime, rest) == ("600", "1600000000", ["750", "755", "ran", "hello"])
    assert owner == api.shell(box, "whoami")[0]["stdout"].strip()
    api.shell(box, "mkfifo fifo; touch unreadable; chmod 0 unreadable; ln -s /etc/passwd out")
    packed = get(api, box)
    expected = {"a.txt", "twice", "sub", "sub/run.sh", "sub/up", "empty"}
    assert set(members_of(packed)) - {"unreadable"} == expected, "without walls nothing is unreadable to root"
    other = api.create("other")["id"]
    assert put(api, other, packed, path="/mnt/data/in/here").status_code == 200
    assert contents_of(get(api, other, path="/mnt/data/in/here/sub/")) == {"run.sh": b"#!/bin/sh\necho ran\n"}
    assert contents_of(get(api, other, path="/mnt/data/in/here/a.txt")) == {"a.txt": b"hello"}
    api.delete(other)


@pytest.mark.parametrize(("data", "says"), [pytest.param(data, says, id=name) for name, data, says in hostile()])
def test_hostile_archives_change_nothing(data: bytes, says: str, shared_box: str, oci_api: Api) -> None:
    if says == "1000 entries":
        data, says = tar_of(*[entry("again")] * 100_001), "100000 entries"
    before = everything(oci_api, shared_box)
    error = error_of(put(oci_api, shared_box, data))
    assert error["code"] == "invalid_archive"
    assert error["message"].startswith("The archive is not taken: ")
    assert says in error["message"]
    assert everything(oci_api, shared_box) == before


def test_compressed_bodies_are_not_taken(shared_box: str, oci_api: Api) -> None:
    url = f"/containers/{shared_box}/archive"
    response = oci_api.send("PUT", url, content=b"x", headers={**TAR, "content-encoding": "gzip"})
    assert "Content-Encoding" in error_of(response)["message"]


@pytest.mark.parametrize(
    "path",
    ["/mnt/data/.atoll-upload-x", "/etc", "/mnt/data/../etc", "relative", "", "/mnt/database", "/mnt/data//x", "/"],
)
def test_only_the_data_folder(path: str, shared_box: str, oci_api: Api) -> None:
    for response in (
        put(oci_api, shared_box, tar_of(entry("a")), path=path),
        oci_api.send("GET", f"/containers/{shared_box}/archive", params={"path": path}),
    ):
        assert error_of(response)["param"] == "path"


def test_paths_that_are_not_there_or_are_something_else(shared_box: str, oci_api: Api) -> None:
    url = f"/containers/{shared_box}/archive"
    missing = oci_api.send("GET", url, params={"path": "/mnt/data/none"})
    assert error_of(missing, 404)["param"] == "path"
    for path in ("/mnt/data/link", "/mnt/data/before.txt/x"):
        assert error_of(oci_api.send("GET", url, params={"path": path}))["param"] == "path"
        assert error_of(put(oci_api, shared_box, tar_of(entry("a")), path=path))["param"] == "path"
    assert error_of(put(oci_api, shared_box, tar_of(entry("d", b"file"))))["param"] == "path"
    assert oci_api.send("GET", f"/containers/cntr_{'0' * 48}/archive").status_code == 404
    assert put(oci_api, f"cntr_{'0' * 48}", b"").status_code == 404


def test_a_full_disk_changes_nothing(container: str, oci_api: Api) -> None:
    oci_api.upload(container, "big.bin", b"before")
    half = bytes(140 * MEBIBYTE)  # of 256 that the disk has
    data = tar_of(entry("first", half), entry("big.bin", half))
    assert error_of(put(oci_api, container, data))["code"] == "storage_full"
    assert [(file["path"], file["bytes"]) for file in oci_api.files(container)] == [("/mnt/data/big.bin", 6)]
    usage = oci_api.shell(container, "df -m --output=used . | tail -1; ls -A | wc -l")[0]["stdout"].split()
    assert int(usage[0]) < 50, "nothing of it is left on the disk"
    assert usage[1] == "1"


def test_larger_than_the_server_takes(make_server: MakeServer) -> None:
    api = make_server("plain", archive_bytes_max=MEBIBYTE, archive_entries_max=5).api()
    box = api.create()["id"]
    data = tar_of(entry("a", bytes(MEBIBYTE)))
    assert error_of(put(api, box, data), 413)["code"] == "payload_too_large"

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]

    response = api.send("PUT", f"/containers/{box}/archive", content=pieces(), headers=TAR)
    assert error_of(response, 413)["code"] == "payload_too_large"
    assert put(api, box, tar_of(*(entry(f"f{n}") for n in range(5)))).status_code == 200
    assert "5 entries" in error_of(put(api, box, tar_of(*(entry(f"g{n}") for n in range(6)))))["message"]
    assert len(api.files(box)) == 5


def test_a_client_that_goes_away_changes_nothing(api: Api, box: str) -> None:
    api.upload(box, "a", b"before")
    begun = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield tar_of(entry("a", b"new"), entry("b", bytes(2 * MEBIBYTE)))[:MEBIBYTE]
        begun.set()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        api.send("PUT", f"/containers/{box}/archive", content=pieces(), headers=TAR)
    assert begun.is_set()
    wait_until(lambda: api.shell(box, "ls -A")[0]["stdout"] == "a\n", what="nothing is left of it")
    assert contents_of(get(api, box)) == {"a": b"before"}


def test_a_download_that_nobody_reads_to_its_end(container: str, oci_api: Api) -> None:
    oci_api.shell(container, "head -c 100000000 /dev/urandom > big")
    with oci_api.opened("GET", f"/containers/{container}/archive") as response:
        next(response.iter_raw())
    assert oci_api.shell(container, "echo well")[0]["stdout"] == "well\n"


def test_a_file_that_shrinks_breaks_the_answer_off(container: str, oci_api: Api) -> None:
    oci_api.shell(container, "head -c 150000000 /dev/zero > big")
    with oci_api.opened("GET", f"/containers/{container}/archive") as response:
        pieces = response.iter_raw()
        next(pieces)
        oci_api.shell(container, ": > big")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass


def test_a_folder_that_never_stops_changing(container: str, oci_api: Api) -> None:
    turn = "echo $i > f$i; mv f$i g$i; ln -sf /etc/passwd f$i; mkfifo p$i"
    oci_api.shell(
        container, f"(while :; do for i in $(seq 50); do {turn}; done; rm -rf f* p*; done) > /dev/null 2>&1 &"
    )
    for _ in range(20):
        members = members_of(get(oci_api, container))
        assert not [name for name, (info, _) in members.items() if not info.isreg()]
        assert b"root" not in b"".join(content for _, content in members.values())


def test_head(container: str, oci_api: Api) -> None:
    response = oci_api.send("HEAD", f"/containers/{container}/archive")
    assert (response.status_code, response.content) == (200, b"")


def test_much_passes_through_in_bounded_memory(container: str, oci_api: Api, oci_server: AtollServer) -> None:
    """Two hundred MiB in and out again: the server never holds more than a few buffers of it."""
    block = bytes(range(256)) * 4096

    def pieces() -> Iterator[bytes]:
        info, _ = entry("big")
        info.size = 200 * len(block)
        yield info.tobuf()
        for _ in range(200):
            yield block
        yield bytes(1024)

    with PeakGrowth(oci_server) as peaks:
        response = oci_api.send("PUT", f"/containers/{container}/archive", content=pieces(), headers=TAR)
        assert response.json()["bytes"] == 200 * len(block)
        with oci_api.opened("GET", f"/containers/{container}/archive") as download:
            size = sum(map(len, download.iter_raw()))
    assert 200 * len(block) < size < 201 * len(block)
    assert peaks.most_bytes < 32 * MEBIBYTE, peaks.growth_bytes
