"""Both kinds of cgroups, on folders that look like them."""

from pathlib import Path

import pytest

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import cgroup

ID = "sbx_1"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    for controller in ("memory", "pids", "freezer", "cpu", "unified"):
        (tmp_path / controller / "atoll" / ID).mkdir(parents=True)
    (tmp_path / "cpuacct").symlink_to("cpu")
    group = tmp_path / "memory/atoll" / ID
    (group / "memory.usage_in_bytes").write_text("4096\n")
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (group / "memory.max_usage_in_bytes").write_text("1073741824\n")
    (group.parent / "memory.usage_in_bytes").write_text("9000\n")
    (group.parent / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 30\ntotal_active_file 12\n")
    (group.parent / "memory.limit_in_bytes").write_text("")
    (tmp_path / "cpu/atoll" / ID / "cpuacct.usage").write_text("1500000000\n")
    (tmp_path / "pids/atoll" / ID / "pids.current").write_text("7\n")
    (tmp_path / "pids/atoll" / ID / "pids.max").write_text("256\n")
    (tmp_path / "pids/atoll" / ID / "pids.events").write_text("max 12\n")
    (tmp_path / "pids/atoll" / ID / "cgroup.procs").write_text("10\n11\n")
    (tmp_path / "freezer/atoll" / ID / "freezer.state").write_text("")
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    group = tmp_path / "atoll" / ID
    group.mkdir(parents=True)
    (group / "memory.current").write_text("4096\n")
    (group.parent / "memory.current").write_text("9000\n")
    (group.parent / "memory.stat").write_text("anon 1\ninactive_file 30\nactive_file 12\nslab 5\n")
    (group.parent / "memory.max").write_text("")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 5\noom 4\noom_kill 3\noom_group_kill 0\n")
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n")
    (group / "pids.current").write_text("7\n")
    (group / "pids.max").write_text("256\n")
    (group / "pids.events").write_text("max 12\n")
    (group / "cgroup.procs").write_text("10\n11\n")
    (group / "cgroup.freeze").write_text("")
    return tmp_path


@pytest.fixture(params=["v1", "v2"])
def root(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_the_kind_is_detected(v2: Path) -> None:
    assert isinstance(cgroup.detect("/atoll", v2), cgroup.CgroupsV2)
    (v2 / "cgroup.controllers").unlink()
    assert isinstance(cgroup.detect("/atoll", v2), cgroup.CgroupsV1)


def test_measuring(root: Path) -> None:
    groups = cgroup.detect("/atoll", root)
    assert groups.memory_bytes(ID) == 4096
    assert groups.memory_kills(ID) == 3
    assert groups.memory_of_all() == cgroup.Held(9000, 42)
    assert groups.cpu_s(ID) == 1.5
    assert groups.pids(ID) == 7
    assert groups.pids_max(ID) == 256
    assert groups.pids_refused(ID) == 12
    assert groups.processes(ID) == [10, 11]
    assert groups.path(ID) == f"/atoll/{ID}"


@pytest.mark.parametrize("limit", ["memory/atoll/memory.limit_in_bytes", "atoll/memory.max"])
def test_the_parent_has_a_limit_of_memory(root: Path, limit: str) -> None:
    file = root / limit
    if not file.exists():
        return  # the other kind's
    groups = cgroup.detect("/atoll", root)
    groups.make_parent()
    groups.limit_memory_of_all(8192)
    assert file.read_text() == "8192"


def test_a_parent_is_made_with_what_its_limit_needs(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    groups = cgroup.detect("/of/atoll", tmp_path)
    groups.make_parent()
    groups.make_parent()
    assert (tmp_path / "memory/of/atoll").is_dir()
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "of").mkdir()
    for path in (tmp_path, tmp_path / "of"):
        (path / "cgroup.subtree_control").write_text("")
    cgroup.detect("/of/atoll", tmp_path).make_parent()
    assert (tmp_path / "of/atoll").is_dir()
    assert [(path / "cgroup.subtree_control").read_text() for path in (tmp_path, tmp_path / "of")] == ["+memory"] * 2


def test_a_group_that_was_at_its_limit_says_so_once_v1(v1: Path) -> None:
    group = v1 / "memory/atoll" / ID
    (group / "memory.limit_in_bytes").write_text("1073741824\n")
    groups = cgroup.detect("/atoll", v1)
    assert groups.memory_was_full(ID)
    assert (group / "memory.max_usage_in_bytes").read_text().startswith("0"), "the kernel takes this as: begin anew"
    (group / "memory.max_usage_in_bytes").write_text("900000000\n")
    assert not groups.memory_was_full(ID)


def test_a_group_that_was_at_its_limit_says_so_once_v2(v2: Path) -> None:
    events = v2 / "atoll" / ID / "memory.events"
    groups = cgroup.detect("/atoll", v2)
    assert [groups.memory_was_full(ID) for _ in range(2)] == [True, False]
    events.write_text("oom 5\noom_kill 4\n")
    assert [groups.memory_was_full(ID) for _ in range(2)] == [True, False]
    events.write_text("oom 5\noom_kill 5\n")
    assert not groups.memory_was_full(ID), "ended for a limit above it"


def test_any_number_of_processes(root: Path) -> None:
    for limit in root.rglob("pids.max"):
        limit.write_text("max\n")
    for events in root.rglob("pids.events"):
        events.unlink()  # a kernel that does not count
    groups = cgroup.detect("/atoll", root)
    assert groups.pids_max(ID) is None
    assert groups.pids_refused(ID) == 0


def test_a_group_that_is_gone(root: Path) -> None:
    groups = cgroup.detect("/atoll", root)
    for measure in (groups.memory_bytes, groups.memory_kills, groups.cpu_s, groups.pids, groups.pids_max):
        with pytest.raises(FileNotFoundError):
            measure("sbx_2")
    assert groups.processes("sbx_2") == []
    groups.freeze("sbx_2")
    groups.thaw("sbx_2")
    groups.remove("sbx_2")


def test_memory_of_network_sockets_has_a_limit_of_its_own_in_v1(v1: Path) -> None:
    limit = v1 / "memory/atoll" / ID / "memory.kmem.tcp.limit_in_bytes"
    groups = cgroup.detect("/atoll", v1)
    groups.limit_network_memory(ID)  # a kernel built without it
    assert not limit.exists()
    limit.write_text("9223372036854771712\n")
    groups.limit_network_memory(ID)
    assert limit.read_text().startswith(str(64 << 20))


def test_memory_of_network_sockets_is_memory_in_v2(v2: Path) -> None:
    before = sorted(v2.rglob("*"))
    cgroup.detect("/atoll", v2).limit_network_memory(ID)
    assert sorted(v2.rglob("*")) == before


def test_freezing_v1(v1: Path) -> None:
    groups = cgroup.detect("atoll/", v1)
    state = v1 / "freezer/atoll" / ID / "freezer.state"
    groups.freeze(ID)
    assert state.read_text() == "FROZEN"
    groups.thaw(ID)
    assert state.read_text() == "THAWED"


def test_freezing_v2(v2: Path) -> None:
    groups = cgroup.detect("/atoll", v2)
    state = v2 / "atoll" / ID / "cgroup.freeze"
    groups.freeze(ID)
    assert state.read_text() == "1"
    groups.thaw(ID)
    assert state.read_text() == "0"


def test_removing(root: Path) -> None:
    groups = cgroup.detect("/atoll", root)
    for file in [path for path in root.rglob("atoll/**/*") if path.is_file()]:
        file.unlink()  # in a real one the files go with the folder
    groups.remove_parent()
    assert list(root.rglob(ID))  # the parent is not empty
    groups.remove(ID)
    assert not list(root.rglob(ID))
    groups.remove_parent()
    assert not list(root.rglob("atoll"))


def test_a_deep_parent(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "system/atoll/sandboxes" / ID).mkdir(parents=True)
    (tmp_path / "system/other").mkdir()
    groups = cgroup.detect("/system/atoll/sandboxes", tmp_path)
    assert groups.path(ID) == f"/system/atoll/sandboxes/{ID}"
    groups.remove(ID)
    groups.remove_parent()
    assert sorted(path.name for path in (tmp_path / "system").iterdir()) == ["other"]


def test_swap_accounting(v1: Path) -> None:
    assert not cgroup.detect("/atoll", v1).swap_limited
    (v1 / "memory/memory.memsw.limit_in_bytes").touch()
    assert cgroup.detect("/atoll", v1).swap_limited


def spec(memory_bytes: int) -> SandboxSpec:
    return SandboxSpec(memory_bytes=memory_bytes, disk_bytes=1, pids_max=64, cpus=0.5)


@pytest.mark.parametrize("swap", [True, False])
def test_changing_limits_v1(v1: Path, swap: bool) -> None:
    names = ["memory/{}/memory.limit_in_bytes", "pids/{}/pids.max", "cpu/{}/cpu.cfs_quota_us", "cpu/{}/cpu.shares"]
    if swap:
        (v1 / "memory/memory.memsw.limit_in_bytes").touch()
        names.append("memory/{}/memory.memsw.limit_in_bytes")
    files = [v1 / name.format(f"atoll/{ID}") for name in names]
    for file in files:
        file.write_text("")
    groups = cgroup.detect("/atoll", v1)
    groups.limit(ID, spec(4096), spec(8192))
    groups.yield_cpu(ID, to_all=True)
    assert [file.read_text() for file in files] == ["8192", "64", "50000", "2", "8192"][: len(files)]


def test_memory_with_swap_is_never_less_than_memory(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (v1 / "memory/memory.memsw.limit_in_bytes").touch()
    written: list[str] = []
    monkeypatch.setattr(cgroup, "_write", lambda path, _value: written.append(path.name))
    groups = cgroup.detect("/atoll", v1)
    groups.limit(ID, spec(4096), spec(8192))
    groups.limit(ID, spec(8192), spec(4096))
    both = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    assert [name for name in written if name in both] == [*reversed(both), *both]


def test_changing_limits_v2(v2: Path) -> None:
    files = [v2 / "atoll" / ID / name for name in ("memory.max", "pids.max", "cpu.max", "cpu.weight")]
    for file in files:
        file.write_text("")
    groups = cgroup.detect("/atoll", v2)
    groups.limit(ID, spec(8192), spec(4096))
    groups.yield_cpu(ID, to_all=False)
    assert [file.read_text() for file in files] == ["4096", "64", "50000 100000", "100"]
    with pytest.raises(OSError, match="in use"):
        groups.limit(ID, spec(4096), spec(4095))


def test_limits_of_a_group_that_is_gone(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cgroup.detect("/atoll", root).limit("sbx_2", spec(1), spec(2))
    assert not list(root.rglob("sbx_2"))
