"""The steps themselves, by Alembic, which takes long to load and mostly has nothing to do."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as BlockingConnection

from atoll.model.errors import StartRefusedError


class DatabaseTooNewError(StartRefusedError):
    """A newer program brought the database to where this one does not know it."""


def known_revisions() -> frozenset[str]:
    """Give the revisions that this program can open."""
    return frozenset(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def take_missing(connection: BlockingConnection) -> None:
    """Take the steps that are missing. Raises ``DatabaseTooNewError``."""
    found = MigrationContext.configure(connection).get_current_heads()
    unknown = set(found) - known_revisions()
    if unknown:
        raise DatabaseTooNewError(
            f"The database is at revision {', '.join(sorted(unknown))}, which a newer Atoll made and this one does not "
            "know. Nothing was changed. Start that version again, or restore a backup from before the upgrade."
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "atoll.store:migrations")
    return config
