"""``atoll keys``: who may come in. Works on the database of this machine, whether Atoll runs or not."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from atoll.cli.arguments import AsJson, print_json
from atoll.cli.failure import fail
from atoll.cli.tables import print_table, time_text
from atoll.operate.database_user import become_database_owner
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError
from atoll.settings import Loaded, Settings

if TYPE_CHECKING:
    from atoll.model.projects import Key
    from atoll.service.keys import Keys

T = TypeVar("T")

keys_app = typer.Typer(help="The keys that open this server.", no_args_is_help=True, rich_markup_mode=None)
_PLACES = ("data_dir", "database_url", "user")


@keys_app.command("create")
@with_settings(_PLACES)
def create(
    loaded: Loaded,
    *,
    name: Annotated[str, typer.Option(help="What to know the key by.")],
    project: Annotated[str, typer.Option(help="The project it opens; made when there is none.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, which is shown only this once."""
    key, secret = _with_keys(loaded.settings, lambda keys: keys.create(name, project))
    if as_json:
        print_json({**_as_json(key), "secret": secret})
        return
    sys.stdout.write(secret + "\n")
    sys.stderr.write(f"[{key.id}, project {project}; the secret is not shown again]\n")


@keys_app.command("list")
@with_settings(_PLACES)
def list_(loaded: Loaded, *, as_json: AsJson = False) -> None:
    """List all keys, oldest first, revoked ones too."""
    found = _with_keys(loaded.settings, lambda keys: keys.list())
    if as_json:
        print_json([_as_json(key) for key in found])
        return
    columns = ("id", "name", "project", "key", "created", "revoked")
    print_table(
        columns,
        (
            (key.id, key.name, key.project_id, key.hint, time_text(key.created_at), time_text(key.revoked_at))
            for key in found
        ),
    )


@keys_app.command("revoke")
@with_settings(_PLACES)
def revoke(
    loaded: Loaded,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `atoll keys list` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Close a key for good. A running server takes notice within seconds."""

    async def revoke_and_find(keys: "Keys") -> "Key":
        await keys.revoke(key_id)
        return next(key for key in await keys.list() if key.id == key_id)

    revoked = _with_keys(loaded.settings, revoke_and_find)
    if as_json:
        print_json(_as_json(revoked))


def _with_keys(settings: Settings, use: "Callable[[Keys], Awaitable[T]]") -> T:
    """Open the database as its owner and do one thing with its keys."""
    from atoll.model.errors import AtollError  # noqa: PLC0415 - loaded with what follows

    try:
        become_database_owner(settings)
        _check_there(settings)
        return asyncio.run(_open_and(settings, use))
    except FileNotFoundError:
        fail(f"There is no Atoll in {settings.data_dir} yet. `atoll serve` makes one.")
    except PermissionError as error:
        fail(f"{error.filename or settings.data_dir} is not yours: run this as root or as its owner.")
    except UserError as error:
        fail(str(error))
    except AtollError as error:
        fail(error.message)


def _check_there(settings: Settings) -> None:
    """Raise ``FileNotFoundError`` for a built-in database that does not exist: opening it would make one."""
    if settings.database_url == settings.built_in_database_url:
        settings.database_path.stat()


async def _open_and(settings: Settings, use: "Callable[[Keys], Awaitable[T]]") -> T:
    from atoll.model.ids import IdGenerator  # noqa: PLC0415 - slow to load, and `--help` needs none of it
    from atoll.service.keys import Keys  # noqa: PLC0415 - slow to load
    from atoll.service.limits import ServiceLimits  # noqa: PLC0415 - slow to load
    from atoll.store.database import open_database  # noqa: PLC0415 - slow to load

    async with open_database(settings.database_url) as database:
        return await use(Keys(database=database, ids=IdGenerator(), clock=time.time, limits=ServiceLimits()))


def _as_json(key: "Key") -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "project_id": key.project_id,
        "hint": key.hint,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
