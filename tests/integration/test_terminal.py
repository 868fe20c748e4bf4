"""What people may expect of a terminal in a container, through a real server."""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.harness.api import Api
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer, MakeServer
from tests.harness.terminal import SUBPROTOCOL, Screen, key_subprotocol

# The shell may let a program run before the terminal is its own: what is typed then is for the shell. And not dash:
# it forgets an interrupt that comes while it forks.
SLEEPER = (
    "python3 -c 'import os, time; list(iter(lambda: os.tcgetpgrp(0) == os.getpgrp(), True)); "
    """print("beg" "un", flush=True); time.sleep(1000)'\n"""
)


@pytest.fixture
def api(server: AtollServer) -> Api:
    """Give the client of each of the shared servers in turn."""
    return server.api()


@pytest.fixture
def box(api: Api) -> Iterator[str]:
    """Give a container of one's own on it."""
    container_id = api.create("terminal")["id"]
    yield container_id
    api.send("DELETE", f"/containers/{container_id}")


def opened(api: Api, container_id: str, **query: object) -> Screen:
    return Screen(api.base_url, api.api_key, container_id, query=query)


def type_for_ever(screen: Screen) -> None:
    while True:
        screen.type(b"x" * 50_000)


def terminals(api: Api, container_id: str) -> list[dict[str, Any]]:
    data = api.call("GET", f"/containers/{container_id}/terminals")["data"]
    assert isinstance(data, list)
    return data


def test_a_shell_on_a_real_terminal(api: Api, box: str) -> None:
    with opened(api, box, cols=100, rows=30) as screen:
        first = screen.message()
        assert {key: first[key] for key in ("type", "container_id", "cols", "rows")} == {
            "type": "attached",
            "container_id": box,
            "cols": 100,
            "rows": 30,
        }
        screen.settled()
        assert screen.run("stty size; tty | cut -c-9") == "30 100\n/dev/pts/\n"
        assert screen.run("echo $TERM; : < /dev/tty && echo mine") == "xterm-256color\nmine\n"
        assert screen.run("printf 'a\\xff\\xfeb' | od -An -tx1") == " 61 ff fe 62\n"
        screen.order(type="resize", cols=132, rows=50)
        wait_until(lambda: screen.run("stty size") == "50 132\n", what="the new size")
        screen.type("exit 3\n")
        assert screen.end() == ([{"type": "exit", "exit_code": 3, "signal": None}], 1000, "The shell has ended.")
    assert terminals(api, box) == []


def test_control_c(api: Api, box: str) -> None:
    with opened(api, box) as screen:
        screen.settled().type(SLEEPER).wait_for("begun\r\n")
        screen.type("\x03").wait_for(r"\^C(?s:.*)ready")
        assert screen.run("echo $?") == "130\n"
        screen.type(SLEEPER).wait_for("begun\r\n")
        screen.order(type="signal", signal="INT").wait_for("ready")
        assert screen.run("echo $?") == "130\n"


def test_files_and_state_are_the_containers(api: Api, box: str) -> None:
    api.upload(box, "in.txt", b"hello\n")
    with opened(api, box) as screen:
        screen.settled()
        assert screen.run("cat in.txt; pwd | grep -c data") == "hello\n1\n"
        screen.run("echo made > out.txt")
    assert api.shell(box, "cat out.txt")[0]["stdout"] == "made\n"


def test_connecting_again(api: Api, box: str) -> None:
    with opened(api, box) as screen:
        terminal_id = screen.attached()
        screen.settled().run("x=5")
    wait_until(lambda: not terminals(api, box)[0]["attached"], what="a terminal that nobody has")
    (listed,) = terminals(api, box)
    assert listed["id"] == terminal_id
    assert (listed["object"], listed["container_id"], listed["cols"]) == ("container.terminal", box, 80)
    with opened(api, box, terminal_id=terminal_id) as again:
        assert again.attached() == terminal_id
        again.wait_for("x=5(?s:.*)ready")
        assert again.run("echo $x") == "5\n"
        with opened(api, box, terminal_id=terminal_id) as third:
            messages, code, reason = again.end()
            assert (code, reason) == (4409, "Another connection has taken the terminal over.")
            assert messages == [{"type": "detached", "reason": "taken_over", "message": reason}]
            third.wait_for("echo (?s:.*)5\r\nend\r\nready")
            assert third.run("echo $x") == "5\n"


