"""Somebody at a terminal: a program on a pseudo terminal, keys typed into it, its screen read."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.poll import TIMEOUT_S

_READ_BYTES = 65_536
# The terminal has to be the program's own, so that it hears of Ctrl-C and of the window's size; and Ctrl-C must not be
# ignored, as it is by all that a script starts in the background.
_START = (
    "import os, signal, sys; os.login_tty(0); signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Person:
    """Starts ``python ARGUMENTS`` on a terminal of its own; it is killed at the end if it is still there."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], cwd: Path, columns: int = 100) -> None:
        self._outer, self._inner = os.openpty()
        self.resize(columns, 30)
        self.modes_before = self.modes()
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            stdin=self._inner,
            stdout=self._inner,
            stderr=self._inner,
            env={**environment, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
            cwd=cwd,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._inner)
        os.close(self._outer)

    def type(self, keys: str) -> Self:
        """Press keys."""
        os.write(self._outer, keys.encode())
        return self

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """Give how the terminal is set."""
        return termios.tcgetattr(self._inner)

    def wait_for(self, pattern: str) -> str:
        """Read until what was shown since the last match matches; give the match."""
        deadline = time.monotonic() + TIMEOUT_S
        while (found := re.search(pattern.encode(), self.shown)) is None:
            self._read(deadline, pattern)
        self.shown = self.shown[found.end() :]
        return found[0].decode()

    def end(self) -> int:
        """Read until the program has ended; give its exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            self._read(deadline, "its end", wait_s=0.02)
        while select.select([self._outer], [], [], 0)[0]:
            self.shown += os.read(self._outer, _READ_BYTES)
        return self.process.returncode

    def _read(self, deadline: float, what: str, wait_s: float = 1.0) -> None:
        if select.select([self._outer], [], [], wait_s)[0]:
            self.shown += os.read(self._outer, _READ_BYTES)
        assert time.monotonic() < deadline, f"waited in vain for {what}: {self.shown[-2000:]!r}"
