"""The egress child: binds its two sockets as root, becomes a user of its own, then lets out what policies allow."""

import os
import resource
import socket
import ssl
from pathlib import Path

from atoll.egress.bounds import Bounds
from atoll.egress.settings import EgressSettings
from atoll.operate import code_view
from atoll.operate.logs import configure_logging
from atoll.operate.system_user import SystemUser, UserError, become, end_with_parent, find_user
from atoll.runtime.oci.unix_address import short_address
from atoll.settings import Settings
from atoll.vault.key import VaultKey

_BACKLOG = 16


def run_egress(
    settings: Settings, server_user: SystemUser | None, vault_key: str | None, parent_pid: int | None
) -> None:
    """Let sandboxes out until SIGTERM; ``server_user`` is told what was decided. Raises ``UserError``, ``OSError``."""
    configure_logging(settings.log_level, settings.log_format, "egress")
    if server_user is None:
        raise UserError("The egress process belongs to a server that runs as a user other than root.")
    user = find_user(settings.egress_user)
    if user.uid == server_user.uid:
        raise UserError(f"The egress process needs a user of its own: {user.name!r} is the server's, too.")
    from atoll.egress.main import run  # noqa: PLC0415 - it loads all of the process, which must log by then

    roots_pem = _read_roots(settings.egress_ca_bundle)
    doors = _listen(settings.egress_socket_path, socket.SOCK_SEQPACKET, group=0, mode=0o600)
    feed = _listen(settings.egress_feed_path, socket.SOCK_STREAM, group=server_user.gid, mode=0o660)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection needs two or more
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # people's bytes, and secrets, belong into no file
    code_view.open_to(user)
    become(user)
    if parent_pid is not None:
        end_with_parent(parent_pid)
    run(egress_settings(settings, vault_key, roots_pem), doors, feed, server_user.uid)


def egress_settings(settings: Settings, vault_key: str | None, roots_pem: str | None) -> EgressSettings:
    """Say to the egress process what concerns it."""
    return EgressSettings(
        bounds=Bounds(
            connections_max=settings.egress_connections_max,
            connections_per_s_max=settings.egress_connections_per_s_max,
            idle_s_max=settings.egress_idle_s_max,
            bytes_max=settings.egress_bytes_max,
        ),
        outer=settings.egress_outer_domains,
        roots_pem=roots_pem,
        vault_key=None if vault_key is None else VaultKey(bytes.fromhex(vault_key)),
        resolver=settings.egress_test_resolver,
        also_public=settings.egress_test_networks,
    )


def _read_roots(bundle: str | None) -> str | None:
    """Read the operator's roots while this is still root. Raises ``UserError``."""
    if bundle is None:
        return None
    try:
        pem = Path(bundle).read_text("ascii")
        ssl.create_default_context(cadata=pem)
    except (OSError, ValueError) as error:
        raise UserError(f"egress_ca_bundle: {bundle} cannot be used: {error}.") from error
    return pem


def _listen(path: Path, kind: socket.SocketKind, *, group: int, mode: int) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        with short_address(path) as address:
            listener.bind(address)
        # Until now nobody could connect: it does not listen yet.
        os.chown(path, -1, group)
        path.chmod(mode)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
