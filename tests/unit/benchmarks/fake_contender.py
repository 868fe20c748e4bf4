"""A contender that is made of nothing, and can be told to fail."""

from collections.abc import Sequence
from typing import ClassVar

from benchmarks.contenders.contender import Contender, ContenderError, Facts, NotHereError, Started

FACTS = Facts(walls="w", network="n", memory_limit="m", state="s", files="f", expiry="e", more="more")


class FakeContender(Contender):
    """Writes down what is done to it; ``outputs`` are given one after the other, an exception is raised."""

    facts: ClassVar = FACTS

    def __init__(self, name: str, outputs: Sequence[str | Exception] = (), *, again: str | None = None) -> None:
        self.name = name  # type: ignore[misc] # fakes differ by name only
        self.again = again  # type: ignore[misc]
        self.outputs = list(outputs)
        self.log: list[str] = []
        self.missing: str | None = None
        self.end_error: ContenderError | None = None
        self.open_error: NotHereError | None = None

    def why_not(self) -> str | None:
        return self.missing

    def open(self) -> None:
        self.log.append("open")
        if self.open_error is not None:
            raise self.open_error

    def version(self) -> str:
        return "1"

    def start(self, code: str) -> Started:
        del code
        self.log.append("start")
        return Started(FakeSession(self), self.next_output())

    def settle(self) -> None:
        self.log.append("settle")

    def close(self) -> None:
        self.log.append("close")

    def next_output(self) -> str:
        output = self.outputs.pop(0) if self.outputs else "3\n"
        if isinstance(output, Exception):
            raise output
        return output


class FakeSession:
    """A session of a contender."""

    def __init__(self, contender: FakeContender) -> None:
        self._contender = contender

    def run(self, code: str) -> str:
        del code
        self._contender.log.append("run")
        return self._contender.next_output()

    def end(self) -> None:
        self._contender.log.append("end")
        if self._contender.end_error is not None:
            raise self._contender.end_error
