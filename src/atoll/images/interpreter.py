"""Find the Python in a root file system that can run the agent and people's code."""

import re
from typing import Final

from atoll.images.errors import ArchiveError
from atoll.images.rootfs import Rootfs

_MINOR_MIN: Final = 11
_FOLDERS_MAX: Final = 64
_LIBRARY: Final = re.compile(r"python3\.([0-9]{1,3})")


def find_interpreter(rootfs: Rootfs, search_path: str) -> str:
    """Give the absolute path of the first ``python3`` on the path that is 3.11 or newer and has IPython.

    Found by looking, not by running anything. Raises ``ArchiveError`` when there is none.
    """
    found = False
    for folder in search_path.split(":")[:_FOLDERS_MAX]:
        program = f"{folder}/python3"
        if not folder.startswith("/") or ".." in folder or not rootfs.is_program(program):
            continue
        found = True
        if any("IPython" in rootfs.names(place) for place in _package_folders(rootfs, folder)):
            return program
    if found:
        raise ArchiveError("The image's Python is older than 3.11 or has no IPython: install it in the image.")
    raise ArchiveError("The image has no python3 on its path: people's code could not run in it.")


def _package_folders(rootfs: Rootfs, program_folder: str) -> list[str]:
    prefix = program_folder.rsplit("/", 1)[0]
    prefixes = [prefix] if prefix not in {"", "/usr"} else ["/usr", "/usr/local"]
    folders = []
    for place in prefixes:
        for name in rootfs.names(f"{place}/lib"):
            match = _LIBRARY.fullmatch(name)
            if match and int(match[1]) >= _MINOR_MIN:
                folders += [f"{place}/lib/{name}/site-packages", f"{place}/lib/{name}/dist-packages"]
    if folders and "/usr" in prefixes:
        folders.append("/usr/lib/python3/dist-packages")
    return folders
