"""API keys: who may come in, and to which project."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from atoll.model.errors import AuthenticationError, InvalidRequestError, NotFoundError
from atoll.model.ids import IdGenerator, KeyId, ProjectId, created_at, is_id
from atoll.model.projects import Key, Project
from atoll.service.checks import check_text
from atoll.service.limits import ServiceLimits
from atoll.store import keys, projects
from atoll.store.connection import Connection
from atoll.store.database import Database

_PREFIX: Final = "sk-atoll-"
_SECRET_BYTES: Final = 32
_SECRET_CHARS_MIN: Final = 8
_SECRET_CHARS_MAX: Final = 512
_NAME_CHARS_MAX: Final = 200
_FIRST_PROJECT: Final = "default"


class Keys:
    """Keys and the projects that they open.

    Secrets are kept as SHA-256 only. A slow hash would add nothing: a secret made here has 256 random bits, which
    cannot be guessed at any speed, and every request would pay for the hash.
    """

    def __init__(
        self, *, database: Database, ids: IdGenerator, clock: Callable[[], float], limits: ServiceLimits
    ) -> None:
        self._database = database
        self._ids = ids
        self._clock = clock
        self._known = _Remembered(limits.key_cache_s, limits.key_cache_max)
        # Apart from the good ones, so that a flood of wrong secrets does not make the right ones slow.
        self._unknown = _Remembered(limits.key_cache_s, limits.key_cache_max)

    async def authenticate(self, secret: str) -> Project:
        """Give the project that a secret opens; a key revoked elsewhere works for the cache's few seconds more.

        Raises ``AuthenticationError``.
        """
        digest = _digest(secret)
        now = self._clock()
        project = self._known.get(digest, now)
        if project is None and not self._unknown.has(digest, now):
            project = await self._look_up(digest)
            (self._unknown if project is None else self._known).put(digest, project, now)
        if project is None:
            raise AuthenticationError(
                f"Incorrect API key provided: {_hint(secret)}. Keys are made with `atoll keys create` on the "
                "server's machine.",
                code="invalid_api_key",
            )
        return project

    async def create(self, name: str, project_name: str) -> tuple[Key, str]:
        """Make a key and give its secret, once; a project of that name is made when there is none."""
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        return await self._add(name, project_name, secret), secret

    async def ensure(self, secret: str) -> Key:
        """Let a secret chosen by the operator in (``ATOLL_API_KEY``), to project ``default``; again is no error.

        Raises ``InvalidRequestError`` for one that was revoked, has fewer than 8 or more than 512 characters, or
        could not stand in an HTTP header.
        """
        if not _SECRET_CHARS_MIN <= len(secret) <= _SECRET_CHARS_MAX:
            raise InvalidRequestError(
                f"An API key has from {_SECRET_CHARS_MIN} to {_SECRET_CHARS_MAX} characters; "
                f"this one has {len(secret)}."
            )
        if not (secret.isascii() and secret.isprintable()) or secret != secret.strip():
            raise InvalidRequestError("An API key has printable ASCII characters only, and no space at its ends.")
        digest = _digest(secret)
        found = await self._database.read(lambda connection: keys.find_secret(connection, digest))
        if found is None:
            return await self._add("ATOLL_API_KEY", _FIRST_PROJECT, secret)
        if found[0].revoked_at is not None:
            raise InvalidRequestError("This API key was revoked; choose another one.")
        return found[0]

    async def revoke(self, key_id: str) -> None:
        """Close a key for good; again is no error. Raises ``NotFoundError``."""
        known, now = KeyId(key_id), int(self._clock())
        if not is_id("key_", key_id) or not await self._database.write(
            lambda connection: keys.revoke(connection, known, now)
        ):
            raise NotFoundError(f"No such key: {key_id}", param="id")
        self._known.clear()

    async def list(self) -> list[Key]:
        """Give every key, revoked ones too, oldest first."""
        return await self._database.scan(keys.every)

    async def _look_up(self, digest: str) -> Project | None:
        found = await self._database.read(lambda connection: keys.find_secret(connection, digest))
        if found is None or found[0].revoked_at is not None:
            return None
        return found[1]

    async def _add(self, name: str, project_name: str, secret: str) -> Key:
        check_text("name", name, chars_max=_NAME_CHARS_MAX)
        check_text("project", project_name, chars_max=_NAME_CHARS_MAX)
        new_project = self._new_project(project_name)

        async def work(connection: Connection) -> Key:
            project = await projects.find_name(connection, project_name)
            if project is None:
                project = new_project
                await projects.add(connection, project)
            key = self._new_key(project.id, name, secret)
            await keys.add(connection, key, _digest(secret))
            return key

        key = await self._database.write(work)
        self._unknown.clear()
        return key

    def _new_project(self, name: str) -> Project:
        project_id = ProjectId(self._ids.new("proj_"))
        return Project(id=project_id, name=name, created_at=created_at("proj_", project_id))

    def _new_key(self, project_id: ProjectId, name: str, secret: str) -> Key:
        key_id = KeyId(self._ids.new("key_"))
        return Key(
            id=key_id,
            project_id=project_id,
            name=name,
            hint=_hint(secret),
            created_at=created_at("key_", key_id),
            revoked_at=None,
        )


class _Remembered:
    """Answers of the last seconds, the oldest forgotten first when there are too many."""

    def __init__(self, seconds: float, count_max: int) -> None:
        self._seconds = seconds
        self._count_max = count_max
        self._answers: OrderedDict[str, tuple[Project | None, float]] = OrderedDict()

    def has(self, digest: str, now: float) -> bool:
        found = self._answers.get(digest)
        # A clock that was set back must not keep an answer for longer.
        return found is not None and 0 <= now - found[1] < self._seconds

    def get(self, digest: str, now: float) -> Project | None:
        return self._answers[digest][0] if self.has(digest, now) else None

    def put(self, digest: str, project: Project | None, now: float) -> None:
        self._answers.pop(digest, None)
        self._answers[digest] = (project, now)
        while len(self._answers) > self._count_max:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        self._answers.clear()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _hint(secret: str) -> str:
    """Give enough of a secret to recognise it by, and too little to use."""
    if len(secret) < 4 * _SECRET_CHARS_MIN:
        return "***"
    return f"{secret[:12]}…{secret[-4:]}"
