"""An image that is whole, and the few lines of JSON beside it that say so."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

IMAGE_ID: Final = re.compile(r"img_[0-9a-f]{32}")
MANIFEST: Final = "image.json"
_MANIFEST_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """``folder`` holds it; ``recipe`` is the hash of what it was made from; ``created_at`` is in unix seconds.

    ``python`` is the absolute path, inside, of the interpreter that runs the agent and people's code; ``preload``
    names the modules that a warm interpreter has imported.
    """

    folder: Path
    id: str
    name: str
    created_at: int
    python: str
    recipe: str
    preload: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def rootfs(self) -> Path:
        """The root file system: ids as inside, closed to everybody but root."""
        return self.folder / "rootfs"


def manifest(image: Image) -> bytes:
    """Write the image's JSON."""
    content = {
        "id": image.id,
        "name": image.name,
        "created_at": image.created_at,
        "python": image.python,
        "recipe": image.recipe,
        "preload": list(image.preload),
        "size_bytes": image.size_bytes,
        "complete": True,
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def read_image(folder: Path) -> Image | None:
    """Give the image in ``folder``, or ``None`` when there is no whole one."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            content = json.loads(file.read(_MANIFEST_BYTES_MAX))
        return _parse(folder, content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(folder: Path, content: dict[str, Any]) -> Image | None:
    if content["complete"] is not True or content["id"] != folder.name:
        return None
    return Image(
        folder=folder,
        id=str(content["id"]),
        name=str(content["name"]),
        created_at=int(content["created_at"]),
        python=str(content["python"]),
        recipe=str(content["recipe"]),
        preload=tuple(str(module) for module in content.get("preload", [])),
        size_bytes=int(content.get("size_bytes", 0)),
    )
