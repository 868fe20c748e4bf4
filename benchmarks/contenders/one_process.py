"""Contenders that are one process for one piece of code: nothing of them lives longer than it does."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator

from benchmarks.contenders.contender import Contender, ContenderError, Started
from benchmarks.contenders.live_process import WAIT, LiveProcess
from benchmarks.contenders.place import Place

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class OneProcess(Contender):
    """Starts a command that runs the code; it stays, as one that has more to do would, until its session's end."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._numbers: Iterator[int] = itertools.count(1)
        self._living: set[LiveProcess] = set()

    @abstractmethod
    def command(self, code: str) -> list[str]:
        """Give what runs the code."""

    def open(self) -> None:
        """Nothing is needed beforehand."""

    def start(self, code: str) -> Started:
        """Start the command and read the first line it prints."""
        errors = self.place.scratch / f"{type(self).__name__}-{next(self._numbers)}"
        process = LiveProcess(self.command(code + WAIT), errors=errors, env=ENVIRONMENT)
        self._living.add(process)
        session = ProcessSession(process, self._living)
        try:
            return Started(session, process.line().decode(errors="replace"))
        except BaseException:
            process.kill()
            self._living.discard(process)
            raise

    def close(self) -> None:
        """End what is left."""
        while self._living:
            self._living.pop().kill()


class ProcessSession:
    """A process that has run its code and waits."""

    def __init__(self, process: LiveProcess, living: set[LiveProcess]) -> None:
        self._process = process
        self._living = living

    def run(self, code: str) -> str:
        """There is nobody to be asked."""
        raise ContenderError(f"a process runs one piece of code; nothing runs {code!r}")

    def end(self) -> None:
        """End the process."""
        try:
            self._process.end()
        finally:
            self._living.discard(self._process)
