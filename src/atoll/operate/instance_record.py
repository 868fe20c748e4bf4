"""What a data folder was last started with, as far as its sandboxes hang on it.

They outlive the server, so the next start, and ``atoll down``, must look for them where they are: in the same run
folder and cgroup, with the same runtime. One that looks elsewhere would take them for dead and start them a second
time, on disks that are in use.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from atoll.settings import Settings

_NAME: Final = "instance.json"
_BYTES_MAX: Final = 1 << 16


class OtherInstanceError(Exception):
    """The settings do not go with what is there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """The settings that running sandboxes hang on."""

    runtime: str
    run_dir: str
    cgroup_parent: str
    oci_runtime: str

    @staticmethod
    def of(settings: Settings) -> "InstanceRecord":
        """Take them from the settings."""
        return InstanceRecord(settings.runtime, str(settings.run_dir), settings.cgroup_parent, settings.oci_runtime)

    def applied_to(self, settings: Settings) -> Settings:
        """Give the settings with these in their place."""
        return replace(
            settings,
            run_dir=Path(self.run_dir),
            cgroup_parent=self.cgroup_parent,
            oci_runtime=self.oci_runtime,
        )


def read_record(data_dir: Path) -> InstanceRecord | None:
    """Give what a data folder was last started with; ``None`` when it never was.

    Raises ``OtherInstanceError`` for a record that cannot be read.
    """
    try:
        descriptor = os.open(data_dir / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_BYTES_MAX)
    try:
        record = InstanceRecord(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise OtherInstanceError(f"{data_dir / _NAME} cannot be read: {error}.") from error
    if not all(isinstance(value, str) for value in asdict(record).values()):
        raise OtherInstanceError(f"{data_dir / _NAME} cannot be read.")
    return record


def check_record(settings: Settings) -> bool:
    """Tell whether a data folder was last started with other settings than these.

    Raises ``OtherInstanceError`` when sandboxes of an earlier start may still run elsewhere, or are another runtime's.
    """
    new, old = InstanceRecord.of(settings), read_record(settings.data_dir)
    if old is not None and new != old:
        _check(old, new, settings.data_dir)
    return new != old


def write_record(settings: Settings) -> None:
    """Note what is started now. To be called with the instance's lock held. Raises as ``check_record`` does."""
    if not check_record(settings):
        return
    new = InstanceRecord.of(settings)
    path = settings.data_dir / _NAME
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(new), file, indent=2)
        file.flush()
        os.fsync(descriptor)
    part.replace(path)


def _check(old: InstanceRecord, new: InstanceRecord, data_dir: Path) -> None:
    if old.runtime != new.runtime:
        raise OtherInstanceError(
            f"{data_dir} was made with the runtime `{old.runtime}`, and its containers' files are kept in that one's "
            f"form. Use --runtime {old.runtime}, or another --data-dir."
        )
    if old.runtime == "oci" and Path(old.run_dir, "running").is_dir():
        changed = [name for name, value in asdict(old).items() if value != getattr(new, name)]
        raise OtherInstanceError(
            f"Sandboxes may still run as {data_dir} was last started, with another {' and '.join(changed)}. "
            "End them with `atoll down` first."
        )
