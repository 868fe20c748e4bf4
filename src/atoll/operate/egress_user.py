"""Whether this machine can hold to network policies: only with a system user for the egress process."""

import pwd

from atoll.settings import Settings


def has_egress(settings: Settings) -> bool:
    """Tell whether there is such a user. Without one, no policy that lets something out is taken."""
    try:
        pwd.getpwnam(settings.egress_user)
    except KeyError:
        return False
    return settings.runtime == "oci"


def how_to_make(name: str) -> str:
    """Say how the user is made."""
    return f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
