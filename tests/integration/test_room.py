"""Room on the machine, as people and operators see it: who is refused, and what happens when all is used."""

import httpx

from tests.harness.api import Api, logs_of
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer

MACHINES_MEMORY = "the machine's memory for all containers together was used up"


def asked(api: Api) -> httpx.Response:
    return api.send("POST", "/containers", json={"name": "one more"})


def refused_for(api: Api, reason: str) -> str:
    """Ask for a container, which must be refused; give what the answer says."""
    response = asked(api)
    assert response.status_code == 429, response.text
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    counted = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text
    assert f'atoll_refusals_total{{reason="{reason}"}}' in counted
    return str(response.json()["error"]["message"])


def roles(server: AtollServer) -> tuple[int, int]:
    return server.pid_of("server"), server.pid_of("supervisor")


def test_memory_is_promised_up_to_a_point(make_server: MakeServer) -> None:
    server = make_server("oci", memory_bytes_max="1GiB", memory_overcommit=3)
    api = server.api()
    made = [api.create(f"c{number}")["id"] for number in range(3)]
    for container in made:
        api.logs(container, "x = 1")
    message = refused_for(api, "memory_promised")
    assert "3.0 of 3.0 GiB" in message
    assert [api.logs(container, "print(x)") for container in made] == ["1\n"] * 3, "those that are there go on"
    assert len(server.sandboxes_that_run) == 3
    api.delete(made.pop())
    wait_until(lambda: asked(api).status_code == 200, what="room for another one")
    assert [api.logs(container, "print(x)") for container in made] == ["1\n"] * 2


def test_what_the_share_can_never_give_is_no_matter_of_waiting(make_server: MakeServer) -> None:
    api = make_server("oci", memory_bytes_max="1GiB").api()
    response = api.send("POST", "/containers", json={"name": "large", "memory_limit": "4g"})
    assert response.status_code == 400
    assert "1.0g" in response.json()["error"]["message"]


def test_memory_that_is_used_up(make_server: MakeServer) -> None:
    """All take what they were promised: no more are let in, the largest loses its Python, and only it."""
    server = make_server("oci", memory_bytes_max="1GiB", memory_overcommit=20, memory_free_bytes_min="256MiB")
    api = server.api()
    before = roles(server)
    small, large = api.create("small")["id"], api.create("large")["id"]
    for container, size in ((small, 300), (large, 400)):
        assert api.logs(container, f"x = bytearray(b'x') * ({size} << 20)\nprint(len(x) >> 20)") == f"{size}\n"
    api.upload(large, "kept.txt", b"kept")
    wait_until(lambda: asked(api).status_code == 429, what="no more are let in")
    refused_for(api, "memory_used")

    call = api.python(large, "y = bytearray(b'y') * (550 << 20)", timeout_ms=120_000)
    assert call["status"] == "failed"
    assert MACHINES_MEMORY in logs_of(call)
    assert api.logs(small, "print(len(x) >> 20)") == "300\n", "who took less goes on"
    assert [api.retrieve(container)["status"] for container in (small, large)] == ["running"] * 2
    assert api.logs(large, "print(open('kept.txt').read())") == "kept\n"
    assert roles(server) == before, "nothing of the host's ended"
    wait_until(lambda: asked(api).status_code == 200, what="room again")


def test_files_in_memory_are_held_to_the_share_too(make_server: MakeServer) -> None:
    """They are no process's, so ending one frees nothing of them; all the same it happens inside."""
    server = make_server("oci", memory_bytes_max="1GiB", memory_overcommit=40, memory_free_bytes_min=0)
    api = server.api()
    before = roles(server)
    made: list[str] = []
    while len(made) < 18 and (response := asked(api)).status_code == 200:
        made.append(response.json()["id"])
        api.upload(made[-1], "kept.txt", b"kept")
        api.shell(made[-1], "head -c 64M /dev/zero > /dev/shm/full", timeout_ms=60_000)
    assert len(made) > 10, made
    assert roles(server) == before, "nothing of the host's ended"
    for container in made[4:]:
        api.delete(container)
    for container in made[:4]:
        assert api.retrieve(container)["status"] == "running"
        wait_until(lambda: "kept" in api.shell(container, "cat kept.txt")[0]["stdout"], what="the next call")  # noqa: B023
    assert roles(server) == before
