"""What a machine must have; found out at the start, with a message that says what to do."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

# The first that can put an overlay on idmapped layers.
KERNEL_MIN: Final = (5, 19)
PROGRAMS: Final = {"mkfs.ext4": "e2fsprogs", "setpriv": "util-linux", "unshare": "util-linux"}
_DEVICES: Final = ("/dev/loop-control",)


class MachineUnfitError(Exception):
    """Sandboxes cannot be made on this machine; the message says what is missing."""


def check(oci_runtime: str) -> None:
    """Raise ``MachineUnfitError`` when something is missing."""
    missing = find_missing(oci_runtime, os.uname().release)
    if missing:
        raise MachineUnfitError("This machine cannot make sandboxes: " + "; ".join(missing))


def find_missing(oci_runtime: str, kernel_release: str) -> list[str]:
    """Say what is missing, each in a few words."""
    missing = []
    if not is_new_enough(kernel_release):
        missing.append(f"Linux {kernel_release} is older than {'.'.join(map(str, KERNEL_MIN))}")
    if shutil.which(oci_runtime) is None:
        missing.append(f"there is no OCI runtime {oci_runtime!r} (package runc)")
    missing += [f"there is no {name} (package {package})" for name, package in PROGRAMS.items() if not _has(name)]
    missing += [f"there is no {path} (kernel module loop)" for path in _DEVICES if not Path(path).exists()]
    return missing


def is_new_enough(kernel_release: str) -> bool:
    """Read a release like ``6.1.0-18-amd64``; one that says nothing is let through. Pure."""
    numbers = re.match(r"(\d+)\.(\d+)", kernel_release)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= KERNEL_MIN


def _has(program: str) -> bool:
    return shutil.which(program) is not None
