"""What services tell the reconcilers, so that these need not wait for their timers."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signals:
    """``expiry``: a container was seen whose time is over. ``orphans``: a sandbox may be left without a row."""

    expiry: asyncio.Event = field(default_factory=asyncio.Event)
    orphans: asyncio.Event = field(default_factory=asyncio.Event)
