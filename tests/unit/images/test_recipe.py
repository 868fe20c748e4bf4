"""Recipes: what is refused, and what makes another image."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.images.errors import RecipeError
from atoll.images.image import IMAGE_ID
from atoll.images.recipe import default_recipe, read_recipe

RECIPE = """
name = "mine"
suite = "bookworm"
[python]
version = "3.11"
glibc = "2.36"
[debian]
packages = ["python3", "g++"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "requirements.txt").write_text("numpy==2.4.6 --hash=sha256:00\n")
    (tmp_path / "files/etc").mkdir(parents=True)
    (tmp_path / "files/etc/pip.conf").write_text("[global]\n")
    return tmp_path


def test_a_recipe_is_read(folder: Path) -> None:
    recipe = read_recipe(folder)
    assert (recipe.name, recipe.packages, recipe.python_version) == ("mine", ("python3", "g++"), "3.11")
    assert recipe.requirements == folder / "requirements.txt"
    assert IMAGE_ID.fullmatch(recipe.image_id)


def test_a_recipe_is_found_from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    recipe = read_recipe(Path(folder.name))
    monkeypatch.chdir("/")
    assert recipe.folder == folder
    assert recipe.requirements == folder / "requirements.txt"


def test_the_default_recipe_is_one() -> None:
    recipe = read_recipe(default_recipe())
    assert recipe.name == "default"
    assert {"python3", "git", "curl"} <= set(recipe.packages)
    assert "pandas" in recipe.preload


def test_every_python_package_of_the_default_image_is_pinned_with_hashes() -> None:
    lines = (default_recipe() / "requirements.txt").read_text().splitlines()
    names = [line for line in lines if line[:1].isalnum()]
    assert names
    assert all("==" in line and line.endswith("\\") and ";" not in line for line in names)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "recipe.toml").write_text(RECIPE.replace("g++", "gcc")),
        lambda folder: (folder / "requirements.txt").write_text("numpy==2.4.5 --hash=sha256:00\n"),
        lambda folder: (folder / "requirements.txt").unlink(),
        lambda folder: (folder / "files/etc/pip.conf").write_text("[install]\n"),
        lambda folder: (folder / "files/etc/pip.conf").rename(folder / "files/etc/pip2.conf"),
        lambda folder: (folder / "files/etc/pip.conf").chmod(0o755),
        lambda folder: (folder / "files/etc/new").symlink_to("pip.conf"),
        lambda folder: (folder / "files/empty").mkdir(),
    ],
)
def test_what_is_in_the_image_decides_its_id(folder: Path, change: Callable[[Path], object]) -> None:
    before = read_recipe(folder).image_id
    change(folder)
    assert read_recipe(folder).image_id != before


def test_what_is_not_in_the_image_does_not(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = read_recipe(folder).image_id
    (folder / "README.md").write_text("about")
    (folder / "files/etc/pip.conf").touch()
    (folder / "files/etc/pip.conf").chmod(0o600)
    elsewhere = tmp_path_factory.mktemp("copy") / "recipe"
    shutil.copytree(folder, elsewhere)
    assert read_recipe(elsewhere).image_id == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"g++"', '"--option"'),
        ('"g++"', '"a,b"'),
        ('"g++"', "7"),
        ('["python3", "g++"]', '"python3"'),
        ('"bookworm"', '"-o"'),
        ('"mine"', '"img_mine"'),
        ('"mine"', '"Mine"'),
        ('"3.11"', "3.11"),
        ("[debian]", "[debian]\nmirror = 'file:///etc'"),
        ("[debian]", "[debian]\nunknown = 1"),
        ("[debian]", "[extra]\nx = 1\n[debian]"),
        ("name", "nam"),
        ("[python]", "[python"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, old: str, new: str) -> None:
    (folder / "recipe.toml").write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(RecipeError, match=r"recipe\.toml"):
        read_recipe(folder)


def test_a_folder_without_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.toml"):
        read_recipe(tmp_path)
