"""Turns, failures and memory of a comparison, with contenders that are made of nothing."""

import json
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import Memory, Tally, memory_for_each, opened, take_turns
from benchmarks.comparison import standings
from benchmarks.contenders.contender import Contender, ContenderError, NotHereError, Started
from benchmarks.memory import MB
from benchmarks.report import Report
from tests.unit.benchmarks.fake_contender import FACTS, FakeContender


def turns(*contenders: FakeContender, rounds: int = 1, calls: int = 0) -> dict[str, Tally]:
    return take_turns(contenders, rounds=rounds, calls=calls, order=random.Random(1), pause_s=0)  # noqa: S311 - no secret


def test_each_starts_once_in_each_round_and_all_settle_before() -> None:
    one, two = FakeContender("one"), FakeContender("two")
    tallies = turns(one, two, rounds=5)
    assert [len(tallies[name].first_ms) for name in ("one", "two")] == [5, 5]
    for contender in (one, two):
        assert [step for step in contender.log if step != "settle"] == ["start", "end"] * 5
        assert contender.log.count("settle") == 10


def test_the_order_differs_between_rounds() -> None:
    order: list[str] = []

    class Noting(FakeContender):
        def start(self, code: str) -> Started:
            order.append(self.name)
            return super().start(code)

    turns(*(Noting(name) for name in "abcd"), rounds=10)
    rounds = {tuple(order[begin : begin + 4]) for begin in range(0, 40, 4)}
    assert len(rounds) > 1
    assert all(sorted(one) == list("abcd") for one in rounds)


def test_calls_are_made_only_where_something_lives_on() -> None:
    living, gone = FakeContender("living", ["3\n", "2\n", "2\n"], again="a kernel"), FakeContender("gone")
    tallies = turns(living, gone, calls=2)
    assert len(tallies["living"].call_ms) == 2
    assert not tallies["gone"].call_ms
    assert "run" not in gone.log


def test_a_wrong_output_is_a_failure_and_still_ended() -> None:
    contender = FakeContender("wrong", ["4\n"])
    tally = turns(contender)["wrong"]
    assert tally.first_ms == []
    assert tally.first_failures == ["expected '3\\n', got '4\\n'"]
    assert contender.log[-1] == "end"


def test_a_failed_end_is_a_failure() -> None:
    contender = FakeContender("stays")
    contender.end_error = ContenderError("it stays")
    tally = turns(contender)["stays"]
    assert (tally.first_ms, tally.first_failures) == ([], ["its end: it stays"])


def test_failed_calls_are_counted_beside_those_that_succeeded() -> None:
    contender = FakeContender("some", ["3\n", "2\n", ContenderError("lost"), "22\n"], again="a kernel")
    tally = turns(contender, calls=3)["some"]
    assert (len(tally.first_ms), len(tally.call_ms), len(tally.call_failures)) == (1, 1, 2)


def test_three_failures_in_a_row_end_its_turns() -> None:
    broken = FakeContender("broken", [ContenderError("no")] * 9)
    recovers = FakeContender("recovers", [ContenderError("no"), ContenderError("no"), "3\n", ContenderError("no")])
    tallies = turns(broken, recovers, rounds=6)
    assert len(tallies["broken"].first_failures) == 3
    assert (len(tallies["recovers"].first_ms), len(tallies["recovers"].first_failures)) == (3, 3)


def test_memory_is_held_against_the_mean_of_before_and_after() -> None:
    contender = FakeContender("greedy")
    looks = iter([1000 * MB, 560 * MB, 960 * MB])
    assert memory_for_each(contender, 4, looks.__next__) == Memory(105 * MB, 5 * MB)
    assert contender.log.count("end") == 4


def test_memory_of_one_that_fails_ends_those_that_live() -> None:
    contender = FakeContender("greedy", ["3\n", "3\n", "wrong"])
    with pytest.raises(ContenderError):
        memory_for_each(contender, 4, lambda: 0)
    assert contender.log.count("end") == 3


def test_what_is_missing_is_not_opened() -> None:
    contender = FakeContender("absent")
    contender.missing = "no engine answers"
    with pytest.raises(NotHereError, match="no engine answers"), ExitStack() as ends:
        ends.enter_context(opened(contender))
    assert contender.log == []


def test_what_fails_to_open_is_closed() -> None:
    contender = FakeContender("half")
    contender.open_error = NotHereError("half a start")
    with pytest.raises(NotHereError), ExitStack() as ends:
        ends.enter_context(opened(contender))
    assert contender.log == ["open", "close"]


def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = {
        "user_namespace": True,
        "seccomp": True,
        "capabilities": 0,
        "no_new_privileges": True,
        "interfaces": [],
        "processes": 3,
    }
    looked = json.dumps(inside)
    fine = FakeContender("Atoll, pool warm", ["3\n", looked, *["3\n", "2\n"] * 2], again="a kernel")
    fails = FakeContender("fresh process", ["3\n", looked, *["3\n"] * 2, ContenderError("out of memory")])
    absent, hangs = FakeContender("Docker"), FakeContender("runc, cold", [ContenderError("nothing came")])
    absent.missing = "no engine"
    monkeypatch.setattr(compare, "PAUSE_S", 0)
    monkeypatch.setattr(compare, "memory_for_each", _fake_memory)
    report = Report("compare", folder=tmp_path)
    report.tell("work", {"rounds": 2, "calls": 1, "alive": 3})
    compare.compare(report, [fine, fails, absent, hangs], rounds=2, calls=1, alive=3)
    assert report.write() == 1
    monkeypatch.setattr(compare, "facts_of", lambda result: {entry["name"]: FACTS for entry in result["contenders"]})
    compare.render(tmp_path, "compare")

    result = json.loads((tmp_path / "compare.json").read_text())
    field = {standing.name: standing for standing in standings(result)}
    assert field["Docker"].why_not == "no engine"
    assert field["runc, cold"].why_not == "a first start failed: nothing came"
    first, call = field["Atoll, pool warm"].first, field["Atoll, pool warm"].call
    assert first is not None
    assert call is not None
    assert (first.runs, first.failures, call.runs) == (2, 0, 2)
    assert (field["Atoll, pool warm"].memory_mb, field["Atoll, pool warm"].memory_unsure_mb) == (9.0, 1.0)
    assert field["fresh process"].call is None
    assert field["fresh process"].memory_mb is None
    assert result["ratios"].keys() == {"fresh process / Atoll, pool warm"}
    assert "not here: no engine" in (tmp_path / "compare.md").read_text()
    assert "Atoll, pool warm" in (tmp_path / "compare.svg").read_text()
    assert [contender.log[-1] for contender in (fine, fails, hangs)] == ["close"] * 3


def _fake_memory(contender: Contender, alive: int) -> Memory:
    assert alive == 3
    contender.start("").session.end()
    return Memory(9 * MB, MB)
