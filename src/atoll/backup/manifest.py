"""What a backup says of itself: which program and database it comes from, and each file with its digest."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from atoll.backup.errors import BackupError
from atoll.runtime.oci.disk import DISK_NAME

NAME: Final = "manifest.json"
# A disk that was written to while it was copied; under this name nobody takes it for a disk.
TORN_NAME: Final = "disk.torn.ext4"
_FORMAT: Final = 1
_BYTES_MAX: Final = 1 << 30
# All that a backup has, and restoring may write or, when it fails, remove: not what else is in the folder.
_FILE: Final = re.compile(
    r"atoll\.db|database-id|api-key|vault-key|blobs/file-[0-9a-f]{32}|"
    rf"sandboxes/sbx_[0-9a-f]{{32}}/(?:sandbox\.json|{re.escape(DISK_NAME)}|{re.escape(TORN_NAME)})"
)
_IMAGE: Final = re.compile(r"img_[0-9a-f]{1,64}")

Owner = Literal["root", "server"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; ``owner`` is whose it becomes: root's or the server's user's."""

    sha256: str
    mode: int
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``files`` by their paths in the data folder; no ``database_revision`` where the database is elsewhere."""

    atoll: str
    made_at: str
    database_revision: str | None
    images: tuple[str, ...]
    files: Mapping[str, Entry]

    @property
    def torn(self) -> tuple[str, ...]:
        """The sandboxes of whose disks there is only a torn copy."""
        return tuple(sorted(name.split("/")[1] for name in self.files if name.endswith(f"/{TORN_NAME}")))

    def write(self, folder: Path) -> None:
        """Write it whole or not at all: with it the backup is one."""
        value = {"format": _FORMAT, **asdict(self)}
        unfinished = folder / f"{NAME}.unfinished"
        unfinished.write_text(json.dumps(value, indent=1))
        unfinished.rename(folder / NAME)


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's. Raises ``BackupError``."""
    try:
        with (folder / NAME).open("rb") as file:
            value = json.loads(file.read(_BYTES_MAX))
        if value["format"] != _FORMAT:
            raise BackupError(
                f"{folder} was made by a newer Atoll ({value.get('atoll')}): bring it back with that one, then upgrade."
            )
        files = {
            _named(_FILE, path): Entry(str(entry["sha256"]), int(entry["mode"]) & 0o777, _owner(entry["owner"]))
            for path, entry in value["files"].items()
        }
        revision = value["database_revision"]
        return Manifest(
            atoll=str(value["atoll"]),
            made_at=str(value["made_at"]),
            database_revision=None if revision is None else str(revision),
            images=tuple(_named(_IMAGE, image) for image in value["images"]),
            files=files,
        )
    except FileNotFoundError as error:
        raise BackupError(f"{folder} holds no whole backup: {NAME} is missing, which is written last.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{folder / NAME} cannot be read: {error!r}.") from error


def _owner(value: object) -> Owner:
    return "server" if value == "server" else "root"


def _named(known: re.Pattern[str], name: str) -> str:
    """Give a name back that a backup can have. Raises ``ValueError``."""
    if not known.fullmatch(name):
        raise ValueError(f"{name!r} is nothing that a backup has")
    return name
