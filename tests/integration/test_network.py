"""A network policy through the whole product: what is allowed is reached, what is not is not, and both are told."""

import json

import pytest

from tests.harness.api import Api, Json
from tests.harness.events import read_events
from tests.harness.outside import Outside, WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer
from tests.network_fixtures import PLAIN, SECURE, allow, egress


def test_an_allowed_name_is_reached_without_proxy_settings(network_api: Api, plain_web: WebServer) -> None:
    container = allow(network_api, PLAIN)
    code = f"import urllib.request; print(urllib.request.urlopen('http://{PLAIN}/hello').read().decode())"
    assert "GET /hello 0" in network_api.logs(container, code)
    (decision,) = egress(network_api, container)
    assert decision["name"] == PLAIN
    assert decision["port"] == 80
    assert decision["allowed"] is True
    assert decision["bytes_received"] > 0
    carried = network_api.call("GET", f"/containers/{container}/stats")["network"]
    moved = {f"{direction}_bytes": decision[f"bytes_{direction}"] for direction in ("sent", "received")}
    assert carried == {**moved, "refused": 0}


def test_tls_goes_through_unopened(network_api: Api, outside: Outside, secure_web: WebServer) -> None:
    container = allow(network_api, SECURE)
    network_api.upload(container, "ca.pem", outside.authority.pem)
    (output,) = network_api.shell(container, f"curl -sS --cacert ca.pem https://{SECURE}/hello")
    assert output["stdout"] == "GET /hello 0\n", output


def test_a_name_that_is_not_listed_does_not_exist_and_the_call_says_so(network_api: Api, plain_web: WebServer) -> None:
    container = allow(network_api, SECURE)
    before = len(plain_web.seen)
    (output,) = network_api.shell(container, f"curl -sS --max-time 5 http://{PLAIN}/")
    assert output["outcome"] != {"type": "exit", "exit_code": 0}
    assert "Could not resolve host" in output["stderr"]
    note = f"[atoll] Not reached over the network: {PLAIN} (allowed_domains does not list it).\n"
    assert output["stderr"].endswith(note)
    assert network_api.logs(
        container, f"import socket\ntry: socket.gethostbyname('{PLAIN}')\nexcept OSError: 1"
    ).endswith(note)
    item = network_api.process(container, "curl", "-sS", "--max-time", "5", f"http://{PLAIN}/")
    assert (item["stdout"], item["notes"]) == ("", [note.removeprefix("[atoll] ").rstrip()])
    assert len(plain_web.seen) == before
    decision = egress(network_api, container)[0]
    assert (decision["name"], decision["allowed"], decision["reason"]) == (PLAIN, False, "name_not_allowed")
    assert network_api.call("GET", f"/containers/{container}/stats")["network"]["refused"] >= 2
    with network_api.opened("GET", f"/containers/{container}/events?after=start") as answer:
        told = next(event.data for event in read_events(answer.iter_lines()) if event.name == "network.refused")
    assert (told["name"], told["port"], told["reason"]) == (PLAIN, 53, "name_not_allowed")


def test_without_a_policy_there_is_no_network(network_api: Api) -> None:
    container = network_api.create()["id"]
    (output,) = network_api.shell(container, f"curl -sS --max-time 5 http://{PLAIN}/")
    assert "no network access" in output["stderr"]
    assert egress(network_api, container) == []


@pytest.mark.parametrize(
    ("domains", "param"),
    [
        ([""], "[0]"),
        (["example.com", "https://example.com/"], "[1]"),
        (["1.2.3.4"], "[0]"),
        (["exam ple.com"], "[0]"),
        (["*"], "[0]"),
        (["example.com:22"], "[0]"),
        ([], ""),
        (["example.com"] * 1001, ""),
    ],
)
def test_a_refused_entry_is_named(network_api: Api, domains: list[str], param: str) -> None:
    policy = {"type": "allowlist", "allowed_domains": domains}
    for path in ("/containers", f"/containers/{network_api.create()['id']}"):
        answer = network_api.send("POST", path, json={"name": "x", "network_policy": policy})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == f"network_policy.allowed_domains{param}"


def test_a_thousand_entries_are_taken_and_given_back(network_api: Api) -> None:
    domains = [f"{'a' * 60}{number}.{'b' * 63}.{'c' * 63}.example.test" for number in range(999)] + ["*.Example.org"]
    container = network_api.create(network_policy={"type": "allowlist", "allowed_domains": domains})
    assert container["network_policy"] == {"type": "allowlist", "allowed_domains": domains}
    assert network_api.retrieve(container["id"])["network_policy"] == container["network_policy"]