def test_several_at_once(api: Api, box: str) -> None:
    screens = [opened(api, box) for _ in range(8)]
    ids = [screen.attached() for screen in screens]
    for number, screen in enumerate(screens):
        screen.settled().run(f"x={number}")
    assert [screen.run("echo $x") for screen in screens] == [f"{number}\n" for number in range(8)]
    with opened(api, box) as ninth:
        messages, code, reason = ninth.end()
        assert code == 4429
        assert "8 terminals" in reason
        assert messages[0]["error"]["message"].startswith(reason.removesuffix("…"))
    assert _metric(api, 'atoll_refusals_total{reason="terminals"}') >= 1
    assert sorted(one["id"] for one in terminals(api, box)) == ids
    closed = api.call("DELETE", f"/containers/{box}/terminals/{ids[3]}")
    assert closed == {"id": ids[3], "object": "container.terminal.closed", "closed": True}
    assert screens[3].end()[1:] == (4410, "The terminal was closed.")
    assert api.send("DELETE", f"/containers/{box}/terminals/{ids[3]}").status_code == 404
    with opened(api, box) as ninth:
        ninth.attached()
    for screen in screens:
        screen.close()


def test_a_flood_and_an_interrupt(api: Api, box: str) -> None:
    with opened(api, box) as screen:
        screen.settled().type("yes 0123456789\n")
        while screen.shown_bytes < 2_000_000:
            screen.wait_for("0123456789")
            screen.shown = b""
        screen.type("\x03").wait_for(r"\^C(?s:.*)ready")
        assert screen.run("echo well") == "well\n"


def test_a_client_that_does_not_read(api: Api, box: str) -> None:
    with opened(api, box) as slow, opened(api, box) as other:
        slow.settled().type("yes\n").wait_for("yes\r\n")
        other.settled()
        assert other.run("echo well") == "well\n"
        assert api.logs(box, "print(1)") == "1\n"
        slow.type("\x03").wait_for(r"\^C")


def test_what_is_typed_into_a_program_that_does_not_read(plain_server: AtollServer) -> None:
    own = plain_server.api()
    box = own.create()["id"]
    sleep = f"sleep 1000.{os.getpid()}"  # without walls, those of others are seen, too
    with opened(own, box) as screen:
        terminal_id = screen.attached()
        screen.settled().type(f"stty raw -echo; {sleep}\n").wait_for(f"{sleep}\r\n")
        with ThreadPoolExecutor(1) as typist:
            typing = typist.submit(type_for_ever, screen)
            # The code comes after a message: a client that does not take that does not get to see it.
            messages, code, reason = screen.end()
        assert isinstance(typing.exception(), ConnectionClosed)
        assert code == 4400
        assert "does not read" in reason
        assert [message["error"]["message"] for message in messages] == [reason]
    with opened(own, box, terminal_id=terminal_id) as again:
        again.order(type="signal", signal="INT")
        again.order(type="signal", signal="QUIT")
        wait_until(lambda: sleep not in own.shell(box, "ps -eo args | grep '^sleep 1000'")[0]["stdout"], what="its end")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"type":"resize"}', '{"type":"resize","cols":0,"rows":5}',
     '{"type":"signal","signal":"SEGV"}', '{"type":"resize","cols":1e9,"rows":5}',
     '{"type":"resize","cols":-1,"rows":5}', '{"type":"nothing"}',
     '{"type":"resize","cols":80,"rows":24,"more":1}', '{"type":"resize","cols":"80","rows":24}', "[" * 5000],
)  # fmt: skip
def test_messages_that_make_no_sense(oci_api: Api, shared_box: str, text: str) -> None:
    with opened(oci_api, shared_box) as screen:
        screen.attached()
        screen.settled()
        screen.socket.send(text)
        answer = screen.message()
        assert answer["type"] == "error"
        assert answer["error"]["type"] == "invalid_request_error"
        assert screen.run("echo on") == "on\n"
        screen.type("exit\n").end()


def test_a_message_that_is_too_large(oci_api: Api, shared_box: str) -> None:
    with opened(oci_api, shared_box) as screen:
        screen.attached()
        screen.type(b"x" * (64 * 1024 + 1))
        assert screen.end()[1] == 1009
    close_all(oci_api, shared_box)


def test_text_that_is_not_unicode(oci_api: Api, shared_box: str) -> None:
    with opened(oci_api, shared_box) as screen:
        screen.attached()
        screen.socket.send(b"\xff\xfe{", text=True)
        assert screen.end()[1] == 1007
    close_all(oci_api, shared_box)


