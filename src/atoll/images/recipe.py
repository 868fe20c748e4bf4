"""A recipe: the folder that says what an image is made of, and the hash that decides whether it is made already.

    recipe.toml        name, suite, Debian packages, Python's version, what a warm interpreter imports
    requirements.txt   Python packages, pinned and with hashes; optional
    files/             copied into the root file system as root's, ``files/home/sandbox`` as the sandbox user's

Only these count: a README beside them changes no image.
"""

import hashlib
import os
import platform
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from atoll.images.errors import RecipeError

# Part of every recipe's hash, as is install.sh: raise it when the builder makes something else of the same recipe.
BUILDER_VERSION: Final = 1

_NAME: Final = re.compile(r"(?!img_)[a-z0-9][a-z0-9._-]{0,62}")
_SUITE: Final = re.compile(r"[a-z][a-z0-9-]{0,40}")
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}")
_MODULE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_VERSION: Final = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_MIRROR: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._/-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe that was read and checked. ``digest`` is hexadecimal SHA-256 of all that decides the image."""

    folder: Path
    name: str
    suite: str
    mirror: str | None
    packages: tuple[str, ...]
    python_version: str
    glibc_version: str
    preload: tuple[str, ...]
    digest: str

    @property
    def image_id(self) -> str:
        """The id of the image that this recipe makes on this kind of machine."""
        return f"img_{self.digest[:32]}"

    @property
    def requirements(self) -> Path | None:
        """The pinned Python packages, where there are any."""
        path = self.folder / "requirements.txt"
        return path if path.exists() else None


def default_recipe() -> Path:
    """Give the folder of the recipe ``default``: as installed, or in the source tree when run from there."""
    installed = Path(str(resources.files("atoll.images"))) / "recipes" / "default"
    if installed.is_dir():
        return installed
    return Path(__file__).parents[3] / "images" / "default"


def read_recipe(folder: Path) -> Recipe:
    """Read and check a recipe. Raises ``RecipeError``."""
    path = folder / "recipe.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    reader = _Reader(path, table)
    recipe = Recipe(
        folder=folder.absolute(),  # programs that run elsewhere are told of it
        name=reader.text("name", _NAME),
        suite=reader.text("suite", _SUITE),
        mirror=reader.text("debian.mirror", _MIRROR) if reader.has("debian.mirror") else None,
        packages=reader.texts("debian.packages", _PACKAGE),
        python_version=reader.text("python.version", _VERSION),
        glibc_version=reader.text("python.glibc", _VERSION),
        preload=reader.texts("preload.modules", _MODULE),
        digest=_digest(folder),
    )
    reader.refuse_unknown()
    return recipe


class _Reader:
    """Takes values out of the table by dotted name, and knows in the end which nobody asked for."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self._path = path
        self._values = dict(_flatten(table))

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, form: re.Pattern[str]) -> str:
        return self._checked(name, self._values.pop(name, None), form)

    def texts(self, name: str, form: re.Pattern[str]) -> tuple[str, ...]:
        values = self._values.pop(name, [])
        if not isinstance(values, list):
            raise RecipeError(f"{self._path}: {name} must be a list of strings.")
        return tuple(dict.fromkeys(self._checked(name, value, form) for value in values))

    def refuse_unknown(self) -> None:
        if self._values:
            raise RecipeError(f"{self._path}: unknown: {', '.join(sorted(self._values))}.")

    def _checked(self, name: str, value: object, form: re.Pattern[str]) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise RecipeError(f"{self._path}: {name} is {value!r}; it must match {form.pattern}")
        return value


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _digest(folder: Path) -> str:
    """Hash what decides the image, in a form in which no two different recipes read the same."""
    digest = hashlib.sha256(f"atoll image {BUILDER_VERSION} {platform.machine()}\0".encode())
    digest.update(hashlib.sha256((resources.files("atoll.images") / "install.sh").read_bytes()).digest())
    for path in _inputs(folder):
        kind, content = _content(path)
        name = os.fsencode(path.relative_to(folder))
        digest.update(f"{kind} {len(name)} {len(content)}\0".encode() + name + content)
    return digest.hexdigest()


def _inputs(folder: Path) -> list[Path]:
    named = [path for path in (folder / "recipe.toml", folder / "requirements.txt") if path.exists()]
    return named + sorted((folder / "files").rglob("*"), key=os.fsencode)


def _content(path: Path) -> tuple[str, bytes]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "link", os.fsencode(path.readlink())
    if stat.S_ISDIR(mode):
        return "folder", b""
    if stat.S_ISREG(mode):
        return "program" if mode & stat.S_IXUSR else "file", path.read_bytes()
    raise RecipeError(f"{path} is neither a file nor a folder nor a symbolic link.")
