"""Every error, whoever makes it, in the one envelope."""

import logging
from typing import Any

import httpx
import pytest

from atoll.api.errors import TABLE
from atoll.model import errors
from atoll.model.errors import (
    AtollError,
    BusyError,
    ContainerExpiredError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    SandboxFailedError,
    StorageFullError,
)
from tests.api.scripted import CONTAINER_ID, Script
from tests.api.serving import Address

CASES: list[tuple[AtollError, int, dict[str, Any]]] = [
    (
        InvalidRequestError("No.", param="a.b", code="c"),
        400,
        {"message": "No.", "type": "invalid_request_error", "param": "a.b", "code": "c"},
    ),
    (
        ContainerExpiredError(),
        400,
        {"message": "Container is expired.", "type": "invalid_request_error", "param": None, "code": None},
    ),
    (
        NotFoundError("Container with id 'cntr_1' not found."),
        404,
        {
            "message": "Container with id 'cntr_1' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        PayloadTooLargeError("Too large.", param="file"),
        413,
        {"message": "Too large.", "type": "invalid_request_error", "param": "file", "code": "payload_too_large"},
    ),
    (
        StorageFullError("Full."),
        400,
        {"message": "Full.", "type": "invalid_request_error", "param": None, "code": "storage_full"},
    ),
    (
        BusyError("Busy.", retry_after_s=7),
        429,
        {"message": "Busy.", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
    ),
    (
        SandboxFailedError("The sandbox could not be made."),
        500,
        {
            "message": "The sandbox could not be made.",
            "type": "server_error",
            "param": None,
            "code": "sandbox_failed",
        },
    ),
]


@pytest.mark.parametrize(("error", "status", "body"), CASES, ids=[type(error).__name__ for error, _, _ in CASES])
async def test_the_table(
    client: httpx.AsyncClient, script: Script, error: AtollError, status: int, body: dict[str, Any]
) -> None:
    if status == 403:
        client.event_hooks["response"].clear()  # no route promises it: no service refuses by permission yet
    script.error = error
    path = f"/v1/containers/{CONTAINER_ID}/files" if status in {413, 429} else "/v1/containers"
    response = await client.post(path, json={"file_id": "file-1"} if path.endswith("files") else {"name": "a"})
    assert response.status_code == status
    assert response.json() == {"error": body}
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)


def test_every_error_has_a_row() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AtollError) and kind is not AtollError
    ]
    assert kinds
    assert all(any(base in TABLE for base in kind.__mro__) for kind in kinds)


async def test_what_nobody_raised_on_purpose_says_nothing_of_itself(
    client: httpx.AsyncClient, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.error = RuntimeError("secret detail in /var/lib")
    with caplog.at_level(logging.ERROR):
        response = await client.get("/v1/containers")
    assert response.status_code == 500
    error = response.json()["error"]
    request_id = response.headers["x-request-id"]
    assert (error["type"], error["code"], error["param"]) == ("server_error", "server_error", None)
    assert request_id in error["message"]
    assert "secret detail" not in response.text
    assert "x-should-retry" not in response.headers
    assert request_id in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("x"), SandboxFailedError("x")])
async def test_a_failed_call_tells_the_sdks_not_to_run_it_again(
    client: httpx.AsyncClient, script: Script, error: Exception
) -> None:
    script.error = error
    response = await client.post(f"/v1/containers/{CONTAINER_ID}/code_interpreter_calls", json={"code": "1"})
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/v1", "/v1/nope", "/v1/containers/a/b", "/v1/containers//", "/containers"])
async def test_unknown_routes(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    if path == "/v1/containers//":  # doubled and trailing slashes are forgiven
        assert response.status_code == 200
        return
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": f"Invalid URL (GET {path})",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_wrong_methods(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/v1/containers")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert response.json()["error"]["code"] == "method_not_supported"
    assert response.json()["error"]["message"] == f"Not allowed to {method} on /v1/containers."


async def test_options_and_head(wire_client: httpx.AsyncClient, script: Script) -> None:
    client = wire_client
    options = await client.options("/v1/containers", headers={"authorization": ""})
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    head = await client.head("/v1/containers")
    got = await client.get("/v1/containers")
    assert (head.status_code, head.headers["content-length"]) == (200, got.headers["content-length"])
    assert (await client.head("/v1/nope")).status_code == 404
    wrong = await client.head(f"/v1/containers/{CONTAINER_ID}/restart")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    assert [what for what, _ in script.asked] == ["list", "list"]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "You didn't provide an API key."),
        ({"authorization": ""}, "You didn't provide an API key."),
        ({"authorization": "Bearer"}, "You didn't provide an API key."),
        ({"authorization": "Basic abc"}, "You didn't provide an API key."),
        ({"api-key": ""}, "You didn't provide an API key."),
        (
            {"authorization": "Bearer sk-atoll-0123456789abcdefghijklmnopqrstuvwxyz"},
            "Incorrect API key provided: sk-at…xyz.",
        ),
        ({"api-key": "sk-atoll-0123456789abcdefghijklmnopqrstuvwxyz"}, "Incorrect API key provided: sk-at…xyz."),
        ({"authorization": "Bearer short"}, "Incorrect API key provided: …."),
        ({"authorization": "Bearer " + "k" * 5000}, "Incorrect API key provided: kkkkk…kkk."),
        ({"authorization": b"Bearer \xff\xfe" + b"k" * 40}, "Incorrect API key provided: …."),
    ],
)
async def test_wrong_keys(client: httpx.AsyncClient, headers: dict[str, Any], message: str) -> None:
    del client.headers["authorization"]
    for path in ("/v1/containers", "/metrics"):
        response = await client.get(path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        error = response.json()["error"]
        assert error["message"].startswith(message)
        assert error["type"] == "invalid_request_error"
        assert error["code"] == ("missing_api_key" if "didn't" in message else "invalid_api_key")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer My API Key"},
        {"authorization": "bearer   My API Key"},
        {"api-key": "My API Key"},
    ],
)
async def test_good_keys(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    del client.headers["authorization"]
    assert (await client.get("/v1/containers", headers=headers)).status_code == 200


async def test_every_route_but_the_public_ones_needs_a_key(client: httpx.AsyncClient, script: Script) -> None:
    document = (await client.get("/openapi.json")).json()
    del client.headers["authorization"]
    opened = set()
    for path, operations in document["paths"].items():
        for method in operations:
            url = path.replace("{container_id}", CONTAINER_ID).replace("{file_id}", "file-1")
            response = await client.request(method, url)
            if response.status_code != 401:
                opened.add((path, response.status_code))
    assert opened == {("/health", 200), ("/openapi.json", 200), ("/docs", 200)}
    assert script.asked == []


async def test_answers_have_ids_of_their_own(address: Address) -> None:
    async with httpx.AsyncClient(base_url=address.url, trust_env=False) as client:
        first, second = [await client.get("/health", headers={"x-request-id": "mine"}) for _ in range(2)]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert int(first.headers["openai-processing-ms"]) < 1000
