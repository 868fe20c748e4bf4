"""Contenders of a comparison that are always there, on the real image: they run code, and leave nothing behind."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.compare import CALL_CODE, CALL_OUTPUT, FIRST_CODE, FIRST_OUTPUT, LOOK_CODE, opened
from benchmarks.contenders.contender import Contender, ContenderError, NotHereError
from benchmarks.contenders.fresh_process import FreshProcess
from benchmarks.contenders.oci_runtime import Runc
from benchmarks.contenders.peers import PeersEnvironment
from benchmarks.contenders.place import Place, prepared
from tests.harness import machine
from tests.harness.requirements import unmet
from tests.harness.server import IMAGES_DIR


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    try:
        with prepared(IMAGES_DIR, PeersEnvironment(tmp_path / "peers")) as place:
            yield place
    except NotHereError as error:
        unmet(str(error))


def what_is_left(place: Place) -> dict[str, list[str]]:
    return {
        # Other tests' cgroups go while this looks.
        "cgroups": [folder for folder, _, _ in os.walk(machine.CGROUP_ROOT) if "/atoll-compare-runc-" in folder],
        "processes": [machine.command_line(pid) for pid in machine.processes_of(place.scratch, "/none-of-ours")],
        "mounts": machine.mounts_that_name(str(place.scratch)),
    }


@pytest.mark.parametrize("kind", [FreshProcess, Runc])
def test_code_runs_and_nothing_is_left(kind: type[FreshProcess] | type[Runc], place: Place) -> None:
    contender: Contender = kind(place)
    before = what_is_left(place)
    with opened(contender):
        assert contender.version()
        first = contender.start(FIRST_CODE)
        assert first.output == FIRST_OUTPUT
        if contender.again:
            assert first.session.run(CALL_CODE) == CALL_OUTPUT
        else:
            with pytest.raises(ContenderError):
                first.session.run(CALL_CODE)
        first.session.end()
        inside = json.loads(contender.start(LOOK_CODE).output)  # left to `close`
        with pytest.raises(ContenderError, match="no such luck"):
            contender.start("raise SystemExit('no such luck')")
    assert what_is_left(place) == before
    if isinstance(contender, Runc):
        assert (inside["processes"], inside["interfaces"], inside["no_new_privileges"]) == (1, [], True)
