"""A user namespace as a mapping of ids, for the mounts of a sandbox."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mapping(first_host_id: int, count: int, apart: tuple[int, int] | None = None) -> Iterator[int]:
    """Give a descriptor of a user namespace that maps ids 0 to ``count`` - 1 to those from ``first_host_id`` on.

    ``apart`` is one id and where it goes instead.

    Only a process with a single thread can make one, so a small helper does; the mounts keep the mapping alive after
    helper and descriptor are gone. The sandbox itself gets a namespace of its own with the same mapping.
    """
    helper = subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        assert helper.stdin is not None and helper.stdout is not None  # noqa: S101, PT018 - narrows PIPE for mypy
        helper.stdin.write(b"\n")
        if helper.stdout.read(1) != b"\n":
            raise OSError(f"unshare --user ended with {helper.wait()}; are user namespaces switched off?")
        process = Path(f"/proc/{helper.pid}")
        for name in ("uid_map", "gid_map"):
            (process / name).write_text(_lines(first_host_id, count, apart))
        namespace = os.open(process / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        helper.kill()
        helper.communicate()
    try:
        yield namespace
    finally:
        os.close(namespace)


def _lines(first_host_id: int, count: int, apart: tuple[int, int] | None) -> str:
    if apart is None:
        return f"0 {first_host_id} {count}"
    own, host = apart
    rest = own + 1
    return f"0 {first_host_id} {own}\n{own} {host} 1\n{rest} {first_host_id + rest} {count - rest}"
