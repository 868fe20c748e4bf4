"""Find the layers in a file that ``docker save``, ``skopeo`` or ``tar`` made.

Three forms are known: an image archive with ``manifest.json`` (docker save), one with ``index.json`` (OCI layout), and
a tar of a root file system (docker export, debootstrap), which is one layer. All JSON is a stranger's: bounded, and
every value is checked before it is used.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atoll.images.errors import ArchiveError
from atoll.images.extract import Budget, members

_JSON_BYTES_MAX: Final = 8 << 20
_LAYERS_MAX: Final = 512
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of the archive's file that is a tar, maybe compressed; ``digest`` is its SHA-256 where one is promised."""

    offset: int
    length: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Archive:
    """``layers`` from the lowest up; ``is_image`` says whether ``.wh.`` names mean anything in them."""

    path: Path
    layers: tuple[Layer, ...]
    is_image: bool
    search_path: str


def read_archive(path: Path, budget: Budget) -> Archive:
    """Look through an uncompressed archive. ``budget`` bounds its entries. Raises ``ArchiveError``."""
    parts = _index(path, budget)
    reader = _Parts(path, parts)
    if "manifest.json" in parts and isinstance(listed := reader.json("manifest.json"), list):
        return _docker(reader, listed)
    if "index.json" in parts and "oci-layout" in parts:
        return _oci(reader, reader.table("index.json"))
    return Archive(path, (Layer(0, path.stat().st_size, None),), is_image=False, search_path=_SEARCH_PATH)


def check_digest(path: Path, layer: Layer) -> None:
    """Raise ``ArchiveError`` when a layer's bytes are not those that were promised."""
    if layer.digest is None:
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(layer.offset)
        left = layer.length
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    if digest.hexdigest() != layer.digest:
        raise ArchiveError(f"A layer of {path} is damaged: its SHA-256 is not {layer.digest}.")


def _index(path: Path, budget: Budget) -> dict[str, Layer]:
    """Give where each regular file of the archive lies; of one name twice the last counts, as with tar."""
    parts: dict[str, Layer] = {}
    links: dict[str, str] = {}
    with path.open("rb") as file:
        tar = members(file)
        while (member := tar.next()) is not None:
            budget.spend(0)
            name = os.path.normpath("/" + member.name)[1:]
            if member.isreg() and not member.sparse:
                blob = _BLOB.fullmatch(name)
                parts[name] = Layer(member.offset_data, member.size, blob[1] if blob else None)
            elif member.issym() or member.islnk():
                links[name] = member.linkname
    return parts | _linked(parts, links)


def _linked(parts: dict[str, Layer], links: dict[str, str]) -> dict[str, Layer]:
    """Give the layers that older archives store once and name twice, by links of one step."""
    found = {}
    for name, target in links.items():
        for place in (os.path.join(os.path.dirname(name), target), target):  # noqa: PTH118, PTH120 - names in a tar
            part = parts.get(os.path.normpath("/" + place)[1:])
            if part is not None:
                found[name] = part
                break
    return found


class _Parts:
    """The archive's files by name, and the JSON in them."""

    def __init__(self, path: Path, parts: dict[str, Layer]) -> None:
        self.path = path
        self._parts = parts

    def part(self, name: object) -> Layer:
        found = self._parts.get(os.path.normpath("/" + name)[1:]) if isinstance(name, str) else None
        if found is None:
            raise ArchiveError(f"{self.path} names {name!r}, which is not in it.")
        return found

    def json(self, name: object) -> Any:
        part = self.part(name)
        if part.length > _JSON_BYTES_MAX:
            raise ArchiveError(f"{name!r} in {self.path} is too large.")
        check_digest(self.path, part)
        with self.path.open("rb") as file:
            file.seek(part.offset)
            try:
                return json.loads(file.read(part.length))
            except (ValueError, RecursionError) as error:
                raise ArchiveError(f"{name!r} in {self.path} is no JSON.") from error

    def table(self, name: object) -> dict[str, Any]:
        value = self.json(name)
        if not isinstance(value, dict):
            raise ArchiveError(f"{name!r} in {self.path} is not what it should be.")
        return value

    def blob(self, descriptor: object) -> str:
        """Give the name of the file that an OCI descriptor points to."""
        match = _DIGEST.fullmatch(str(descriptor.get("digest"))) if isinstance(descriptor, dict) else None
        if match is None:
            raise ArchiveError(f"{self.path} has a descriptor without a SHA-256 digest.")
        return f"blobs/sha256/{match[1]}"


def _docker(reader: _Parts, listed: list[Any]) -> Archive:
    if len(listed) != 1 or not isinstance(listed[0], dict):
        raise ArchiveError(f"{reader.path} holds {len(listed)} images; save the one that you want by itself.")
    return _image(reader, reader.table(listed[0].get("Config")), _list(reader, listed[0].get("Layers")))


def _oci(reader: _Parts, index: dict[str, Any], *, nested: bool = False) -> Archive:
    fitting = [entry for entry in _list(reader, index.get("manifests")) if _fits(entry)]
    if len(fitting) != 1:
        raise ArchiveError(f"{reader.path} holds {len(fitting)} images for this kind of machine, not one.")
    manifest = reader.table(reader.blob(fitting[0]))
    if "manifests" in manifest and not nested:
        return _oci(reader, manifest, nested=True)
    layers = [reader.blob(entry) for entry in _list(reader, manifest.get("layers"))]
    return _image(reader, reader.table(reader.blob(manifest.get("config"))), layers)


def _fits(entry: object) -> bool:
    """Tell whether an index's entry is an image for this machine; one that does not say counts."""
    if not isinstance(entry, dict):
        return False
    platform = entry.get("platform")
    architecture = platform.get("architecture") if isinstance(platform, dict) else None
    return architecture in {None, _ARCHITECTURES.get(os.uname().machine)}


def _image(reader: _Parts, config: dict[str, Any], layers: list[Any]) -> Archive:
    expected = _ARCHITECTURES.get(os.uname().machine)
    if config.get("architecture", expected) != expected:
        raise ArchiveError(f"{reader.path} is for {config.get('architecture')!r} machines; this one is {expected!r}.")
    parts = tuple(reader.part(name) for name in layers)
    return Archive(reader.path, parts, is_image=True, search_path=_search_path(config))


def _search_path(config: dict[str, Any]) -> str:
    inner = config.get("config")
    variables = inner.get("Env") if isinstance(inner, dict) else None
    for variable in variables if isinstance(variables, list) else []:
        if isinstance(variable, str) and variable.startswith("PATH="):
            return variable.removeprefix("PATH=")
    return _SEARCH_PATH


def _list(reader: _Parts, value: object) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= _LAYERS_MAX:
        raise ArchiveError(f"{reader.path} does not name its layers.")
    return value
