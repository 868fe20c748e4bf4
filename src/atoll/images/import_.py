"""Make an image of an archive that somebody else made.

Made by docker, by anything that writes OCI layouts, or a tar of a root file system.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.images.archive import Archive, check_digest, read_archive
from atoll.images.decompress import compression, opened
from atoll.images.errors import ArchiveError
from atoll.images.extract import Budget, Extraction, Readable
from atoll.images.finish import disarm, furnish
from atoll.images.image import Image, read_image
from atoll.images.interpreter import find_interpreter
from atoll.images.progress import Progress, Report, Stage, steady
from atoll.images.rootfs import Rootfs
from atoll.images.shelf import building, make_folder, publish

# Part of every imported image's id: raise it when the same archive comes out different.
IMPORTER_VERSION: Final = 1

_NAME: Final = re.compile(r"(?!img_)[a-z0-9][a-z0-9._-]{0,62}")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLimits:
    """What an archive may come to, unpacked."""

    entries_max: int = 2_000_000
    size_bytes_max: int = 64 << 30


def import_(
    archive: Path,
    name: str,
    images_dir: Path,
    report: Report,
    *,
    limits: ImportLimits | None = None,
    clock: Callable[[], float] = time.time,
) -> Image:
    """Give the image of that archive under that name, made now where it is not there yet. Needs root.

    Raises ``ArchiveError``, ``BuildError``. Whatever ends it, nothing half-made is ever used.
    """
    if not _NAME.fullmatch(name):
        raise ArchiveError(f"{name!r} is no name for an image: it must match {_NAME.pattern}")
    report = steady(report)
    digest = _digest(archive, name, Stage(report, "Reading the archive", start=0.0, end=0.1))
    image_id = f"img_{digest[:32]}"
    image = read_image(images_dir / image_id)
    if image is None:
        with building(images_dir, report):
            image = read_image(images_dir / image_id)  # the import we waited for may have been this one
            if image is None:
                folder = make_folder(images_dir, image_id)
                python, size_bytes = _fill(archive, folder, limits or ImportLimits(), report)
                image = publish(
                    Image(
                        folder=folder,
                        id=image_id,
                        name=name,
                        created_at=int(clock()),
                        python=python,
                        recipe=digest,
                        size_bytes=size_bytes,
                    )
                )
    report(Progress("Ready", 1.0, image.id))
    return image


def _fill(archive: Path, folder: Path, limits: ImportLimits, report: Report) -> tuple[str, int]:
    """Make the root file system; give its Python and its size in bytes."""
    try:
        plain = _plain(archive, folder, limits, Stage(report, "Decompressing", start=0.1, end=0.3))
        found = read_archive(plain, Budget(limits.entries_max, limits.size_bytes_max))
        with Rootfs(folder / "rootfs") as rootfs:
            extraction = Extraction(rootfs, Budget(limits.entries_max, limits.size_bytes_max))
            _unpack(found, extraction, Stage(report, "Unpacking", start=0.3, end=0.9))
            python = find_interpreter(rootfs, found.search_path)
            furnish(rootfs)
        if plain != archive:
            plain.unlink()
        size_bytes = disarm(folder / "rootfs", Stage(report, "Checking files", start=0.9, end=0.97))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    report(Progress("Writing to disk", 0.97))
    return python, size_bytes


def _digest(archive: Path, name: str, stage: Stage) -> str:
    digest = hashlib.sha256(f"atoll import {IMPORTER_VERSION} {name}\0".encode())
    total = archive.stat().st_size
    with archive.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            stage.at(file.tell(), total)
    return digest.hexdigest()


def _plain(archive: Path, folder: Path, limits: ImportLimits, stage: Stage) -> Path:
    """Give the archive uncompressed: itself, or a copy in the image's folder. Layers need to be found by position."""
    if compression(archive) is None:
        return archive
    plain = folder / "archive.tar"
    written = 0
    with opened(archive) as source, plain.open("xb") as target:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > limits.size_bytes_max:
                raise ArchiveError("The archive's content is larger than an image may be.")
            target.write(chunk)
            stage.at(written, written + (64 << 20), f"{written >> 20} MiB")
    return plain


def _unpack(archive: Archive, extraction: Extraction, stage: Stage) -> None:
    total = sum(layer.length for layer in archive.layers)
    before = 0
    for layer in archive.layers:
        check_digest(archive.path, layer)
        with opened(archive.path, layer.offset, layer.length) as source:
            extraction.unpack(_Watched(source, stage, before, total), layer=archive.is_image)
        before += layer.length


class _Watched:
    """A stream that says how far it was read."""

    def __init__(self, source: Readable, stage: Stage, before: int, total: int) -> None:
        self._source = source
        self._stage = stage
        self._count = before
        self._total = total

    def read(self, size_max: int, /) -> bytes:
        data = self._source.read(size_max)
        self._count += len(data)
        self._stage.at(self._count, self._total)
        return data
