"""A child process that is asked by lines: it prints what it has to say, and ends when nobody holds its input."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders.contender import CALL_S_MAX, ContenderError

END_S_MAX = 10.0
_ERRORS_SHOWN_MAX = 300  # characters
_READ_BYTES = 65536

WAIT = "\nimport sys; sys.stdout.flush(); sys.stdin.read()"  # behind code: stay until the input ends


class LiveProcess:
    """A process with pipes on both sides. Whatever becomes of this one, its input ends with it, and so does the child.

    ``errors`` is a file for what it writes to its standard error. It has a session of its own, so that what is left of
    it can be ended together.
    """

    def __init__(
        self, command: Sequence[str], *, errors: Path, env: Mapping[str, str] | None = None, cwd: Path = Path("/")
    ) -> None:
        self._errors = errors
        self._buffer = b""
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
                cwd=cwd,
                bufsize=0,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def say(self, line: bytes) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
        except BrokenPipeError:
            raise ContenderError(f"it does not listen any more{self._complaint()}") from None

    def line(self, timeout_s: float = CALL_S_MAX) -> bytes:
        """Wait for a line from it; give it with its end. Raises ``ContenderError`` when none comes."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise ContenderError(f"nothing came within {timeout_s:g} s{self._complaint()}")
            chunk = os.read(self._process.stdout.fileno(), _READ_BYTES)
            if not chunk:
                raise ContenderError(f"it ended without an answer{self._complaint()}")
            self._buffer += chunk
        line, end, self._buffer = self._buffer.partition(b"\n")
        return line + end

    def end(self, timeout_s: float = END_S_MAX) -> None:
        """End its input and wait for its end; one that stays is killed, which is a ``ContenderError``."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ContenderError(f"it did not end within {timeout_s:g} s{self._complaint()}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its session at once; may be called twice."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _complaint(self) -> str:
        said = self._errors.read_text(encoding="utf-8", errors="replace").strip()
        return f": {said[-_ERRORS_SHOWN_MAX:]}" if said else ""
