"""Who is compared, and what can be said of them without starting anything."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders.bubblewrap import Bubblewrap
from benchmarks.contenders.docker import Docker
from benchmarks.contenders.field import FIELD, made, packages, pick
from benchmarks.contenders.fresh_process import FreshProcess
from benchmarks.contenders.llm_sandbox import LlmSandbox
from benchmarks.contenders.oci_runtime import MEMORY_BYTES, Runc, Runsc, adapted
from benchmarks.contenders.peers import PeersEnvironment
from benchmarks.contenders.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "rootfs", "/usr/bin/python3", "img_1", tmp_path, PeersEnvironment(tmp_path / "peers"))


def test_all_are_picked_unless_told_otherwise() -> None:
    assert pick([], []) == list(FIELD.values())
    assert pick(["runc", "process"], []) == [FreshProcess, Runc]  # in the order of the table
    assert Docker not in pick([], ["docker"])
    assert pick(["runc"], ["runc"]) == []


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no kata, vm; there is atoll, "):
        pick(["vm"], ["kata"])


def test_packages_are_named_once() -> None:
    assert packages([Bubblewrap, Runc, LlmSandbox]) == ["bubblewrap", "runc", "libseccomp2"]


def test_every_one_has_a_name_of_its_own_and_all_facts(place: Place) -> None:
    field = made(list(FIELD.values()), place)
    assert len({contender.name for contender in field}) == len(FIELD)
    for contender in field:
        assert all(getattr(contender.facts, fact.name) for fact in fields(contender.facts)), contender.name


def test_who_is_not_installed_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.scratch))
    for kind, missing in ((Bubblewrap, "bwrap"), (Runc, "runc"), (Runsc, "runsc"), (Docker, "docker")):
        assert f"`{missing}` is not installed" in (kind(place).why_not() or "")
    assert "`bwrap` is not installed" in (LlmSandbox(place).why_not() or "")


def test_docker_without_an_engine_is_not_here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    client = place.scratch / "docker"
    client.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place.scratch}:/usr/bin:/bin")
    assert Docker(place).why_not() == "no Docker engine answers"


def test_a_runtimes_own_spec_gets_the_image_the_command_and_a_limit() -> None:
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {"terminal": True, "args": ["sh"], "noNewPrivileges": True},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "pid"}], "resources": {"devices": [{"allow": False}]}},
    }
    made_of = adapted(spec, rootfs=Path("/images/one"), command=["python3"], cgroup="/one")
    assert made_of["root"] == {"path": "/images/one", "readonly": True}
    assert made_of["process"]["args"] == ["python3"]
    assert made_of["process"]["terminal"] is False
    assert made_of["process"]["noNewPrivileges"] is True
    assert made_of["linux"]["namespaces"] == [{"type": "pid"}]
    assert made_of["linux"]["cgroupsPath"] == "/one"
    assert made_of["linux"]["resources"] == {"devices": [{"allow": False}], "memory": {"limit": MEMORY_BYTES}}
    assert spec["process"]["args"] == ["sh"]  # the runtime's own stays as it was


def test_what_lives_on_names_its_place() -> None:
    assert {word for word, kind in FIELD.items() if kind.again is None} == {"process", "bubblewrap"}
