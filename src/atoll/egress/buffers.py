"""How much the kernel may hold for a connection that is not read from, in each socket and direction.

Left to itself it lets a buffer grow to tens of megabytes for who reads fast, and who stops then has it filled: memory
that all TCP of the machine shares, and that no sandbox's limit counts. A sandbox's first connections get what a fast
download needs, those beside them enough to go on.
"""

import socket
from typing import Final

# The kernel takes twice as much for its own bookkeeping. What listening sockets inside are made with, too.
LARGE_BYTES: Final = 512 * 1024
SMALL_BYTES: Final = 64 * 1024

_LARGE_ONES: Final = 16


def buffer_bytes(connections: int) -> int:
    """Give the size for a connection of a sandbox that has so many, this one among them."""
    return LARGE_BYTES if connections <= _LARGE_ONES else SMALL_BYTES


def limit_buffers(sock: socket.socket, size: int) -> None:
    """Bound what the kernel holds for a socket each way. Raises ``OSError``."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
