"""Large answers in flight: together they take no more of the server's memory than the operator allows."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

from tests.harness.api import Api, logs_of
from tests.harness.machine import memory_bytes
from tests.harness.peaks import PeakGrowth
from tests.harness.poll import wait_until
from tests.harness.server import MakeServer

MIB = 1024 * 1024
CALLS = 5
IMAGES = 4
IMAGE_BYTES = 15_000_000
ANSWERS_BYTES_MAX = 128 * MIB
# Buffers of the transfer itself, some for each call, and what the allocator keeps.
SLACK_BYTES = 96 * MIB
CODE = f"""
import os
from IPython.display import Image, display
for _ in range({IMAGES}):
    display(Image(data=b"\\x89PNG\\r\\n\\x1a\\n" + os.urandom({IMAGE_BYTES}), format="png"))
"""


def images_of(api: Api, container_id: str, *, stream: bool) -> list[int]:
    """Run the code; give the sizes of the URLs that came."""
    if not stream:
        call = api.python(container_id, CODE)
    else:
        body = {"code": CODE}
        with api.streamed(f"/containers/{container_id}/code_interpreter_calls", body) as events:
            call = list(events)[-1].data["item"]
    assert call["status"] == "completed", logs_of(call)[-500:]
    return [len(output["url"]) for output in call["outputs"] if output["type"] == "image"]


def test_images_of_many_calls_at_once(make_server: MakeServer) -> None:
    server = make_server("plain", answers_bytes_max=ANSWERS_BYTES_MAX)
    api = server.api()
    containers = [api.create()["id"] for _ in range(CALLS)]
    for container_id in containers:
        api.logs(container_id, "from IPython.display import Image, display")
    before = memory_bytes(server.pid_of("server"))
    with PeakGrowth(server) as growth, ThreadPoolExecutor(CALLS) as pool:
        came = pool.map(lambda one, kind: images_of(api, one, stream=kind), containers, cycle((False, True)))
        sizes = [size for of_one in came for size in of_one]
    assert len(sizes) == CALLS * IMAGES
    assert min(sizes) > IMAGE_BYTES * 4 // 3
    (grown,) = [size for name, size in growth.growth_bytes.items() if name.endswith(" server")]
    assert IMAGE_BYTES < grown < ANSWERS_BYTES_MAX + SLACK_BYTES
    wait_until(
        lambda: memory_bytes(server.pid_of("server")) < before + SLACK_BYTES, what="the memory of sent answers free"
    )
