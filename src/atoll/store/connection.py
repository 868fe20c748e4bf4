"""What a query needs of a database: the part of SQLAlchemy's connections that both kinds of ours have."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection as BlockingConnection
from sqlalchemy import CursorResult, Dialect, Executable

T = TypeVar("T")


class Connection(Protocol):
    """Runs statements; valid while the work runs that it was given to."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is, where its words differ."""
        ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]:
        """Run a statement; its rows must be taken to their end, which lets go of what it read."""
        ...

    async def run_sync(self, work: Callable[[BlockingConnection], T], /) -> T:
        """Do what only knows blocking connections."""
        ...


Work = Callable[[Connection], Awaitable[T]]
"""Statements on one connection; it waits for nothing else."""
