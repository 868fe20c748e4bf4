"""The tools: their names, what they take and what they answer.

What a tool says is read by a model: short, complete, and in an error what to do about it.
"""

import base64
import binascii
import json
import mimetypes
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import BlobResourceContents, EmbeddedResource, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

import atoll
from atoll.mcp.client import Client, Json, RefusedError

Content = list[TextContent | ImageContent | EmbeddedResource]
OpenClient = Callable[[Any], AbstractAsyncContextManager[Client]]
"""Gives the way to the API for one call of a tool, by the HTTP request that it came with, if any."""

_DATA: Final = PurePosixPath("/mnt/data")
_READ_BYTES_MAX: Final = 1 << 20
_FILES_MAX: Final = 10_000
_SHOWN_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_INSTRUCTIONS: Final = (
    "Containers to compute in: Python, usually with pandas, numpy, matplotlib and scikit-learn, and a shell, behind "
    "walls. Create one, then run Python or shell in it; variables and files live on between calls until the container "
    "was not used for the minutes that create_container tells in expires_after. Files are kept below /mnt/data."
)
_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_CHANGES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_DESTROYS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)

ContainerId = Annotated[str, Field(description="The container's id, cntr_…")]
Seconds = Annotated[
    float | None,
    Field(description="Stop it after so many seconds; the server's own limit if not set.", allow_inf_nan=False),
]


def build_server(open_client: OpenClient) -> MCPServer[Any]:
    """Give the protocol's server with all tools."""
    server: MCPServer[Any] = MCPServer(
        "atoll",
        version=atoll.__version__,
        instructions=_INSTRUCTIONS,
        log_level="WARNING",  # clients keep what `atoll mcp` writes to stderr; each request is not worth a line there
    )
    tools = _Tools(open_client)
    for act, annotations in (
        (tools.create_container, _CHANGES),
        (tools.list_containers, _READS),
        (tools.delete_container, _DESTROYS),
        (tools.run_python, _DESTROYS),
        (tools.run_shell, _DESTROYS),
        (tools.list_files, _READS),
        (tools.read_file, _READS),
        (tools.write_file, _DESTROYS),
    ):
        server.add_tool(act, annotations=annotations, structured_output=False)
    return server


class _Tools:
    def __init__(self, open_client: OpenClient) -> None:
        self._open_client = open_client

    async def create_container(
        self,
        context: Context[Any, Any],
        name: Annotated[str, Field(description="A name for people.")] = "mcp",
        memory_limit: Annotated[Literal["1g", "4g", "16g", "64g"] | None, Field(description="1g if not set.")] = None,
        expires_after_minutes: Annotated[
            int | None, Field(description="Minutes without use after which it is removed.", ge=1)
        ] = None,
        allowed_domains: Annotated[
            list[str] | None, Field(description="Names that it may reach over the network; none if not set.")
        ] = None,
    ) -> Content:
        """Create a container to run Python and shell commands in, and give its id."""
        expiry = expires_after_minutes and {"anchor": "last_active_at", "minutes": expires_after_minutes}
        policy = allowed_domains and {"type": "allowlist", "allowed_domains": allowed_domains}
        body = {"name": name, "memory_limit": memory_limit, "expires_after": expiry, "network_policy": policy}
        async with self._client(context) as client:
            return _as_json(_container(await client.post("/containers", body)))

    async def list_containers(
        self,
        context: Context[Any, Any],
        name: Annotated[str | None, Field(description="Only those of this name.")] = None,
        limit: Annotated[int, Field(description="At most so many, newest first.", ge=1, le=100)] = 20,
    ) -> Content:
        """List containers, newest first."""
        async with self._client(context) as client:
            page = await client.get("/containers", name=name, limit=limit)
            return _as_json({"containers": [_container(item) for item in page["data"]], "has_more": page["has_more"]})

    async def delete_container(self, context: Context[Any, Any], container_id: ContainerId) -> Content:
        """Delete a container with all its files."""
        async with self._client(context) as client:
            await client.delete(f"/containers/{_segment(container_id)}")
            return _as_text(f"{container_id} is deleted.")

    async def run_python(
        self,
        context: Context[Any, Any],
        container_id: ContainerId,
        code: Annotated[
            str, Field(description="Python; the last expression's value is shown, figures come as images.")
        ],
        timeout_s: Seconds = None,
    ) -> Content:
        """Run Python in a container; variables and imports live on from call to call."""
        async with self._client(context) as client:
            body = {"code": code, "timeout_ms": _milliseconds(timeout_s)}
            call = await client.post(f"/containers/{_segment(container_id)}/code_interpreter_calls", body)
            return _call_content(call)

    async def run_shell(
        self,
        context: Context[Any, Any],
        container_id: ContainerId,
        command: Annotated[str, Field(description="A bash command, run in /mnt/data.")],
        timeout_s: Seconds = None,
    ) -> Content:
        """Run a shell command in a container, and give what it wrote and its exit code."""
        async with self._client(context) as client:
            body = {"commands": [command], "timeout_ms": _milliseconds(timeout_s)}
            call = await client.post(f"/containers/{_segment(container_id)}/shell_calls", body)
            return _shell_content(call["output"][0])

    async def list_files(self, context: Context[Any, Any], container_id: ContainerId) -> Content:
        """List the files below /mnt/data in a container."""
        async with self._client(context) as client:
            files = client.items(_files(container_id), _FILES_MAX)
            return _as_json({"files": [{"path": file["path"], "bytes": file["bytes"]} async for file in files]})

    async def read_file(
        self,
        context: Context[Any, Any],
        container_id: ContainerId,
        path: Annotated[str, Field(description="Where it is, as /mnt/data/report.csv or just report.csv.")],
    ) -> Content:
        """Read a file of a container: text as text, images as images, anything else as bytes; its first mebibyte."""
        async with self._client(context) as client:
            wanted = str(_DATA / path)
            async for file in client.items(_files(container_id), _FILES_MAX):
                if file["path"] == wanted:
                    break
            else:
                raise RefusedError(f"There is no file {wanted}. list_files tells which there are.")
            data = await client.content(f"{_files(container_id)}/{file['id']}/content", _READ_BYTES_MAX)
            return _file_content(wanted, data, int(file["bytes"]))

    async def write_file(
        self,
        context: Context[Any, Any],
        container_id: ContainerId,
        name: Annotated[
            str, Field(description="The file's name; it is put into /mnt/data and replaces one that is there.")
        ],
        content: Annotated[str, Field(description="The content.")],
        encoding: Annotated[
            Literal["text", "base64"], Field(description="base64 when the content is bytes in that encoding.")
        ] = "text",
    ) -> Content:
        """Put a file into a container, below /mnt/data."""
        try:
            data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
        except (binascii.Error, ValueError) as error:
            raise ToolError("The content is no base64.") from error
        base_name = PurePosixPath(name.removeprefix(f"{_DATA}/"))
        if base_name.name != str(base_name):
            raise ToolError("The name must be one of a file in /mnt/data, without folders. Use run_shell for others.")
        async with self._client(context) as client:
            file = await client.upload(_files(container_id), base_name.name, data)
            return _as_text(f"{file['path']} is written ({file['bytes']} bytes).")

    @asynccontextmanager
    async def _client(self, context: Context[Any, Any]) -> AsyncIterator[Client]:
        """Give the way to the API; a refusal ends the call as the protocol wants it."""
        try:
            async with self._open_client(context.request_context.request) as client:
                yield client
        except RefusedError as error:
            raise ToolError(str(error)) from error


