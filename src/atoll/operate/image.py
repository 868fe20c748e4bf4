"""``atoll image``: the images that sandboxes start from."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from atoll.cli.arguments import AsJson, print_json
from atoll.cli.failure import fail
from atoll.cli.tables import print_table, size_text, time_text
from atoll.images.errors import ImageError
from atoll.images.image import Image
from atoll.images.progress import Progress
from atoll.operate.settings_options import with_settings
from atoll.settings import Loaded

image_app = typer.Typer(help="The images that sandboxes start from.", no_args_is_help=True, rich_markup_mode=None)
_PLACES = ("data_dir", "images_dir")


@image_app.command("build")
@with_settings(_PLACES)
def build(
    loaded: Loaded,
    recipe: Annotated[
        Path | None, typer.Argument(help="The recipe's folder; without one, the default image's.")
    ] = None,
    *,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Say nothing and do nothing when the image is there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build an image from a recipe; one whose recipe has not changed is found, not built again."""
    from atoll.images.build import build as build_image  # noqa: PLC0415 - only this command needs it
    from atoll.images.image import read_image  # noqa: PLC0415 - only this command needs it
    from atoll.images.recipe import default_recipe, read_recipe  # noqa: PLC0415 - only this command needs it

    images_dir = loaded.settings.images_dir
    try:
        folder = recipe or default_recipe()
        if if_missing and read_image(images_dir / read_recipe(folder).image_id) is not None:
            return
        with _shown() as report:
            image = build_image(folder, images_dir, report)
    except (ImageError, OSError) as error:
        fail(str(error))
    _say(image, as_json=as_json)


@image_app.command("import")
@with_settings(_PLACES)
def import_image(
    loaded: Loaded,
    archive: Annotated[Path, typer.Argument(help="A tar of a root file system.", exists=True, dir_okay=False)],
    *,
    name: Annotated[str, typer.Option(help="The image's name.")],
    as_json: AsJson = False,
) -> None:
    """Import a root file system that was made elsewhere (docker export, debootstrap)."""
    from atoll.images.import_ import import_  # noqa: PLC0415 - only this command needs it

    try:
        with _shown() as report:
            image = import_(archive, name, loaded.settings.images_dir, report)
    except (ImageError, OSError) as error:
        fail(str(error))
    _say(image, as_json=as_json)


@image_app.command("list")
@with_settings(_PLACES)
def list_(loaded: Loaded, *, as_json: AsJson = False) -> None:
    """List the images that can be used, newest first."""
    from atoll.images.shelf import list_images  # noqa: PLC0415 - only this command needs it

    try:
        images = list_images(loaded.settings.images_dir)
    except PermissionError:
        fail("Images belong to root: run this as root, for example with sudo.")
    if as_json:
        print_json([_as_json(image) for image in images])
        return
    print_table(
        ("id", "name", "size", "created"),
        ((image.id, image.name, size_text(image.size_bytes), time_text(image.created_at)) for image in images),
    )


def _say(image: Image, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(image))
    else:
        sys.stdout.write(f"{image.id}  {image.name}  {size_text(image.size_bytes)}\n")


def _as_json(image: Image) -> dict[str, object]:
    return {"id": image.id, "name": image.name, "created_at": image.created_at, "size_bytes": image.size_bytes}


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """Draw progress on a terminal; elsewhere write a line at each new step."""
    if not sys.stderr.isatty():
        yield _line_reporter()
        return
    from rich import progress  # noqa: PLC0415 - slow to load
    from rich.console import Console  # noqa: PLC0415 - slow to load

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[detail]}", markup=False),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting", total=1.0, detail="")

        def report(reached: Progress) -> None:
            bar.update(task, completed=reached.fraction, description=reached.step, detail=reached.detail[:40])

        yield report


def _line_reporter() -> Callable[[Progress], None]:
    seen: list[str] = []

    def report(reached: Progress) -> None:
        if reached.step not in seen:
            seen.append(reached.step)
            sys.stderr.write(f"{reached.fraction:4.0%} {reached.step}\n")
            sys.stderr.flush()

    return report
