"""What the command line can find out on the server's own machine: where its Atoll listens, and the kept key."""

from atoll.cli.connection import Local
from atoll.cli.failure import fail
from atoll.operate.first_key import read_key
from atoll.operate.instance_lock import running_instance
from atoll.operate.listening import base_url, reachable_host
from atoll.settings import SettingsError, load


def find_local() -> Local:
    """Look at this machine's data folder, as the settings name it; what is not ours to read counts as not there."""
    try:
        settings = load().settings
    except SettingsError as error:
        fail(str(error), code=2)
    instance = running_instance(settings.data_dir)
    return Local(
        base_url=instance.base_url if instance else None,
        api_key=read_key(settings.api_key_path),
        usual_base_url=base_url((reachable_host(settings.host), settings.port)),
    )
