"""What a server holds of the machine, counted, so that before and after can be compared."""

import time
from collections.abc import Mapping
from dataclasses import fields

from tests.harness import machine
from tests.harness.server import AtollServer

Counts = Mapping[str, int]

_LOOK_AGAIN_S = 0.2


def held(server: AtollServer) -> Counts:
    """Count what a running server and its sandboxes hold: processes, cgroups, loop devices, mounts, files."""
    footprint = server.footprint()
    counts = {item.name: len(getattr(footprint, item.name)) for item in fields(footprint)}
    counts["supervisor's mounts"] = len(machine.mounts_that_name("", server.pid_of("supervisor")))
    counts["files"] = len(machine.files_below(server.data_dir)) + len(machine.files_below(server.run_dir))
    return counts


def beyond(after: Counts, before: Counts) -> dict[str, int]:
    """Say of what there is more than before, and how much more."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


def left_behind(server: AtollServer, before: Counts, timeout_s: float) -> dict[str, int]:
    """Give what is there beyond ``before`` once tidying up had its time: nothing as soon as there is nothing."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = beyond(held(server), before)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_LOOK_AGAIN_S)
