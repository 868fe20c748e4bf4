"""Finds images: folders with a ``rootfs`` and an ``image.json`` that is written last, so its presence means whole."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

_ID = re.compile(r"img_[0-9a-f]{1,64}")
_DESCRIPTION_BYTES_MAX = 1 << 20


class ImageNotFoundError(Exception):
    """No whole image of that name or id; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A whole image; ``python`` is the absolute path of its Python, inside it.

    ``preload`` names the modules that a warm Python has imported; without any there is no zygote for this image.
    """

    id: str
    name: str
    created_at: float
    rootfs: Path
    python: str
    preload: tuple[str, ...] = ()


class Images:
    """The images in a folder; what was read once is read again only when it has changed."""

    def __init__(self, images_dir: Path) -> None:
        self._images_dir = images_dir
        self._known: dict[str, tuple[_Version, Image | None]] = {}

    def find(self, wanted: str) -> Image:
        """Give the image of that id, or the newest of that name.

        Raises ``ImageNotFoundError``.
        """
        matching = [image for image in self._whole() if wanted in {image.id, image.name}]
        if not matching:
            raise ImageNotFoundError(f"there is no image {wanted!r}; build one with `atoll image build`")
        return max(matching, key=lambda image: (image.created_at, image.id))

    def _whole(self) -> list[Image]:
        try:
            folders = [folder for folder in self._images_dir.iterdir() if _ID.fullmatch(folder.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [image for folder in folders if (image := self._image(folder)) is not None]

    def _image(self, folder: Path) -> Image | None:
        try:
            version = _version(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        known = self._known.get(folder.name)
        if known is None or known[0] != version:
            known = self._known[folder.name] = (version, _read(folder))
        return known[1]


# Of the description, and whether there is a root.
_Version = tuple[int, int, int, bool]


def _version(folder: Path) -> _Version:
    status = (folder / "image.json").stat()
    return status.st_ino, status.st_ctime_ns, status.st_size, (folder / "rootfs").is_dir()


def _read(folder: Path) -> Image | None:
    description = folder / "image.json"
    try:
        with description.open("rb") as file:
            return _parse(folder, file.read(_DESCRIPTION_BYTES_MAX))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, OSError) as error:
        _log.warning("the image in %s is not used: %r", folder, error)
        return None


def _parse(folder: Path, text: bytes) -> Image | None:
    value = json.loads(text)
    rootfs = folder / "rootfs"
    if value["id"] != folder.name or not rootfs.is_dir():
        raise ValueError("image.json does not belong to this folder")
    python = value["python"]
    if not isinstance(python, str) or not python.startswith("/") or "\0" in python:
        raise ValueError("'python' is not an absolute path")
    if value["complete"] is not True:
        return None
    return Image(
        id=folder.name,
        name=str(value["name"]),
        created_at=float(value["created_at"]),
        rootfs=rootfs,
        python=python,
        preload=tuple(str(module) for module in value.get("preload", [])),
    )
