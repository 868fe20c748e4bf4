"""Read a part of a file, decompressed by the usual program, which runs as nobody and with little memory."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from atoll.images.errors import ArchiveError

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_MEMORY_BYTES_MAX: Final = 2 << 30
_NOBODY: Final = 65534
_OLD_END_SIGNAL: Final = -13  # SIGPIPE: it had more to say than anybody wanted


def compression(path: Path, offset: int = 0) -> str | None:
    """Give the program that undoes the compression of what begins at ``offset``, ``None`` when there is none."""
    with path.open("rb") as file:
        file.seek(offset)
        start = file.read(8)
    return next((program for magic, program in _MAGIC.items() if start.startswith(magic)), None)


@contextmanager
def opened(path: Path, offset: int = 0, length: int | None = None) -> Iterator[IO[bytes]]:
    """Give the plain bytes of that part of a file. Raises ``ArchiveError`` when it cannot be decompressed.

    On the way out all is checked: a part that ended early for a broken compression is an error there.
    """
    length = path.stat().st_size - offset if length is None else length
    program = compression(path, offset)
    if program is not None and shutil.which(program) is None:
        raise ArchiveError(f"{path} is compressed with {program}, which is missing here: install it.")
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        file.seek(offset)
        processes = [_start(["head", f"--bytes={length}"], file)]
        if program is not None:
            assert processes[0].stdout is not None  # noqa: S101 - a pipe was asked for
            limited = ["prlimit", f"--as={_MEMORY_BYTES_MAX}", "--", program, "-dc"]
            processes.append(_start(limited, processes[0].stdout))
            processes[0].stdout.close()
        output = processes[-1].stdout
        assert output is not None  # noqa: S101 - a pipe was asked for
        try:
            yield output
            output.read(1 << 16)  # padding after a tar's end: with it unread, the program would end by SIGPIPE
        except BaseException:
            for process in processes:
                process.kill()
            raise
        finally:
            output.close()
            codes = [process.wait() for process in processes]
        if program is not None and codes[-1] not in {0, _OLD_END_SIGNAL}:
            raise ArchiveError(f"{path} cannot be decompressed: {program} ended with {codes[-1]}.")


def _start(command: list[str], source: IO[bytes]) -> subprocess.Popen[bytes]:
    if os.geteuid() == 0:
        return subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=[],
        )
    return subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
