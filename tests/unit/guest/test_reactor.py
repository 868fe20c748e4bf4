"""The agent's loop: who is called when, and that what fails takes nobody else down."""

import os
import socket
from collections.abc import Iterator

import pytest

from atoll.guest.connection import Connection
from atoll.guest.protocol import FrameDecoder, FrameType, encode, encode_json
from atoll.guest.reactor import READ, WRITE, Reactor, log


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    reactor._epoll.close()
    os.close(reactor._wakeup_r)
    os.close(reactor._wakeup_w)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def test_a_turn_has_an_order(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    said: list[str] = []

    def work() -> Iterator[None]:
        said.append("step")
        yield

    def on_data(_events: int) -> None:
        reactor.call_last(lambda: said.append("last"), log)
        reactor.step_through(work(), log)
        reactor.call_later(0, lambda: said.append("timer"), log)
        said.append("data")

    reactor.watch(ours.fileno(), READ, on_data, log)
    theirs.send(b"x")
    reactor._turn()
    assert said == ["data", "timer", "step", "last"]


def test_what_comes_last_may_put_more_off_to_the_next_turn(reactor: Reactor) -> None:
    said: list[int] = []

    def again(number: int) -> None:
        said.append(number)
        reactor.call_last(lambda: again(number + 1), log)

    reactor.call_last(lambda: again(0), log)
    for _ in range(3):
        reactor._turn()  # none of them waits
    assert said == [0, 1, 2]


def test_a_hang_up_is_told_to_whoever_watches(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    told: list[int] = []
    reactor.watch(ours.fileno(), READ, told.append, log)
    theirs.close()
    reactor._turn()
    reactor.watch(ours.fileno(), READ | WRITE, told.append, log)
    reactor._turn()
    assert told == [READ, READ | WRITE]


def test_a_watch_that_changed_in_this_turn_is_not_called_for_what_was_before(reactor: Reactor) -> None:
    told: list[str] = []
    pairs = [socket.socketpair() for _ in range(2)]

    def on_data(name: int) -> None:
        told.append(f"data {name}")
        for ours, _ in pairs:
            reactor.watch(ours.fileno(), 0, lambda _: None, log)

    for number, (ours, theirs) in enumerate(pairs):
        reactor.watch(ours.fileno(), READ, lambda _, name=number: on_data(name), log)  # type: ignore[misc]
        theirs.send(b"x")
    reactor._turn()
    assert len(told) == 1
    for one in pairs:
        for end in one:
            end.close()


def test_a_closed_descriptor_can_be_let_go_of(reactor: Reactor) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    reactor.watch(number, READ, lambda _: None, log)
    ours.close()
    reactor.watch(number, 0, lambda _: None, log)
    theirs.close()


def test_a_handler_that_fails_fails_alone(reactor: Reactor, capfd: pytest.CaptureFixture[str]) -> None:
    failed: list[BaseException] = []
    said: list[str] = []
    reactor.call_last(lambda: 1 // 0, failed.append)  # type: ignore[arg-type]
    reactor.call_last(lambda: said.append("next"), log)
    reactor._turn()
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert said == ["next"]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_is_sent_in_one_turn_leaves_together(reactor: Reactor, pair: Pair) -> None:
    ours, theirs = pair
    closed: list[Connection] = []

    def on_request(connection: Connection, _payload: bytes) -> None:
        connection.send(encode(FrameType.STDOUT, b"2\n"))

        def walk() -> Iterator[None]:
            connection.finish(FrameType.RESULT, {})
            yield

        reactor.step_through(walk(), log)

    Connection(ours, reactor, on_request, closed.append, lambda: None)
    theirs.send(encode_json(FrameType.REQUEST, {}))
    reactor._turn()
    frames = list(FrameDecoder().feed(theirs.recv(65536)))
    assert [kind for kind, _ in frames] == [FrameType.STDOUT, FrameType.RESULT]
    assert theirs.recv(1) == b""
    assert len(closed) == 1
