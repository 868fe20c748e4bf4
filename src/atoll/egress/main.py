"""The egress process."""

import asyncio
import logging
import resource
import signal
import socket
import time
from typing import Any

import uvloop

from atoll.egress.audit import Audit
from atoll.egress.crowd import Crowd
from atoll.egress.dialling import Dialler
from atoll.egress.doorkeeper import Doorkeeper
from atoll.egress.feed import Feed
from atoll.egress.gate import House
from atoll.egress.resolving import Resolver
from atoll.egress.secret_opener import SecretOpener
from atoll.egress.settings import EgressSettings
from atoll.egress.tls_ending import Roots

_log = logging.getLogger(__name__)


def run(settings: EgressSettings, doors: socket.socket, feed: socket.socket, server_uid: int) -> None:
    """Serve until SIGTERM. ``doors`` is where the supervisor connects, ``feed`` where the server does; both are bound
    and listen.
    """
    uvloop.run(_serve(settings, doors, feed, server_uid))


async def _serve(settings: EgressSettings, doors: socket.socket, feed_socket: socket.socket, server_uid: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    feed = Feed(frozenset({0, server_uid}))
    audit = Audit(feed.tell, time.time)
    bounds = settings.bounds
    resolver = Resolver(bounds.dial_s_max, settings.resolver)
    dialler = Dialler(resolver, settings.also_public, bounds.dial_s_max)
    opener = None if settings.vault_key is None else SecretOpener(settings.vault_key, Roots(settings.roots_pem))
    crowd = Crowd(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    house = House(bounds=bounds, dialler=dialler, audit=audit, crowd=crowd, clock=time.monotonic)
    keeper = Doorkeeper(house, settings.outer, opener)
    # A call asks for everything at its end: what the next one is refused is told again, however soon it comes.
    await feed.serve(feed_socket, lambda: _counts(keeper, audit), audit.forget_queries, keeper.traffic)
    keeper.serve(doors)
    _log.info("the egress process serves")
    await ended.wait()
    keeper.close()
    feed.close()


def _counts(keeper: Doorkeeper, audit: Audit) -> dict[str, Any]:
    return {
        "sandboxes": len(keeper.gates),
        "connections_open": sum(gate.connections for gate in keeper.gates),
        "decisions": {reason.value: count for reason, count in audit.decisions.items()},
        "bytes_sent": audit.bytes_sent,
        "bytes_received": audit.bytes_received,
    }
