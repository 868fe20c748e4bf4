"""Only what is whole is on the shelf, and one at a time changes it."""

import json
import multiprocessing
import os
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from atoll.images.errors import BuildError, ImageNotFoundError
from atoll.images.image import Image, read_image
from atoll.images.progress import Progress
from atoll.images.shelf import building, find, list_images, make_folder, publish

WHOLE = (
    b'{"id": "img_00000000000000000000000000000001", "name": "x", "created_at": 5, "python": "/p", "recipe": "r", '
    b'"complete": true}'
)
pytestmark = pytest.mark.usefixtures("as_root")


def put(images_dir: Path, number: int, *, name: str = "default", created_at: int = 0) -> Image:
    folder = make_folder(images_dir, f"img_{number:032x}")
    return publish(
        Image(folder=folder, id=folder.name, name=name, created_at=created_at, python="/usr/bin/python3", recipe="r")
    )


def quiet(_progress: Progress) -> None:
    pass


def test_what_is_published_is_found_as_it_was(tmp_path: Path) -> None:
    image = put(tmp_path, 1, created_at=5)
    assert find(tmp_path, image.id) == find(tmp_path, "default") == image
    assert image.rootfs.is_dir()
    assert json.loads((image.folder / "image.json").read_bytes())["complete"] is True


def test_nobody_else_gets_in(tmp_path: Path) -> None:
    with building(tmp_path / "images", quiet):
        image = put(tmp_path / "images", 1)
    assert image.folder.stat().st_mode & 0o077 == 0
    assert (tmp_path / "images").stat().st_mode & 0o777 == 0o711


def test_the_newest_of_a_name_counts(tmp_path: Path) -> None:
    put(tmp_path, 1, created_at=5)
    newest = put(tmp_path, 2, created_at=6)
    put(tmp_path, 3, created_at=7, name="other")
    assert find(tmp_path, "default") == newest
    assert [image.created_at for image in list_images(tmp_path)] == [7, 6, 5]


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match="nothing"):
        find(tmp_path / "missing", "nothing")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b"null",
        WHOLE.replace(b"true", b"false"),
        WHOLE.replace(b'1"', b'2"'),
        WHOLE.replace(b"5", b'"soon"'),
        WHOLE[:-1],
    ],
)
def test_what_is_not_whole_does_not_exist(tmp_path: Path, content: bytes | None) -> None:
    folder = make_folder(tmp_path, f"img_{1:032x}")
    if content is not None:
        (folder / "image.json").write_bytes(content)
    assert read_image(folder) is None
    assert list_images(tmp_path) == []


def test_the_json_alone_makes_it_whole(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, f"img_{1:032x}")
    (folder / "image.json").write_bytes(WHOLE)
    assert read_image(folder) is not None


def test_the_next_build_clears_what_was_left_half_made_and_nothing_else(tmp_path: Path) -> None:
    whole = put(tmp_path, 1)
    half = make_folder(tmp_path, f"img_{2:032x}")
    (half / "rootfs/link").symlink_to(whole.folder)
    (tmp_path / "stranger").mkdir()
    with building(tmp_path, quiet):
        assert {path.name for path in tmp_path.iterdir()} == {whole.id, "stranger", ".lock"}
    assert read_image(whole.folder) == whole


def test_a_second_build_waits_and_says_so(tmp_path: Path) -> None:
    heard: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def hear(progress: Progress) -> None:
        heard.append(progress.step)
        waiting.set()

    def second() -> None:
        with building(tmp_path, hear):
            entered.set()

    with building(tmp_path, quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert heard == ["Waiting for another build"]


def hold_and_die(images_dir: Path, ready: Event) -> None:
    with building(images_dir, quiet):
        make_folder(images_dir, f"img_{1:032x}")
        ready.set()
        threading.Event().wait()


def test_the_lock_and_the_half_made_of_a_killed_build_do_not_outlive_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    builder = context.Process(target=hold_and_die, args=(tmp_path, ready))
    builder.start()
    assert ready.wait(30)
    builder.kill()
    builder.join(10)
    assert list_images(tmp_path) == []
    with building(tmp_path, quiet):
        assert not list(tmp_path.glob("img_*"))


def test_only_root_changes_the_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="root"), building(tmp_path, quiet):
        pass
