"""``atoll supervisor``: the privileged part alone, for a service manager; ``atoll serve`` runs the same as a child."""

import os

from atoll.cli.failure import fail
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_record import OtherInstanceError, write_record
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError, find_user
from atoll.settings import Loaded


@with_settings()
def supervisor(loaded: Loaded) -> None:
    """Run only the privileged supervisor, until SIGTERM. Sandboxes live on. `atoll serve` does this by itself."""
    from atoll.operate.supervisor_process import run_supervisor  # noqa: PLC0415 - slow to load

    settings = loaded.settings
    if os.geteuid() != 0:
        fail("The supervisor builds walls as root: start it with sudo.")
    try:
        user = find_user(settings.user)
        prepare_folders(settings, user)
        write_record(settings)
        run_supervisor(settings, user)
    except (UserError, FolderError, OtherInstanceError) as error:
        fail(str(error))
