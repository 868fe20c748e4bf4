"""What a real server tells whoever watches it: lines of the log and spans, with the ids of what they are about."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.harness import machine
from tests.harness.api import Api, Json
from tests.harness.collector import Collector, SpanSeen, collecting
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR, AtollServer

ROUTE = "/v1/containers/{container_id}/code_interpreter_calls"
HEADER = "secret-of-the-collector"


@dataclass(frozen=True, slots=True)
class Watched:
    server: AtollServer
    api: Api
    collector: Collector

    def lines(self, **wanted: object) -> list[Json]:
        """Give the log's lines that have these fields; all of them are objects, but for the welcome."""
        text = self.server.log_path.read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def watched(start_server: Callable[..., Iterator[AtollServer]]) -> Iterator[Watched]:
    with collecting() as collector:
        for server in start_server(
            "oci",
            log_format="json",
            log_requests="yes",
            traces_endpoint=collector.url,
            traces_headers=f"x-key={HEADER}",
        ):
            yield Watched(server, server.api(), collector)


def test_a_request_has_a_line_and_a_trace_with_its_ids(watched: Watched) -> None:
    made = watched.api.create("named-by-somebody")["id"]
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    answer = watched.api.send(
        "POST",
        f"/containers/{made}/code_interpreter_calls",
        json={"code": "token = 'hidden-in-code'; print('said-' + 'aloud')"},
        headers={"traceparent": f"00-{trace}-{parent}-01"},
    )
    request_id = answer.headers["x-request-id"]

    (line,) = wait_until(lambda: watched.lines(logger="atoll.requests", request_id=request_id), what="the line")
    assert line["route"] == ROUTE
    assert (line["status"], line["container_id"], line["trace_id"]) == (200, made, trace)
    assert line["process"] == "server"

    (request,) = wait_until(lambda: in_trace(watched, trace, f"POST {ROUTE}"), what="the span of the request")
    assert request.parent_id == parent
    assert request.attributes["atoll.request.id"] == request_id
    assert request.attributes["http.response.status_code"] == 200
    for name in ("call.wait", "call"):
        (span,) = wait_until(lambda name=name: in_trace(watched, trace, name), what=name)  # type: ignore[misc]
        assert span.parent_id == request.span_id
        assert span.attributes["atoll.container.id"] == made
        assert span.attributes["atoll.call.kind"] == "python"
    assert span.attributes["atoll.call.status"] == "completed"

    (created,) = watched.collector.spans("sandbox.create")
    (creating,) = in_trace(watched, created.trace_id, "POST /v1/containers")
    assert created.parent_id == creating.span_id
    assert creating.attributes["atoll.container.id"] == made
    sent = b"".join(watched.collector.bodies)
    for hidden in (b"hidden-in-code", b"said-aloud", b"named-by-somebody", watched.api.api_key.encode()):
        assert hidden not in sent
    assert {headers["x-key"] for headers in watched.collector.headers} == {HEADER}
    assert HEADER not in watched.server.log_path.read_text()


def test_lines_of_supervisor_and_egress_name_the_container(watched: Watched) -> None:
    made = watched.api.create(network_policy={"type": "allowlist", "allowed_domains": ["example.com"]})["id"]
    watched.api.shell(made, "curl http://elsewhere.example.test")
    (line,) = [line for line in watched.lines(container_id=made) if "was made" in line["message"]]
    sandbox_id = line["sandbox_id"]
    for pid in machine.sandbox_processes(f"{watched.server.cgroup_parent}/{sandbox_id}"):
        machine.kill_9(pid)
    wait_until(
        lambda: watched.lines(process="supervisor", sandbox_id=sandbox_id, container_id=made),
        what="the supervisor's line about its end",
    )
    refused, *_ = wait_until(
        lambda: watched.lines(process="egress", sandbox_id=sandbox_id, container_id=made), what="the refusal"
    )
    assert refused["decision"]["name"] == "elsewhere.example.test"


def test_who_wants_no_traces_does_not_pay_for_them() -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from atoll.server import create_app\nfrom atoll.settings import Settings\n"
        "create_app(Settings(data_dir=Path('/nowhere'), run_dir=Path('/nowhere')))\n"
        "assert not [name for name in sys.modules if name.startswith("
        "('opentelemetry.sdk', 'opentelemetry.trace', 'google.protobuf', 'requests'))]"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_DIR / "src", timeout=60, check=False)
    assert done.returncode == 0


def in_trace(watched: Watched, trace_id: str, name: str) -> list[SpanSeen]:
    return [span for span in watched.collector.spans() if span.trace_id == trace_id and span.name == name]
