"""Paths as the host knows them (``/mnt/data/...``) and their parts; pure."""

from typing import Final

from atoll.guest.protocol import DATA_ROOT

PATH_BYTES_MAX: Final = 4096
NAME_BYTES_MAX: Final = 255

# Uploads on file systems without nameless files have a name for a moment; it is never listed.
TEMPORARY_PREFIX: Final = ".atoll-upload-"


class PathError(ValueError):
    """Not a path that a file of the data folder can have."""


class BadArchiveError(ValueError):
    """It is no archive, a broken one, or has something in it that is not taken; the message says what."""


def folder_parts_of(path: object) -> tuple[str, ...]:
    """Split the path of a folder or file, which may be the data folder itself. Raises ``PathError``."""
    parts = () if path == DATA_ROOT else parts_of(path)
    if any(part.startswith(TEMPORARY_PREFIX) for part in parts):
        raise PathError("The path has a name in it that is kept for uploads, and swept away with what they leave.")
    return parts


def parts_of(path: object) -> tuple[str, ...]:
    """Split a public path into its names below the data folder. Raises ``PathError``."""
    if not isinstance(path, str) or not path.startswith(f"{DATA_ROOT}/"):
        raise PathError(f"The path must be text that starts with {DATA_ROOT}/.")
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise PathError("The path is not valid UTF-8.") from None
    if length > PATH_BYTES_MAX:
        raise PathError(f"The path is longer than {PATH_BYTES_MAX} bytes.")
    parts = tuple(path.removeprefix(f"{DATA_ROOT}/").split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise PathError("The path has an empty, dotted or impossible name in it.")
    if any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
        raise PathError(f"A name in the path is longer than {NAME_BYTES_MAX} bytes.")
    return parts


def public_path(parts: tuple[str, ...]) -> str:
    """Join names below the data folder to the path that the host knows."""
    return "/".join((DATA_ROOT, *parts))