def _segment(container_id: str) -> str:
    """Give an id that leads nowhere else in a path. Raises ``RefusedError``."""
    if not container_id.isascii() or not container_id.replace("_", "").isalnum():
        raise RefusedError(f"{container_id!r} is no container's id; list_containers tells which there are.")
    return container_id


def _files(container_id: str) -> str:
    return f"/containers/{_segment(container_id)}/files"


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _container(item: Json) -> Json:
    return {key: item.get(key) for key in ("id", "name", "status", "memory_limit", "expires_after", "network_policy")}


def _call_content(call: Json) -> Content:
    content: Content = []
    for output in call["outputs"] or ():
        if output["type"] == "logs":
            content.append(TextContent(type="text", text=output["logs"]))
        else:
            content.append(_image(output["url"]))
    if call.get("files"):
        names = ", ".join(f"{file['path']} ({file['bytes']} bytes)" for file in call["files"])
        content.append(TextContent(type="text", text=f"[files: {names}]"))
    if call["status"] != "completed":
        content.append(TextContent(type="text", text=f"[the call is {call['status']}]"))
    return content or _as_text("[no output]")


def _image(url: str) -> ImageContent:
    head, _, data = url.partition(";base64,")
    return ImageContent(type="image", data=data, mime_type=head.removeprefix("data:"))


def _shell_content(output: Json) -> Content:
    outcome = output["outcome"]
    end = "timeout" if outcome["type"] == "timeout" else f"exit code {outcome['exit_code']}"
    parts = [output["stdout"], output["stderr"] and f"[stderr]\n{output['stderr']}", f"[{end}]"]
    return _as_text("\n".join(part.removesuffix("\n") for part in parts if part))


def _file_content(path: str, data: bytes, size: int) -> Content:
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    cut = [TextContent(type="text", text=f"[the first {len(data)} of {size} bytes]")] if size > len(data) else []
    if media_type in _SHOWN_IMAGES and not cut:
        return [ImageContent(type="image", data=base64.b64encode(data).decode(), mime_type=media_type)]
    text = _text_of(data, cut_off=bool(cut))
    if text is not None:
        return [TextContent(type="text", text=text), *cut]
    blob = BlobResourceContents(uri=f"file://{path}", mime_type=media_type, blob=base64.b64encode(data).decode())
    return [EmbeddedResource(type="resource", resource=blob), *cut]


def _text_of(data: bytes, *, cut_off: bool) -> str | None:
    """Give UTF-8 as text, ``None`` for anything else; a character that was cut off at the end is left out."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if cut_off and error.end == len(data):
            return data[: error.start].decode()
        return None


def _as_text(text: str) -> Content:
    return [TextContent(type="text", text=text)]


def _as_json(value: Json) -> Content:
    return _as_text(json.dumps(value, ensure_ascii=False))
