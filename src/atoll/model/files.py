"""Files: those of a container (``cfile_``) and those of a project (``file-``), and how their bytes travel."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from atoll.model.ids import ContainerFileId, ContainerId, FileId, ProjectId

FileSource = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFile:
    """A regular file under ``/mnt/data``; ``path`` is absolute, as people's code sees it."""

    id: ContainerFileId
    container_id: ContainerId
    path: str
    bytes: int
    created_at: int
    source: FileSource


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An object of ``/v1/files``: bytes that belong to a project and can be copied into containers."""

    id: FileId
    project_id: ProjectId
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class FileDescription:
    """What is said of a file that is uploaded to ``/v1/files``. ``expires_after_s`` counts from its creation."""

    purpose: str
    expires_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A wish from a ``Range`` header: ``first`` to ``last`` inclusive; a suffix has ``first`` ``None``.

    ``(5, None)`` is from byte 5 to the end, ``(None, 5)`` the last five bytes.
    """

    first: int | None
    last: int | None

    def resolve(self, size_bytes: int) -> tuple[int, int] | None:
        """Give ``(offset, length)`` within a file of that size, or ``None`` when nothing of it overlaps."""
        if self.first is None:
            length = min(self.last or 0, size_bytes)
            return (size_bytes - length, length) if length else None
        if self.first >= size_bytes:
            return None
        last = size_bytes - 1 if self.last is None else min(self.last, size_bytes - 1)
        return (self.first, last - self.first + 1) if last >= self.first else None


class ClosableChunks(Protocol):
    """An ``AsyncIterator`` of bytes on their way; it must be iterated to its end or closed."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give itself."""
        ...

    async def __anext__(self) -> bytes:
        """Give the next bytes, at least one."""
        ...

    async def aclose(self) -> None:
        """Let go of where they come from. May be repeated, also before the first chunk was taken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """Bytes on their way out.

    ``offset`` and ``length`` say which part of the file's ``total`` bytes follows.
    """

    filename: str
    total: int
    offset: int
    length: int
    chunks: ClosableChunks
