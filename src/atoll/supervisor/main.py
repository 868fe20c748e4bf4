"""The supervisor's process."""

import logging
import os
import resource
import select
import signal
from collections.abc import Callable
from dataclasses import replace

from atoll import mounts
from atoll.mounts import Propagation
from atoll.runtime.oci import machine_limits, system_calls
from atoll.runtime.oci.engine import Engine
from atoll.supervisor.server import SupervisorServer
from atoll.supervisor.settings import SupervisorSettings

_log = logging.getLogger(__name__)


def run(settings: SupervisorSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs; sandboxes live on. Must be root's main thread.

    Raises ``MachineUnfitError``; ``AlreadyLockedError`` when another supervisor has these folders and keeps them;
    ``OSError``.
    """
    wait_for_end = _end_signal()
    engine = _open_engine(settings)
    # Making sandboxes ready takes both CPUs of a small machine, on which the server, their first client, starts, too.
    server = SupervisorServer(engine, settings, on_first_client=engine.keep_pool)
    _log.info("the supervisor serves")
    wait_for_end()
    server.close()
    engine.close()


def shutdown_all(settings: SupervisorSettings) -> None:
    """End every sandbox and free all but their files; for when no supervisor runs, or one that is about to end.

    Gives this process a mount namespace of its own, so it is for one that ends soon. Raises as ``run`` does, and
    ``RuntimeUnavailableError`` when a sandbox does not end.
    """
    # Nothing is started any more, so there is no use for a zygote.
    _open_engine(replace(settings, oci=replace(settings.oci, zygote_user=None, egress_socket=None))).stop_all()


def _end_signal() -> Callable[[], None]:
    """Give a function that returns once SIGTERM or SIGINT came, also if it came before.

    Through a pipe: the kernel may hand a signal to any thread, and only a written byte surely wakes this one.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.poll()

    return wait


def _open_engine(settings: SupervisorSettings) -> Engine:
    # Modes are said wherever a file is made; this is for the programs that we run.
    os.umask(0o022)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every sandbox holds one
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    if most != 0:
        # Sandboxes inherit it: 1 keeps the kernel from handing their core dumps to a handler of the host (core(5)).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    machine_limits.raise_all()
    # A slave: what the host mounts later still shows up, and a disk can be unmounted without this process holding it.
    mounts.unshare(Propagation.SLAVE)
    system_calls.adopt_orphans()
    return Engine(settings.oci)
