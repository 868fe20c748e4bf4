"""``GET /`` and what is below ``/console/``: the web page for people, which speaks the same API as everybody else.

What is served is a folder of built files (``console/build`` makes it); it holds no secret, so nobody is asked for a
key. The page asks the person for one, and sends it with each request of its own.
"""

import asyncio
import re
from pathlib import Path
from typing import Final, cast

from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from atoll.api.body import header
from atoll.api.operation import NOT_IN_DOCUMENT
from atoll.api.request import ApiRequest

FOLDER: Final = "console_folder"

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_TYPES: Final = {
    ".bcmap": "application/octet-stream",  # characters of a font in a PDF
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
_SOURCES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    # Styles may stand in elements: the terminal's and the editor's libraries make theirs from themes and sizes.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' blob: data:",
    "connect-src": "'self'",
    "worker-src": "'self'",
    # HTML that code wrote is shown in a sandboxed frame of its own document (srcdoc), which is no request; what a link
    # in it leads to is not opened.
    "frame-src": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
_HEADERS: Final = {
    "content-security-policy": "; ".join(f"{kind} {allowed}" for kind, allowed in _SOURCES.items()),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"  # a changed file has another name
_NOT_BUILT: Final = b"""\
This is an Atoll server. Its web console has not been built here: scripts/serve builds it at the start (it needs npm),
and so does console/build.

The API is at /v1, its reference at /docs.
"""


@get("/", opt={NOT_IN_DOCUMENT: True})
async def console_page(request: ApiRequest) -> ASGIApp:
    body = await _read(request, "index.html")
    if body is None:
        return ASGIResponse(body=_NOT_BUILT, status_code=404, media_type="text/plain", headers=dict(_HEADERS))
    return ASGIResponse(body=body, media_type="text/html", headers={**_HEADERS, "cache-control": "no-cache"})


@get("/console/{name:str}", opt={NOT_IN_DOCUMENT: True})
async def console_file(request: ApiRequest, name: FromPath[str]) -> ASGIApp:
    """Give a file of the page itself."""
    return await _file(request, "", name)


@get("/console/{folder:str}/{name:str}", opt={NOT_IN_DOCUMENT: True})
async def console_file_in_folder(request: ApiRequest, folder: FromPath[str], name: FromPath[str]) -> ASGIApp:
    """Give a file that keeps its name, in a folder whose name tells the content."""
    if not _FOLDER_NAME.fullmatch(folder):
        raise NotFoundException
    return await _file(request, f"{folder}/", name)


async def _file(request: ApiRequest, place: str, name: str) -> ASGIApp:
    """Give a file, packed where the browser takes it and the build has packed it. Raises ``NotFoundException``."""
    media_type = _TYPES.get(Path(name).suffix)
    if media_type is None or not _NAME.fullmatch(name):
        raise NotFoundException
    path = f"{place}{name}"
    headers = {**_HEADERS, "cache-control": _FOR_EVER, "vary": "accept-encoding"}
    body = await _read(request, f"{path}.gz") if "gzip" in (header(request.scope, b"accept-encoding") or "") else None
    if body is not None:
        headers["content-encoding"] = "gzip"
    else:
        body = await _read(request, path)
    if body is None:
        raise NotFoundException
    return ASGIResponse(body=body, media_type=media_type, headers=headers)


async def _read(request: ApiRequest, name: str) -> bytes | None:
    """Read from disk each time: the files are small, asked for once a browser, and may be built anew meanwhile."""
    folder = cast("Path", request.app.state[FOLDER])
    try:
        return await asyncio.to_thread((folder / name).read_bytes)
    except OSError:
        return None
