"""``atoll bench``: a short, honest measurement of one's own server, as a client sees it."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer

from atoll.cli.arguments import AsJson, print_json, target_of
from atoll.cli.bare_client import BareClient
from atoll.cli.connection import Target, connect
from atoll.cli.exit_codes import ExitCode
from atoll.cli.progress import Progress
from atoll.cli.signal_handling import handling
from atoll.cli.tables import print_table
from atoll.cli.timing import Figures, measure

_PANDAS: Final = ("import pandas as pd; print(int(pd.Series([1, 2]).sum()))", "3\n")
_SUM: Final = ("1+1", "2\n")
# Between creates: what a delete leaves to be tidied up, and what fills the pool, has then come to rest.
_PAUSE_S: Final = 0.2
_WARM_UP: Final = 10
# For what even the end below cannot remove: a server that is gone just then.
_EXPIRES_AFTER: Final = {"anchor": "last_active_at", "minutes": 5}
_CALLS_FOR_A_CREATE: Final = 10


def bench(
    context: typer.Context,
    *,
    runs: Annotated[
        int,
        typer.Option(help="Containers made for each of the two rows about them; calls are ten times as many.", min=1),
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Measure how long containers and calls take on this server. Over HTTP, one at a time.

    Failed runs are counted beside the times of the others, and make the exit code 1. All that it makes is removed, also
    when Ctrl-C ends it.
    """
    target = target_of(context)
    with connect(target) as connection:
        connection.get("/containers", limit=1)  # what is wrong with server or key is said in words
    with _measuring(target, runs) as bench:
        rows = bench.rows()
    _show(target.resolve()[0], rows, as_json=as_json)
    if bench.left_over:
        sys.stderr.write("".join(f"[not removed: {one}; it expires in 5 minutes]\n" for one in bench.left_over))
    if bench.was_interrupted:
        raise SystemExit(ExitCode.INTERRUPTED)
    if bench.left_over or any(row.failures for row in rows):
        raise SystemExit(ExitCode.FAILED)


class _Interrupted(BaseException):
    """Ctrl-C, told between two runs: in the middle of a create nobody would know what was made."""


@dataclass(slots=True)
class _Bench:
    client: BareClient
    runs: int
    progress: Progress
    name: str
    was_interrupted: bool = False
    left_over: tuple[str, ...] = ()
    _container_id: str | None = None

    def rows(self) -> list[Figures]:
        """Measure everything; after an interrupt, what came before it."""
        rows: list[Figures] = []
        with suppress(_Interrupted):
            self._first_output()  # the first of all fills caches, and is nobody's everyday
            rows.append(
                self._row("create to first output, with pandas", self._create_and_compute, after=self.client.delete)
            )
            rows.append(self._row("create and delete", lambda: self.client.delete(self._create())))
            for name, call in (("1+1 in Python", self._compute), ("true in a shell", self._shell)):
                for _ in range(_WARM_UP):
                    with suppress(Exception):
                        call()
                rows.append(self._row(name, call, runs=self.runs * _CALLS_FOR_A_CREATE, pause_s=0.0))
        return rows

    def sweep(self) -> None:
        """Remove what is still there of all that was made."""
        left: list[str] = []
        after = ""
        try:
            while True:
                page = self.client.request("GET", f"/containers?limit=100&name={self.name}{after}")
                for container in page["data"]:
                    try:
                        self.client.delete(container["id"])
                    except (RuntimeError, OSError):
                        left.append(container["id"])
                if not page["has_more"]:
                    break
                after = f"&after={page['last_id']}"
        except (RuntimeError, OSError, ValueError) as error:
            left.append(f"containers named {self.name} ({error})")
        self.left_over = tuple(left)

    def _row(
        self,
        name: str,
        action: Callable[[], Any],
        *,
        after: Callable[[Any], object] | None = None,
        runs: int | None = None,
        pause_s: float = _PAUSE_S,
    ) -> Figures:
        def between() -> None:
            if self.was_interrupted:
                raise _Interrupted
            self.progress.advance(1)

        return measure(name, action, runs=runs or self.runs, pause_s=pause_s, before=between, after=after)

    def _first_output(self) -> None:
        with suppress(Exception):
            self.client.delete(self._create_and_compute())

    def _compute(self) -> None:
        self.client.python(self._living(), _SUM[0], expect=_SUM[1])

    def _shell(self) -> None:
        self.client.shell(self._living(), "true")

    def _living(self) -> str:
        if self._container_id is None:
            self._container_id = self._create()
        return self._container_id

    def _create(self) -> str:
        return self.client.create(name=self.name, expires_after=_EXPIRES_AFTER)

    def _create_and_compute(self) -> str:
        container_id = self._create()
        self.client.python(container_id, _PANDAS[0], expect=_PANDAS[1])
        return container_id


@contextmanager
def _measuring(target: Target, runs: int) -> Iterator[_Bench]:
    """Give what measures; Ctrl-C and SIGTERM end it after the run that goes on, and what it made is removed."""
    total = runs * 2 + runs * _CALLS_FOR_A_CREATE * 2
    with Progress("Measuring", total, unit="runs") as progress:
        bench = _Bench(BareClient(*target.resolve()), runs, progress, f"atoll-bench-{secrets.token_hex(8)}")

        def on_signal(*_: object) -> None:
            bench.was_interrupted = True

        with handling((signal.SIGINT, signal.SIGTERM), on_signal):
            try:
                yield bench
            finally:
                bench.sweep()
                bench.client.close()


def _show(base_url: str, rows: list[Figures], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"base_url": base_url, "at": int(time.time()), "load": os.getloadavg()[0], "rows": [*map(asdict, rows)]}
        )
        return
    print_table(
        ("what", "runs", "failed", "p50", "p99"),
        ((row.name, str(row.runs), str(row.failures), _ms(row.p50_ms), _ms(row.p99_ms)) for row in rows),
    )


def _ms(time_ms: float | None) -> str:
    return "-" if time_ms is None else f"{time_ms:.2f} ms"
