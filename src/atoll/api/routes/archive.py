"""``/v1/containers/{container_id}/archive``: many files at once, as a tar in either direction."""

from functools import partial
from typing import Final

from litestar import get, put
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.archive import ArchiveDownload
from atoll.api.body import header, refuse_announced, stream_body
from atoll.api.operation import OPERATION, Operation, Parameter, Raw, Upload
from atoll.api.query import read_query
from atoll.api.request import ApiRequest
from atoll.model.errors import InvalidRequestError

_TAR: Final = "application/x-tar"
_PATH: Final = "path"


def _path(description: str) -> tuple[Parameter, ...]:
    return (Parameter(name=_PATH, description=description, schema={"type": "string", "default": "/mnt/data"}),)


_GET: Final = Operation(
    id="GetContainerArchive",
    tag="Container files",
    summary="Download a folder, or a file, as a tar",
    description=(
        "Names in it are relative to the folder. An answer that breaks off is no whole archive: files that became "
        "shorter while they were read, or too many of them, end it."
    ),
    answer=Raw(media_type=_TAR, description="The tar, not compressed.", binary=True),
    query=_path("The folder or file, `/mnt/data` or below."),
    errors=(429,),
)
_PUT: Final = Operation(
    id="PutContainerArchive",
    tag="Container files",
    summary="Unpack a tar into a container",
    description=(
        "All or nothing: an archive with anything in it that is not taken changes nothing. Files that are there "
        "already are replaced, folders are joined."
    ),
    answer=wire.UnpackedArchive,
    upload=Upload(media_type=_TAR, description="The tar, not compressed."),
    query=_path("The folder to unpack into, `/mnt/data` or below; it is made where it is not there."),
    errors=(429,),
)


@get("/containers/{container_id:str}/archive", opt={OPERATION: _GET})
async def get_archive(request: ApiRequest, container_id: FromPath[str]) -> ASGIApp:
    path = read_query(request.scope, _PATH).get(_PATH)
    return ArchiveDownload(partial(request.services.archives.open, request.project_id, container_id, path), _TAR)


@put("/containers/{container_id:str}/archive", status_code=200, opt={OPERATION: _PUT})
async def put_archive(request: ApiRequest, container_id: FromPath[str]) -> wire.UnpackedArchive:
    path = read_query(request.scope, _PATH).get(_PATH)
    if (header(request.scope, b"content-encoding") or "identity").lower() != "identity":
        raise InvalidRequestError(
            "The body is compressed (Content-Encoding); send the tar as it is.", code="invalid_archive"
        )
    refuse_announced(request.scope, request.services.limits.archive_bytes_max)
    unpacked = await request.services.archives.put(request.project_id, container_id, path, stream_body(request.receive))
    return wire.UnpackedArchive(
        container_id=container_id,
        path=unpacked.path,
        files=unpacked.files,
        folders=unpacked.folders,
        links=unpacked.links,
        bytes=unpacked.bytes,
    )
