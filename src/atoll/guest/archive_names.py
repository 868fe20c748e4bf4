"""What may be named in an archive: paths that stay inside, links that cannot lead outside; pure.

The same holds in both directions. Inside a sandbox a link to anywhere would be no danger, its code may make any; but
whoever unpacks on the outside what was packed in here must be able to do so without a look.
"""

from typing import Final

from atoll.guest.paths import NAME_BYTES_MAX, PATH_BYTES_MAX, TEMPORARY_PREFIX, BadArchiveError

DEPTH_MAX: Final = 32
"""How deep below the data folder files are listed, and so how deep they can come in."""

Parts = tuple[str, ...]
_SHOWN_CHARS_MAX: Final = 100


def parts_of_name(name: str) -> Parts:
    """Split a member's name; empty for the folder itself. Raises ``BadArchiveError``."""
    if name.startswith("/"):
        raise BadArchiveError(f"{shown(name)} is an absolute path.")
    if not is_text(name):
        raise BadArchiveError(f"{shown(name)} is a name that is not UTF-8, or holds a zero byte.")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise BadArchiveError(f"{shown(name)} climbs out of the folder by '..'.")
    if len(name.encode()) > PATH_BYTES_MAX or any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
        raise BadArchiveError(f"{shown(name)} is too long.")
    if any(part.startswith(TEMPORARY_PREFIX) for part in parts):
        raise BadArchiveError(f"{shown(name)} is a name that is kept for uploads.")
    return parts


def is_inside(link: Parts, target: str) -> bool:
    """Tell whether a symbolic link can only lead to where its archive is unpacked.

    ``..`` counts only at the start: behind the name of another link it would lead on from wherever that one leads.
    """
    if not target or target.startswith("/") or not is_text(target) or len(target.encode()) >= PATH_BYTES_MAX:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return ".." not in parts[climbs:] and climbs < len(link)


def is_text(name: str) -> bool:
    """Tell whether a name is UTF-8 without a zero byte."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def shown(name: str) -> str:
    """Give a name as it can be told."""
    return ascii(name[:_SHOWN_CHARS_MAX])
