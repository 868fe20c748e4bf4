"""What befalls the server meanwhile, one thing after the other."""

import json
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from tests.harness import machine
from tests.harness.past import leave_unused
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.soak.ledger import Ledger

_QUIET_S: Final = (2.0, 6.0)
_PAST_MINUTES: Final = 30


class Trouble:
    """Does every kind of harm in turn, in an order that the seed decides, with a little quiet in between."""

    def __init__(self, server: AtollServer, ledger: Ledger, seed: str, ended: threading.Event) -> None:
        self._server = server
        self._ledger = ledger
        self._chance = random.Random(seed)  # noqa: S311 - meant to be the same in every run
        self._ended = ended
        self._kinds: list[Callable[[], None]] = [
            self._kill_server,
            self._kill_supervisor,
            self._kill_both,
            self._kill_launcher,
            self._kill_zygote,
            self._kill_agent,
            self._kill_agent,
            self._stop_and_start,
            self._let_time_pass,
            self._reboot,
        ]

    def run(self) -> None:
        """Make trouble until told to end; leaves the server in service."""
        while not self._ended.is_set():
            self._chance.shuffle(self._kinds)
            for kind in self._kinds:
                if self._ended.wait(self._chance.uniform(*_QUIET_S)):
                    break
                kind()
                self._ledger.count(f"trouble: {kind.__name__.strip('_')}")
        in_service(self._server)

    def _kill_server(self) -> None:
        self._ledger.crashed()
        self._server.kill("server")
        in_service(self._server)

    def _kill_supervisor(self) -> None:
        self._server.kill("supervisor")
        in_service(self._server)

    def _kill_both(self) -> None:
        self._ledger.crashed()
        self._server.kill("server", "supervisor")
        in_service(self._server)

    def _kill_launcher(self) -> None:
        self._ledger.crashed()
        self._server.kill_launcher()
        self._server.start()

    def _kill_zygote(self) -> None:
        for pid in machine.zygote_processes(self._server.cgroup_parent):
            machine.kill_9(pid)

    def _kill_agent(self) -> None:
        """End the first process of a sandbox, which takes all of it."""
        found = sorted((self._server.run_dir / "running").glob("sbx_*.json"))
        if found:
            with suppress(OSError, ValueError):  # it ended by itself just now
                machine.kill_9(int(json.loads(self._chance.choice(found).read_text())["pid"]))

    def _stop_and_start(self) -> None:
        self._server.stop()
        self._server.start()

    def _reboot(self) -> None:
        self._ledger.crashed()
        self._server.reboot()
        self._server.start()

    def _let_time_pass(self) -> None:
        """Find some containers unused for half an hour after a crash."""
        self._ledger.crashed()
        self._server.kill_launcher()
        with closing(sqlite3.connect(self._server.data_dir / "atoll.db")) as database:
            running = [row[0] for row in database.execute("SELECT id FROM containers WHERE status = 'running'")]
        with self._ledger.lock:
            chosen = [self._ledger.kept[one] for one in sorted(running) if one in self._ledger.kept]
            chosen = [one for one in chosen if one.minutes < _PAST_MINUTES]
            chosen = self._chance.sample(chosen, k=(len(chosen) + 1) // 2)
            for one in chosen:
                one.is_aged = one.is_left_alone = True
        leave_unused(self._server, [one.id for one in chosen], minutes=_PAST_MINUTES)
        self._server.start()


def in_service(server: AtollServer) -> None:
    """Wait until server and supervisor are back."""
    server.wait_healthy()
    wait_until(lambda: _has_all_roles(server), what="server and supervisor back")


def _has_all_roles(server: AtollServer) -> bool:
    try:
        return bool(server.pid_of("server") and server.pid_of("supervisor"))
    except LookupError:
        return False
