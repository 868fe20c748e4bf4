"""``atoll down``: everything that runs ends, every file stays."""

import os
import select
import shutil
import signal
import sys
from typing import Final

from atoll.cli.failure import fail
from atoll.operate.instance_lock import AlreadyRunningError, InstanceLock, running_instance
from atoll.operate.instance_record import OtherInstanceError, read_record
from atoll.operate.logs import configure_logging
from atoll.operate.settings_options import with_settings
from atoll.operate.system_user import UserError, find_user
from atoll.settings import Loaded, Settings

_END_S: Final = 30.0


@with_settings(("data_dir", "images_dir", "user", "shutdown_grace_s"))
def down(loaded: Loaded) -> None:
    """End the server and everything that runs in sandboxes. Containers start again on their files when used."""
    settings = loaded.settings
    if not settings.data_dir.is_dir():
        return
    try:
        _end_launcher(settings)
        _end_the_rest(settings)
    except (AlreadyRunningError, OtherInstanceError, UserError) as error:
        fail(str(error))
    except PermissionError as error:
        fail(f"{error.filename or settings.data_dir} is not yours: run this as root or as whoever started Atoll.")


def _end_launcher(settings: Settings) -> None:
    """Ask the launcher that holds the data folder to end, and wait until it has."""
    instance = running_instance(settings.data_dir)
    if instance is None:
        return
    try:
        launcher = os.pidfd_open(instance.pid)
    except ProcessLookupError:
        return
    try:
        if running_instance(settings.data_dir) != instance:
            return  # it ended, and the number may be somebody else's now
        sys.stderr.write(f"Ending the server (process {instance.pid}) ...\n")
        signal.pidfd_send_signal(launcher, signal.SIGTERM)
        patience_s = settings.shutdown_grace_s + _END_S
        if not select.select([launcher], [], [], patience_s)[0]:
            fail(f"Process {instance.pid} has not ended after {patience_s:g} s. End it with kill -9, then try again.")
    except PermissionError:
        fail(f"Process {instance.pid} is not yours: run this as root or as whoever started Atoll.")
    finally:
        os.close(launcher)


def _end_the_rest(settings: Settings) -> None:
    """End the sandboxes and clear the run folder, with both locks held so that nothing starts meanwhile."""
    record = read_record(settings.data_dir)
    if record is None:
        return  # nothing was ever started on it
    settings = record.applied_to(settings)
    data_lock, run_lock = InstanceLock(settings.data_dir), InstanceLock(settings.run_dir)
    data_lock.take()
    settings.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    run_lock.take()
    if record.runtime == "oci":
        _end_sandboxes(settings)
    shutil.rmtree(settings.run_dir, ignore_errors=True)
    run_lock.release()
    data_lock.release()


def _end_sandboxes(settings: Settings) -> None:
    from atoll.operate.supervisor_process import supervisor_settings  # noqa: PLC0415 - only where there are walls
    from atoll.runtime.contract import RuntimeUnavailableError  # noqa: PLC0415 - only where there are walls
    from atoll.runtime.oci.layout import AlreadyLockedError  # noqa: PLC0415 - only where there are walls
    from atoll.supervisor.main import shutdown_all  # noqa: PLC0415 - only where there are walls

    if os.geteuid() != 0:
        fail("Sandboxes behind walls are root's: run this with sudo.")
    configure_logging("warning")
    try:
        shutdown_all(supervisor_settings(settings, find_user(settings.user)))
    except AlreadyLockedError as error:
        fail(f"A supervisor still runs: {error}. End it first (a service manager may have started it).")
    except (RuntimeUnavailableError, OSError) as error:
        fail(f"Not every sandbox could be ended: {error}. What is left ends with a reboot.")
