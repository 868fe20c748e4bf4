"""``/v1/files``: upload, list, retrieve, delete, download."""

from contextlib import aclosing
from functools import partial
from typing import Final, get_args

from litestar import delete, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp

from atoll.api import wire
from atoll.api.body import header, refuse_announced_form, stream_body
from atoll.api.content import Download
from atoll.api.explain import missing, unsupported_value, wrong_type
from atoll.api.multipart import boundary_of, read_form
from atoll.api.operation import OPERATION, Form, Operation, Parameter, Raw, paging_parameters
from atoll.api.paging import NAMES, page_fields, page_query
from atoll.api.query import read_query
from atoll.api.request import ApiRequest
from atoll.model.errors import InvalidRequestError
from atoll.model.files import FileDescription

_PURPOSES: Final[tuple[str, ...]] = get_args(wire.Purpose)
_ANCHOR: Final = "expires_after[anchor]"
_SECONDS: Final = "expires_after[seconds]"
_SECONDS_DIGITS_MAX: Final = 18

_LIST: Final = Operation(
    id="listFiles",
    tag="Files",
    summary="List uploaded files",
    answer=wire.ListFilesResponse,
    query=(
        *paging_parameters("files", limit_default=10_000, limit_max=10_000),
        Parameter(name="purpose", description="Only files of this purpose.", schema={"type": "string"}),
    ),
)
_CREATE: Final = Operation(
    id="createFile",
    tag="Files",
    summary="Upload a file",
    description="Its bytes can then be copied into any number of containers.",
    answer=wire.OpenAIFile,
    form=Form(
        properties={
            "file": {"type": "string", "format": "binary", "description": "The file."},
            "purpose": {"type": "string", "enum": list(_PURPOSES), "description": "What the file is for."},
            _ANCHOR: {"type": "string", "enum": ["created_at"], "description": "Stands with the seconds."},
            _SECONDS: {"type": "integer", "description": "The file ends so long after its creation."},
        },
        required=("file", "purpose"),
    ),
)
_RETRIEVE: Final = Operation(
    id="retrieveFile", tag="Files", summary="Retrieve what is known of a file", answer=wire.OpenAIFile
)
_DELETE: Final = Operation(
    id="deleteFile",
    tag="Files",
    summary="Delete a file",
    description="Copies in containers stay.",
    answer=wire.DeleteFileResponse,
)
_CONTENT: Final = Operation(
    id="downloadFile",
    tag="Files",
    summary="Download a file",
    answer=Raw(media_type="*/*", description="The file's bytes.", binary=True, ranges=True),
)


@get("/files", opt={OPERATION: _LIST})
async def list_files(request: ApiRequest) -> wire.ListFilesResponse:
    given = read_query(request.scope, *NAMES, "purpose")
    query = page_query(given, ids="file-", limit_default=10_000, limit_max=10_000)
    page = await request.services.files.list(request.project_id, query, given.get("purpose"))
    data = [wire.file_resource(file) for file in page.items]
    return wire.ListFilesResponse(data=data, **page_fields(data, has_more=page.has_more))


@post("/files", status_code=200, opt={OPERATION: _CREATE})
async def create_file(request: ApiRequest) -> wire.OpenAIFile:
    boundary = boundary_of(header(request.scope, b"content-type"))
    if boundary is None:
        raise InvalidRequestError("A file is uploaded as a form: send 'multipart/form-data' with 'file' and 'purpose'.")
    bytes_max = request.services.limits.upload_bytes_max
    refuse_announced_form(request.scope, "file", bytes_max)
    reading = read_form(
        stream_body(request.receive),
        boundary,
        file_param="file",
        text_params=("purpose", _ANCHOR, _SECONDS),
        file_bytes_max=bytes_max,
    )
    async with aclosing(await reading) as form:
        if form.chunks is None or form.filename is None:
            raise missing("file")
        file = await request.services.files.create(
            request.project_id, form.filename, form.chunks, lambda: _description(form.texts)
        )
    return wire.file_resource(file)


@get("/files/{file_id:str}", opt={OPERATION: _RETRIEVE})
async def retrieve_file(request: ApiRequest, file_id: FromPath[str]) -> wire.OpenAIFile:
    return wire.file_resource(await request.services.files.retrieve(request.project_id, file_id))


@delete("/files/{file_id:str}", status_code=200, opt={OPERATION: _DELETE})
async def delete_file(request: ApiRequest, file_id: FromPath[str]) -> wire.DeleteFileResponse:
    await request.services.files.delete(request.project_id, file_id)
    return wire.DeleteFileResponse(id=file_id)


@get("/files/{file_id:str}/content", opt={OPERATION: _CONTENT})
async def retrieve_file_content(request: ApiRequest, file_id: FromPath[str]) -> ASGIApp:
    return Download(partial(request.services.files.open, request.project_id, file_id))


def _description(texts: dict[str, str]) -> FileDescription:
    """Read what stands in the form beside the file. Raises ``InvalidRequestError``."""
    purpose = texts.get("purpose")
    if purpose is None:
        raise missing("purpose")
    if purpose not in _PURPOSES:
        raise unsupported_value("purpose", purpose, _PURPOSES)
    if _ANCHOR not in texts and _SECONDS not in texts:
        return FileDescription(purpose)
    for needed, param in ((_ANCHOR, "expires_after.anchor"), (_SECONDS, "expires_after.seconds")):
        if needed not in texts:
            raise missing(param)
    if texts[_ANCHOR] != "created_at":
        raise unsupported_value("expires_after.anchor", texts[_ANCHOR], ("created_at",))
    seconds = texts[_SECONDS]
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _SECONDS_DIGITS_MAX):
        raise wrong_type("expires_after.seconds", "an integer", "a string")
    return FileDescription(purpose, int(seconds))
