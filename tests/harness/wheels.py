"""Wheels of what is installed here, for programs elsewhere that have no package index."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution


def index_of(names: Iterable[str]) -> dict[str, bytes]:
    """Give the files of a package index (by path, as PEP 503 has them) with some pure packages."""
    files: dict[str, bytes] = {}
    for name in names:
        file, content = _wheel(name)
        link = f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
        files |= {f"/simple/{name}/": link.encode(), f"/files/{file}": content}
    return files


def _wheel(name: str) -> tuple[str, bytes]:
    """Give a file's name and its content."""
    package = distribution(name)
    own = [path for path in package.files or () if ".." not in path.parts and "__pycache__" not in path.parts]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in own:
            if path.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                archive.writestr(str(path), path.read_binary())
        info = next(path.parent for path in own if path.name == "METADATA")
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in archive.namelist()))
    return f"{info.name.removesuffix('.dist-info')}-py3-none-any.whl", content.getvalue()
