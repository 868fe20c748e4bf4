"""Many files of a container at once, as a tar in either direction."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from atoll.agent.errors import AgentError, AgentRefusedError
from atoll.agent.files import is_data_path
from atoll.cancellation import finish
from atoll.guest.protocol import DATA_ROOT
from atoll.model.archives import Unpacked
from atoll.model.containers import Container
from atoll.model.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError
from atoll.model.files import ClosableChunks
from atoll.model.ids import ProjectId
from atoll.runtime.contract import RuntimeFailure
from atoll.service.access import Access
from atoll.service.byte_counts import bounded
from atoll.service.checks import check_text
from atoll.service.contents import Contents
from atoll.service.events import Events
from atoll.service.failures import translate
from atoll.service.held_chunks import HeldChunks
from atoll.service.limits import ServiceLimits
from atoll.service.sandboxes import Sandboxes

_PARAM: Final = "path"


class Archives:
    """Use cases of ``/v1/containers/{id}/archive``. Each counts as use of the container.

    Each raises ``NotFoundError`` (container), ``ContainerExpiredError``, ``InvalidRequestError`` (path),
    ``BusyError`` and ``SandboxFailedError``.
    """

    def __init__(
        self, *, access: Access, sandboxes: Sandboxes, contents: Contents, limits: ServiceLimits, events: Events
    ) -> None:
        self._access = access
        self._sandboxes = sandboxes
        self._contents = contents
        self._limits = limits
        self._events = events

    async def open(self, project_id: ProjectId, container_id: str, path: str | None) -> ClosableChunks:
        """Start packing a folder, or one file. Raises ``NotFoundError`` with param ``path``, too.

        What goes wrong later comes out of the chunks, which then are no whole archive.
        """
        wanted = _checked(path)
        async with AsyncExitStack() as held:
            container = await held.enter_async_context(self._access.use(project_id, container_id))
            agent = self._sandboxes.agent_of(container)
            try:
                chunks = await agent.get_archive(wanted, self._limits.archive_entries_max)
            except (RuntimeFailure, AgentError) as error:
                raise await self._told(container, wanted, error) from error
            held.push_async_callback(chunks.aclose)
            return HeldChunks(chunks, held.pop_all())

    async def put(
        self, project_id: ProjectId, container_id: str, path: str | None, chunks: AsyncIterator[bytes]
    ) -> Unpacked:
        """Unpack a tar into a folder, which is made where it is not there.

        When this raises, nothing was changed, unless code in the container meddled with the folder at the very end;
        what ``chunks`` raises comes out unchanged. Raises ``InvalidRequestError`` with code ``invalid_archive`` for
        what is not taken, ``PayloadTooLargeError``, ``StorageFullError``.
        """
        wanted = _checked(path)
        async with self._access.use(project_id, container_id) as container:
            agent = self._sandboxes.agent_of(container)
            try:
                before = await self._contents.sync(container, agent)
                body = bounded(chunks, self._limits.archive_bytes_max, what="archive", param=None)
                unpacked = await agent.put_archive(wanted, self._limits.archive_entries_max, body)
                # It is there now: whoever waits for it may go away, its rows are written all the same.
                await finish(self._contents.sync(container, agent, source="user", since=before))
            except (RuntimeFailure, AgentError) as error:
                raise await self._told(container, wanted, error) from error
        return Unpacked(
            path=wanted,
            files=unpacked.files,
            folders=unpacked.folders,
            links=unpacked.links,
            bytes=unpacked.bytes,
        )

    async def _told(self, container: Container, path: str, error: RuntimeFailure | AgentError) -> Exception:
        await self._access.find(container.project_id, container.id)
        self._events.tell_refusal(container.id, error)
        return _refused(path, error) if isinstance(error, AgentRefusedError) else translate(error)


def _refused(path: str, error: AgentRefusedError) -> Exception:
    match error.code:
        case "not_found":
            return NotFoundError(f"There is no {path} in the container.", param=_PARAM)
        case "bad_archive":
            return InvalidRequestError(f"The archive is not taken: {error.message}", code="invalid_archive")
        case "bad_request" | "not_regular" | "permission":
            return InvalidRequestError(f"Invalid 'path': {error.message}", param=_PARAM, code="invalid_value")
        case "too_large":
            return PayloadTooLargeError("A file in the archive is larger than a file in a container may be.")
        case _:
            return translate(error)


def _checked(path: str | None) -> str:
    """Give a path of the data folder in normal form."""
    if path is None:
        return DATA_ROOT
    check_text(_PARAM, path, bytes_max=4096)
    normal = path.rstrip("/")
    if normal != DATA_ROOT and not is_data_path(normal):
        raise InvalidRequestError(
            f"Invalid 'path': expected {DATA_ROOT} or a path below it, without '.' and '..'.",
            param=_PARAM,
            code="invalid_value",
        )
    return normal
