"""The system user that zygotes run as: one that owns nothing else on the machine."""

import pwd
from dataclasses import dataclass


class NoAccountError(Exception):
    """The machine has no such user, or one that may too much; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account's numbers."""

    uid: int
    gid: int


def find(name: str) -> Account:
    """Look an account up. Raises ``NoAccountError``."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NoAccountError(
            f"there is no system user {name!r}; make it with "
            f"`useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}`"
        ) from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise NoAccountError(f"{name!r} is root, which a zygote must not be")
    return Account(entry.pw_uid, entry.pw_gid)
