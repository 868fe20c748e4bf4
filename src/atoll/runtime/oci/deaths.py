"""Notices at once when a sandbox's processes end by themselves."""

import os
import select
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deaths(Generic[T]):
    """One thread that waits for many pidfds and calls ``on_death``, which must be quick, with what each stands for."""

    def __init__(self, on_death: Callable[[T], None]) -> None:
        self._on_death = on_death
        self._epoll = select.epoll()
        self._watched: dict[int, T] = {}
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._watch, name="deaths", daemon=True)
        self._thread.start()

    def watch(self, pidfd: int, who: T) -> None:
        """Call ``on_death(who)`` once, when the process has ended or at once when it had."""
        self._watched[pidfd] = who
        self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def forget(self, pidfd: int) -> None:
        """Watch no longer; to be called before the descriptor is closed. A call may be on its way already."""
        if self._watched.pop(pidfd, None) is not None:
            self._epoll.unregister(pidfd)

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._stop)

    def _watch(self) -> None:
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._stop:
                    return
                who = self._watched.get(descriptor)
                if who is not None:
                    self._on_death(who)
