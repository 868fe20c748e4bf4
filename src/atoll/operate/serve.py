"""``atoll serve``: checks that everything is there, then launches it."""

import logging
import os
import shutil
import sys

from atoll.cli.failure import fail
from atoll.operate.first_key import keep_key
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_lock import AlreadyRunningError, InstanceLock
from atoll.operate.launcher import Launcher
from atoll.operate.listening import PortError, base_url, listen, reachable_address
from atoll.operate.logs import configure_logging
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import SystemUser, UserError, find_user
from atoll.operate.task import Task
from atoll.settings import Loaded, Settings, first_api_key

log = logging.getLogger("atoll.launcher")

_PLAIN_WARNING = """\
##################################################################################
##  RUNTIME "plain": THERE ARE NO WALLS. Code in containers runs as this user,  ##
##  reads and changes everything that this user can, and reaches the network.   ##
##  For development only: never run other people's code on it.                  ##
##################################################################################
"""


@with_settings()
def serve(loaded: Loaded) -> None:
    """Start Atoll and stay until Ctrl-C or SIGTERM. Containers live on until the next start."""
    settings = loaded.settings
    try:
        user = _server_user(settings)
        prepare_folders(settings, user)
        data_lock, run_lock = InstanceLock(settings.data_dir), InstanceLock(settings.run_dir)
        data_lock.take()
        run_lock.take()
        listening = listen(settings.host, settings.port)
    except (UserError, FolderError, AlreadyRunningError, PortError) as error:
        fail(str(error))
    configure_logging(settings.log_level)
    if settings.runtime == "plain":
        sys.stderr.write(_PLAIN_WARNING)
    first_key, is_first_start = keep_key(settings.api_key_path, user, first_api_key())
    url = base_url(reachable_address(listening))

    def say_ready() -> None:
        data_lock.publish(url)
        sys.stdout.write(_welcome(settings, url, first_key if is_first_start and not first_api_key() else None))
        sys.stdout.flush()

    task = Task(settings=settings, launcher_pid=os.getpid(), user=user, first_key=first_key)
    raise SystemExit(Launcher(task, listening, say_ready).run())


def _server_user(settings: Settings) -> SystemUser | None:
    """Decide whom the server becomes. Raises ``UserError`` when this user cannot start Atoll so."""
    is_root = os.geteuid() == 0
    if settings.runtime == "plain":
        return find_user(settings.user) if is_root else None
    if not is_root:
        raise UserError(
            "The runtime `oci` builds its walls as root: start Atoll with sudo.\n"
            "For development without root there is `atoll serve --runtime plain`, which has no walls."
        )
    if shutil.which(settings.oci_runtime) is None:
        raise UserError(
            f"The OCI runtime {settings.oci_runtime!r} is not on this machine. Install it (apt-get install runc) "
            "or name another with --oci-runtime."
        )
    return find_user(settings.user)


def _welcome(settings: Settings, url: str, new_key: str | None) -> str:
    """Say where Atoll is and give three lines that work as they stand on this machine."""
    kept = f"kept in {settings.api_key_path}"
    shown = f"{new_key}  ({kept})" if new_key else kept
    key = f'"{new_key}"' if new_key else f'open("{settings.api_key_path}").read().strip()'
    return f"""
Atoll is ready.

  Base URL  {url}
  API key   {shown}

Paste into Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{url}", api_key={key})
  print(client.containers.create(name="demo"))

"""
