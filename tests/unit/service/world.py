"""Services on a real SQLite database and folder, a runtime in memory, and a clock that the test moves."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from atoll.model.containers import Container, NewContainer
from atoll.model.files import FileDescription
from atoll.model.ids import ProjectId
from atoll.runtime.contract import Runtime
from atoll.service.app import Services, open_services
from atoll.service.limits import ServiceLimits
from tests.unit.service.fake_sandboxes import FakeRuntime, FakeSandbox

T = TypeVar("T")
START = 1_800_000_000


class Clock:
    """Unix seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


class World:
    """Everything that a test of the services needs; ``open`` again is a server started again."""

    def __init__(self, folder: Path, runtime: FakeRuntime, clock: Clock, limits: ServiceLimits) -> None:
        self.folder, self.runtime, self.clock, self.limits = folder, runtime, clock, limits
        self.services: Services
        self.project: ProjectId

    async def container(self, **fields: object) -> Container:
        return await self.services.containers.create(self.project, NewContainer(**{"name": "c"} | fields))  # type: ignore[arg-type] # the fields of NewContainer, by name

    def sandbox(self, container: Container) -> FakeSandbox:
        assert container.sandbox_id is not None
        return self.runtime.sandboxes[container.sandbox_id]


@asynccontextmanager
async def opened(
    folder: Path, runtime: Runtime, clock: Clock, limits: ServiceLimits
) -> AsyncIterator[tuple[Services, ProjectId]]:
    async with open_services(
        database_url=f"sqlite:///{folder}/atoll.db",
        blobs_url=f"file://{folder}/blobs",
        runtime=runtime,
        limits=limits,
        clock=clock,
    ) as services:
        key = await services.keys.ensure("a test's own secret")
        yield services, key.project_id


@asynccontextmanager
async def open_world(
    folder: Path, *, runtime: FakeRuntime | None = None, clock: Clock | None = None, **limits: object
) -> AsyncIterator[World]:
    world = World(
        folder,
        runtime or FakeRuntime(),
        clock or Clock(),
        ServiceLimits(**{"agent_timeout_s": 5.0, "call_grace_ms": 200} | limits),  # type: ignore[arg-type] # the fields of ServiceLimits, by name
    )
    async with opened(folder, world.runtime, world.clock, world.limits) as (services, project):
        world.services, world.project = services, project
        try:
            yield world
        finally:
            if runtime is None:
                await world.runtime.aclose()


async def bytes_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def described(expires_after_s: int | None = None, purpose: str = "user_data") -> Callable[[], FileDescription]:
    """Give what an upload is asked for after its bytes."""
    return lambda: FileDescription(purpose, expires_after_s)


async def failing_after(*chunks: bytes, error: BaseException) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise error


async def eventually(look: Callable[[], bool] | Callable[[], Awaitable[bool]], *, seconds: float = 5.0) -> None:
    """Let other tasks run until ``look`` gives true."""
    async with asyncio.timeout(seconds):
        while True:
            seen = look()
            if isinstance(seen, Awaitable):
                seen = await seen
            if seen:
                return
            await asyncio.sleep(0.001)


class CancelledAt:
    """Awaits something and cancels it when it waits for the ``step``-th time; what it waits for then goes on."""

    def __init__(self, work: Awaitable[T], step: int) -> None:
        self._work, self._step = work, step

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._work.__await__()
        step = 0
        sent: Any = None
        while True:
            try:
                waited_for = inner.send(sent)
                step += 1
                if step == self._step:
                    if waited_for is not None:
                        waited_for._asyncio_future_blocking = False
                    waited_for = inner.throw(asyncio.CancelledError())
            except StopIteration as end:
                return cast("T", end.value)
            sent = yield waited_for


async def at_every_step(begin: Callable[[], Awaitable[object]], check: Callable[[], Awaitable[None]]) -> int:
    """Cancel what ``begin`` gives at each of its waits in turn, and ``check`` after each; gives how many there are."""
    for step in itertools.count(1):
        try:
            await CancelledAt(begin(), step)
        except asyncio.CancelledError:
            await check()
        else:
            return step - 1
    raise AssertionError
