"""``atoll serve``: checks that everything is there, then launches it."""

import logging
import os
import shutil
import sys

import typer

from atoll.cli.failure import fail
from atoll.images.errors import ImageNotFoundError
from atoll.images.shelf import find
from atoll.operate.egress_user import has_egress
from atoll.operate.first_key import keep_key, key_problem, make_key, read_key
from atoll.operate.folders import FolderError, prepare_folders
from atoll.operate.instance_lock import AlreadyRunningError, InstanceLock
from atoll.operate.instance_record import OtherInstanceError, write_record
from atoll.operate.launcher import Launcher
from atoll.operate.listening import PortError, base_url, listen, reachable_address
from atoll.operate.logs import configure_logging
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import SystemUser, UserError, find_user
from atoll.operate.task import Task
from atoll.operate.vault_key import read_or_make_key
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
    given = first_api_key()
    if given is not None and (problem := key_problem(given)):
        fail(f"ATOLL_API_KEY cannot be used: {problem}.", code=2)
    try:
        user = _server_user(settings)
        prepare_folders(settings, user)
        data_lock, run_lock = InstanceLock(settings.data_dir), InstanceLock(settings.run_dir)
        data_lock.take()
        run_lock.take()
        write_record(settings)
        _check_key_file(settings, user)
        vault_key = read_or_make_key(settings.vault_key_path) if has_egress(settings) else None
        listening = listen(settings.host, settings.port)
    except (UserError, FolderError, AlreadyRunningError, OtherInstanceError, PortError) as error:
        fail(str(error))
    configure_logging(settings.log_level, settings.log_format, "launcher")
    if settings.runtime == "plain":
        sys.stderr.write(_PLAIN_WARNING)
    url = base_url(reachable_address(listening))
    kept = read_key(settings.api_key_path, user)
    key = given or kept or make_key()

    def say_ready() -> None:
        if kept is None:
            _keep(settings, user, key)
        data_lock.publish(url)
        sys.stdout.write(_welcome(settings, url, key if kept is None and given is None else None))
        sys.stdout.flush()

    # A kept key is in the database already and may have been revoked there: only a new database is told it again.
    known = given is None and kept is not None and settings.database_path.exists()
    task = Task(
        settings=settings,
        launcher_pid=os.getpid(),
        user=user,
        first_key=None if known else key,
        vault_key=None if vault_key is None else vault_key.value.hex(),
    )
    raise SystemExit(Launcher(task, listening, say_ready).run())


def serve_alone() -> None:
    """Be the command line with this command only, which is the first word."""
    app = typer.Typer(name="atoll", pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(lambda: None)  # else the command would be the program, and its name an argument
    app.command()(serve)
    app()


def _check_key_file(settings: Settings, user: SystemUser | None) -> None:
    """Refuse a key file that cannot be read: a new key could not be kept. Raises ``UserError``."""
    path = settings.api_key_path
    if os.path.lexists(path) and read_key(path, user) is None:
        raise UserError(f"{path} is there, but no key can be read from it. Remove it, and a new key is made.")


def _keep(settings: Settings, user: SystemUser | None, key: str) -> None:
    """Keep the first key once it works, so that a start that was cut off before makes another one."""
    try:
        keep_key(settings.api_key_path, user, key)
    except OSError:
        log.exception("the key works, but cannot be kept in %s", settings.api_key_path)


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
    try:
        find(settings.images_dir, settings.image)
    except ImageNotFoundError as error:
        raise UserError(f"{error} The default image is made by `atoll image build`.") from error
    return find_user(settings.user)


def _welcome(settings: Settings, url: str, new_key: str | None) -> str:
    """Say where Atoll is and give three lines that work as they stand on this machine."""
    kept = f"kept in {settings.api_key_path}"
    closed = "" if os.geteuid() else ", which only root can read (sudo cat)"
    shown = f"{new_key}  ({kept})" if new_key else f"{kept}{closed}"
    key = f'"{new_key}"' if new_key else f'open("{settings.api_key_path}").read().strip()'
    return f"""
Atoll is ready.

  Base URL  {url}
  Console   {url.removesuffix("v1")}
  API key   {shown}

Paste into Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{url}", api_key={key})
  print(client.containers.create(name="hello"))

"""
