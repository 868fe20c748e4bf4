"""What is kept of a sandbox on disk: enough to bring it back after a crash or a reboot."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from atoll.model.ids import SandboxId, is_id
from atoll.runtime.contract import SandboxSpec

RECORD_NAME: Final = "sandbox.json"
_RECORD_BYTES_MAX: Final = 64 << 10


class RecordDamagedError(Exception):
    """The record cannot be read; its folder is left alone for a person to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A sandbox's own facts: when it was made, in unix seconds, and the image below its files."""

    id: SandboxId
    created_at: float
    image_id: str
    spec: SandboxSpec


def encode(record: Record) -> bytes:
    """Give a record's bytes."""
    return json.dumps({"version": 1, **asdict(record)}, indent=1).encode()


def decode(text: bytes) -> Record:
    """Read a record. Raises ``RecordDamagedError``."""
    try:
        value = json.loads(text)
        if value["version"] != 1 or not is_id("sbx_", value["id"]):
            raise ValueError("unknown version or malformed id")  # noqa: TRY301 - one place says what a bad record is
        spec = value["spec"]
        return Record(
            id=SandboxId(value["id"]),
            created_at=float(value["created_at"]),
            image_id=str(value["image_id"]),
            spec=SandboxSpec(
                memory_bytes=int(spec["memory_bytes"]),
                disk_bytes=int(spec["disk_bytes"]),
                pids_max=int(spec["pids_max"]),
                cpus=float(spec["cpus"]),
            ),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise RecordDamagedError(f"not a sandbox's record: {error!r}") from error


def write(folder: Path, record: Record) -> None:
    """Put a record into its folder, whole or not at all; :func:`sync` makes it last."""
    _unfinished(folder, record).rename(folder / RECORD_NAME)


def write_through(folder: Path, record: Record) -> None:
    """Put a record into a folder that lasts already in place of the one there, so that one of both always lasts."""
    unfinished = _unfinished(folder, record)
    _sync(unfinished)
    unfinished.rename(folder / RECORD_NAME)
    _sync(folder)


def read(folder: Path) -> Record | None:
    """Give the record of a folder, ``None`` when there is none. Raises ``RecordDamagedError``, ``OSError``."""
    try:
        with (folder / RECORD_NAME).open("rb") as file:
            record = decode(file.read(_RECORD_BYTES_MAX))
    except FileNotFoundError:
        return None
    if record.id != folder.name:
        raise RecordDamagedError("the record is another sandbox's")
    return record


def sync(folder: Path) -> None:
    """Put a sandbox's folder, all files in it and its own name on stable storage."""
    for path in (*folder.iterdir(), folder, folder.parent):
        _sync(path)


def _unfinished(folder: Path, record: Record) -> Path:
    path = folder / f"{RECORD_NAME}.unfinished"
    path.write_bytes(encode(record))
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
