"""The composition root: from settings to the whole server as one ASGI application.

Order at the start: runtime, services (the database is brought up to date), first key, reconcilers, then requests.
At the end the other way round, after the last request was answered. Sandboxes live on where the runtime allows it.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Final

from atoll.api.app import build_app
from atoll.api.edge import Edge
from atoll.egress.feed_client import FeedClient
from atoll.model.reconciler_counts import ReconcilerCounts
from atoll.reconcile.loop import reconciling
from atoll.runtime.contract import Runtime
from atoll.runtime.plain import PlainRuntime
from atoll.service.app import Services, open_services
from atoll.service.belonging import check_belonging
from atoll.service.limits import ServiceLimits
from atoll.settings import Settings
from atoll.spans import Tracing
from atoll.supervisor.client import SupervisorClient
from atoll.vault.key import VaultKey

logger = logging.getLogger(__name__)

_DRAIN_TIMEOUT_S: Final = 15.0
"""How long requests may take to clean up once their time is over: a call that is cut off stops its sandbox's code."""


def create_app(settings: Settings, *, first_key: str | None = None, vault_key: str | None = None) -> Edge:
    """Give the application; nothing is opened before its lifespan begins.

    ``first_key`` is a secret that is let in from the start; ``vault_key``, in hexadecimal, is what secrets of
    containers are encrypted with, without which none is taken.
    """

    reconciled = ReconcilerCounts()

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        async with _open(settings, first_key, vault_key) as opened, reconciling(opened, reconciled):
            yield opened

    return build_app(
        services,
        drain_timeout_s=_DRAIN_TIMEOUT_S,
        allowed_origins=settings.web_origins,
        tracing=_tracing(settings),
        logs_requests=settings.log_requests == "yes",
        reconciled=reconciled,
    )


@asynccontextmanager
async def _open(settings: Settings, first_key: str | None, vault_key: str | None) -> AsyncIterator[Services]:
    runtime = make_runtime(settings)
    try:
        # Asking is done once and blocks: here, before the first request, and not in the middle of one.
        logger.info("the runtime is %r", runtime.capabilities.name)
        async with open_services(
            database_url=settings.database_url,
            blobs_url=settings.blobs_dir.as_uri(),
            runtime=runtime,
            limits=service_limits(settings),
            vault_key=None if vault_key is None else VaultKey(bytes.fromhex(vault_key)),
            egress_feed=FeedClient(settings.egress_feed_path) if runtime.capabilities.allowlists else None,
        ) as services:
            await check_belonging(services.database, settings.data_dir)
            if first_key is not None:
                await services.keys.ensure(first_key)
            yield services
    finally:
        await runtime.aclose()


def _tracing(settings: Settings) -> Tracing | None:
    if settings.traces_endpoint is None:
        return None
    from atoll.otlp import OtlpTracing  # noqa: PLC0415 - 20 MiB that only those pay who want traces

    return OtlpTracing(settings.traces_endpoint, settings.traces_http_headers, settings.traces_sampled)


def make_runtime(settings: Settings) -> Runtime:
    """Give what stands behind containers."""
    if settings.runtime == "plain":
        return PlainRuntime(settings.sandboxes_dir)
    return SupervisorClient(settings.supervisor_socket_path)


def service_limits(settings: Settings) -> ServiceLimits:
    """Give the services' numbers: every one that is a setting, by its name, and the defaults of the others."""
    names = {field.name for field in fields(ServiceLimits)} & {field.name for field in fields(Settings)} - {"cpus"}
    chosen = {name: getattr(settings, name) for name in names}
    return ServiceLimits(
        **chosen,
        cpus=settings.cpus if settings.cpus is not None else float(os.cpu_count() or 1),
        egress_tcp_ports=settings.egress_tcp_ports,
        egress_outer_domains=settings.egress_outer_domains,
    )
