"""Runs inside a contender, as its first code: says in one line of JSON what it sees of the walls around it."""

import ctypes
import json
import socket
from pathlib import Path

libc = ctypes.CDLL(None)


def read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return None


def capabilities() -> int | None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; the lower half, then the upper
    if libc.capget(header, sets) != 0:
        return None
    return (sets[0] | sets[3] << 32).bit_count()


uid_map = read("/proc/self/uid_map")
print(
    json.dumps(
        {
            "user_namespace": uid_map and uid_map.split() != ["0", "0", "4294967295"],
            "seccomp": libc.prctl(21, 0, 0, 0, 0) == 2,
            "capabilities": capabilities(),
            "no_new_privileges": libc.prctl(39, 0, 0, 0, 0) == 1,
            "interfaces": [name for _, name in socket.if_nameindex() if name != "lo"],
            "processes": uid_map and sum(path.name.isdecimal() for path in Path("/proc").iterdir()),
        }
    )
)