def test_a_policy_is_changed_on_a_living_container(network_api: Api, plain_web: WebServer) -> None:
    container = network_api.create()["id"]
    fetch = f"curl -sS --max-time 20 http://{PLAIN}/hello"
    assert network_api.shell(container, fetch)[0]["outcome"] != {"type": "exit", "exit_code": 0}
    policy: Json = {"type": "allowlist", "allowed_domains": [PLAIN]}
    assert change(network_api, container, network_policy=policy)["network_policy"] == policy
    assert network_api.shell(container, fetch)[0]["stdout"] == "GET /hello 0\n"
    changed = change(network_api, container, network_policy={"type": "disabled"})
    assert changed["network_policy"] == {"type": "disabled"}
    (output,) = network_api.shell(container, fetch)
    assert "no network access" in output["stderr"]


@pytest.mark.parametrize("narrower", [{"type": "disabled"}, {"type": "allowlist", "allowed_domains": [SECURE]}])
def test_a_connection_that_is_not_allowed_any_more_is_cut(
    network_api: Api, plain_web: WebServer, narrower: Json
) -> None:
    container = allow(network_api, PLAIN)
    plain_web.ended.clear()
    network_api.shell(container, f"(curl -sSN http://{PLAIN}/slow >got 2>&1; echo over >>got) & disown")
    wait_until(lambda: "begun" in network_api.shell(container, "cat got")[0]["stdout"], what="the answer's beginning")
    change(network_api, container, network_policy=narrower)
    assert plain_web.ended.wait(5)
    wait_until(lambda: "over" in network_api.shell(container, "cat got")[0]["stdout"], what="the end of curl")
    assert [decision["reason"] for decision in egress(network_api, container)] == ["policy_changed"]


def test_name_and_expiry_are_changed(network_api: Api) -> None:
    container = network_api.create(name="before")
    changed = change(
        network_api, container["id"], name="after", expires_after={"anchor": "last_active_at", "minutes": 7}
    )
    assert (changed["name"], changed["expires_after"]["minutes"]) == ("after", 7)
    assert network_api.retrieve(container["id"])["name"] == "after"
    assert change(network_api, container["id"])["name"] == "after"
    unknown = network_api.send("POST", f"/containers/cntr_{'0' * 48}", json={"name": "x"})
    assert unknown.status_code == 404


def test_decisions_come_in_pages(network_api: Api, plain_web: WebServer) -> None:
    container = allow(network_api, PLAIN)
    network_api.shell(container, f"for n in 1 2 3; do curl -sS http://{PLAIN}/$n; done")
    path = f"/containers/{container}/egress"
    first = network_api.call("GET", path, params={"limit": 2, "order": "asc"})
    rest = network_api.call("GET", path, params={"limit": 2, "order": "asc", "after": first["last_id"]})
    assert (len(first["data"]), first["has_more"], len(rest["data"]), rest["has_more"]) == (2, True, 1, False)
    assert network_api.send("GET", f"/containers/cntr_{'0' * 48}/egress").status_code == 404


def test_what_happens_is_counted_and_on_the_log(
    network_api: Api, network_server: AtollServer, plain_web: WebServer
) -> None:
    container = allow(network_api, PLAIN)
    elsewhere = "elsewhere.example.test"
    network_api.shell(container, f"curl -sS http://{PLAIN}/bytes/100000 | wc -c; curl -sS http://{elsewhere}/")
    metrics = network_api.send("GET", f"{network_server.base_url.removesuffix('/v1')}/metrics").text
    counts = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert float(counts['atoll_egress_decisions_total{reason="allowed"}']) >= 1
    assert float(counts['atoll_egress_decisions_total{reason="name_not_allowed"}']) >= 1
    assert float(counts['atoll_egress_bytes_total{direction="received"}']) >= 100_000
    lines = [line.partition("atoll.egress.audit: ")[2] for line in network_server.log_tail(lines_max=50).splitlines()]
    logged = [json.loads(line) for line in lines if line]
    assert {"name": elsewhere, "port": 53, "reason": "name_not_allowed"}.items() <= logged[-1].items()


def test_without_walls_no_policy_is_taken(plain_server: AtollServer) -> None:
    policy = {"type": "allowlist", "allowed_domains": ["example.com"]}
    answer = plain_server.api().send("POST", "/containers", json={"name": "x", "network_policy": policy})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "network_policy.type"


def test_the_operators_bound(make_server: MakeServer, outside: Outside, plain_web: WebServer) -> None:
    server = make_server("oci", **outside.settings, egress_allowed_domains=f"{PLAIN}, *.sub.example.test")
    api = server.api()
    for domain in (SECURE, f"a.{PLAIN}", "*.example.test", "*.test.example"):
        policy = {"type": "allowlist", "allowed_domains": [PLAIN, domain]}
        answer = api.send("POST", "/containers", json={"name": "x", "network_policy": policy})
        assert answer.status_code == 400, domain
        assert answer.json()["error"]["param"] == "network_policy.allowed_domains[1]"
        assert "operator" in answer.json()["error"]["message"]
    container = allow(api, PLAIN, "deep.sub.example.test")
    assert api.shell(container, f"curl -sS http://{PLAIN}/hello")[0]["stdout"] == "GET /hello 0\n"


def change(api: Api, container_id: str, **body: object) -> Json:
    return api.call("POST", f"/containers/{container_id}", json=body)
