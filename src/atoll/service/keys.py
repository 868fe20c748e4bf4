"""API keys: who may come in, and to which project."""

from atoll.model.projects import Key, Project


class Keys:
    """Keys and the projects that they open.

    Secrets are kept as SHA-256 only. A slow hash would add nothing: a secret has 256 random bits, which cannot be
    guessed at any speed, and every request pays for the hash.
    """

    async def authenticate(self, secret: str) -> Project:
        """Give the project that a secret opens. Raises ``AuthenticationError``."""
        raise NotImplementedError

    async def create(self, name: str, project_name: str) -> tuple[Key, str]:
        """Make a key and give its secret, once; a project of that name is made when there is none."""
        raise NotImplementedError

    async def list(self) -> list[Key]:
        """Give every key, revoked ones too, oldest first."""
        raise NotImplementedError

    async def revoke(self, key_id: str) -> None:
        """Close a key for good; again is no error. Raises ``NotFoundError``."""
        raise NotImplementedError

    async def ensure(self, secret: str) -> Key:
        """Let this secret in (``ATOLL_API_KEY``): project ``default``, unless the key exists already.

        Raises ``InvalidRequestError`` for a secret that was revoked, or is shorter than 16 characters.
        """
        raise NotImplementedError
