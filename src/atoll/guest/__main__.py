"""Starts the agent: ``python -m atoll.guest --listen-fd 3 --data-dir /mnt/data --uid 1000``."""

import os
import signal
import socket
import sys

from atoll.guest.options import Options, parse
from atoll.guest.processes import ENDING_SIGNALS
from atoll.guest.reactor import Reactor
from atoll.guest.server import Server
from atoll.guest.spawn import protect_agent


def main() -> None:
    """Read the command line and serve, or be a zygote."""
    if sys.argv[1:] == ["--zygote"]:
        from atoll.guest import zygote  # noqa: PLC0415 - an agent has no use for it

        zygote.main()
        return
    serve(parse(sys.argv[1:], dict(os.environ), sys.executable))


def serve(options: Options) -> None:
    """Serve until SIGTERM; then end people's processes. Also the entry for an agent that was forked from a zygote."""
    protect_agent()
    os.umask(0o022)
    if options.people.uid is not None:
        os.setgroups([])
    os.set_inheritable(options.listen_fd, False)
    listener = socket.socket(fileno=options.listen_fd)
    reactor = Reactor()
    server = Server(listener, options, reactor)
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: server.shut_down())
    reactor.run()


if __name__ == "__main__":
    main()
