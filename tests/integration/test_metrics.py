"""What a real server says of real sandboxes."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR, MakeServer

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(api: Api) -> Samples:
    text = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def test_every_metric_of_a_real_server_is_in_the_reference(container: str, oci_api: Api) -> None:
    oci_api.logs(container, "1 + 1")
    page = (PROJECT_DIR / "docs/reference/metrics.md").read_text()
    for name, _ in samples_of(oci_api):
        plain = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count").removesuffix("_created")
        assert f"| `{plain}` |" in page or f"| `{plain}_total` |" in page, name
    turns = ("atoll_reconciler_turns_total", frozenset({("name", "expiry")}))
    wait_until(lambda: samples_of(oci_api)[turns], what="a turn of a reconciler")


def test_starts_forks_kills_and_promises(make_server: MakeServer) -> None:
    server = make_server("oci", pids_max=64)
    api = server.api()
    wait_until(lambda: value(samples_of(api), "atoll_zygote_ready") == 1, what="a zygote", timeout_s=60)
    before = samples_of(api)
    assert value(before, "atoll_memory_promised_bytes") == 0
    made = api.create("counted")["id"]
    api.python(made, "print(1)")
    now = samples_of(api)
    assert value(now, "atoll_sandboxes", state="running") == 1
    assert value(now, "atoll_memory_promised_bytes") == 1 << 30
    assert value(now, "atoll_memory_promised_bytes_max") > 1 << 30
    assert value(now, "atoll_memory_bytes") > value(before, "atoll_memory_bytes")
    assert value(now, "atoll_container_create_seconds_count") == 1
    assert value(now, "atoll_sandbox_start_seconds_count", how="forked") == 1
    assert value(now, "atoll_fork_seconds_count") == 1
    assert 0 < value(now, "atoll_fork_seconds_sum") <= value(now, "atoll_sandbox_start_seconds_sum", how="forked")
    assert value(now, "atoll_call_seconds_count", kind="python") == 1

    assert api.python(made, "x = b'x' * (3 << 30)", timeout_ms=60_000)["status"] == "failed"
    api.shell(made, "sh -c 'for _ in $(seq 80); do sleep 1000 <&- >&- 2>&- & done'")  # bash would try for long
    now = samples_of(api)
    kills, refused = value(now, "atoll_memory_kills_total"), value(now, "atoll_pids_refused_total")
    assert kills >= 1
    assert refused >= 1
    assert value(now, "atoll_calls_total", kind="python", status="failed", cause="memory") == 1

    api.delete(made)
    wait_until(lambda: not server.sandboxes_that_run, what="the sandbox is gone")
    now = samples_of(api)
    assert value(now, "atoll_sandboxes", state="running") == 0
    assert value(now, "atoll_memory_kills_total") == kills, "what is gone still counts, and counts once"
    assert value(now, "atoll_pids_refused_total") >= refused


def test_plain_counts_what_the_server_counts(make_server: MakeServer) -> None:
    api = make_server("plain").api()
    names = {name for name, _ in samples_of(api)}
    assert "atoll_calls_running" in names
    assert "atoll_memory_bytes" not in names
