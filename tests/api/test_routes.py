"""What each route hands to its service, and how it writes what comes back."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from atoll.model.containers import ContainerChange, ContainerStatus, NewContainer
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NetworkPolicy, NewDomainSecret
from atoll.model.pages import PageQuery
from tests.api.scripted import CONTAINER, CONTAINER_ID, FILE_ID, PROJECT_FILE_ID, Script

FILES = f"/v1/containers/{CONTAINER_ID}/files"


async def test_a_container_has_the_hosted_keys_in_their_order(client: httpx.AsyncClient, script: Script) -> None:
    response = await client.get(f"/v1/containers/{CONTAINER_ID}")
    assert response.text == (
        '{"id":"' + CONTAINER_ID + '","object":"container","created_at":1747844794,"status":"running",'
        '"expires_after":{"anchor":"last_active_at","minutes":20},"last_active_at":1747844795,"memory_limit":"1g",'
        '"name":"a","network_policy":{"type":"disabled"}}'
    )
    script.container = replace(
        CONTAINER, status=ContainerStatus.EXPIRED, network_policy=NetworkPolicy("allowlist", ("a.com",))
    )
    body = (await client.get(f"/v1/containers/{CONTAINER_ID}")).json()
    assert (body["status"], body["network_policy"]) == (
        "expired",
        {"type": "allowlist", "allowed_domains": ["a.com"]},
    )


@pytest.mark.parametrize(
    ("body", "new"),
    [
        ({"name": "a"}, NewContainer(name="a")),
        ({"name": "a", "file_ids": [], "skills": []}, NewContainer(name="a")),
        (
            {
                "name": "né 😀",
                "expires_after": {"anchor": "last_active_at", "minutes": 7},
                "file_ids": ["file-1", "file-2"],
                "memory_limit": "16g",
                "network_policy": {"type": "disabled"},
            },
            NewContainer(
                name="né 😀",
                expires_after_minutes=7,
                file_ids=("file-1", "file-2"),  # type: ignore[arg-type]  # as the wire gives them
                memory_limit=MemoryLimit.SIXTEEN_GIB,
            ),
        ),
        (
            {
                "name": "a",
                "network_policy": {
                    "type": "allowlist",
                    "allowed_domains": ["example.com", "Files.Example.org"],
                },
            },
            NewContainer(name="a", network_policy=NetworkPolicy("allowlist", ("example.com", "Files.Example.org"))),
        ),
    ],
)
async def test_create(client: httpx.AsyncClient, script: Script, body: dict[str, Any], new: NewContainer) -> None:
    response = await client.post("/v1/containers", json=body)
    assert response.status_code == 200
    assert script.asked == [("create", new)]


async def test_secrets_are_handed_on_and_never_given_back(client: httpx.AsyncClient, script: Script) -> None:
    secret = {"domain": "example.com", "name": "TOKEN", "value": "s3cret"}
    policy = {"type": "allowlist", "allowed_domains": ["example.com"], "domain_secrets": [secret]}
    made = await client.post("/v1/containers", json={"name": "a", "network_policy": policy})
    changed = await client.post(f"/v1/containers/{CONTAINER_ID}", json={"network_policy": policy})
    assert (made.status_code, changed.status_code) == (200, 200)
    given = (NewDomainSecret(domain="example.com", name="TOKEN", value="s3cret"),)
    (_, new), (_, (_, change)) = script.asked
    assert (new.domain_secrets, change.domain_secrets) == (given, given)
    assert "s3cret" not in made.text + changed.text + repr(script.asked)


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ({}, ContainerChange()),
        ({"name": "b"}, ContainerChange(name="b")),
        (
            {"expires_after": {"anchor": "last_active_at", "minutes": 7}, "network_policy": None},
            ContainerChange(expires_after_minutes=7),
        ),
        ({"network_policy": {"type": "disabled"}}, ContainerChange(network_policy=NetworkPolicy())),
        (
            {"network_policy": {"type": "allowlist", "allowed_domains": ["a.com"]}},
            ContainerChange(network_policy=NetworkPolicy("allowlist", ("a.com",))),
        ),
    ],
)
async def test_update(client: httpx.AsyncClient, script: Script, body: dict[str, Any], change: ContainerChange) -> None:
    response = await client.post(f"/v1/containers/{CONTAINER_ID}", json=body)
    assert response.status_code == 200
    assert response.json()["id"] == CONTAINER_ID
    assert script.asked == [("change", (CONTAINER_ID, change))]


async def test_egress(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/containers/{CONTAINER_ID}/egress")).json() == {
        "object": "list",
        "data": [
            {
                "id": "egr_" + "e" * 32,
                "object": "container.egress",
                "created_at": 1_747_844_798.25,
                "container_id": CONTAINER_ID,
                "name": "a.com",
                "port": 443,
                "allowed": False,
                "reason": "other_name",
                "bytes_sent": 0,
                "bytes_received": 0,
            }
        ],
        "first_id": "egr_" + "e" * 32,
        "last_id": "egr_" + "e" * 32,
        "has_more": False,
    }


async def test_skills_are_refused(client: httpx.AsyncClient, script: Script) -> None:
    skill = {"type": "skill_reference", "skill_id": "openai-spreadsheets", "version": 2}
    response = await client.post("/v1/containers", json={"name": "a", "skills": [skill]})
    assert response.json()["error"] == {
        "message": "Skills are not supported by this server yet: leave 'skills' out or empty.",
        "type": "invalid_request_error",
        "param": "skills",
        "code": "unsupported_parameter",
    }
    assert script.asked == []


async def test_a_delete_with_a_json_content_type_and_no_body(client: httpx.AsyncClient) -> None:
    for path, kind in (
        (f"/v1/containers/{CONTAINER_ID}", "container.deleted"),
        (f"{FILES}/{FILE_ID}", "container.file.deleted"),
        (f"/v1/files/{PROJECT_FILE_ID}", "file"),
    ):
        response = await client.delete(path, headers={"content-type": "application/json", "accept": "*/*"})
        assert response.json() == {"id": path.rsplit("/", 1)[-1], "object": kind, "deleted": True}


async def test_any_accept_header_will_do(client: httpx.AsyncClient) -> None:
    for accept in ("application/binary", "text/html", "nonsense", ""):
        assert (await client.get("/v1/containers", headers={"accept": accept})).status_code == 200


async def test_azure_clients(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    for path in ("/openai/v1/containers", f"/openai/v1/containers/{CONTAINER_ID}/files"):
        response = await client.get(f"{path}?api-version=2025-04-01-preview", headers={"api-key": "My API Key"})
        assert response.status_code == 200
    assert (await client.get("/openai/v1x/containers")).status_code == 404
    assert (await client.get("/openai/containers")).status_code == 404


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/v1/containers", "", (PageQuery(), None)),
        ("/v1/containers", "limit=1&order=asc&name=a%20b", (PageQuery(limit=1, order="asc"), "a b")),
        ("/v1/containers", "limit=100&unknown=1&unknown=2&before=x", (PageQuery(limit=100), None)),
        ("/v1/containers", f"after={CONTAINER_ID}", (PageQuery(after=CONTAINER_ID), None)),
        ("/v1/containers", "after=&name=", (PageQuery(), "")),
        (FILES, f"limit=5&after={FILE_ID}&name=x", PageQuery(limit=5, after=FILE_ID)),
        ("/v1/files", "", (PageQuery(limit=10_000), None)),
        (
            "/v1/files",
            f"limit=1&purpose=vision&after={PROJECT_FILE_ID}",
            (PageQuery(limit=1, after=PROJECT_FILE_ID), "vision"),
        ),
    ],
)
async def test_lists_are_asked_for(
    client: httpx.AsyncClient, script: Script, path: str, query: str, expected: Any
) -> None:
    response = await client.get(f"{path}?{query}")
    assert response.status_code == 200
    assert script.asked == [("list", expected)]


async def test_pages(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/containers")).json()
    assert list(body) == ["object", "data", "first_id", "last_id", "has_more"]
    assert (body["first_id"], body["last_id"], body["has_more"]) == (CONTAINER_ID, CONTAINER_ID, True)
    empty = (await client.get(FILES)).json()
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(
    ("query", "message", "where"),
    [
        (
            "limit=101",
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
            ("limit", "integer_above_max_value"),
        ),
        (
            "limit=0",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            ("limit", "integer_below_min_value"),
        ),
        (
            "limit=-5",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got -5 instead.",
            ("limit", "integer_below_min_value"),
        ),
        (
            "limit=ten",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            ("limit", "invalid_type"),
        ),
        (
            "limit=",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            ("limit", "invalid_type"),
        ),
        ("limit=5.0", "Invalid type for 'limit': expected an integer", ("limit", "invalid_type")),
        ("limit=%D9%A5", "Invalid type for 'limit': expected an integer", ("limit", "invalid_type")),
        ("limit=" + "9" * 999, "Invalid 'limit': integer above maximum value.", ("limit", "integer_above_max_value")),
        ("limit=" + "9" * 9999, "Invalid type for 'limit': expected an integer", ("limit", "invalid_type")),
        ("order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", ("order", "invalid_value")),
        ("order=ASC", "Invalid value: 'ASC'. Supported values are: 'asc' and 'desc'.", ("order", "invalid_value")),
        ("after=obj_foo", "Invalid 'after': expected the id of an item of this list", ("after", "invalid_value")),
        (f"after={FILE_ID}", "Invalid 'after': expected the id of an item of this list", ("after", "invalid_value")),
        ("limit=5&limit=5", "Duplicate parameter: 'limit'.", ("limit", "duplicate_parameter")),
        ("name=a&name=b", "Duplicate parameter: 'name'.", ("name", "duplicate_parameter")),
        ("name=%00", "Invalid 'name': it holds the NUL character (U+0000).", ("name", "invalid_value")),
        ("name=%FF", "The query string cannot be read", (None, None)),
        ("a=1&" * 101, "The query string cannot be read", (None, None)),
    ],
)
async def test_queries_that_are_refused(
    client: httpx.AsyncClient, script: Script, query: str, message: str, where: tuple[str | None, str | None]
) -> None:
    response = await client.get(f"/v1/containers?{query}")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"].startswith(message)
    assert (error["param"], error["code"]) == where
    assert script.asked == []


async def test_interrupt_and_restart(client: httpx.AsyncClient, script: Script) -> None:
    interrupted = await client.post(f"/v1/containers/{CONTAINER_ID}/interrupt")
    assert interrupted.json() == {"id": CONTAINER_ID, "object": "container.interrupted", "interrupted": False}
    restarted = await client.post(f"/v1/containers/{CONTAINER_ID}/restart", content=b"")
    assert restarted.json() == {"id": CONTAINER_ID, "object": "container.restarted", "restarted": True}
    assert [what for what, _ in script.asked] == ["interrupt", "restart"]


async def test_the_document_and_its_page(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert {
        "ListContainers", "CreateContainer", "RetrieveContainer", "DeleteContainer", "CreateContainerFile",
        "ListContainerFiles", "RetrieveContainerFile", "DeleteContainerFile", "RetrieveContainerFileContent",
    } <= set(ids)  # fmt: skip
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert all(f"id='{identifier}'" in page.text for identifier in ids)
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_metrics_count_by_route_and_not_by_path(client: httpx.AsyncClient) -> None:
    await client.get(f"/v1/containers/{CONTAINER_ID}")
    await client.get("/nope/1")
    text = (await client.get("/metrics")).text
    assert 'atoll_http_requests_total{method="GET",route="/v1/containers/{container_id}",status="200"} 1.0' in text
    assert 'atoll_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert "atoll_http_request_seconds_bucket" in text
    assert "atoll_containers_running 1.0" in text
    assert 'atoll_pool_sandboxes{which="ready"} 2.0' in text
    assert 'atoll_pool_creates_total{found="no"} 5.0' in text
