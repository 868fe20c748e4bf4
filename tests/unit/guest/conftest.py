"""Agents for the tests: one shared by those that leave it as they found it, fresh ones for the others."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.guest.agent_process import Agent, running_agent

OPEN_VIEW = str(Path(__file__).with_name("open_view.py"))

StartAgent = Callable[..., Agent]


@pytest.fixture(scope="session")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A plain agent that many tests use, so that they need not each start a Python."""
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


@pytest.fixture
def start_agent() -> Iterator[StartAgent]:
    """Start agents of one's own, with options of one's own; a ``prefix`` command may set things up for it."""
    with ExitStack() as stack:

        def start(*options: str, prefix: tuple[str, ...] = (), uid: int | None = None) -> Agent:
            # Not pytest's own folder: others may not enter that one, and people's code runs as somebody else here.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atoll-agent-")))
            folder.chmod(0o755)
            if uid is not None:
                prefix = (sys.executable, "-P", OPEN_VIEW, str(uid), *prefix)
            agent = stack.enter_context(running_agent(folder, options, prefix))
            if uid is not None:
                os.chown(agent.data_dir, uid, uid)
            return agent

        yield start


@pytest.fixture
def agent(start_agent: StartAgent) -> Agent:
    """A fresh plain agent."""
    return start_agent()
