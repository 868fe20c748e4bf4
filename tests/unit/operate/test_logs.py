"""Lines of the log: for people, for programs, and the ids on them."""

import json
import logging

import pytest

from atoll import about
from atoll.operate.logs import JsonLines, TextLines

REQUEST, CONTAINER, SANDBOX = "req_" + "1" * 32, "cntr_" + "2" * 48, "sbx_" + "3" * 32


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("atoll.some", logging.WARNING, __file__, 1, message, args, None)
    if fields:
        made.fields = fields
    return made


def test_people_see_the_ids_that_the_message_does_not_name() -> None:
    with about.concerning(request_id=REQUEST, container_id=CONTAINER):
        line = TextLines().format(record("%s ended by itself", SANDBOX))
    assert line.endswith(f" WARNING atoll.some: {SANDBOX} ended by itself [{REQUEST} {CONTAINER}]")
    assert TextLines().format(record("nothing in particular")).endswith("atoll.some: nothing in particular")


def test_programs_get_fields() -> None:
    line = json.loads(JsonLines("server").format(record("%s of %s", SANDBOX, CONTAINER, status=200, level="no")))
    assert (line["sandbox_id"], line["container_id"], line["status"]) == (SANDBOX, CONTAINER, 200)
    assert (line["process"], line["level"], line["message"]) == ("server", "warning", f"{SANDBOX} of {CONTAINER}")
    assert "request_id" not in line


@pytest.mark.parametrize("text", [f"a program said {SANDBOX}", SANDBOX + "\n", SANDBOX.upper()])
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    line = JsonLines("server").format(record("%s", text))
    assert "sandbox_id" not in json.loads(line)
    assert "\n" not in line


def test_a_sandbox_that_was_asked_for_names_its_container() -> None:
    about.name_sandbox(SANDBOX, CONTAINER)
    assert json.loads(JsonLines("supervisor").format(record("%s ended", SANDBOX)))["container_id"] == CONTAINER
