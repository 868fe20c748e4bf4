"""Services that do what a test says, for what real ones do only by accident: hang, fail, be full, be slow."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from atoll.api.app import build_app
from atoll.api.edge import Edge
from atoll.model.calls import CallStarted, Logs, PythonCall, PythonEnded, PythonEvent, ShellCall, ShellEvent
from atoll.model.containers import Container, ContainerChange, ContainerStatus, NewContainer
from atoll.model.egress_decision import EgressCounts, EgressReason, EgressRecord
from atoll.model.errors import AuthenticationError, NotFoundError
from atoll.model.files import ByteRange, ContainerFile, File, FileContent, FileDescription
from atoll.model.ids import CallId, ContainerFileId, ContainerId, EgressId, FileId, ProjectId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED
from atoll.model.pages import Page, PageQuery
from atoll.model.projects import Project
from atoll.model.runtime_metrics import RuntimeMetrics
from atoll.service.answer_room import AnswerRoom
from atoll.service.app import Services
from atoll.service.events import EventReader, Events
from atoll.service.limits import ServiceLimits

KEY = "My API Key"
CONTAINER_ID = "cntr_" + "a" * 48
FILE_ID = "cfile_" + "b" * 32
PROJECT_FILE_ID = "file-" + "c" * 32
PROJECT = Project(id=cast("ProjectId", "proj_" + "d" * 24), name="default", created_at=1)
CONTAINER = Container(
    id=ContainerId(CONTAINER_ID),
    project_id=PROJECT.id,
    name="a",
    created_at=1_747_844_794,
    last_active_at=1_747_844_795,
    expires_after_minutes=20,
    memory_limit=MemoryLimit.ONE_GIB,
    network_policy=NETWORK_DISABLED,
    status=ContainerStatus.RUNNING,
    sandbox_id=None,
)
CONTAINER_FILE = ContainerFile(
    id=ContainerFileId(FILE_ID),
    container_id=CONTAINER.id,
    path="/mnt/data/a.txt",
    bytes=5,
    created_at=1_747_844_796,
    source="user",
)
PROJECT_FILE = File(
    id=FileId(PROJECT_FILE_ID),
    project_id=PROJECT.id,
    filename="a.txt",
    purpose="user_data",
    bytes=5,
    created_at=1_747_844_797,
    expires_at=None,
)

EGRESS_RECORD = EgressRecord(
    id=EgressId("egr_" + "e" * 32),
    container_id=CONTAINER.id,
    at_ms=1_747_844_798_250,
    name="a.com",
    port=443,
    reason=EgressReason.OTHER_NAME,
    bytes_sent=0,
    bytes_received=0,
)


@dataclass
class Script:
    """What the services do next, and what they were asked."""

    error: Exception | None = None
    """Raised by whatever is asked next."""
    python: Callable[[], AsyncGenerator[PythonEvent, None]] | None = None
    content: bytes = b"hello"
    content_name: str = "a.txt"
    content_fails_after: int | None = None
    container: Container = CONTAINER
    asked: list[tuple[str, Any]] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a scripted call was closed."""
    events: Events = field(default_factory=lambda: Events(boot="0" * 8))
    answers: AnswerRoom = field(default_factory=lambda: AnswerRoom(1 << 30, 1 << 30))

    def note(self, what: str, details: Any = None) -> None:
        """Write down what was asked, and raise what is to be raised."""
        self.asked.append((what, details))
        if self.error is not None:
            raise self.error


