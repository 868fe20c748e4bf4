"""``atoll bench`` on a server that fails; on a real one it is among the tests of integration."""

from tests.unit.cli.conftest import Atoll
from tests.unit.cli.scripted_server import Answer, ScriptedServer
from tests.unit.cli.test_connection import page


def test_failures_are_counted(atoll: Atoll, scripted: ScriptedServer) -> None:
    scripted.answers["GET /v1/containers"] = page()
    outcome = atoll("bench", "--runs", "1")
    assert outcome.code == 1
    assert [line.split()[-3:] for line in outcome.stdout.splitlines()[1:3]] == [["1", "-", "-"]] * 2
    assert "answered 404" in outcome.stderr
    scripted.answers["GET /v1/containers"] = Answer({"error": {"message": "No."}}, 401)
    assert atoll("bench").code == 4
