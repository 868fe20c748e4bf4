"""Finding whole images."""

import json
from pathlib import Path

import pytest

from atoll.runtime.oci.image import ImageNotFoundError, Images


def add(images_dir: Path, number: str, **changes: object) -> Path:
    folder = images_dir / f"img_{number}"
    (folder / "rootfs").mkdir(parents=True)
    value = {"id": folder.name, "name": "default", "created_at": 1, "python": "/usr/bin/python3", "complete": True}
    (folder / "image.json").write_text(json.dumps({**value, **changes}))
    return folder


def test_by_id_and_by_name(tmp_path: Path) -> None:
    add(tmp_path, "0a")
    add(tmp_path, "0b", name="small", created_at=9)
    assert Images(tmp_path).find("img_0a").rootfs == tmp_path / "img_0a/rootfs"
    assert Images(tmp_path).find("small").id == "img_0b"
    assert Images(tmp_path).find("default").id == "img_0a"


def test_the_newest_of_a_name(tmp_path: Path) -> None:
    for number, created_at in (("01", 5), ("02", 7), ("03", 6)):
        add(tmp_path, number, created_at=created_at)
    assert Images(tmp_path).find("default").id == "img_02"


@pytest.mark.parametrize(
    "change",
    [
        {"complete": False},
        {"complete": 1},
        {"id": "img_ff"},
        {"python": "python3"},
        {"python": None},
        {"created_at": "soon"},
    ],
)
def test_what_is_not_whole_is_never_used(tmp_path: Path, change: dict[str, object]) -> None:
    add(tmp_path, "0a", **change)
    with pytest.raises(ImageNotFoundError, match="atoll image build"):
        Images(tmp_path).find("default")


def test_half_built_images_and_strange_files(tmp_path: Path) -> None:
    (add(tmp_path, "01") / "image.json").unlink()
    (add(tmp_path, "02") / "rootfs").rmdir()
    (add(tmp_path, "03") / "image.json").write_text("{")
    add(tmp_path, "XYZ")
    (tmp_path / "img_04").touch()
    with pytest.raises(ImageNotFoundError):
        Images(tmp_path).find("default")
    with pytest.raises(ImageNotFoundError):
        Images(tmp_path / "missing").find("default")


def test_a_change_is_seen(tmp_path: Path) -> None:
    images = Images(tmp_path)
    folder = add(tmp_path, "01", python="/usr/bin/python3.11")
    assert images.find("default").python == "/usr/bin/python3.11"
    description = json.loads((folder / "image.json").read_text())
    (folder / "new").write_text(json.dumps({**description, "python": "/usr/bin/python3.13"}))
    (folder / "new").rename(folder / "image.json")
    assert images.find("default").python == "/usr/bin/python3.13"
    add(tmp_path, "02", created_at=2)
    assert images.find("default").id == "img_02"
    (tmp_path / "img_02" / "rootfs").rmdir()
    assert images.find("default").id == "img_01"
    (folder / "image.json").unlink()
    with pytest.raises(ImageNotFoundError):
        images.find("default")
