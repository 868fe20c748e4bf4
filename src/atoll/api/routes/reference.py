"""``GET /openapi.json`` and ``GET /docs``: what this server answers to, for programs and for people."""

from typing import Final, cast

from litestar import get
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from atoll.api.operation import OPERATION, Operation, Raw
from atoll.api.request import ApiRequest

DOCUMENT: Final = "openapi_json"
PAGE: Final = "reference_html"

_DOCUMENT: Final = Operation(
    id="openapi",
    tag="Service",
    summary="Read this document",
    answer=Raw(media_type="application/json", description="This document."),
    public=True,
)
_PAGE: Final = Operation(
    id="docs",
    tag="Service",
    summary="Read this document in a browser",
    answer=Raw(media_type="text/html", description="A page that needs nothing from anywhere else."),
    public=True,
)


@get("/openapi.json", opt={OPERATION: _DOCUMENT})
async def openapi_document(request: ApiRequest) -> ASGIApp:
    return ASGIResponse(body=cast("bytes", request.app.state[DOCUMENT]), media_type="application/json")


@get("/docs", opt={OPERATION: _PAGE})
async def reference_page(request: ApiRequest) -> ASGIApp:
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return ASGIResponse(body=cast("bytes", request.app.state[PAGE]), media_type="text/html", headers=headers)
