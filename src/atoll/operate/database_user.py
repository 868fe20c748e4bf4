"""Working on an instance's database from the command line, as whom it belongs to."""

import importlib
import os
from typing import Final

from atoll.operate import code_view
from atoll.operate.system_user import become, owner_of
from atoll.settings import Settings

_NEEDED: Final = ("atoll.service.keys", "atoll.store.database")


def become_database_owner(settings: Settings) -> None:
    """As root, turn into the owner of the database for good, so that no file of it ends up root's.

    Raises ``UserError``, ``FileNotFoundError`` when there is no such data folder.
    """
    if os.geteuid() != 0:
        return
    user = owner_of(settings.data_dir, settings.user)
    for name in _NEEDED:
        importlib.import_module(name)
    code_view.open_to(user)
    become(user)
