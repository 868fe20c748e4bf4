"""Data folder and database belong together, and are never used with another one's.

Sandboxes that no row names are removed, with their files. On a wrong or empty database that would be every sandbox
of the data folder: the folder therefore remembers its database, and a server refuses to start on another.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from atoll.model.errors import StartRefusedError
from atoll.store import identity
from atoll.store.database import Database

_NAME: Final = "database-id"


class WrongDatabaseError(StartRefusedError):
    """The data folder was filled with another database than the one that is open."""


async def check_belonging(database: Database, data_dir: Path) -> None:
    """Tie a new data folder to the database; hold a known one to it. Raises ``WrongDatabaseError``."""
    own = await database.write(lambda connection: identity.settle(connection, secrets.token_hex(16)))
    path = data_dir / _NAME
    try:
        known = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        _keep(path, own)
        return
    if known != own:
        raise WrongDatabaseError(
            f"The data folder {data_dir} belongs to another database than the one in the settings. Starting would "
            f"remove the containers' files that this database does not know. Set `database_url` back or choose another "
            f"`data_dir`; to give up those files for good, remove {path} first."
        )


def _keep(path: Path, text: str) -> None:
    """Write a file that is whole or not there, also after a power failure."""
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
