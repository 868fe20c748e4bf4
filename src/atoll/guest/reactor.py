"""The agent's one loop: descriptors, timers, ended children and slices of longer work, all on one thread.

One thread, because the agent forks; no asyncio, because it must stay small and reap every child as PID 1. A handler
that fails takes down its own operation (``on_error``), never the loop.
"""

import contextlib
import heapq
import itertools
import os
import select
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

Handler = Callable[[], None]
ErrorHandler = Callable[[BaseException], None]

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE
HANGUP: Final = 4
"""The other side has gone, told also where its last words are not to be read yet."""

_REAPED_PER_TURN: Final = 256


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: exactly one of ``signal`` and ``exit_code`` is set."""

    signal: int | None
    exit_code: int | None

    @property
    def shell_code(self) -> int:
        """The number a shell gives: the exit code, or 128 + the signal's number."""
        return 128 + (self.signal or 0) if self.exit_code is None else self.exit_code


@dataclass(order=True, slots=True)
class Timer:
    """A call to come; ``cancel`` is idempotent."""

    at: float
    number: int
    handler: Handler | None = field(compare=False)
    on_error: ErrorHandler = field(compare=False)

    def cancel(self) -> None:
        """Make sure the handler is not called any more."""
        self.handler = None


@dataclass(slots=True)
class _Watch:
    events: int
    handler: Callable[[int], None]
    on_error: ErrorHandler


_complaints_left = iter(range(20))


def log(error: BaseException) -> None:
    """Say on the agent's stderr what went wrong; never raises.

    Only the first few times in a life: a pipe that nobody reads must not fill up and stop the agent.
    """
    if next(_complaints_left, None) is None:
        return
    with contextlib.suppress(Exception):
        traceback.print_exception(error, limit=-8, file=sys.stderr)


class Reactor:
    """Owns the epoll, without ``selectors``, which does more than most handlers. ``run`` returns after ``stop``."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._last: list[tuple[Handler, ErrorHandler]] = []
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._children: dict[int, tuple[Callable[[ChildEnd], None], ErrorHandler]] = {}
        self._steps: dict[Iterator[None], ErrorHandler] = {}
        self._running = False
        self._wakeup_r, self._wakeup_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.watch(self._wakeup_r, READ, self._drain_wakeup, log)

    def now(self) -> float:
        """Give monotonic seconds."""
        return time.monotonic()

    def watch(self, fd: int, events: int, handler: Callable[[int], None], on_error: ErrorHandler) -> None:
        """Call ``handler`` with the events ready on ``fd``; ``events`` 0 stops that. Repeatable."""
        known = self._watches.pop(fd, None)
        if events == 0:
            if known is not None:
                with contextlib.suppress(OSError):  # closed already, which is the same
                    self._epoll.unregister(fd)
            return
        if known is None:
            self._epoll.register(fd, _to_epoll(events))
        elif known.events != events:
            self._epoll.modify(fd, _to_epoll(events))
        self._watches[fd] = _Watch(events, handler, on_error)

    def call_later(self, delay_s: float, handler: Handler, on_error: ErrorHandler) -> Timer:
        """Call ``handler`` once, ``delay_s`` seconds from now."""
        timer = Timer(self.now() + delay_s, next(self._numbers), handler, on_error)
        heapq.heappush(self._timers, timer)
        return timer

    def watch_child(self, pid: int, handler: Callable[[ChildEnd], None], on_error: ErrorHandler) -> None:
        """Call ``handler`` when the child has ended. It is still a zombie then, so its number is not reused yet."""
        self._children[pid] = (handler, on_error)

    def step_through(self, work: Iterator[None], on_error: ErrorHandler) -> None:
        """Advance ``work`` once a turn until it ends or ``forget`` is called."""
        self._steps[work] = on_error

    def forget(self, work: Iterator[None]) -> None:
        """Stop stepping through ``work``."""
        self._steps.pop(work, None)

    def call_last(self, handler: Handler, on_error: ErrorHandler) -> None:
        """Call ``handler`` once, after everything else that this turn does."""
        self._last.append((handler, on_error))

    def stop(self) -> None:
        """Let ``run`` return after this turn."""
        self._running = False

    def run(self) -> None:
        """Serve until ``stop``."""
        previous = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup = signal.set_wakeup_fd(self._wakeup_w, warn_on_full_buffer=False)
        self._running = True
        self._reap()
        try:
            while self._running:
                self._turn()
        finally:
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGCHLD, previous)

    def _turn(self) -> None:
        ready = self._epoll.poll(self._wait_s(), len(self._watches))
        for fd, watch, happened in [(fd, self._watches.get(fd), happened) for fd, happened in ready]:
            if watch is None or self._watches.get(fd) is not watch:
                continue  # a handler before it in this turn closed it or changed its mind
            events = _from_epoll(happened) & watch.events
            if events:
                _guarded(lambda w=watch, e=events: w.handler(e), watch.on_error)  # type: ignore[misc]
        self._run_timers()
        for work, on_error in list(self._steps.items()):
            if work in self._steps:
                _guarded(lambda w=work: self._step(w), on_error)  # type: ignore[misc]
        last, self._last = self._last, []
        for handler, on_error in last:
            _guarded(handler, on_error)

    def _wait_s(self) -> float | None:
        if self._steps or self._last:
            return 0
        while self._timers and self._timers[0].handler is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].at - self.now()) if self._timers else None

    def _run_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0].at <= now:
            timer = heapq.heappop(self._timers)
            if timer.handler is not None:
                _guarded(timer.handler, timer.on_error)

    def _step(self, work: Iterator[None]) -> None:
        try:
            next(work)
        except StopIteration:
            self._steps.pop(work, None)
        except BaseException:
            self._steps.pop(work, None)
            raise

    def _drain_wakeup(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup_r, 4096)
        self._reap()

    def _reap(self) -> None:
        """Reap what has ended: our own children and, as PID 1 or subreaper, everybody's orphans."""
        for _ in range(_REAPED_PER_TURN):
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            handler, on_error = self._children.pop(info.si_pid, (None, log))
            if handler is not None:
                exited = info.si_code == os.CLD_EXITED
                end = ChildEnd(None, info.si_status) if exited else ChildEnd(info.si_status, None)
                _guarded(lambda h=handler, e=end: h(e), on_error)  # type: ignore[misc]
            with contextlib.suppress(ChildProcessError):
                os.waitpid(info.si_pid, os.WNOHANG)
        os.write(self._wakeup_w, b"\0")  # more to do, but others' turn first


def _to_epoll(events: int) -> int:
    return (
        (select.EPOLLIN if events & READ else 0)
        | (select.EPOLLOUT if events & WRITE else 0)
        | (select.EPOLLRDHUP if events & HANGUP else 0)
    )


def _from_epoll(happened: int) -> int:
    """Errors and hang-ups count as either: whoever reads or writes then is told."""
    return (
        (READ if happened & ~select.EPOLLOUT else 0)
        | (WRITE if happened & ~select.EPOLLIN else 0)
        | (HANGUP if happened & ~(select.EPOLLIN | select.EPOLLOUT) else 0)
    )


def _guarded(call: Handler, on_error: ErrorHandler) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever breaks in one operation must not end the loop of PID 1
        log(error)
        try:
            on_error(error)
        except Exception as second:  # noqa: BLE001 - the same
            log(second)
