"""OCI runtimes used as they come: their own default spec on the image's files, a new container for each piece of code.

The container lives on with its Python in it; a second piece of code is another process that `exec` puts beside it.
"""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.contender import (
    CALL_S_MAX,
    Contender,
    ContenderError,
    Facts,
    NotHereError,
    Started,
)
from benchmarks.contenders.live_process import WAIT, LiveProcess
from benchmarks.contenders.place import Place

MEMORY_BYTES = 1 << 30  # what an Atoll container has unless it asks for another
TRIAL_S_MAX = 20.0
_NAMESPACES = "pid, network, ipc, uts and mount namespaces"


class OciRuntime(Contender):
    """A runtime program. ``options`` are tried in order until a container runs with them."""

    program: ClassVar[str]
    options: ClassVar[Sequence[tuple[str, ...]]] = ((),)
    again: ClassVar = "a new Python put into the container by `exec`"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = place.scratch / self.program
        self._working: tuple[str, ...] = ()
        self._numbers: Iterator[int] = itertools.count(1)
        self._living: dict[str, LiveProcess] = {}
        self._spec: dict[str, Any] = {}

    def why_not(self) -> str | None:
        """Look for the program."""
        if shutil.which(self.program):
            return None
        return f"`{self.program}` is not installed (Debian: {self.packages[0]})"

    def open(self) -> None:
        """Take the runtime's own spec, and find options with which it runs here."""
        self._folder.mkdir(exist_ok=True)
        made = self._ask("spec", cwd=self._folder)
        if made.returncode != 0:
            raise NotHereError(f"`{self.program} spec` failed: {_last_line(made.stderr)}")
        self._spec = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        complaints = []
        for options in self.options:
            self._working = options
            try:
                self._start("print(1)", TRIAL_S_MAX).session.end()
            except ContenderError as error:
                complaints.append(" ".join((*options, str(error))))
            else:
                return
        raise NotHereError("; ".join(complaints))

    def version(self) -> str:
        """Give the program's, and how it is run."""
        first_line = self._ask("--version").stdout.partition("\n")[0]
        return ", ".join((first_line.rpartition(" ")[2], *self._working))

    def start(self, code: str) -> Started:
        """Run a container and read the first line it prints."""
        return self._start(code, CALL_S_MAX)

    def exec(self, container: str, code: str) -> str:
        """Run another Python in a container that lives."""
        done = self._ask("exec", container, self._place.python, "-c", code)
        if done.returncode != 0:
            raise ContenderError(_last_line(done.stderr))
        return done.stdout

    def end(self, container: str) -> None:
        """End a container: its process when its input ends, and then whatever the runtime still knows of it."""
        process = self._living.pop(container)
        try:
            process.end()
        finally:
            self._forget(container)

    def close(self) -> None:
        """End what is left."""
        while self._living:
            container, process = self._living.popitem()
            process.kill()
            self._forget(container)

    def _start(self, code: str, timeout_s: float) -> Started:
        container = f"atoll-compare-{self.program}-{os.getpid()}-{next(self._numbers)}"
        bundle = self._folder / container
        bundle.mkdir()
        spec = adapted(
            self._spec,
            rootfs=self._place.rootfs,
            command=[self._place.python, "-c", code + WAIT],
            cgroup=f"/{container}",
        )
        (bundle / "config.json").write_text(json.dumps(spec), encoding="utf-8")
        process = LiveProcess(
            [*self._command(), "run", "--bundle", str(bundle), container], errors=self._folder / f"{container}.err"
        )
        self._living[container] = process
        try:
            return Started(ContainerSession(self, container), process.line(timeout_s).decode(errors="replace"))
        except BaseException:
            del self._living[container]
            process.kill()
            self._forget(container)
            raise

    def _forget(self, container: str) -> None:
        self._ask("delete", "--force", container)
        shutil.rmtree(self._folder / container, ignore_errors=True)

    def _command(self) -> list[str]:
        return [self.program, "--root", str(self._folder / "state"), *self._working]

    def _ask(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._command(), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CALL_S_MAX,
                check=False,
                cwd=cwd,
            )
        except subprocess.TimeoutExpired as error:
            raise ContenderError(f"`{self.program} {arguments[0]}` hangs") from error


class ContainerSession:
    """A container that lives."""

    def __init__(self, runtime: OciRuntime, container: str) -> None:
        self._runtime = runtime
        self._container = container

    def run(self, code: str) -> str:
        """Run another Python beside the first."""
        return self._runtime.exec(self._container, code)

    def end(self) -> None:
        """End the container."""
        self._runtime.end(self._container)


class Runc(OciRuntime):
    """Debian's runc: what Atoll makes its walls with, here without what Atoll adds."""

    name: ClassVar = "runc, cold"
    program: ClassVar = "runc"
    packages: ClassVar = ("runc",)
    facts: ClassVar = Facts(
        walls=f"{_NAMESPACES}, three capabilities; its default spec has neither a user namespace nor a seccomp filter",
        network="none",
        memory_limit="hard, by cgroup",
        state="files, until the container ends; every call is a new Python",
        files="none: folders that you bind",
        expiry="none",
        more="any OCI image's files, any spec",
    )


class Crun(OciRuntime):
    """The same with crun, which is written in C."""

    name: ClassVar = "crun, cold"
    program: ClassVar = "crun"
    packages: ClassVar = ("crun",)
    facts: ClassVar = Runc.facts


class Runsc(OciRuntime):
    """gVisor: the code's system calls are answered by a kernel of its own, in user space."""

    name: ClassVar = "runsc (gVisor), cold"
    program: ClassVar = "runsc"
    packages: ClassVar = ("runsc",)
    # KVM is not tried: where it is there in name only, as in many virtual machines, a start hangs.
    options: ClassVar = (
        ("--platform=systrap", "--network=none"),
        ("--platform=ptrace", "--network=none"),
    )
    facts: ClassVar = Facts(
        walls="a kernel of its own in user space, and namespaces and a seccomp filter around that: a stronger wall "
        "than Atoll's, whose sandboxes share the host's kernel",
        network="none",
        memory_limit="hard, by cgroup",
        state="files, until the container ends; every call is a new Python",
        files="none: folders that you bind",
        expiry="none",
        more="does not hand the host's system calls to the code",
    )


def adapted(spec: dict[str, Any], *, rootfs: Path, command: list[str], cgroup: str) -> dict[str, Any]:
    """Give a runtime's default spec with the image, read-only, the command, and a limit on memory; pure."""
    linux = spec.get("linux", {})
    return {
        **spec,
        "root": {"path": str(rootfs), "readonly": True},
        "process": {
            **spec["process"],
            "args": command,
            "terminal": False,
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
        },
        "linux": {
            **linux,
            "cgroupsPath": cgroup,
            "resources": {**linux.get("resources", {}), "memory": {"limit": MEMORY_BYTES}},
        },
    }


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
