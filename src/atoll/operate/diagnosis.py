"""What this machine has of what Atoll needs, one finding after the other; looks only, and changes nothing."""

import http.client
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import atoll
from atoll.cli.tables import size_text
from atoll.images.errors import ImageNotFoundError
from atoll.images.shelf import find
from atoll.operate.egress_user import has_egress, how_to_make
from atoll.operate.folders import first_closed
from atoll.operate.instance_lock import Instance, running_instance
from atoll.operate.instance_record import OtherInstanceError, check_record
from atoll.operate.listening import PortError, listen
from atoll.operate.system_user import SystemUser, UserError, find_user
from atoll.runtime.oci import requirements
from atoll.settings import Settings

# Each sandbox writes to a disk of its own in the data folder; the image and the database are beside them.
_DISK_BYTES_MIN: Final = 5 << 30
_MEMORY_BYTES_MIN: Final = 1 << 30
_ANSWER_S: Final = 10.0
_IDMAPPED: Final = frozenset({"ext4", "xfs", "btrfs", "f2fs"})
_CONTROLLERS: Final = frozenset({"cpu", "memory", "pids"})


class Verdict(Enum):
    """``PROBLEM`` keeps Atoll from working, ``WARNING`` takes something from it."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy`` says what to do, where there is something to do."""

    name: str
    verdict: Verdict
    seen: str
    remedy: str = ""


def _program(name: str) -> str | None:
    """Look where root would: the folders of system programs are on few other users' paths."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a machine's facts are; tests give a folder that looks like one."""

    root: Path = Path("/")
    kernel_release: str = ""
    is_superuser: bool = False
    which: Callable[[str], str | None] = _program
    first_closed: Callable[[Path, SystemUser], Path | None] = first_closed
    console: Path = Path(atoll.__file__).parent / "console"

    @classmethod
    def this(cls) -> "Machine":
        """Give the one that this runs on."""
        return cls(kernel_release=os.uname().release, is_superuser=os.geteuid() == 0)

    def text(self, path: str) -> str:
        """Read one of its files; one that is not there is empty."""
        try:
            return (self.root / path).read_text("utf-8", "replace")
        except OSError:
            return ""


