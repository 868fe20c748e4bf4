"""``atoll egress-process``: the egress process alone, for a service manager; ``atoll serve`` has it as a child."""

import os

from atoll.cli.failure import fail
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_record import OtherInstanceError, write_record
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError, find_user
from atoll.operate.vault_key import read_or_make_key
from atoll.settings import Loaded


@with_settings()
def egress_process(loaded: Loaded) -> None:
    """Run only the process that lets sandboxes out, until SIGTERM. `atoll serve` does this by itself."""
    from atoll.operate.egress_process import run_egress  # noqa: PLC0415 - slow to load

    settings = loaded.settings
    if os.geteuid() != 0:
        fail("The egress process makes its sockets as root, then becomes a user of its own: start it with sudo.")
    try:
        user = find_user(settings.user)
        prepare_folders(settings, user)
        write_record(settings)
        run_egress(settings, user, read_or_make_key(settings.vault_key_path).value.hex(), None)
    except (UserError, FolderError, OtherInstanceError) as error:
        fail(str(error))
