"""Measures a page of the list of containers, anywhere in it: of a million against a thousand, with a name and without.

    python -m benchmarks.listing

Two servers, whose databases were filled beforehand, are asked in turn for pages of 100, from random places, in either
order; half of the containers have the name that is asked for. What a million rows cost a server otherwise is measured
beside it: its start, its memory, one reading of its metrics. The rows need no sandboxes, so the servers have none.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from benchmarks.arguments import arguments
from benchmarks.measure import Value, measure, measure_in_turn
from benchmarks.memory import MB, proportional_bytes
from benchmarks.report import Report
from benchmarks.rows import COMMON_NAME, fill
from benchmarks.server import client_of
from tests.harness.server import AtollServer

FEW = 1_000
LIMIT = 100
EMPTY, FEW_ROWS, MANY_ROWS = "no containers", "few containers", "many containers"


def main() -> None:
    """Measure and write ``results/listing.json``."""
    parser = arguments(__doc__)
    parser.add_argument("--many", type=int, default=1_000_000, help="rows of the large one (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=1000, help="pages of each row (default: %(default)s)")
    options = parser.parse_args()
    report = Report("listing", settings={"runtime": "plain"}, folder=options.results)
    with ExitStack() as running:
        lists = [
            running.enter_context(Filled(name, count))
            for name, count in ((EMPTY, 0), (FEW_ROWS, FEW), (MANY_ROWS, options.many))
        ]
        for filled in lists:
            report.add(Value(filled.name, filled.count, "rows"))
            report.add(Value(f"start to ready with {filled.name}", filled.start_ms, "ms"))
            report.add(Value(f"memory of a server with {filled.name}", filled.memory_mb(), "MB"))
        few, many = lists[1:]
        rows = measure_in_turn(
            {
                title(filled, by_name=name): filled.pages(by_name=name)
                for name in (False, True)
                for filled in (few, many)
            },
            runs=options.runs,
        )
        report.add(*rows.values())
        for filled in (few, many):
            report.add(measure(f"metrics with {filled.name}", filled.client.metrics, runs=20))
        for name in (False, True):
            above, below = title(many, by_name=name), title(few, by_name=name)
            report.ratio(f"{above} / {below}", rows[above], rows[below])
    sys.exit(report.write())


class Filled:
    """A server on a database with ``count`` containers."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.start_ms = 0.0
        self.count = count
        self._server = AtollServer("plain")
        self._ids: Sequence[str] = ()
        self._random = random.Random(count)  # noqa: S311 - the same places in every run

    def __enter__(self) -> Self:
        try:
            self._server.start()  # makes the database and its first project
            self._server.stop()
            self._ids = fill(self._server.data_dir / "atoll.db", self.count)
            began = time.perf_counter()
            self._server.start()
            self.start_ms = round((time.perf_counter() - began) * 1000, 1)
        except BaseException:
            self._server.close()
            raise
        self.client = client_of(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def memory_mb(self) -> float:
        """Give what the server process holds."""
        return round(proportional_bytes([self._server.pid_of("server")]) / MB, 1)

    def pages(self, *, by_name: bool) -> Callable[[], None]:
        """Give what asks for a page somewhere, and raises when it is not the one that belongs there."""
        step = 2 if by_name else 1
        filtered = f"&name={COMMON_NAME}" if by_name else ""

        def page() -> None:
            order, direction = self._random.choice((("asc", 1), ("desc", -1)))
            # The place of the cursor, counted from where the order begins, with a whole page behind it.
            place = self._random.randrange(1, len(self._ids) - step * (LIMIT + 1), step)
            at = place if direction == 1 else len(self._ids) - 1 - place + (step - 1)
            answer = self.client.request(
                "GET", f"/containers?limit={LIMIT}&order={order}&after={self._ids[at]}{filtered}"
            )
            expected = [self._ids[at + direction * step * number] for number in range(1, LIMIT + 1)]
            if [item["id"] for item in answer["data"]] != expected or not answer["has_more"]:
                raise RuntimeError(f"another page than the one after the container in place {at}")

        return page


def title(filled: Filled, *, by_name: bool) -> str:
    """Name a row."""
    return f"page of {LIMIT} of {filled.name}" + (", by name" if by_name else "")


if __name__ == "__main__":
    main()
