"""Two hundred calls at once: nobody waits for another container's call."""

from concurrent.futures import ThreadPoolExecutor

from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import MakeServer

CONTAINERS = 50
CALLS_EACH = 4  # of which three wait for the first
CODE = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.1)\nprint(mine)"


def run(api: Api, container_id: str, number: int) -> str:
    """Run the code, every other time as a stream; give what it wrote."""
    if number % 2:
        return api.logs(container_id, CODE)
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", {"code": CODE}) as events:
        return "".join(event.data["delta"] for event in events if event.name.endswith("logs.delta"))


def in_flight(api: Api) -> dict[str, float]:
    """Give how many Python calls run and wait, as the server counts them."""
    lines = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("atoll_calls_"))
    return {state: float(values[f'atoll_calls_{state}{{kind="python"}}']) for state in ("running", "waiting")}


def test_two_hundred_calls(make_server: MakeServer) -> None:
    server = make_server("oci", memory_overcommit=100)
    api, watch = server.api(), server.api()  # the first one's connections will all be in use
    calls_waiting = CONTAINERS * (CALLS_EACH - 1)
    with ThreadPoolExecutor(CONTAINERS * CALLS_EACH) as pool:
        ids = [str(container["id"]) for container in pool.map(lambda _: api.create(), range(CONTAINERS))]
        for container_id, written in zip(ids, pool.map(lambda one: api.logs(one, f"mine = {one!r}"), ids), strict=True):
            assert written == "", container_id
        calls = [(container_id, number) for number in range(CALLS_EACH) for container_id in ids]
        written_by_calls = pool.map(lambda call: run(api, *call), calls)
        wait_until(
            lambda: in_flight(watch) == {"running": CONTAINERS, "waiting": calls_waiting},
            what="a call that runs in each container, and all others waiting",
        )
        for container_id in ids:
            watch.upload(container_id, "go", b"")
        assert list(written_by_calls) == [f"{container_id}\n" for container_id, _ in calls]
