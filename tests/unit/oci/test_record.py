"""Records of sandboxes."""

import json
from pathlib import Path

import pytest

from atoll.model.ids import SandboxId
from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci import record
from atoll.runtime.oci.record import Record, RecordDamagedError

RECORD = Record(
    id=SandboxId("sbx_" + "0" * 32),
    created_at=1.5,
    image_id="img_1",
    spec=SandboxSpec(memory_bytes=1, disk_bytes=2, pids_max=3, cpus=0.5),
)


def test_there_and_back(tmp_path: Path) -> None:
    folder = tmp_path / RECORD.id
    folder.mkdir()
    assert record.read(folder) is None
    record.write(folder, RECORD)
    record.sync(folder)
    assert record.read(folder) == RECORD
    assert [path.name for path in folder.iterdir()] == ["sandbox.json"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"version": 2}',
        record.encode(RECORD).replace(b'"version": 1', b'"version": 9'),
        record.encode(RECORD).replace(b"sbx_", b"../_"),
        record.encode(RECORD).replace(b'"pids_max": 3', b'"pids_max": null'),
    ],
)
def test_damage(text: bytes) -> None:
    with pytest.raises(RecordDamagedError):
        record.decode(text)


def test_a_record_in_anothers_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("sbx_" + "1" * 32)
    folder.mkdir()
    record.write(folder, RECORD)
    with pytest.raises(RecordDamagedError):
        record.read(folder)


def test_what_is_written_is_json() -> None:
    assert json.loads(record.encode(RECORD))["spec"]["cpus"] == 0.5
