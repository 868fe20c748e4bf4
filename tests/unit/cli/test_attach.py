"""``atoll attach``: somebody at a terminal, and a real server."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli.escape_key import EscapeReader, key_of
from atoll.cli.screen_modes import ScreenModes
from tests.harness.api import Api
from tests.harness.person import Person
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR, AtollServer, MakeServer
from tests.unit.cli.conftest import Atoll

READY = "bind 'set enable-bracketed-paste off'; PS1=rea''dy; PS2=\n"


@pytest.fixture(scope="module")
def container(plain_server: AtollServer) -> Iterator[str]:
    api = plain_server.api()
    container_id = api.create("attach")["id"]
    yield container_id
    api.delete(container_id)


def at_terminal(server: AtollServer, cwd: Path, *arguments: str) -> Person:
    return Person("-m", "atoll.operate.main", *arguments, environment=server.environment, cwd=cwd)


def test_a_real_terminal(plain_server: AtollServer, container: str, tmp_path: Path) -> None:
    with at_terminal(plain_server, tmp_path, "attach", "attach") as person:
        person.type(READY).wait_for("ready")
        person.type("stty size\n").wait_for("30 100\r\nready")
        person.resize(132, 50)
        person.type("until [ \"$(stty size)\" = '50 132' ]; do read -t 0.01 < /dev/zero; done; echo resi''zed\n")
        person.wait_for("resized")
        person.type("sleep 1000\n").wait_for("sleep 1000\r\n")
        person.type("\x03").wait_for(r"\^C(?s:.*)ready")
        person.type("echo $?\n").wait_for("130\r\nready")
        assert person.modes() != person.modes_before
        person.type("printf '\\033[?1049h\\033[?25l'; exit 7\n")
        assert person.end() == 7
        assert person.shown.rfind(b"\x1b[?25h\x1b[?1049l") > person.shown.rfind(b"\x1b[?25l")
        assert person.modes() == person.modes_before


def test_detaching_and_going_on(
    plain_server: AtollServer, container: str, tmp_path: Path, real_atoll: Atoll, api: Api
) -> None:
    with at_terminal(plain_server, tmp_path, "attach", container) as person:
        person.type(READY).wait_for("ready")
        person.type("x=4\n").wait_for("ready")
        person.type("echo a\x16\x1d\x1dc | od -c; echo do''ne\n").wait_for("035(?s:.*)done\r\n")
        person.type("\x1dd")
        assert person.end() == 0
        assert f"atoll attach {container} --terminal term_" in person.shown.decode()
        assert person.modes() == person.modes_before
    (listed,) = api.call("GET", f"/containers/{container}/terminals")["data"]
    assert listed["id"] in real_atoll("attach", container, "--list").stdout
    wait_until(
        lambda: not api.call("GET", f"/containers/{container}/terminals")["data"][0]["attached"], what="nobody there"
    )
    with at_terminal(plain_server, tmp_path, "attach", container, "--resume") as person:
        person.wait_for("x=4(?s:.*)ready")
        person.type("echo $((x+1))\n").wait_for("5\r\nready")
        person.process.send_signal(signal.SIGTERM)
        assert person.end() == 0
        assert person.modes() == person.modes_before
    assert real_atoll("attach", container, "--close", listed["id"]).code == 0
    with at_terminal(plain_server, tmp_path, "attach", container, "--terminal", listed["id"]) as person:
        assert person.end() == 125
        assert f"atoll: Terminal {listed['id']} not found on container" in person.shown.decode()


def test_a_server_that_goes_away_and_comes_back(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server("oci")  # without walls, sandboxes end with the server
    container = server.api().create("attach")["id"]
    with at_terminal(server, tmp_path, "attach", container) as person:
        person.type(READY).wait_for("ready")
        person.type("x=4\n").wait_for("ready")
        server.stop()
        person.wait_for("connection broke(?s:.*)connecting again")
        server.start()
        person.wait_for("ready")
        person.type("exit $((x+1))\n")
        assert person.end() == 5
        assert person.modes() == person.modes_before


def test_leaving_before_there_was_a_way(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        environment = {"PYTHONPATH": str(PROJECT_DIR / "src"), "ATOLL_BASE_URL": url, "ATOLL_API_KEY": "sk-x"}
        arguments = ("-m", "atoll.operate.main", "attach", "cntr_" + "0" * 48)
        with Person(*arguments, environment=environment, cwd=tmp_path) as person:
            with silent.accept()[0]:
                person.type("\x03")
                assert person.end() == 130
            assert b"detached" not in person.shown


def test_without_a_terminal(atoll: Atoll) -> None:
    outcome = atoll("attach", "x")
    assert outcome.code == 2
    assert "no terminal here" in outcome.stderr
    assert atoll("attach", "x", "--escape", "f12").code == 2


@pytest.fixture
def api(plain_server: AtollServer) -> Api:
    return plain_server.api()


def test_keys_have_names() -> None:
    assert (key_of("ctrl-]"), key_of("Ctrl-A"), key_of("ctrl-@"), key_of("none")) == (0x1D, 1, 0, None)


@given(st.lists(st.binary()))
def test_without_the_key_everything_passes(typed: list[bytes]) -> None:
    reader = EscapeReader(None)
    assert b"".join(map(reader.feed, typed)) == b"".join(typed)
    reader = EscapeReader(0x1D)
    assert b"".join(reader.feed(piece.replace(b"\x1d", b"\x1d\x1d")) for piece in typed) == b"".join(typed)
    assert not reader.is_detached


def test_the_key_and_d_detach() -> None:
    reader = EscapeReader(0x1D)
    assert (reader.feed(b"ab\x1d"), reader.feed(b"xc\x1d"), reader.feed(b"dcd")) == (b"ab", b"\x1dxc", b"")
    assert reader.is_detached


@pytest.mark.parametrize(
    ("shown", "undone"),
    [
        (b"hello \x1b[1m", b""),
        (b"\x1b[?1049h\x1b[?1;2004h", b"\x1b[?1l\x1b[?2004l\x1b[?1049l"),
        (b"\x1b[?1049h\x1b[?25l\x1b[?1049l", b"\x1b[?25h"),
        (b"\x1b[?25l\x1b[?25h\x1b=\x1b>", b""),
        (b"\x1b=\x1b[>4;2m\x1b[1;20r", b"\x1b>\x1b[>4m\x1b7\x1b[r\x1b8"),
        (b"\x1b[?1000h\x1b[1;20r\x1bc", b""),
        (b"\x1b[?10000;123456789012345678901234567890h\x1b[?9999h", b"\x1b[?9999l"),
    ],
    ids=["plain", "screen", "cursor", "as-it-was", "keys", "reset", "none-such"],
)
def test_what_was_switched_on_is_switched_off(shown: bytes, undone: bytes) -> None:
    whole, cut = ScreenModes(), ScreenModes()
    whole.feed(shown)
    for byte in shown:
        cut.feed(bytes((byte,)))
    assert whole.undo() == cut.undo() == b"\x1b[0m\x1b(B\x0f" + undone
