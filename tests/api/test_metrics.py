"""What is counted of requests, creates and calls, and the page that says what each metric is."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from atoll.api.metrics import Metrics
from atoll.model.calls import CallStarted, EndCause, Logs, PythonEnded, PythonEvent
from atoll.model.egress_decision import EgressCounts, EgressReason
from atoll.model.errors import BusyError, NotFoundError, RefusalReason
from atoll.model.ids import CallId
from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.model.runtime_metrics import Durations, RuntimeMetrics
from tests.api.scripted import Script

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()
ROW = re.compile(r"^\| `((?:atoll|process)_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
EGRESS = EgressCounts(
    sandboxes=1, connections_open=1, decisions={EgressReason.ALLOWED: 1}, bytes_sent=1, bytes_received=1
)
EVERYTHING = RuntimeMetrics(starts={"ready": Durations(), "forked": Durations(), "cold": Durations()})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def families(
    metrics: Metrics, runtime: RuntimeMetrics | None = None, egress: EgressCounts | None = None
) -> dict[str, Metric]:
    text = metrics.render(containers_running=0, runtime=runtime, egress=egress).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    samples = [sample for family in families(metrics).values() for sample in family.samples]
    found = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
    return found[0] if found else None


def used(metrics: Metrics) -> Metrics:
    """Use every label once, so that each metric has a sample."""
    metrics.answered("GET", "/health", 200, 0.1)
    metrics.refused("machine")
    with metrics.terminal() as counting:
        counting.carried("in", 1)
    with metrics.event_stream():
        pass
    return metrics


async def test_the_page_says_of_every_metric_what_it_is() -> None:
    counts = ReconcilerCounts()
    metrics = used(Metrics(reconciled=counts))
    counts.turns["expiry"] += 1
    counts.failures["expiry"] += 1
    await drive(metrics, Clock())
    told = {}
    for family in families(metrics, EVERYTHING, EGRESS).values():
        if family.name.endswith("_created"):
            continue
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        told[name] = (family.type, labels)
    written = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(PAGE)}
    assert written == told


@pytest.mark.parametrize("names", [RefusalReason, EndCause])
def test_the_page_says_what_every_reason_and_cause_is(names: object) -> None:
    for name in names.__args__:  # type: ignore[attr-defined]
        assert f"\n| `{name}` |" in PAGE


async def counting(metrics: Metrics, events: AsyncGenerator[PythonEvent, None]) -> AsyncGenerator[PythonEvent, None]:
    """Do what an answer does: give a call's events and have them counted."""
    count = metrics.call("python")
    with count:
        async with aclosing(events):
            async for event in events:
                count.take(event)
                yield event


async def drive(metrics: Metrics, clock: Clock, end: PythonEnded | Exception | None = None) -> None:
    """Wait for 2 s, run for 3 s, and end."""

    async def events() -> AsyncGenerator[PythonEvent, None]:
        clock.now += 2
        yield CallStarted(CallId("ci_1"))
        clock.now += 3
        yield Logs("x")
        if isinstance(end, Exception):
            raise end
        yield end or PythonEnded(status="failed", files=(), cause="memory")

    with suppress(NotFoundError):
        async for _ in counting(metrics, events()):
            pass


async def test_a_call_is_counted_as_waiting_then_running_then_by_its_end() -> None:
    clock = Clock()
    metrics = Metrics(clock)

    async def events() -> AsyncGenerator[PythonEvent, None]:
        assert value(metrics, "atoll_calls_waiting", kind="python") == 1
        clock.now += 2
        yield CallStarted(CallId("ci_1"))
        assert value(metrics, "atoll_calls_waiting", kind="python") == 0
        assert value(metrics, "atoll_calls_running", kind="python") == 1
        clock.now += 3
        yield PythonEnded(status="incomplete", files=(), cause="timeout")

    async for _ in counting(metrics, events()):
        pass
    assert value(metrics, "atoll_calls_running", kind="python") == 0
    assert value(metrics, "atoll_calls_total", kind="python", status="incomplete", cause="timeout") == 1
    assert value(metrics, "atoll_call_wait_seconds_sum", kind="python") == 2
    assert value(metrics, "atoll_call_seconds_sum", kind="python") == 3
    assert value(metrics, "atoll_call_seconds_count", kind="python") == 1
    assert value(metrics, "atoll_call_seconds_count", kind="shell") == 0


async def test_a_call_whose_client_goes_away() -> None:
    metrics = Metrics()

    async def events() -> AsyncGenerator[PythonEvent, None]:
        yield CallStarted(CallId("ci_1"))
        yield Logs("x")

    async with aclosing(counting(metrics, events())) as told:
        await anext(told)
    assert value(metrics, "atoll_calls_total", kind="python", status="aborted", cause="client") == 1
    assert value(metrics, "atoll_calls_running", kind="python") == 0


async def test_a_call_that_never_runs_is_no_call_that_ended() -> None:
    metrics = Metrics()

    async def events() -> AsyncGenerator[PythonEvent, None]:
        if not metrics.render(containers_running=0, runtime=None):
            yield CallStarted(CallId("ci_1"))
        raise NotFoundError("no such container")

    with pytest.raises(NotFoundError):
        await anext(counting(metrics, events()))
    assert value(metrics, "atoll_calls_waiting", kind="python") == 0
    assert value(metrics, "atoll_call_wait_seconds_count", kind="python") == 0
    assert not families(metrics)["atoll_calls"].samples


def test_creates_that_succeed_are_timed() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    with metrics.creating():
        assert value(metrics, "atoll_creates_running") == 1
        clock.now += 4
    with pytest.raises(BusyError), metrics.creating():
        raise BusyError("full", retry_after_s=1)
    assert value(metrics, "atoll_creates_running") == 0
    assert value(metrics, "atoll_container_create_seconds_sum") == 4
    assert value(metrics, "atoll_container_create_seconds_count") == 1


def test_durations_of_the_runtime_become_cumulative_buckets() -> None:
    forks = Durations((1, 0, 2, *(0,) * 11, 4), 123.5)
    (family,) = [f for f in families(Metrics(), RuntimeMetrics(forks=forks)).values() if f.name == "atoll_fork_seconds"]
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (found["0.001"], found["0.0025"], found["0.005"], found["30.0"], found["+Inf"]) == (1, 1, 3, 3, 7)
    assert (found["atoll_fork_seconds_count"], found["atoll_fork_seconds_sum"]) == (7, 123.5)


async def bytes_of(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    found = re.findall(r'^atoll_http_body_bytes_total.*"(\w+)"} (.*)$', text, re.MULTILINE)
    return {way: float(count) for way, count in found}


async def test_bytes_of_bodies_are_counted(client: httpx.AsyncClient) -> None:
    await bytes_of(client)
    before = await client.get("/metrics")
    first = await bytes_of(client)
    body = b'{"name": "a"}'
    made = await client.post("/v1/containers", content=body, headers={"content-type": "application/json"})
    second = await bytes_of(client)
    assert second["in"] - first.get("in", 0) == len(body)
    between = second["out"] - first["out"] - len(made.content)
    assert abs(between - len(before.content)) < 200, "besides there was one answer of metrics"


async def test_refusals_are_counted(client: httpx.AsyncClient, script: Script) -> None:
    script.error = BusyError("Full.", retry_after_s=3, reason="memory_promised")
    assert (await client.post("/v1/containers", json={"name": "a"})).status_code == 429
    text = (await client.get("/metrics")).text
    assert 'atoll_refusals_total{reason="memory_promised"} 1.0' in text
    assert "atoll_container_create_seconds_count 0.0" in text