def diagnose(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Look at everything, in the order in which a start would come upon it."""
    if settings.runtime == "plain":
        yield Finding("runtime", Verdict.WARNING, "plain", "It has no walls: for development only.")
    else:
        yield _superuser(machine)
        yield _kernel(machine)
        yield _programs(settings, machine)
        yield _loop_devices(machine)
        yield _cgroups(machine)
        yield _user_namespaces(machine)
        yield _overlay(machine)
        yield _egress_user(settings)
        yield _zygote_user(settings)
        yield _image(settings)
    yield _user(settings, machine)
    yield _folders(settings, machine)
    yield from _data_folder(settings, machine)
    yield _memory(machine)
    yield _console(machine)
    running = running_instance(settings.data_dir)
    if running is None:
        yield _earlier_start(settings)
        yield _port(settings)
        yield Finding("server", Verdict.OK, "not running", "atoll serve")
    else:
        yield _server(running)


def _superuser(machine: Machine) -> Finding:
    if machine.is_superuser:
        return Finding("root", Verdict.OK, "yes")
    return Finding("root", Verdict.PROBLEM, "no", "Walls are built as root: run Atoll, and this, with sudo.")


def _kernel(machine: Machine) -> Finding:
    release = machine.kernel_release
    if requirements.is_new_enough(release):
        return Finding("kernel", Verdict.OK, release)
    least = ".".join(map(str, requirements.KERNEL_MIN))
    return Finding("kernel", Verdict.PROBLEM, release, f"Sandboxes' root file systems need Linux {least} or newer.")


def _programs(settings: Settings, machine: Machine) -> Finding:
    wanted = {settings.oci_runtime: "runc", **requirements.PROGRAMS}
    missing = [program for program in wanted if machine.which(program) is None]
    if not missing:
        return Finding("programs", Verdict.OK, ", ".join(wanted))
    packages = " ".join(sorted({wanted[program] for program in missing}))
    return Finding("programs", Verdict.PROBLEM, f"no {', '.join(missing)}", f"apt-get install {packages}")


def _loop_devices(machine: Machine) -> Finding:
    if (machine.root / "dev/loop-control").exists():
        return Finding("loop devices", Verdict.OK, "/dev/loop-control")
    return Finding("loop devices", Verdict.PROBLEM, "no /dev/loop-control", "modprobe loop")


def _cgroups(machine: Machine) -> Finding:
    unified = machine.text("sys/fs/cgroup/cgroup.controllers")
    if unified:
        version, found = "v2", set(unified.split())
    else:
        version = "v1"
        found = {name for name in _CONTROLLERS if (machine.root / "sys/fs/cgroup" / name).is_dir()}
    missing = sorted(_CONTROLLERS - found)
    if not missing:
        return Finding("cgroups", Verdict.OK, f"{version} with {', '.join(sorted(_CONTROLLERS))}")
    remedy = "Without them no limit holds. In a container, give it its own cgroups to write to; else boot with them."
    return Finding("cgroups", Verdict.PROBLEM, f"{version} without {', '.join(missing)}", remedy)


def _user_namespaces(machine: Machine) -> Finding:
    allowed = machine.text("proc/sys/user/max_user_namespaces").strip()
    if allowed.isdigit() and int(allowed) > 0:
        return Finding("user namespaces", Verdict.OK, f"up to {allowed}")
    seen = "this kernel has none" if not allowed else "none allowed"
    return Finding("user namespaces", Verdict.PROBLEM, seen, "sysctl user.max_user_namespaces=65536")


def _overlay(machine: Machine) -> Finding:
    if "overlay" in machine.text("proc/filesystems").split():
        return Finding("overlay", Verdict.OK, "yes")
    return Finding(
        "overlay", Verdict.WARNING, "not loaded", "modprobe overlay; the first sandbox loads it where it may."
    )


def _egress_user(settings: Settings) -> Finding:
    if has_egress(settings):
        return Finding("network policies", Verdict.OK, f"by the user {settings.egress_user}")
    seen = f"no user {settings.egress_user}: allowlists are refused"
    return Finding("network policies", Verdict.WARNING, seen, how_to_make(settings.egress_user))


def _zygote_user(settings: Settings) -> Finding:
    try:
        find_user(settings.zygote_user)
    except UserError:
        seen = f"no ordinary user {settings.zygote_user}: sandboxes start cold, which is slower"
        return Finding("quick starts", Verdict.WARNING, seen, how_to_make(settings.zygote_user))
    return Finding("quick starts", Verdict.OK, f"by the user {settings.zygote_user}")


def _image(settings: Settings) -> Finding:
    try:
        image = find(settings.images_dir, settings.image)
    except (ImageNotFoundError, NotADirectoryError):
        return Finding("image", Verdict.PROBLEM, f"no {settings.image!r}", "atoll image build")
    except PermissionError:
        return Finding("image", Verdict.WARNING, f"{settings.images_dir} is closed to you", "Run this with sudo.")
    return Finding("image", Verdict.OK, f"{image.name} ({image.id}), {size_text(image.size_bytes)}")


def _user(settings: Settings, machine: Machine) -> Finding:
    if not machine.is_superuser:
        return Finding("server's user", Verdict.OK, "you")
    try:
        user = find_user(settings.user)
    except UserError as error:
        return Finding("server's user", Verdict.PROBLEM, settings.user, " ".join(str(error).split()))
    return Finding("server's user", Verdict.OK, f"{user.name} ({user.uid})")


def _folders(settings: Settings, machine: Machine) -> Finding:
    """Look for what a start would refuse of the folders that it makes or takes."""
    own = [settings.data_dir, settings.run_dir, settings.blobs_dir]
    own += [] if settings.runtime == "plain" else [settings.images_dir, settings.sandboxes_dir]
    for folder in own:
        if os.path.islink(folder):  # noqa: PTH114 - pathlib's raises what is closed to whoever asks
            remedy = f"Name the folder that it leads to: {os.path.realpath(folder)}"
            return Finding("folders", Verdict.PROBLEM, f"{folder} is a symbolic link", remedy)
        if os.access(folder, os.F_OK) and not folder.is_dir():
            return Finding("folders", Verdict.PROBLEM, f"{folder} is no folder", "Move it away, or name another.")
    closed = _closed(settings, machine)
    if closed is not None:
        seen = f"{closed} is closed to the user {settings.user}"
        return Finding(
            "folders", Verdict.PROBLEM, seen, f"chmod o+x {closed}, or other folders (--data-dir, --run-dir)"
        )
    return Finding("folders", Verdict.OK, f"{settings.data_dir}, {settings.run_dir}")


def _closed(settings: Settings, machine: Machine) -> Path | None:
    """Give what the server's user cannot pass on its way; a start opens the folders themselves."""
    if not machine.is_superuser:
        return None
    try:
        user = find_user(settings.user)
    except UserError:
        return None  # told already
    for folder in (settings.data_dir, settings.run_dir):
        above = next((place for place in folder.parents if os.access(place, os.F_OK)), folder)
        if (closed := machine.first_closed(above, user)) is not None:
            return closed
    return None


def _data_folder(settings: Settings, machine: Machine) -> Iterator[Finding]:
    folder = settings.data_dir
    there = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    if settings.runtime != "plain":
        kind = _file_system_of(folder, machine)
        if kind in _IDMAPPED:
            yield Finding("file system", Verdict.OK, f"{kind} at {folder}")
        else:
            remedy = "Images need one that can be mounted with shifted owners: ext4, XFS or btrfs (--data-dir)."
            yield Finding("file system", Verdict.WARNING, f"{kind or 'unknown'} at {folder}", remedy)
    room = shutil.disk_usage(there).free
    if room >= _DISK_BYTES_MIN:
        yield Finding("disk", Verdict.OK, f"{size_text(room)} free at {folder}")
    else:
        remedy = f"Make room or name another folder (--data-dir); {size_text(_DISK_BYTES_MIN)} is a good least."
        yield Finding("disk", Verdict.WARNING, f"{size_text(room)} free at {folder}", remedy)


def _file_system_of(path: Path, machine: Machine) -> str:
    """Give the kind of file system that a path is on; proc_pid_mountinfo(5)."""
    best, kind = -1, ""
    for line in machine.text("proc/self/mountinfo").splitlines():
        fields, _, tail = line.partition(" - ")
        place = fields.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), tail.split()[0]
    return kind


