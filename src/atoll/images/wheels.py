"""Fetch a recipe's Python packages as wheels, with the host's own pip and its own settings.

Fetching happens outside the image and installing inside without a network, so a proxy, a private index, a
certificate or a password of the host's is never in the image. Only wheels are taken: reading one runs nothing of
its code, building a source package would run all of it as root.
"""

import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Final

from atoll.images.errors import BuildError
from atoll.images.progress import Stage
from atoll.images.recipe import Recipe

_TAIL_LINES: Final = 20
_OLDEST_GLIBC_MINOR: Final = 17


def fetch_wheels(recipe: Recipe, target: Path, stage: Stage) -> None:
    """Put the wheels of ``recipe.requirements`` into ``target``. Raises ``BuildError``."""
    requirements = recipe.requirements
    if requirements is None:
        return
    total = sum(1 for line in requirements.read_text("utf-8").splitlines() if line[:1].isalnum())
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        _pip_command(recipe, requirements, target),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=target,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        process_group=0,  # a terminal's Ctrl-C is for this process alone, which ends that one
    ) as pip:
        assert pip.stdout is not None  # noqa: S101 - asked for above
        done = 0
        try:
            for line in pip.stdout:
                tail.append(line.rstrip())
                if line.startswith("Collecting "):
                    stage.at(done, total, line.split()[1])
                    done += 1
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        raise BuildError("The Python packages cannot be fetched:\n" + "\n".join(tail))


def _pip_command(recipe: Recipe, requirements: Path, target: Path) -> list[str]:
    minor = int(recipe.glibc_version.split(".")[1])
    machine = os.uname().machine
    tags = [f"manylinux_2_{number}_{machine}" for number in range(minor, _OLDEST_GLIBC_MINOR - 1, -1)]
    platforms = [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{machine}", f"linux_{machine}")]
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar=off"),
        *("--implementation=cp", f"--python-version={recipe.python_version}", *platforms),
        *("--requirement", str(requirements), "--dest", str(target)),
    ]
