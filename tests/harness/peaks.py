"""How much memory processes took at their peak, beyond what they had when one began to look."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness import machine
from tests.harness.server import AtollServer

_LOOK_AGAIN_S: Final = 0.02
_FORGET_PEAK: Final = "5"


class PeakGrowth:
    """Watches every process of a server and of its sandboxes, those that come later too, while the body runs.

    Peaks are the kernel's own (``VmHWM``), so nothing is missed between two looks but the last moments of a process
    that ends meanwhile. What a new process has of the one that forked it is no growth.
    """

    def __init__(self, server: AtollServer) -> None:
        self._server = server
        self._before: dict[int, int] = {}
        self._peaks: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look_again_and_again)

    def __enter__(self) -> Self:
        for pid in machine.processes_of(self._server.home, self._server.cgroup_parent):
            with suppress(OSError):  # gone meanwhile
                Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK)
            self._note(pid, _status(pid, "VmHWM"))
        self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._looking.join()

    @property
    def growth_bytes(self) -> dict[str, int]:
        """Give each process's growth, by its number and command line."""
        return {f"{pid} {self._names[pid]}": peak - self._before[pid] for pid, peak in self._peaks.items()}

    @property
    def most_bytes(self) -> int:
        """Give the growth of the process that grew most."""
        return max(self.growth_bytes.values())

    def _look_again_and_again(self) -> None:
        while not self._ended.wait(_LOOK_AGAIN_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for pid in machine.sandbox_processes(self._server.cgroup_parent) | self._before.keys():
            if pid not in self._before:
                self._note(pid, _status(_status(pid, "PPid"), "VmRSS"))
            self._peaks[pid] = max(self._peaks.get(pid, 0), _status(pid, "VmHWM"))

    def _note(self, pid: int, before: int) -> None:
        self._before[pid] = before
        self._names[pid] = machine.command_line(pid)[:100]


def _status(pid: int, name: str) -> int:
    """Give a number of a process's status, sizes in bytes; 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    words = next((line.split() for line in lines if line.startswith(name + ":")), ["", "0"])
    return int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
