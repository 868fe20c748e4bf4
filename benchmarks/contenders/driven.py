"""Contenders that are Python packages with needs of their own: driven by a program that runs in the peers' Python.

The program stands in ``benchmarks/peers``; it is asked by lines of JSON, one at a time. The way there and back costs a
tenth of a millisecond at most, which is counted against the contender.
"""

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.contender import CALL_S_MAX, Contender, ContenderError, NotHereError, Started
from benchmarks.contenders.live_process import LiveProcess
from benchmarks.contenders.place import Place

PROJECT = Path(__file__).parents[2]
OPEN_S_MAX = 60.0


class Driven(Contender):
    """Speaks with a program of ``benchmarks/peers``."""

    module: ClassVar[str]

    def __init__(self, place: Place) -> None:
        self._place = place
        self._program: LiveProcess | None = None

    def open(self) -> None:
        """Make the peers' Python when it is not there, and start the program."""
        self._place.peers.make()
        folder = self._place.scratch / self.module
        folder.mkdir(exist_ok=True)
        self._program = LiveProcess(
            [str(self._place.peers.python), "-m", f"benchmarks.peers.{self.module}", str(folder)],
            errors=folder / "errors",
            cwd=PROJECT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)},
        )
        try:
            self._ask("open", timeout_s=OPEN_S_MAX)
        except ContenderError as error:
            raise NotHereError(str(error)) from error

    def version(self) -> str:
        """Ask the program."""
        return str(self._ask("version"))

    def start(self, code: str) -> Started:
        """Start a session and run the first code in it."""
        return self._started("start", code)

    def hold(self, code: str) -> Started:
        """The same, but the code stays."""
        return self._started("hold", code)

    def close(self) -> None:
        """End the program, which ends all that it has started."""
        program, self._program = self._program, None
        if program is not None:
            program.end()

    def ask_session(self, what: str, number: int, code: str = "") -> str:
        """Have something done in a session."""
        return str(self._ask(what, number=number, code=code))

    def _started(self, how: str, code: str) -> Started:
        number, output = self._ask(how, code=code)
        return Started(DrivenSession(self, number), output)

    def _ask(self, what: str, *, timeout_s: float = CALL_S_MAX, **details: object) -> Any:
        assert self._program is not None, "not open"
        self._program.say(json.dumps({"what": what, **details}).encode())
        answer = json.loads(self._program.line(timeout_s))
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer["value"]


class DrivenSession:
    """A session that the program knows by a number."""

    def __init__(self, contender: Driven, number: int) -> None:
        self._contender = contender
        self._number = number

    def run(self, code: str) -> str:
        """Run code in it."""
        return self._contender.ask_session("run", self._number, code)

    def end(self) -> None:
        """End it."""
        self._contender.ask_session("end", self._number)
