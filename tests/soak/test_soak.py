"""Everything at once, for as long as you like: people, trouble, and the same rules at the end.

``ATOLL_TEST_SOAK_S`` is how long it goes on (``scripts/test --soak SECONDS``), ``ATOLL_TEST_SOAK_SEED`` repeats the
choices of an earlier run, which it prints; what threads and kernel make of them is never quite the same.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.server import MakeServer
from tests.soak.ledger import Ledger
from tests.soak.people import Person
from tests.soak.trouble import Trouble
from tests.soak.verdict import empty, judge

SECONDS_SHORT = 20.0
PEOPLE = 6


def test_soak(make_server: MakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = float(os.environ.get("ATOLL_TEST_SOAK_S", SECONDS_SHORT))
    seed = os.environ.get("ATOLL_TEST_SOAK_SEED") or secrets.token_hex(4)
    with capsys.disabled():
        print(f"\nsoak: {seconds:g} s, ATOLL_TEST_SOAK_SEED={seed}", flush=True)
    server = make_server(pool_min=1, pool_max=3)
    ledger, ended = Ledger(), threading.Event()
    people = [Person(server, ledger, f"{seed} {number}", ended) for number in range(PEOPLE)]
    trouble = Trouble(server, ledger, f"{seed} trouble", ended)
    with ThreadPoolExecutor(PEOPLE + 1) as threads:
        work = [threads.submit(trouble.run), *(threads.submit(one.run) for one in people)]
        try:
            _wait(seconds, lambda: any(one.done() for one in work))
        finally:
            ended.set()
    for one in work:
        one.result()
    with capsys.disabled():
        print("soak: " + ", ".join(f"{count} {what}" for what, count in sorted(ledger.outcomes.items())), flush=True)
    api = server.api()
    judge(server, api, ledger)
    empty(server, api)
    assert not ledger.violations, "\n".join(ledger.violations)


def _wait(seconds: float, has_failed: Callable[[], bool]) -> None:
    """Let it go on; whoever ends early has failed."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not has_failed():
        pause.wait(0.2)
