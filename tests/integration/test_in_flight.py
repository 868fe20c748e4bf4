"""Two hundred calls at once: nobody waits for another container's call."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.harness.api import Api
from tests.harness.server import MakeServer

CONTAINERS = 50
CALLS_EACH = 4
WAIT_S = 1.0
CODE = f"import time; time.sleep({WAIT_S}); print(mine)"


def run(api: Api, container_id: str, number: int) -> str:
    """Run the code, every other time as a stream; give what it wrote."""
    if number % 2:
        return api.logs(container_id, CODE)
    with api.streamed(f"/containers/{container_id}/code_interpreter_calls", {"code": CODE}) as events:
        return "".join(event.data["delta"] for event in events if event.name.endswith("logs.delta"))


def test_two_hundred_calls(make_server: MakeServer) -> None:
    api = make_server("oci", memory_overcommit=100).api()
    with ThreadPoolExecutor(CONTAINERS * CALLS_EACH) as pool:
        ids = [str(container["id"]) for container in pool.map(lambda _: api.create(), range(CONTAINERS))]
        for container_id, written in zip(ids, pool.map(lambda one: api.logs(one, f"mine = {one!r}"), ids), strict=True):
            assert written == "", container_id
        began = time.monotonic()
        calls = [(container_id, number) for number in range(CALLS_EACH) for container_id in ids]
        written_by_calls = list(pool.map(lambda call: run(api, *call), calls))
        took_s = time.monotonic() - began
    assert written_by_calls == [f"{container_id}\n" for container_id, _ in calls]
    # A container's own calls wait for each other. Were it eight containers at a time, it would be 25 seconds.
    assert took_s < 5 * CALLS_EACH * WAIT_S
