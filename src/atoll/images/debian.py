"""Turn packages of a Debian suite into a root file system, without any of their code running as the host's root."""

import os
import re
import shutil
import subprocess
from collections import deque
from importlib import resources
from pathlib import Path
from typing import IO, Final

from atoll.images import confinement
from atoll.images.errors import BuildError
from atoll.images.progress import Report, Stage
from atoll.images.recipe import Recipe

_TAIL_LINES: Final = 30
_NEWLY_INSTALLED: Final = re.compile(r"[0-9]+ upgraded, ([0-9]+) newly installed")
_DOWNLOADED: Final = re.compile(r"Get:[0-9]+ \S+ \S+ \S+ ([a-z0-9]\S*)")
_HANDLED: Final = re.compile(r"(?:Unpacking|Setting up) ([a-z0-9+.-]+)")
_PROCESSING: Final = re.compile(r"Processing /\S+/([A-Za-z0-9_.]+)-[0-9]")
_TO_COMPILE: Final = re.compile(r"atoll: compiling ([0-9]+) files")
_LEFT_OUT: Final = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
_PASSED_ON: Final = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_PROGRAMS: Final = {"mmdebstrap": "mmdebstrap", "apt-get": "apt", "dpkg": "dpkg"}


def make_root(recipe: Recipe, folder: Path, given: Path, lock: int, report: Report) -> None:
    """Fill the empty ``folder/rootfs``; ``given`` holds ``wheels/``, ``files/`` and ``requirements.txt``.

    What the tools say goes to ``folder/build.log``. The shelf's ``lock`` is held while anything of the build lives,
    whatever becomes of this process. Raises ``BuildError``.
    """
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise BuildError(f"{program} is missing: install the package {package}.")
    watcher = _Watcher(report)
    log = folder / "build.log"
    with (
        log.open("w", encoding="utf-8") as record,
        subprocess.Popen(
            confinement.command(folder / "rootfs", given, _mmdebstrap_command(recipe)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
            pass_fds=(lock,),
            process_group=0,  # a terminal's Ctrl-C is for this process alone, which ends that one
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            tail = _follow(process.stdout, record, watcher)
        except BaseException:
            process.kill()  # takes everything confined with it
            raise
    if process.returncode != 0:
        raise BuildError("The root file system cannot be made:\n" + "\n".join(tail) + f"\nAll of it: {log}")


def _follow(output: IO[str], record: IO[str], watcher: "_Watcher") -> deque[str]:
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    for line in output:
        record.write(line)
        tail.append(line.rstrip())
        watcher.see(line)
    return tail


def _mmdebstrap_command(recipe: Recipe) -> list[str]:
    install = (resources.files("atoll.images") / "install.sh").read_text("utf-8")
    return [
        *("mmdebstrap", "--verbose", "--variant=minbase", "--format=directory"),
        "--mode=root",  # of the user namespace
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        *(f"--aptopt={option}" for option in _host_proxy_options()),
        *([f"--include={','.join(recipe.packages)}"] if recipe.packages else []),
        f"--customize-hook={install}",
        *(recipe.suite, str(confinement.ROOTFS)),
        *([recipe.mirror] if recipe.mirror else []),
    ]


def _host_proxy_options() -> list[str]:
    """Give the host's apt proxies. ``install.sh`` takes them out of the image in the end."""
    listed = subprocess.run(
        ["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [line.rstrip(";") for line in listed.splitlines() if '"' in line and not line.endswith('"";')]


def _environment() -> dict[str, str]:
    """Give what the tools need and nothing else of the environment that Atoll was started in."""
    kept = {name: value for name, value in os.environ.items() if name.lower() in _PASSED_ON}
    package_parent = str(Path(__file__).parents[2])
    return {
        **kept,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",  # noqa: S108 - the private one of the confinement, which the image does not keep
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": package_parent,  # for the confinement itself, which drops it
    }


class _Watcher:
    """Reads from the tools' output how far they are.

    apt works twice, for the essential packages and for the rest: it says how many come, names each as it arrives,
    and dpkg names each twice, unpacking it and setting it up.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rounds = iter(((0.05, 0.1, 0.18), (0.18, 0.3, 0.6)))
        self._wheels = Stage(report, "Installing Python packages", start=0.6, end=0.7)
        self._compiling = Stage(report, "Compiling Python packages", start=0.7, end=0.93)
        self._rest = Stage(report, "Preparing the image", start=0.93, end=0.95)
        self._rest_steps = 0
        self._to_compile = 0
        self._compiled = 0
        self._expected = 0
        self._start_round(0)

    def see(self, line: str) -> None:
        """Take one line of output."""
        if match := _NEWLY_INSTALLED.match(line):
            self._start_round(int(match[1]))
        elif match := _DOWNLOADED.match(line):
            self._downloaded += 1
            self._downloads.at(self._downloaded, self._expected, match[1])
        elif match := _HANDLED.match(line):
            self._handled += 1
            self._packages.at(self._handled, 2 * self._expected, match[1])
        elif match := _PROCESSING.match(line):
            self._wheels.at(0, 1, match[1])
        elif line.startswith("Installing collected packages"):
            self._wheels.at(0.3, 1)
        elif line.startswith("Successfully installed"):
            self._wheels.at(1, 1)
        elif match := _TO_COMPILE.match(line):
            self._to_compile = int(match[1])
        elif line.startswith("Compiling "):
            self._compiled += 1
            self._compiling.at(self._compiled, self._to_compile)
        elif line.startswith("atoll: "):
            self._rest_steps += 1
            self._rest.at(self._rest_steps, 3, line.removeprefix("atoll: ").strip())

    def _start_round(self, expected: int) -> None:
        if expected > 0:
            self._expected = expected
        start, between, end = next(self._rounds, (0.6, 0.6, 0.6)) if expected > 0 else (0.05, 0.05, 0.05)
        self._downloads = Stage(self._report, "Downloading Debian packages", start=start, end=between)
        self._packages = Stage(self._report, "Installing Debian packages", start=between, end=end)
        self._downloaded = 0
        self._handled = 0
