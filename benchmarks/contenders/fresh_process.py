"""A fresh process of the image's Python: no walls at all; what every other one adds its time to."""

import subprocess
from typing import ClassVar

from benchmarks.contenders.contender import Facts
from benchmarks.contenders.one_process import OneProcess


class FreshProcess(OneProcess):
    """``python3 -c`` in the image's files, as nobody. The chroot gives it the same Python; it is no wall."""

    name: ClassVar = "fresh process"
    facts: ClassVar = Facts(
        walls="none: an ordinary process of another user",
        network="the host's",
        memory_limit="none",
        state="none: ends with its code",
        files="none",
        expiry="none",
        more="nothing to install",
    )

    def why_not(self) -> str | None:
        """It is always there: the image is."""
        return None

    def version(self) -> str:
        """Give Python's."""
        asked = subprocess.run(self._python("--version"), check=True, capture_output=True, text=True)
        return asked.stdout.strip()

    def command(self, code: str) -> list[str]:
        """Give the chroot and the Python in it."""
        return self._python("-c", code)

    def _python(self, *arguments: str) -> list[str]:
        return ["chroot", "--userspec=65534:65534", str(self.place.rootfs), self.place.python, *arguments]