def _memory(machine: Machine) -> Finding:
    words = {line.split(":")[0]: line.split()[1] for line in machine.text("proc/meminfo").splitlines() if ":" in line}
    available = int(words.get("MemAvailable", "0")) * 1024
    if available >= _MEMORY_BYTES_MIN:
        return Finding("memory", Verdict.OK, f"{size_text(available)} available")
    return Finding(
        "memory", Verdict.WARNING, f"{size_text(available)} available", "Creates are refused for want of it."
    )


def _console(machine: Machine) -> Finding:
    if (machine.console / "index.html").is_file():
        return Finding("console", Verdict.OK, "built")
    return Finding("console", Verdict.WARNING, "not built", "scripts/serve builds it; that needs npm.")


def _earlier_start(settings: Settings) -> Finding:
    other = running_instance(settings.run_dir)
    if other is not None:
        seen = f"{settings.run_dir} is used by process {other.pid}, on another data folder"
        return Finding("earlier start", Verdict.PROBLEM, seen, "Choose another with --run-dir.")
    try:
        check_record(settings)
    except PermissionError:
        return Finding("earlier start", Verdict.WARNING, f"{settings.data_dir} is closed to you", "Run this with sudo.")
    except (OtherInstanceError, OSError) as error:
        return Finding("earlier start", Verdict.PROBLEM, f"of {settings.data_dir}, with other settings", str(error))
    return Finding("earlier start", Verdict.OK, "none that these settings do not go with")


def _port(settings: Settings) -> Finding:
    name = f"{settings.host} port {settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except PortError as error:
        return Finding("port", Verdict.PROBLEM, name, str(error))
    return Finding("port", Verdict.OK, f"{name}, free")


def _server(running: Instance) -> Finding:
    remedy = "Its log says why (journalctl -u atoll, or where it was started)."
    if running.base_url is None:
        seen = f"process {running.pid} has not come into service yet"
        return Finding("server", Verdict.WARNING, seen, f"Look again in a minute. {remedy}")
    problem = _ask_health(running.base_url)
    if problem is not None:
        return Finding("server", Verdict.PROBLEM, f"{running.base_url} does not answer: {problem}", remedy)
    return Finding("server", Verdict.OK, f"running at {running.base_url}")


def _ask_health(base_url: str) -> str | None:
    """Give why a server is not healthy. The launcher holds its port also while it has none."""
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except TimeoutError:
        return f"nothing came for {_ANSWER_S:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if status == http.client.OK else f"status {status}"
