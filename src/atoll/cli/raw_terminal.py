"""This side's terminal, in the mode in which every key is only a byte."""

import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SIZE_MAX = 1000


class RawTerminal:
    """``enter`` may be called again, after somebody else has set the terminal's mode."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before = termios.tcgetattr(fd)

    def enter(self) -> None:
        """Make every key a byte, Ctrl-C, too."""
        tty.setraw(self._fd, termios.TCSADRAIN)

    def leave(self) -> None:
        """Put it back; what was typed and not read is dropped, as it was not meant for whoever reads next."""
        with suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)


@contextmanager
def raw_terminal() -> Iterator[RawTerminal]:
    """Have it raw, and put it back whatever happens. Raises ``OSError`` where there is none."""
    terminal = RawTerminal(sys.stdin.fileno())
    try:
        terminal.enter()
        yield terminal
    finally:
        terminal.leave()


@contextmanager
def keys_at_once() -> Iterator[None]:
    """Have each key at once and unseen, Ctrl-C still an interrupt, and put it back whatever happens."""
    terminal = RawTerminal(sys.stdin.fileno())
    try:
        tty.setcbreak(sys.stdin.fileno(), termios.TCSADRAIN)
        yield
    finally:
        terminal.leave()


def has_terminal() -> bool:
    """Tell whether somebody sits on both sides."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def size() -> tuple[int, int]:
    """Give columns and rows, within what a terminal in a container can have."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        columns = rows = 0
    if columns < 1 or rows < 1:
        return 80, 24
    return min(columns, _SIZE_MAX), min(rows, _SIZE_MAX)


def write(data: bytes) -> None:
    """Write all of it to the terminal. Raises ``OSError`` when it is gone."""
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