class ScriptedServices:
    """Everything the API calls, in one object."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.limits = ServiceLimits(upload_bytes_max=1000)
        self.keys = self
        self.containers = _Containers(script)
        self.container_files = _ContainerFiles(script)
        self.files = _Files(script)
        self.calls = _Calls(script)
        self.answers = script.answers
        self.egress = _Egress(script)
        self.events = script.events
        self.event_streams = _EventStreams(script)

    async def authenticate(self, secret: str) -> Project:
        if secret != KEY:
            raise AuthenticationError("that is no key of ours")
        return PROJECT


class _Containers:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def count_running(self) -> int:
        return 1

    async def measure_runtime(self) -> RuntimeMetrics | None:
        return RuntimeMetrics(pool_ready=2, pool_target=3, pool_hits=4, pool_misses=5)

    async def create(self, _: ProjectId, new: NewContainer) -> Container:
        self._script.note("create", new)
        return self._script.container

    async def list(self, _: ProjectId, query: PageQuery, name: str | None = None) -> Page[Container]:
        self._script.note("list", (query, name))
        return Page((self._script.container,), has_more=True)

    async def retrieve(self, _: ProjectId, container_id: str) -> Container:
        self._script.note("retrieve", container_id)
        return self._script.container

    async def change(self, _: ProjectId, container_id: str, wanted: ContainerChange) -> Container:
        self._script.note("change", (container_id, wanted))
        return self._script.container

    async def delete(self, _: ProjectId, container_id: str) -> None:
        self._script.note("delete", container_id)


class _Egress:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def counts(self) -> EgressCounts | None:
        return EgressCounts(
            sandboxes=1,
            connections_open=2,
            decisions={EgressReason.ALLOWED: 3, EgressReason.NOT_PUBLIC: 4},
            bytes_sent=5,
            bytes_received=6,
        )

    async def list(self, _: ProjectId, container_id: str, query: PageQuery) -> Page[EgressRecord]:
        self._script.note("egress", (container_id, query))
        return Page((EGRESS_RECORD,), has_more=False)


class _EventStreams:
    def __init__(self, script: Script) -> None:
        self._script = script
        self.boot = script.events.boot

    @asynccontextmanager
    async def reading(
        self, _: ProjectId, container_id: str, after: str | None, *, param: str
    ) -> AsyncIterator[EventReader]:
        self._script.note("events", after)
        with self._script.events.reading(ContainerId(container_id), after, param=param) as reader:
            yield reader


class _ContainerFiles:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def put(self, _: ProjectId, _container_id: str, name: str, chunks: AsyncIterator[bytes]) -> ContainerFile:
        self._script.note("put", name)
        self._script.stored[name] = b"".join([chunk async for chunk in chunks])
        return CONTAINER_FILE

    async def put_file(self, _: ProjectId, _container_id: str, file_id: str) -> ContainerFile:
        self._script.note("put_file", file_id)
        return CONTAINER_FILE

    async def list(self, _: ProjectId, _container_id: str, query: PageQuery) -> Page[ContainerFile]:
        self._script.note("list", query)
        return Page((), has_more=False)

    async def retrieve(self, _: ProjectId, _container_id: str, file_id: str) -> ContainerFile:
        self._script.note("retrieve", file_id)
        return CONTAINER_FILE

    async def delete(self, _: ProjectId, _container_id: str, file_id: str) -> None:
        self._script.note("delete", file_id)

    async def open(
        self, _: ProjectId, _container_id: str, _file_id: str, byte_range: ByteRange | None = None
    ) -> FileContent:
        return scripted_content(self._script, byte_range)


class _Files:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def create(
        self, _: ProjectId, name: str, chunks: AsyncIterator[bytes], describe: Callable[[], FileDescription]
    ) -> File:
        content = b"".join([chunk async for chunk in chunks])
        self._script.note("create", (name, describe()))
        self._script.stored[name] = content
        return PROJECT_FILE

    async def list(self, _: ProjectId, query: PageQuery, purpose: str | None = None) -> Page[File]:
        self._script.note("list", (query, purpose))
        return Page((PROJECT_FILE,), has_more=False)

    async def retrieve(self, _: ProjectId, file_id: str) -> File:
        self._script.note("retrieve", file_id)
        return PROJECT_FILE

    async def delete(self, _: ProjectId, file_id: str) -> None:
        self._script.note("delete", file_id)

    async def open(self, _: ProjectId, _file_id: str, byte_range: ByteRange | None = None) -> FileContent:
        return scripted_content(self._script, byte_range)


class _Calls:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def run_python(
        self, _: ProjectId, _id: str, call: PythonCall, _make_room: object
    ) -> AsyncGenerator[PythonEvent, None]:
        self._script.note("run_python", call)
        try:
            if self._script.python is None:
                yield CallStarted(CallId("ci_1"))
                yield Logs("2\n")
                yield PythonEnded(status="completed", files=())
                return
            async for event in self._script.python():
                yield event
        finally:
            self._script.closed.set()

    async def run_shell(
        self, _: ProjectId, _id: str, call: ShellCall, _make_room: object
    ) -> AsyncGenerator[ShellEvent, None]:
        self._script.note("run_shell", call)
        nothing: tuple[ShellEvent, ...] = ()
        for event in nothing:
            yield event
        raise NotFoundError("There is no shell in a script.")

    async def interrupt(self, _: ProjectId, container_id: str) -> bool:
        self._script.note("interrupt", container_id)
        return False

    async def restart(self, _: ProjectId, container_id: str) -> None:
        self._script.note("restart", container_id)


def scripted_content(script: Script, byte_range: ByteRange | None) -> FileContent:
    """Give the script's bytes as services do."""
    script.note("open", byte_range)
    total = len(script.content)
    offset, length = (0, total) if byte_range is None else byte_range.resolve(total) or (0, 0)

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            for at in range(offset, offset + length):
                if script.content_fails_after is not None and at - offset >= script.content_fails_after:
                    raise ConnectionError("the agent is gone")
                await asyncio.sleep(0)  # as reading from a socket would
                yield script.content[at : at + 1]
        finally:
            script.closed.set()

    return FileContent(filename=script.content_name, total=total, offset=offset, length=length, chunks=chunks())


def scripted_app(script: Script, **options: Any) -> Edge:
    """Give the real application on a script."""

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        yield cast("Services", ScriptedServices(script))

    return build_app(services, **options)
