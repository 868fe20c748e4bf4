"""Archives of docker, of OCI tools and of tar, honest and otherwise."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atoll.images.errors import ArchiveError
from atoll.images.image import Image
from atoll.images.import_ import ImportLimits, import_
from atoll.images.progress import Progress
from atoll.images.shelf import list_images
from tests.unit.images.conftest import file, make_tar, python_root

pytestmark = pytest.mark.usefixtures("as_root")
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "other")


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., Image]:
    def take(content: bytes, *, name: str = "mine", limits: ImportLimits | None = None) -> Image:
        path = tmp_path / "archive"
        path.write_bytes(content)
        return import_(path, name, tmp_path / "images", lambda _progress: None, limits=limits, clock=lambda: 7.0)

    return take


def blob(content: bytes) -> tuple[dict[str, Any], tuple[tarfile.TarInfo, bytes]]:
    digest = hashlib.sha256(content).hexdigest()
    return {"digest": f"sha256:{digest}", "size": len(content)}, file(f"blobs/sha256/{digest}", content)


def oci(*layers: bytes, config: object = None, platform: object = None) -> bytes:
    parts = [blob(layer) for layer in layers]
    configuration = blob(json.dumps({"architecture": MACHINE} if config is None else config).encode())
    manifest = blob(
        json.dumps({"config": configuration[0], "layers": [descriptor for descriptor, _ in parts]}).encode()
    )
    index = {"manifests": [{**manifest[0], **({"platform": platform} if platform else {})}]}
    return make_tar(
        file("oci-layout", b"{}"),
        file("index.json", json.dumps(index).encode()),
        *(member for _, member in (*parts, configuration, manifest)),
    )


def docker(*layers: bytes, config: object = None, images: int = 1) -> bytes:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    listed = [{"Config": "config.json", "Layers": names}] * images
    return make_tar(
        *(file(name, layer) for name, layer in zip(names, layers, strict=True)),
        file("config.json", json.dumps({} if config is None else config).encode()),
        file("manifest.json", json.dumps(listed).encode()),
    )


LOWER = make_tar(*python_root(), file("old"))
UPPER = make_tar(file(".wh.old"), file("new", b"x"))


def test_a_root_file_system_becomes_an_image(take: Callable[..., Image]) -> None:
    image = take(LOWER)
    assert (image.name, image.python, image.created_at) == ("mine", "/usr/bin/python3", 7)
    assert (image.rootfs / "old").exists()
    assert "sandbox:x:1000" in (image.rootfs / "etc/passwd").read_text()


def test_the_same_archive_is_not_unpacked_again(take: Callable[..., Image]) -> None:
    first = take(LOWER)
    assert take(LOWER) == first
    assert take(LOWER, name="other").id != first.id


@pytest.mark.parametrize(
    "content",
    [
        docker(LOWER, UPPER),
        oci(LOWER, UPPER),
        oci(gzip.compress(LOWER), gzip.compress(UPPER), platform={"architecture": MACHINE, "os": "linux"}),
        gzip.compress(oci(LOWER, gzip.compress(UPPER))),
    ],
    ids=["docker", "oci", "oci, compressed layers", "compressed oci"],
)
def test_layers_are_laid_one_on_the_other(take: Callable[..., Image], content: bytes) -> None:
    image = take(content)
    assert (image.rootfs / "new").read_bytes() == b"x"
    assert not (image.rootfs / "old").exists()
    assert not (image.rootfs / ".wh.old").exists()
    assert {path.name for path in image.folder.iterdir()} == {"rootfs", "image.json"}


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd"])
def test_every_usual_compression_is_read(take: Callable[..., Image], program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on this machine")
    packed = subprocess.run([program, "-c"], input=LOWER, capture_output=True, check=True).stdout
    assert (take(packed).rootfs / "old").exists()


def test_the_python_of_the_images_own_path_is_taken(take: Callable[..., Image]) -> None:
    layer = make_tar(
        *python_root(),
        file("opt/py/bin/python3", b"", mode=0o755),
        file("opt/py/lib/python3.13/site-packages/IPython/__init__.py"),
    )
    image = take(docker(layer, config={"config": {"Env": ["PATH=/nowhere:relative:/opt/py/bin:/usr/bin"]}}))
    assert image.python == "/opt/py/bin/python3"


def nothing_is_left(tmp_path: Path) -> bool:
    return list_images(tmp_path / "images") == [] and not list((tmp_path / "images").glob("img_*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no tar"),
        (b"not a tar" * 200, "no tar"),
        (LOWER[:700], "cut off"),
        (gzip.compress(LOWER)[:-40], "cut off|decompressed|no tar"),
        (make_tar(file("etc/passwd")), "no python3"),
        (make_tar(file("usr/bin/python3", b"", mode=0o755)), "IPython"),
        (make_tar(file("usr/bin/python3", b"", mode=0o644)), "no python3"),
        (
            make_tar(
                file("usr/bin/python3", b"", mode=0o755), file("usr/lib/python3.9/dist-packages/IPython/__init__.py")
            ),
            "older than 3.11",
        ),
        (docker(LOWER, images=2), "2 images"),
        (docker(LOWER, config={"architecture": "s390x"}), "s390x"),
        (oci(LOWER, platform={"architecture": "s390x"}), "0 images"),
        (oci(LOWER, config=[]), "not what it should be"),
        (make_tar(file("manifest.json", b'[{"Config": "../../etc/passwd", "Layers": ["x"]}]')), "not in it"),
        (make_tar(file("manifest.json", b'[{"Config": "c", "Layers": "c"}]'), file("c", b"{}")), "layers"),
        (make_tar(file("manifest.json", b'[{"Config": "c", "Layers": []}]'), file("c", b"{}")), "layers"),
        (make_tar(file("manifest.json", b"[" * 100_000)), "no JSON"),
        (oci(LOWER).replace(b"root:x:0:0:root", b"root:x:0:0:evil"), "damaged"),
    ],
)
def test_what_cannot_be_an_image_is_refused_and_leaves_nothing(
    take: Callable[..., Image], tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        take(content)
    assert nothing_is_left(tmp_path)


def test_a_small_archive_of_much_is_refused(take: Callable[..., Image], tmp_path: Path) -> None:
    bomb = gzip.compress(make_tar(*python_root(), file("zeros", bytes(8 << 20))))
    limits = ImportLimits(size_bytes_max=4 << 20)
    with pytest.raises(ArchiveError, match="larger"):
        take(bomb, limits=limits)
    with pytest.raises(ArchiveError, match="larger"):
        take(oci(bomb), limits=limits)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("name", ["", "img_x", "Upper", "a b", "../x", "x" * 64])
def test_names_are_checked(take: Callable[..., Image], name: str) -> None:
    with pytest.raises(ArchiveError, match="name"):
        take(LOWER, name=name)


def test_progress_reaches_the_end_and_never_falls(tmp_path: Path) -> None:
    heard: list[Progress] = []
    (tmp_path / "archive").write_bytes(gzip.compress(LOWER))
    import_(tmp_path / "archive", "mine", tmp_path / "images", heard.append)
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions)
    assert (heard[-1].step, heard[-1].fraction) == ("Ready", 1.0)


def test_reading_is_bounded_before_json_is_parsed(take: Callable[..., Image]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        header = tarfile.TarInfo("manifest.json")
        header.size = (8 << 20) + 1
        tar.addfile(header, io.BytesIO(b"[" + b" " * (8 << 20)))
    with pytest.raises(ArchiveError, match="too large"):
        take(buffer.getvalue())
