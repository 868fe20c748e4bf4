"""The OpenAPI document, made of the routes themselves: their paths, their ``Operation``s and the types of ``wire``."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from litestar.routes import BaseRoute, HTTPRoute

from atoll.api.errors import ErrorResponse
from atoll.api.operation import NOT_IN_DOCUMENT, OPERATION, EventAnswer, Operation, Parameter, Raw

Document = dict[str, Any]

_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final[Mapping[int, str]] = {
    400: "The request cannot be carried out as it stands; `param` names the field.",
    401: "No key, or one that opens nothing.",
    404: "There is no such object in the key's project.",
    413: "The body, or a file in it, is too large.",
    416: "The range lies outside of the file.",
    429: "No room now; `Retry-After` says in how many seconds to ask again.",
    500: "The server's own fault; its log tells more under the request id.",
    503: "The server is stopping.",
}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}]


def build_document(routes: Iterable[BaseRoute], *, version: str) -> Document:
    """Describe every route of the API. Raises ``KeyError`` for one without an ``Operation``."""
    found = sorted(_operations(routes), key=lambda entry: entry[:2])
    schemas = _Schemas(kind for _, _, operation in found for kind in _types(operation))
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation in found:
        paths.setdefault(path, {})[method] = _operation(path, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atoll",
            "version": version,
            "description": "The Containers API of OpenAI as a server of your own. Every answer carries `x-request-id`. "
            "Everything under `/v1` is also there under `/openai/v1`.",
        },
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
    }


def _operations(routes: Iterable[BaseRoute]) -> Iterable[tuple[str, str, Operation]]:
    for route in routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if handler.opt.get(NOT_IN_DOCUMENT):
                continue
            for method in handler.http_methods:
                if method != "OPTIONS":
                    yield route.path_format, method.lower(), handler.opt[OPERATION]


def _types(operation: Operation) -> Iterable[Any]:
    answer = operation.answer.kind if isinstance(operation.answer, EventAnswer) else operation.answer
    kinds = (answer, operation.body, operation.stream)
    return (kind for kind in kinds if kind is not None and not isinstance(kind, Raw))


class _Schemas:
    """JSON Schemas of types, kept once under ``components``."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        self._kinds = [ErrorResponse, *dict.fromkeys(kinds)]
        self._schemas, self.components = msgspec.json.schema_components(self._kinds, ref_template=_REF)

    def of(self, kind: Any) -> dict[str, Any]:
        return dict(self._schemas[self._kinds.index(kind)])


def _operation(path: str, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(path, operation, schemas),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.public:
        described["security"] = []
    if parameters := _parameters(path, operation):
        described["parameters"] = parameters
    if body := _request_body(operation, schemas):
        described["requestBody"] = body
    return described


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PARAMETER.findall(path)
    ]
    return in_path + [_parameter(parameter) for parameter in operation.query]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": False,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _request_body(operation: Operation, schemas: _Schemas) -> dict[str, Any] | None:
    content: dict[str, Any] = {}
    if operation.body is not None:
        content["application/json"] = {"schema": schemas.of(operation.body)}
    if operation.form is not None:
        form = operation.form
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "properties": form.properties,
                "required": list(form.required),
                "additionalProperties": False,
            }
        }
    if operation.upload is not None:
        schema = {"type": "string", "format": "binary", "description": operation.upload.description}
        content[operation.upload.media_type] = {"schema": schema}
    return {"required": True, "content": content} if content else None


def _responses(path: str, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": _success(operation, schemas)}
    if isinstance(operation.answer, Raw) and operation.answer.ranges:
        responses["206"] = {**responses["200"], "description": "The range that was asked for."}
    for status in sorted(_statuses(path, operation)):
        responses[str(status)] = _error(status, schemas)
    return responses


def _success(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if isinstance(operation.answer, Raw):
        schema = {"type": "string", **({"format": "binary"} if operation.answer.binary else {})}
        if operation.answer.media_type == "application/json":
            schema = {"type": "object"}
        return _response(operation.answer.description, {operation.answer.media_type: {"schema": schema}})
    if isinstance(operation.answer, EventAnswer):
        event = _event(schemas.of(operation.answer.kind), "Each event of the stream.")
        event["properties"]["id"] = {"type": "string", "description": "The `id` of the data."}
        return _response(operation.answer.description, {"text/event-stream": {"schema": event}})
    content = {"application/json": {"schema": schemas.of(operation.answer)}}
    if operation.stream is not None:
        content["text/event-stream"] = {
            "schema": _event(schemas.of(operation.stream), "With `stream`: each event of the stream.")
        }
    return _response("Done.", content)


def _event(data: dict[str, Any], description: str) -> dict[str, Any]:
    """Describe one server-sent event, as OpenAPI 3.2 does and tools for 3.1 already read."""
    return {
        "type": "object",
        "description": description,
        "properties": {
            "event": {"type": "string", "description": "The `type` of the data."},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": data},
        },
        "required": ["event", "data"],
    }


def _error(status: int, schemas: _Schemas) -> dict[str, Any]:
    response = _response(_ERRORS[status], {"application/json": {"schema": schemas.of(ErrorResponse)}})
    if status == 429:
        response["headers"]["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
    return response


def _response(description: str, content: dict[str, Any]) -> dict[str, Any]:
    headers = {"x-request-id": {"schema": {"type": "string"}, "description": "Names this request in the log."}}
    return {"description": description, "headers": headers, "content": content}


def _statuses(path: str, operation: Operation) -> set[int]:
    """Give the errors that a route can answer: its own, and those that come with what it takes."""
    statuses = {500, *operation.errors}
    if not operation.public:
        statuses |= {401, 503}
    if operation.query:
        statuses.add(400)
    if operation.body is not None or operation.form is not None or operation.upload is not None:
        statuses |= {400, 413}
    if "{" in path:
        statuses |= {400, 404}
    if isinstance(operation.answer, Raw) and operation.answer.ranges:
        statuses.add(416)
    return statuses
