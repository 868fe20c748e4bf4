"""Sockets of agents, however deep their folder lies."""

import socket
from pathlib import Path

import pytest

from atoll.runtime.oci import agent_socket
from atoll.runtime.oci.agent_socket import AgentBusyError, AgentNotListeningError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    return deep / "sbx_1.sock"


def test_dialling(path: Path) -> None:
    with agent_socket.listen(path) as listener, agent_socket.connect(path) as host:
        guest, _ = listener.accept()
        with guest:
            host.sendall(b"hello")
            assert guest.recv(10) == b"hello"


def test_a_stale_socket_is_replaced(path: Path) -> None:
    agent_socket.listen(path).close()
    with pytest.raises(AgentNotListeningError):
        agent_socket.connect(path)
    with agent_socket.listen(path), agent_socket.connect(path):
        pass


def test_no_socket_at_all(path: Path) -> None:
    with pytest.raises(AgentNotListeningError):
        agent_socket.connect(path)


def test_an_agent_that_takes_nothing_up_blocks_nobody(path: Path) -> None:
    with agent_socket.listen(path):
        held: list[socket.socket] = []
        with pytest.raises(AgentBusyError):
            held.extend(agent_socket.connect(path) for _ in range(1000))
        for connection in held:
            connection.close()
        assert len(held) >= 100
