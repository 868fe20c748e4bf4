"""Projects, and the keys that open them."""

from dataclasses import dataclass

from atoll.model.ids import KeyId, ProjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The owner of containers and files: a key sees its own project's and no other's."""

    id: ProjectId
    name: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as it can be shown; the secret itself is known only to the one it was given to.

    ``hint`` is the secret's first and last characters, enough to recognise it by.
    """

    id: KeyId
    project_id: ProjectId
    name: str
    hint: str
    created_at: int
    revoked_at: int | None
