"""What the launcher tells a child, and how it travels: as JSON over the child's stdin."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from atoll.operate.system_user import SystemUser
from atoll.settings import Settings

Role = Literal["server", "supervisor", "egress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """``user`` is whom the server becomes (and whom the supervisor serves), ``None`` when all run as oneself.

    ``vault_key`` is what domain secrets are encrypted with, in hexadecimal.
    """

    settings: Settings
    launcher_pid: int
    user: SystemUser | None = None
    first_key: str | None = None
    vault_key: str | None = field(default=None, repr=False)
    listening_fd: int = -1

    def dump(self) -> bytes:
        """Write it for ``read_task``."""
        return json.dumps(asdict(self), default=str).encode()


def read_task(content: bytes) -> Task:
    """Read what ``Task.dump`` wrote."""
    value: dict[str, Any] = json.loads(content)
    user = value["user"]
    return Task(**{**value, "settings": _settings(value["settings"]), "user": SystemUser(**user) if user else None})


def _settings(values: dict[str, Any]) -> Settings:
    kinds = get_type_hints(Settings)
    typed: dict[str, Any] = {
        item.name: Path(values[item.name]) if kinds[item.name] is Path else values[item.name]
        for item in fields(Settings)
    }
    return Settings(**typed)
