"""Reads what one program writes to its pipes: as fast as it is taken, and to the end of what was there when it ended.

Background processes that keep the pipes go on, and what they write later is thrown away.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Final

from atoll.guest import pipes
from atoll.guest.reactor import READ, Reactor, Timer

_TURN_BYTES: Final = 256 * 1024


class ProgramPipes:
    """``ends`` are the pipes to read, by stream; takes them over.

    ``on_ready`` is called when there is something to read, and is to call ``read``; ``on_data`` gets what was read with
    its stream. Nothing is read while ``must_wait`` tells so.
    """

    def __init__(
        self,
        ends: Mapping[int, int],
        *,
        reactor: Reactor,
        must_wait: Callable[[], bool],
        on_data: Callable[[int, bytes], None],
        on_ready: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._ends = dict(ends)
        self._left: dict[int, int] | None = None  # once it has ended: what is still to be read of each open pipe
        self._reactor = reactor
        self._must_wait = must_wait
        self._on_data = on_data
        self._on_ready = on_ready
        self._on_error = on_error
        self._resume: Timer | None = None

    def ended(self) -> None:
        """Read only what is there now: the program has ended."""
        self._left = {stream: pipes.pending(fd) for stream, fd in self._ends.items()}

    def read(self) -> bool:
        """Read what there is; tells whether that was all, after the program's end."""
        for stream in list(self._ends):
            self._read(stream)
        if self._left is not None and not any(self._left.values()):
            return True
        self._watch()
        return False

    def pause(self, delay_s: float) -> None:
        """Do not look for a moment; the program's end does not wait for it."""
        self._end_pause()
        self._resume = self._reactor.call_later(delay_s, self._look_again, self._on_error)

    def let_go(self, drains: pipes.Drains) -> None:
        """Have whoever still writes read on; what is read from now on is thrown away."""
        self._end_pause()
        for fd in self._ends.values():
            self._unwatch(fd)
            if pipes.read(fd, pipes.READ_BYTES) == b"":
                os.close(fd)
            else:
                drains.add(fd)
        self._ends.clear()

    def _read(self, stream: int) -> None:
        room = _TURN_BYTES
        while room > 0 and not self._must_wait():
            wanted = min(room, pipes.READ_BYTES)
            if self._left is not None:
                wanted = min(wanted, self._left[stream])
            if wanted == 0:
                return
            data = pipes.read(self._ends[stream], wanted)
            if not data:
                if data == b"":
                    self._close(stream)
                elif self._left is not None:
                    self._left[stream] = 0
                return
            if self._left is not None:
                self._left[stream] -= len(data)
            room -= len(data)
            self._on_data(stream, data)

    def _close(self, stream: int) -> None:
        fd = self._ends.pop(stream)
        self._unwatch(fd)
        os.close(fd)
        if self._left is not None:
            self._left.pop(stream)

    def _watch(self) -> None:
        events = 0 if self._must_wait() or self._resume is not None else READ
        for fd in self._ends.values():
            self._reactor.watch(fd, events, functools.partial(self._on_output, fd), self._on_error)

    def _on_output(self, fd: int, _events: int) -> None:
        if pipes.pending(fd) < pipes.SMALL_READ_BYTES:
            self.pause(pipes.SMALL_PAUSE_S)
        self._on_ready()

    def _look_again(self) -> None:
        self._resume = None
        self._on_ready()

    def _end_pause(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None

    def _unwatch(self, fd: int) -> None:
        self._reactor.watch(fd, 0, lambda _events: None, self._on_error)
