"""The HTTP API as the tools use it; asynchronous."""

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

_PAGE_LIMIT: Final = 100

Json = dict[str, Any]


class RefusedError(Exception):
    """The API said no, or could not be asked; the text is for the one who asked."""


class Client:
    """Belongs to one event loop; ``http`` knows base URL and key. Every method raises ``RefusedError``."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **query: object) -> Json:
        """GET, give the JSON answer."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return _object(await self._send("GET", path, params=wanted))

    async def post(self, path: str, body: Json) -> Json:
        """POST JSON without what is ``None``, give the JSON answer."""
        given = {name: value for name, value in body.items() if value is not None}
        return _object(await self._send("POST", path, json=given))

    async def delete(self, path: str) -> Json:
        """DELETE, give the JSON answer."""
        return _object(await self._send("DELETE", path))

    async def upload(self, path: str, name: str, content: bytes) -> Json:
        """POST a file as multipart form, give the JSON answer."""
        return _object(await self._send("POST", path, files={"file": (name, content)}))

    async def content(self, path: str, bytes_max: int) -> bytes:
        """Give the first ``bytes_max`` bytes of a file's content."""
        response = await self._send("GET", path, headers={"Range": f"bytes=0-{bytes_max - 1}"})
        return response.content

    async def items(self, path: str, items_max: int) -> AsyncIterator[Json]:
        """Give a list's items, page after page, at most so many."""
        after = None
        while items_max > 0:
            page = await self.get(path, limit=min(items_max, _PAGE_LIMIT), after=after)
            for item in page["data"]:
                yield item
            if not page["has_more"]:
                return
            after = page["last_id"]
            items_max -= len(page["data"])

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RefusedError(f"Atoll at {self._http.base_url} cannot be reached: {_reason(error)}.") from error
        if response.is_error:
            raise RefusedError(_explain(response))
        return response


def _object(response: httpx.Response) -> Json:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RefusedError(f"{response.url} did not answer as Atoll does.")
    return answer


def _explain(response: httpx.Response) -> str:
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:1000].strip() or response.reason_phrase
    request_id = response.headers.get("x-request-id", "unknown")
    return f"{message} (status {response.status_code}, request {request_id})"


def _reason(error: httpx.HTTPError) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