def test_a_message_in_very_many_pieces(oci_api: Api, shared_box: str) -> None:
    with opened(oci_api, shared_box) as screen:
        screen.attached()
        with pytest.raises(ConnectionClosed):
            screen.socket.send(b"" for _ in range(100_000))
        assert screen.end()[1] in (1006, 1008)  # the code may be lost behind what is still being sent
    close_all(oci_api, shared_box)


@pytest.fixture(scope="module")
def shared_box(oci_api: Api) -> Iterator[str]:
    """Give one container for all that leave it as they found it."""
    container_id = oci_api.create("terminals")["id"]
    yield container_id
    oci_api.delete(container_id)


def close_all(api: Api, container_id: str) -> None:
    for one in terminals(api, container_id):
        api.send("DELETE", f"/containers/{container_id}/terminals/{one['id']}")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cols": "x"}, 4400),
        ({"cols": 0}, 4400),
        ({"rows": 1001}, 4400),
        ({"rows": "9" * 50}, 4400),
        ({"terminal_id": "term_" + "0" * 32}, 4404),
        ({"terminal_id": "../../etc"}, 4404),
        ({"terminal_id": ""}, 4404),
    ],
)
def test_what_is_asked_for_cannot_be(oci_api: Api, shared_box: str, query: dict[str, object], code: int) -> None:
    with opened(oci_api, shared_box, **query) as screen:
        messages, closed_with, reason = screen.end()
    assert closed_with == code
    assert messages[0]["type"] == "error"
    assert messages[0]["error"]["message"].startswith(reason.removesuffix("…"))


def test_containers_that_are_not_there(oci_api: Api) -> None:
    for container_id in ("cntr_" + "0" * 48, "nonsense"):
        with opened(oci_api, container_id) as screen:
            _, code, reason = screen.end()
        assert (code, reason.removesuffix("…")[:19]) == (4404, "Container with id '")


def test_keys(oci_server: AtollServer, oci_api: Api, shared_box: str) -> None:
    base_url, key = oci_api.base_url, oci_api.api_key
    for screen in (
        Screen(base_url, None, shared_box, headers={"api-key": key}),
        Screen(base_url, None, shared_box, subprotocols=[SUBPROTOCOL, key_subprotocol(key)]),
        Screen(base_url.replace("/v1", "/openai/v1"), key, shared_box),
    ):
        with screen:
            screen.attached()
            assert screen.socket.subprotocol in (None, SUBPROTOCOL)
            screen.type("exit\n").end()
    for wrong in (
        Screen(base_url, None, shared_box),
        Screen(base_url, "sk-nothing", shared_box),
        Screen(base_url, None, shared_box, query={"api_key": key}),  # in the query, where it would be logged
        Screen(base_url, None, shared_box, subprotocols=[SUBPROTOCOL, key_subprotocol("sk-nothing")]),
        Screen(base_url, None, shared_box, subprotocols=[SUBPROTOCOL, "atoll.key.!!!"]),
        Screen(base_url, None, shared_box, subprotocols=[SUBPROTOCOL, "atoll.key._w"]),
    ):
        with wrong:
            assert wrong.end()[1] == 4401
    assert key not in oci_server.log_path.read_text()
    other = oci_server.atoll("keys", "create", "--project", "another-of-terminals", "--name", "x")
    with Screen(base_url, re.findall(r"sk-\S+", other)[0], shared_box) as stranger:
        assert stranger.end()[1] == 4404


def test_pages_of_other_origins(oci_api: Api, shared_box: str) -> None:
    own = oci_api.base_url.removesuffix("/v1")
    with Screen(oci_api.base_url, oci_api.api_key, shared_box, origin=own) as screen:
        screen.attached()
        screen.type("exit\n").end()
    for origin in ("https://evil.example", "null", own + "0", "http://[", "x" * 1000):
        with pytest.raises(InvalidStatus) as refused:
            Screen(oci_api.base_url, oci_api.api_key, shared_box, origin=origin)
        assert refused.value.response.status_code == 403
        assert b'"invalid_request_error"' in refused.value.response.body


