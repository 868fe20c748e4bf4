"""Holds every answer against the server's own OpenAPI document."""

import json
import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

JSON = "application/json"
EVENTS = "text/event-stream"


class Contract:
    """The document, ready to compare answers with."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._paths = {
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): operations for path, operations in document["paths"].items()
        }

    async def check(self, response: httpx.Response) -> None:
        """Compare one answer; use it as a hook of ``httpx.AsyncClient``."""
        await response.aread()
        assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["x-request-id"])
        assert response.headers["x-content-type-options"] == "nosniff"
        if response.request.method in {"HEAD", "OPTIONS"}:
            assert not response.content
            return
        media_type = response.headers["content-type"].partition(";")[0]
        promised = self._promised(response)
        if promised is None:
            assert response.status_code in {404, 405, 503}, response.text
            self.validate({"$ref": "#/components/schemas/ErrorResponse"}, response.json())
            return
        content = promised["content"]
        if "*/*" in content:
            return
        assert media_type in content, f"{media_type} is not promised: {sorted(content)}"
        schema = content[media_type]["schema"]
        if media_type == JSON:
            self.validate(schema, response.json())
        elif media_type == EVENTS:
            for event in events(response.text):
                self.validate(schema["properties"]["data"]["contentSchema"], event)

    def validate(self, schema: dict[str, Any], value: Any) -> None:
        """Compare a value with a schema of the document."""
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(value)

    def _promised(self, response: httpx.Response) -> dict[str, Any] | None:
        path = response.request.url.path.replace("/openai/v1", "/v1", 1).rstrip("/")
        for pattern, operations in self._paths.items():
            if pattern.fullmatch(path):
                operation = operations.get(response.request.method.lower())
                if operation is None:
                    return None
                status = str(response.status_code)
                assert status in operation["responses"], f"{status} is not promised by {operation['operationId']}"
                promised: dict[str, Any] = operation["responses"][status]
                return promised
        return None


def events(text: str) -> list[dict[str, Any]]:
    """Give the data of each event of a stream that has ended."""
    return [
        json.loads(line.removeprefix("data: "))
        for block in text.split("\n\n")
        for line in block.split("\n")
        if line.startswith("data: ")
    ]
