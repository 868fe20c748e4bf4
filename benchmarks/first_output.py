"""Measures what a newcomer waits for: from asking for a container to the output of a first call that uses pandas.

    python -m benchmarks.first_output

Four times over: one at a time and 50 at once on a pool of ready sandboxes that is full when the clock starts, one at a
time without a pool, and, as the yardstick, a fresh process of the same Python that imports the same pandas and has no
walls. Deleting is not timed. Needs root and the default image.
"""

import subprocess
import sys
from pathlib import Path

from atoll.images.shelf import find
from benchmarks.arguments import arguments
from benchmarks.client import BenchmarkClient
from benchmarks.measure import Figures, measure, measure_bursts
from benchmarks.report import Report
from benchmarks.server import client_of, running_server, wait_for_full_pool
from tests.harness.server import IMAGES_DIR

AT_ONCE = 50
PAUSE_S = 0.2  # what a delete leaves to be tidied up, and what fills the pool, has then come to rest
SETTINGS = {"memory_overcommit": 10}  # so that 50 containers of 1 GiB may be there at once
CODE, OUTPUT = "import pandas as pd; print(int(pd.Series([1, 2]).sum()))", "3\n"


def main() -> None:
    """Measure and write ``results/first_output.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=150, help="of each row that is one at a time")
    parser.add_argument("--bursts", type=int, default=5)
    options = parser.parse_args()
    report = Report("first_output", settings=SETTINGS, folder=options.results)
    fresh = measure("fresh process that imports pandas, no walls", fresh_process(), runs=max(1, options.runs // 5))
    report.add(fresh)
    with running_server(**SETTINGS) as server:
        client = client_of(server)
        warm = one_at_a_time("create to first output, pool warm", client, options.runs, pool=True)
        report.add(warm)
        report.add(burst("create to first output, pool warm, burst", client, options.bursts))
    with running_server(**SETTINGS, pool_max=0) as server:
        client = client_of(server)
        create_and_run(client)  # the server's very first
        report.add(one_at_a_time("create to first output, no pool", client, max(1, options.runs // 2), pool=False))
    report.ratio("fresh process / create to first output, pool warm", fresh, warm)
    sys.exit(report.write())


def one_at_a_time(name: str, client: BenchmarkClient, runs: int, *, pool: bool) -> Figures:
    """Measure with nothing else going on."""
    return measure(
        name,
        lambda: create_and_run(client),
        runs=runs,
        pause_s=PAUSE_S,
        before=(lambda: wait_for_full_pool(client)) if pool else None,
        after=client.delete,
    )


def burst(name: str, client: BenchmarkClient, bursts: int) -> Figures:
    """Measure all that begin at one moment."""
    return measure_bursts(
        name,
        lambda: create_and_run(client),
        bursts=bursts,
        at_once=AT_ONCE,
        before=lambda: wait_for_full_pool(client),
        after=client.delete,
    )


def create_and_run(client: BenchmarkClient) -> str:
    """Make a container and let it compute; give its id. A fast wrong answer is a failure."""
    container_id = client.create()
    try:
        client.python(container_id, CODE, expect=OUTPUT)
    except Exception:
        client.delete(container_id)
        raise
    return container_id


def fresh_process(images_dir: Path = IMAGES_DIR) -> "FreshProcess":
    """Give what starts the default image's own Python."""
    image = find(images_dir, "default")
    return FreshProcess(images_dir / image.id / "rootfs", image.python)


class FreshProcess:
    """Starts an image's Python as a process of this machine, in the image's files and as nobody, without any walls."""

    def __init__(self, rootfs: Path, python: str) -> None:
        self._command = ["chroot", "--userspec=65534:65534", str(rootfs), python, "-c", "import pandas"]
        self()  # the first one reads from disk what all others find in memory

    def __call__(self) -> None:
        """Start it and wait for its end."""
        subprocess.run(
            self._command, check=True, cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        )


if __name__ == "__main__":
    main()