def test_other_paths_are_not_for_sockets_and_this_is_for_nothing_else(oci_api: Api, shared_box: str) -> None:
    answer = oci_api.send("GET", f"/containers/{shared_box}/terminal")
    assert answer.status_code == 405
    with pytest.raises(InvalidStatus) as refused:
        Screen(oci_api.base_url + "/containers/x/files", oci_api.api_key, "y")
    assert refused.value.response.status_code == 404


def test_the_end_of_the_container_is_told(api: Api, box: str) -> None:
    with opened(api, box) as screen:
        screen.attached()
        api.call("POST", f"/containers/{box}/restart")
        messages, code, reason = screen.end()
        assert (code, messages[0]["reason"]) == (4410, "restarted")
        assert "restarted" in reason
    with opened(api, box) as screen:
        screen.attached()
        api.delete(box)
        _, code, reason = screen.end()
        assert code == 4404
        assert reason.startswith("Container with id")


def test_a_program_for_the_whole_screen(oci_api: Api, container: str) -> None:
    with opened(oci_api, container, cols=80, rows=24) as screen:
        terminal_id = screen.attached()
        screen.settled().type("seq 1000 > numbers; less numbers\n").wait_for("23(?s:.*)numbers")
        screen.type("G").wait_for("1000")
        screen.close()
    with opened(oci_api, container, terminal_id=terminal_id, cols=100, rows=40) as again:
        again.attached()
        again.wait_for(r"~(?s:.*)END")  # it has seen the new size, which makes it forget half a command
        again.type("!stty size\n").wait_for("40 100(?s:.*)RETURN")
        again.type("\n").wait_for("1000")
        again.type("q").wait_for("ready")
        again.type("top -d 0.2\n").wait_for("PID(?s:.*)USER")
        again.type("q").wait_for("ready")


def test_kill_all_in_a_terminal_ends_nothing_else(oci_api: Api, container: str) -> None:
    neighbour = oci_api.create("neighbour")["id"]
    with opened(oci_api, container) as screen, opened(oci_api, neighbour) as beside:
        beside.attached()
        beside.settled()
        screen.attached()
        screen.settled().type("kill -9 -1; kill -9 $$\n")
        messages, code, _ = screen.end()
        assert (code, messages) == (1000, [{"type": "exit", "exit_code": None, "signal": signal.SIGKILL}])
        assert beside.run("echo well") == "well\n"
    oci_api.delete(neighbour)
    with opened(oci_api, container) as screen:
        screen.attached()
        assert screen.settled().run("echo again") == "again\n"


_FILL = b"""
import os, time
try:
    while os.fork():
        pass
except OSError:
    print("full", flush=True)
time.sleep(1000)
"""


def test_a_container_that_is_full_of_processes(oci_api: Api, container: str) -> None:
    oci_api.upload(container, "fill.py", _FILL)
    with opened(oci_api, container) as screen:
        screen.attached()
        screen.settled().type("python3 fill.py\n").wait_for("full")

        def refused() -> str:
            with opened(oci_api, container) as second:
                message = second.message()
                if message["type"] == "error":
                    return str(message["error"]["message"])
                second.type("exit\n").end()
                return ""

        assert "restart" in wait_until(refused, what="a container without room for a shell")
    oci_api.call("POST", f"/containers/{container}/restart")
    with opened(oci_api, container) as screen:
        screen.attached()
        assert screen.settled().run("echo room") == "room\n"


def test_the_metrics(oci_server: AtollServer, oci_api: Api, container: str) -> None:
    with opened(oci_api, container) as screen:
        screen.attached()
        assert _metric(oci_api, "atoll_terminal_connections_open") >= 1
        screen.settled().type("exit\n").end()
    assert _metric(oci_api, 'atoll_terminal_connections_total{cause="exited"}') >= 1
    assert _metric(oci_api, 'atoll_terminal_bytes_total{direction="out"}') > 0


def _metric(api: Api, name: str) -> float:
    page = api.send("GET", api.base_url.removesuffix("/v1") + "/metrics").text
    (line,) = [line for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def test_a_restart_of_the_server_keeps_terminals(make_server: MakeServer) -> None:
    server = make_server("oci")
    api = server.api()
    box = api.create()["id"]
    with opened(api, box) as screen:
        terminal_id = screen.attached()
        screen.settled().run("x=7")
        server.stop()
        assert screen.end()[1] == 1012
    server.start()
    with opened(api, box, terminal_id=terminal_id) as again:
        again.attached()
        again.wait_for("x=7(?s:.*)ready")
        assert again.run("echo $x") == "7\n"
