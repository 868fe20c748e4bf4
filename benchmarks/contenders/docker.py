"""Docker, when an engine answers: a container of the same image for each piece of code, over its command line."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import IO, ClassVar

from benchmarks.contenders.contender import CALL_S_MAX, Contender, ContenderError, Facts, NotHereError, Started
from benchmarks.contenders.live_process import WAIT, LiveProcess
from benchmarks.contenders.place import Place

ASK_S_MAX = 20.0
IMPORT_S_MAX = 600.0


class Docker(Contender):
    """``docker run`` with its defaults, but without network and with a limit on memory."""

    name: ClassVar = "Docker"
    again: ClassVar = "a new Python put into the container by `exec`"
    facts: ClassVar = Facts(
        walls="namespaces but user, fourteen capabilities, a seccomp filter; root inside is root outside unless "
        "the engine remaps ids",
        network="none, because asked for (`--network none`); else the internet",
        memory_limit="hard, by cgroup",
        state="files, until the container ends; every call is a new Python",
        files="`docker cp`",
        expiry="none",
        more="networks, volumes, a registry's images, every tool that knows Docker",
    )

    def __init__(self, place: Place) -> None:
        self._place = place
        self._image = f"atoll-compare:{place.image_id}-{os.getpid()}"
        self._imported = False
        self._numbers: Iterator[int] = itertools.count(1)
        self._living: dict[str, LiveProcess] = {}

    def why_not(self) -> str | None:
        """Ask for an engine."""
        if shutil.which("docker") is None:
            return "`docker` is not installed"
        asked = _docker("version", "--format", "{{.Server.Version}}", timeout_s=ASK_S_MAX)
        if asked.returncode != 0:
            return "no Docker engine answers"
        return None

    def version(self) -> str:
        """Give the engine's."""
        return _docker("version", "--format", "{{.Server.Version}}", timeout_s=ASK_S_MAX).stdout.strip()

    def open(self) -> None:
        """Give the engine the image's files; it keeps a copy until ``close``."""
        self._imported = True  # from here on there may be something to remove
        packing = subprocess.Popen(
            ["tar", "--create", "--numeric-owner", "--one-file-system", "--directory", str(self._place.rootfs), "."],
            stdout=subprocess.PIPE,
        )
        with packing:
            done = _docker("import", "-", self._image, timeout_s=IMPORT_S_MAX, stdin=packing.stdout)
        if packing.returncode != 0 or done.returncode != 0:
            raise NotHereError(f"the engine does not take the image: {done.stderr.strip()[-200:]}")

    def start(self, code: str) -> Started:
        """Run a container and read the first line it prints."""
        container = f"atoll-compare-{os.getpid()}-{next(self._numbers)}"
        process = LiveProcess(
            [
                *("docker", "run", "--interactive", "--rm", "--network", "none", "--memory", "1g"),
                *("--name", container, "--entrypoint", self._place.python, self._image, "-c", code + WAIT),
            ],
            errors=self._place.scratch / f"{container}.err",
        )
        self._living[container] = process
        try:
            return Started(ContainerSession(self, container), process.line().decode(errors="replace"))
        except BaseException:
            self._kill(container)
            raise

    def exec(self, container: str, code: str) -> str:
        """Run another Python in a container that lives."""
        done = _docker("exec", container, self._place.python, "-c", code)
        if done.returncode != 0:
            raise ContenderError(done.stderr.strip()[-200:])
        return done.stdout

    def end(self, container: str) -> None:
        """End a container by its input; ``--rm`` removes it."""
        try:
            self._living[container].end()
        except ContenderError:
            self._kill(container)
            raise
        del self._living[container]

    def close(self) -> None:
        """End what is left, and take the image back."""
        for container in list(self._living):
            self._kill(container)
        if self._imported:
            _docker("image", "rm", "--force", self._image)
            self._imported = False

    def _kill(self, container: str) -> None:
        self._living.pop(container).kill()
        _docker("rm", "--force", container)


class ContainerSession:
    """A container that lives."""

    def __init__(self, docker: Docker, container: str) -> None:
        self._docker = docker
        self._container = container

    def run(self, code: str) -> str:
        """Run another Python beside the first."""
        return self._docker.exec(self._container, code)

    def end(self) -> None:
        """End the container."""
        self._docker.end(self._container)


def _docker(
    *arguments: str, timeout_s: float = CALL_S_MAX, stdin: int | IO[bytes] | None = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(["docker", *arguments], 1, "", f"docker {arguments[0]} hangs")
