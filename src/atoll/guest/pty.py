"""A pseudo terminal: the two ends of it, its size, and signals to what runs in its foreground."""

import contextlib
import fcntl
import os
import struct
import termios
from typing import Final

from atoll.guest.options import People
from atoll.guest.processes import signal_group
from atoll.guest.requests import TerminalSize
from atoll.guest.spawn import acting_as

_READ_BYTES: Final = 16 * 1024


class Pty:
    """Raises ``OSError`` when the sandbox has no terminal left to give.

    Our own descriptor of the inner end stays open while the shell runs: a shell that closes all of its own would
    otherwise end the terminal, and one that then opens ``/dev/tty`` would talk to nobody.
    """

    def __init__(self, people: People, size: TerminalSize) -> None:
        with acting_as(people):  # the inner end belongs to who opens it, and people's programs may open it again
            self.outer, inner = os.openpty()
        self._inner: int | None = inner
        os.set_blocking(self.outer, False)
        self.resize(size)

    @property
    def inner(self) -> int:
        """What the shell gets."""
        assert self._inner is not None  # noqa: S101 - it is let go of when the shell has ended
        return self._inner

    def resize(self, size: TerminalSize) -> None:
        """Change the size; what runs in the foreground is told by a signal, if it changes anything."""
        fcntl.ioctl(self.outer, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))

    def read(self, bytes_max: int) -> bytes | None:
        """Give what was shown; ``None`` while there is nothing, ``b""`` when nothing can come any more."""
        data = bytearray()
        while len(data) < bytes_max:
            try:
                piece = os.read(self.outer, min(_READ_BYTES, bytes_max - len(data)))
            except BlockingIOError:
                return bytes(data) or None
            except OSError:  # EIO: nobody has the inner end open
                piece = b""
            if not piece:
                break
            data += piece
        return bytes(data)

    def write(self, data: bytes | memoryview) -> int:
        """Type; give how many bytes were taken."""
        try:
            return os.write(self.outer, data)
        except BlockingIOError:
            return 0

    def signal_foreground(self, number: int) -> None:
        """Signal the program that the terminal belongs to now."""
        with contextlib.suppress(OSError):
            group = os.tcgetpgrp(self.outer)
            if group > 1:
                signal_group(group, number)

    def shell_ended(self) -> None:
        """Let go of the inner end, so that the last that was shown is followed by an end."""
        inner, self._inner = self._inner, None
        if inner is not None:
            os.close(inner)

    def close(self) -> None:
        """Hang up on all that still runs in the terminal."""
        self.shell_ended()
        os.close(self.outer)
