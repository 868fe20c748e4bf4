"""Bubblewrap around the image's Python: namespaces from one small program, and nothing that stays."""

import shutil
import subprocess
from typing import ClassVar

from benchmarks.contenders.contender import Facts
from benchmarks.contenders.one_process import OneProcess


class Bubblewrap(OneProcess):
    """``bwrap`` with every namespace it can make, the image read-only and no capability."""

    name: ClassVar = "bubblewrap"
    packages: ClassVar = ("bubblewrap",)
    facts: ClassVar = Facts(
        walls="all namespaces, no capabilities; a seccomp filter only if you write one; outside, the user is the "
        "one who started it (root here)",
        network="none",
        memory_limit="none",
        state="none: ends with its code",
        files="none: folders that you bind",
        expiry="none",
        more="needs neither root nor a service",
    )

    def why_not(self) -> str | None:
        """Look for the program."""
        return None if shutil.which("bwrap") else "`bwrap` is not installed (Debian: bubblewrap)"

    def version(self) -> str:
        """Give the program's."""
        asked = subprocess.run(["bwrap", "--version"], check=True, capture_output=True, text=True)
        return asked.stdout.strip().removeprefix("bubblewrap ")

    def command(self, code: str) -> list[str]:
        """Give the walls and the Python in them."""
        return [
            *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--uid", "1000", "--gid", "1000", "--ro-bind", str(self.place.rootfs), "/"),
            *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108 - a place inside
            *(self.place.python, "-c", code),
        ]
