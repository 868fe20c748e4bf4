"""Many files at once, as a tar."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What came into the folder at ``path``; ``links`` are symbolic and hard ones, ``bytes`` the content of files."""

    path: str
    files: int
    folders: int
    links: int
    bytes: int
