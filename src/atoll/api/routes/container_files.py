"""``/v1/containers/{container_id}/files``: upload, list, retrieve, delete, download."""

from contextlib import aclosing
from functools import partial
from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.body import header, read_json, refuse_announced_form, stream_body
from atoll.api.content import Download
from atoll.api.explain import missing
from atoll.api.multipart import boundary_of, read_form
from atoll.api.operation import OPERATION, Form, Operation, Raw, paging_parameters
from atoll.api.paging import NAMES, page_fields, page_query
from atoll.api.query import read_query
from atoll.api.request import ApiRequest
from atoll.model.files import ContainerFile

_EXCLUSIVE: Final = (
    "Mutually exclusive parameters: 'file' and 'file_id'. Ensure you are only providing one of: 'file' or 'file_id'."
)
_LIST: Final = Operation(
    id="ListContainerFiles",
    tag="Container files",
    summary="List a container's files, those that its code wrote too",
    answer=wire.ContainerFileListResource,
    query=paging_parameters("files"),
    errors=(429,),
)
_CREATE: Final = Operation(
    id="CreateContainerFile",
    tag="Container files",
    summary="Put a file into a container",
    description="Either the bytes themselves, as a form, or the id of an uploaded file, as a form or as JSON.",
    answer=wire.ContainerFileResource,
    body=wire.CreateContainerFileBody,
    form=Form(
        properties={
            "file": {"type": "string", "format": "binary", "description": "The file; its base name is kept."},
            "file_id": {"type": "string", "description": "Instead of `file`: the id of a file of `/v1/files`."},
        }
    ),
    errors=(429,),
)
_RETRIEVE: Final = Operation(
    id="RetrieveContainerFile",
    tag="Container files",
    summary="Retrieve what is known of a file",
    answer=wire.ContainerFileResource,
    errors=(429,),
)
_DELETE: Final = Operation(
    id="DeleteContainerFile",
    tag="Container files",
    summary="Delete a file from a container",
    answer=wire.DeletedContainerFile,
    errors=(429,),
)
_CONTENT: Final = Operation(
    id="RetrieveContainerFileContent",
    tag="Container files",
    summary="Download a file",
    answer=Raw(media_type="*/*", description="The file's bytes.", binary=True, ranges=True),
    errors=(429,),
)


@get("/containers/{container_id:str}/files", opt={OPERATION: _LIST})
async def list_container_files(request: ApiRequest, container_id: FromPath[str]) -> wire.ContainerFileListResource:
    query = page_query(read_query(request.scope, *NAMES), ids="cfile_")
    page = await request.services.container_files.list(request.project_id, container_id, query)
    data = [wire.container_file_resource(file) for file in page.items]
    return wire.ContainerFileListResource(data=data, **page_fields(data, has_more=page.has_more))


@post("/containers/{container_id:str}/files", status_code=200, opt={OPERATION: _CREATE})
async def create_container_file(request: ApiRequest, container_id: FromPath[str]) -> wire.ContainerFileResource:
    boundary = boundary_of(header(request.scope, b"content-type"))
    if boundary is not None:
        return wire.container_file_resource(await _put_form(request, container_id, boundary))
    body = await read_json(request.scope, request.receive, wire.CreateContainerFileBody)
    file = await request.services.container_files.put_file(request.project_id, container_id, body.file_id)
    return wire.container_file_resource(file)


@get("/containers/{container_id:str}/files/{file_id:str}", opt={OPERATION: _RETRIEVE})
async def retrieve_container_file(
    request: ApiRequest, container_id: FromPath[str], file_id: FromPath[str]
) -> wire.ContainerFileResource:
    file = await request.services.container_files.retrieve(request.project_id, container_id, file_id)
    return wire.container_file_resource(file)


@delete("/containers/{container_id:str}/files/{file_id:str}", status_code=200, opt={OPERATION: _DELETE})
async def delete_container_file(
    request: ApiRequest, container_id: FromPath[str], file_id: FromPath[str]
) -> wire.DeletedContainerFile:
    await request.services.container_files.delete(request.project_id, container_id, file_id)
    return wire.DeletedContainerFile(id=file_id)


@get("/containers/{container_id:str}/files/{file_id:str}/content", opt={OPERATION: _CONTENT})
async def retrieve_container_file_content(
    request: ApiRequest, container_id: FromPath[str], file_id: FromPath[str]
) -> ASGIApp:
    return Download(partial(request.services.container_files.open, request.project_id, container_id, file_id))


async def _put_form(request: ApiRequest, container_id: str, boundary: str) -> ContainerFile:
    """Send a form's file on to the container as it arrives, or copy the file that the form names."""
    files = request.services.container_files
    bytes_max = request.services.limits.upload_bytes_max
    refuse_announced_form(request.scope, "file", bytes_max)
    reading = read_form(
        stream_body(request.receive),
        boundary,
        file_param="file",
        text_params=("file_id",),
        file_bytes_max=bytes_max,
        exclusive={"file_id": _EXCLUSIVE},
    )
    async with aclosing(await reading) as form:
        if form.chunks is not None and form.filename is not None:
            return await files.put(request.project_id, container_id, form.filename, form.chunks)
    if "file_id" not in form.texts:
        raise missing("file", " Send the bytes as 'file', or the id of an uploaded file as 'file_id'.")
    return await files.put_file(request.project_id, container_id, form.texts["file_id"])
