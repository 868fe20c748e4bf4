"""Measures how fast 512 MiB go in and out, and how much any process grows over it.

    python -m benchmarks.bytes

A plain server of the same framework copies the same bytes from a request's body into a file, and from a file into an
answer. Every row is measured once a round, so that a noisy machine meets all of them alike. Atoll answers an upload
when the bytes are safe on the disk; the plain server does not wait for that. Peaks are of each process, server,
supervisor and those in the sandbox, over what it held before. Needs root and the default image.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Figures, Value, measure_in_turn
from benchmarks.memory import MB
from benchmarks.plain_files import plain_files_server
from benchmarks.report import Report
from benchmarks.server import client_of, running_server
from tests.harness.file_transfers import FileTransfers
from tests.harness.peaks import PeakGrowth
from tests.harness.server import AtollServer

SETTINGS = {"pool_max": 0}  # what else is made meanwhile is no growth of anything
PARALLEL = 4
MIB = 1024 * 1024

PLAIN_UPLOAD = "plain server: a body into a file"
PLAIN_DOWNLOAD = "plain server: a file into an answer"
PLAIN_DOWNLOADS = f"plain server: {PARALLEL} answers at once"
FILE_UPLOAD = "upload to /v1/files"
FILE_DOWNLOAD = "download from /v1/files"
CONTAINER_UPLOAD = "upload into a container"
CONTAINER_DOWNLOAD = "download from a container"
CONTAINER_DOWNLOADS = f"{PARALLEL} downloads from a container at once"
CONTAINER_RANGE = "download of the second half from a container"
COPY = "copy of /v1/files into a container"
COMPARED = {
    FILE_UPLOAD: PLAIN_UPLOAD,
    FILE_DOWNLOAD: PLAIN_DOWNLOAD,
    CONTAINER_UPLOAD: PLAIN_UPLOAD,
    CONTAINER_DOWNLOAD: PLAIN_DOWNLOAD,
    CONTAINER_DOWNLOADS: PLAIN_DOWNLOADS,
}


def main() -> None:
    """Measure and write ``results/bytes.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each row (default: %(default)s)")
    options = parser.parse_args()
    report = Report("bytes", settings=SETTINGS, folder=options.results)
    with tempfile.TemporaryDirectory(prefix="atoll-bytes-", dir="/var/tmp") as folder:
        source = random_file(Path(folder, "source.bin"), options.mib)
        with plain_files_server(Path(folder, "plain.bin")) as plain_url, running_server(**SETTINGS) as server:
            transfers = Transfers(server, FileTransfers(plain_url), source)
            transfers.check()
            with PeakGrowth(server) as growth:
                # What one row left to be written is not the next one's to wait for.
                rows = measure_in_turn(transfers.actions(), runs=options.rounds, before=os.sync)
    report.add(Value("size of the file", options.mib, "MiB"), *rows.values())
    for row in rows.values():
        report.add(Value(f"speed of {row.name}", speed_mb(row, options.mib), "MB/s", row.runs, row.failures))
    for name, peak in growth.growth_bytes.items():
        if peak > MB:
            print(f"  {peak / MB:8.1f} MB  {name}")
    report.add(Value("growth of the process that grew most", round(growth.most_bytes / MB, 1), "MB"))
    for name, plain in COMPARED.items():
        report.ratio(f"{plain} / {name}", rows[plain], rows[name])
    sys.exit(report.write())


class Transfers:
    """What is measured, each a call that gives the number of bytes that came over."""

    def __init__(self, server: AtollServer, plain: FileTransfers, source: Path) -> None:
        self._plain = plain
        self._source = source
        self._size = source.stat().st_size
        self._files = FileTransfers(server.base_url, server.api_key)
        self._client: BenchmarkClient = client_of(server)
        self._container = f"/containers/{self._client.create()}"
        self._file_id = str(self._upload_file()["id"])
        self._container_file_id = str(self._upload_into_container()["id"])
        plain.put_body("/file", source)

    def actions(self) -> dict[str, Callable[[], object]]:
        """Give what is measured, by its row's name. Each raises when not every byte came over."""
        content = f"{self._container}/files/{self._container_file_id}/content"
        half = self._size // 2
        return {
            PLAIN_UPLOAD: lambda: self._all(self._plain.put_body("/file", self._source)["bytes"]),
            FILE_UPLOAD: lambda: self._all(self._upload_file()["bytes"]),
            CONTAINER_UPLOAD: lambda: self._all(self._upload_into_container()["bytes"]),
            PLAIN_DOWNLOAD: lambda: self._all(self._plain.get("/file")),
            FILE_DOWNLOAD: lambda: self._all(self._files.get(f"/files/{self._file_id}/content")),
            CONTAINER_DOWNLOAD: lambda: self._all(self._files.get(content)),
            CONTAINER_RANGE: lambda: self._all(half + self._files.get(content, byte_range=f"{half}-")),
            PLAIN_DOWNLOADS: lambda: self._at_once(lambda: self._plain.get("/file")),
            CONTAINER_DOWNLOADS: lambda: self._at_once(lambda: self._files.get(content)),
            # Last: two such files are more than a container of 1 GiB keeps in memory, and the others are about one.
            COPY: lambda: self._all(self._copy()["bytes"]),
        }

    def check(self) -> None:
        """See, before anything is timed, that what comes out is what went in."""
        expected = hashlib.sha256(self._source.read_bytes()).digest()
        for path in (f"/files/{self._file_id}", f"{self._container}/files/{self._container_file_id}"):
            seen = hashlib.sha256()
            self._files.get(f"{path}/content", take=seen.update)
            if seen.digest() != expected:
                raise RuntimeError(f"{path} has other bytes than were sent")

    def _upload_file(self) -> dict[str, object]:
        file: dict[str, object] = self._files.post_form("/files", self._source, {"purpose": "user_data"})
        return file

    def _upload_into_container(self) -> dict[str, object]:
        file: dict[str, object] = self._files.post_form(f"{self._container}/files", self._source)
        return file

    def _copy(self) -> dict[str, object]:
        file: dict[str, object] = self._client.request("POST", f"{self._container}/files", {"file_id": self._file_id})
        return file

    def _at_once(self, download: Callable[[], int]) -> None:
        with ThreadPoolExecutor(PARALLEL) as pool:
            for size in pool.map(lambda _: download(), range(PARALLEL)):
                self._all(size)

    def _all(self, size: object) -> None:
        if size != self._size:
            raise RuntimeError(f"{size} of {self._size} bytes came over")


def random_file(path: Path, mib: int) -> Path:
    """Fill a file with bytes that nothing can make smaller."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    return path


def speed_mb(row: Figures, mib: int) -> float:
    """Give millions of bytes a second, of the median; 0 when nothing succeeded."""
    size = mib * MIB * {CONTAINER_DOWNLOADS: PARALLEL, PLAIN_DOWNLOADS: PARALLEL, CONTAINER_RANGE: 0.5}.get(row.name, 1)
    return round(size / MB / (row.p50_ms / 1000), 1) if row.p50_ms else 0.0


if __name__ == "__main__":
    main()
