"""Build an image from a recipe, once: an unchanged recipe's image is found, not made again."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from atoll.images.debian import make_root
from atoll.images.finish import disarm, furnish
from atoll.images.image import Image, read_image
from atoll.images.progress import Progress, Report, Stage, steady
from atoll.images.recipe import Recipe, read_recipe
from atoll.images.rootfs import Rootfs
from atoll.images.shelf import building, make_folder, publish
from atoll.images.wheels import fetch_wheels

_PYTHON: Final = "/usr/bin/python3"


def build(recipe_dir: Path, images_dir: Path, report: Report, *, clock: Callable[[], float] = time.time) -> Image:
    """Give the recipe's image, made now where it is not there yet. Needs root; waits for a build that runs already.

    Raises ``RecipeError``, ``BuildError``. Whatever ends it, nothing half-made is ever used.
    """
    report = steady(report)
    recipe = read_recipe(recipe_dir)
    image = read_image(images_dir / recipe.image_id)
    if image is None:
        with building(images_dir, report) as lock:
            image = read_image(images_dir / recipe.image_id)  # the build we waited for may have been this one
            if image is None:
                image = _make(recipe, images_dir, lock, report, clock)
    report(Progress("Ready", 1.0, image.id))
    return image


def _make(recipe: Recipe, images_dir: Path, lock: int, report: Report, clock: Callable[[], float]) -> Image:
    folder = make_folder(images_dir, recipe.image_id)
    given = folder / "input"
    try:
        _lay_out(recipe, given, report)
        make_root(recipe, folder, given, lock, report)
    except BaseException:
        shutil.rmtree(folder / "rootfs", ignore_errors=True)  # the next build clears the rest; the log may be wanted
        raise
    finally:
        shutil.rmtree(given, ignore_errors=True)
    with Rootfs(folder / "rootfs") as rootfs:
        furnish(rootfs)
    size_bytes = disarm(folder / "rootfs", Stage(report, "Checking files", start=0.95, end=0.98))
    report(Progress("Writing to disk", 0.98))
    return publish(
        Image(
            folder=folder,
            id=recipe.image_id,
            name=recipe.name,
            created_at=int(clock()),
            python=_PYTHON,
            recipe=recipe.digest,
            preload=recipe.preload,
            size_bytes=size_bytes,
        )
    )


def _lay_out(recipe: Recipe, given: Path, report: Report) -> None:
    """Gather what the confined part needs in one folder: wheels, requirements and the recipe's own files."""
    wheels = given / "wheels"
    wheels.mkdir(parents=True)
    stage = Stage(report, "Downloading Python packages", start=0.0, end=0.05)
    stage.at(0, 1, recipe.name)
    fetch_wheels(recipe, wheels, stage)
    (given / "files").mkdir()
    if (recipe.folder / "files").is_dir():
        shutil.copytree(recipe.folder / "files", given / "files", symlinks=True, dirs_exist_ok=True)
    (given / "requirements.txt").write_bytes(recipe.requirements.read_bytes() if recipe.requirements else b"")
