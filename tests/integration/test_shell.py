"""What shell commands may expect of a container."""

from collections.abc import Iterator

import pytest

from tests.harness.api import Api


@pytest.fixture(scope="module")
def box(oci_api: Api) -> Iterator[str]:
    """Give one container for all tests of this module."""
    container_id = oci_api.create("shell")["id"]
    yield container_id
    oci_api.delete(container_id)


def test_each_command_has_its_output(box: str, oci_api: Api) -> None:
    commands = ["echo out; echo err >&2; exit 7", "pwd", "whoami", "kill -TERM $$"]
    output = oci_api.shell(box, *commands)
    assert [(item["stdout"], item["stderr"]) for item in output[:3]] == [
        ("out\n", "err\n"),
        ("/mnt/data\n", ""),
        ("sandbox\n", ""),
    ]
    assert [item["outcome"] for item in output] == [
        {"type": "exit", "exit_code": 7},
        {"type": "exit", "exit_code": 0},
        {"type": "exit", "exit_code": 0},
        {"type": "exit", "exit_code": 128 + 15},
    ]


def test_each_command_is_a_fresh_bash(box: str, oci_api: Api) -> None:
    output = oci_api.shell(box, "cd /tmp; export X=1; f() { :; }", 'pwd; echo "[$X]"; type f 2>&1')
    assert output[1]["stdout"].startswith("/mnt/data\n[]\n")
    assert "not found" in output[1]["stdout"]


def test_bytes_that_are_no_text(box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, r"printf 'a\xff\x00b\n'")
    assert output["stdout"][0] == "a"
    assert output["stdout"][-2:] == "b\n"


def test_time_out_keeps_what_came(box: str, oci_api: Api) -> None:
    output = oci_api.shell(box, "echo first", "echo begun; sleep 1000", timeout_ms=700)
    assert output[0]["outcome"] == {"type": "exit", "exit_code": 0}
    assert output[1]["stdout"] == "begun\n"
    assert output[1]["outcome"] == {"type": "timeout"}
    assert oci_api.shell(box, "pgrep -c sleep")[0]["stdout"] == "0\n"


def test_max_output_length(box: str, oci_api: Api) -> None:
    body = {"commands": ["seq 100000", "echo short"], "max_output_length": 1000}
    call = oci_api.call("POST", f"/containers/{box}/shell_calls", json=body)
    assert call["max_output_length"] == 1000
    cut = call["output"][0]["stdout"]
    assert len(cut) < 1300
    assert cut.startswith("1\n2\n")
    assert cut.endswith("99999\n100000\n"), "the middle is what is missing"
    assert call["output"][1]["stdout"] == "short\n"


def test_background_program_lives_on_and_holds_nothing_up(container: str, oci_api: Api) -> None:
    oci_api.shell(container, "(while true; do date > heartbeat; sleep 0.1; done) &", timeout_ms=20_000)
    (output,) = oci_api.shell(container, "rm -f heartbeat; while [ ! -e heartbeat ]; do sleep 0.02; done; echo alive")
    assert output["stdout"] == "alive\n"


def test_streamed_as_produced(container: str, oci_api: Api) -> None:
    body = {"commands": ["echo first; while [ ! -e go ]; do sleep 0.02; done; echo second >&2"]}
    with oci_api.streamed(f"/containers/{container}/shell_calls", body) as events:
        delta = next(event for event in events if event.name == "response.shell_call_output_content.delta")
        assert delta.data["delta"] == {"stdout": "first\n"}
        assert delta.data["command_index"] == 0
        oci_api.upload(container, "go", b"")
        rest = list(events)
    assert rest[-1].name == "response.output_item.done"
    (output,) = rest[-1].data["item"]["output"]
    assert (output["stdout"], output["stderr"]) == ("first\n", "second\n")


@pytest.mark.parametrize("body", [{"commands": []}, {"commands": ["x"] * 101}, {"commands": "ls"}, {}])
def test_refused(body: dict[str, object], box: str, oci_api: Api) -> None:
    response = oci_api.send("POST", f"/containers/{box}/shell_calls", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "commands"
