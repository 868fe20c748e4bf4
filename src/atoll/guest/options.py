"""What the agent is told at its start: where data is, whom people's code runs as, and how much it may use."""

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.guest.protocol import DATA_ROOT

_PATH_DEFAULT: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILE_BYTES_MAX_DEFAULT: Final = 64 * 1024**3
_NOFILE_MAX_DEFAULT: Final = 65536
_NUMBERS: Final = ("listen-fd", "uid", "gid", "file-bytes-max", "nofile-max")
_NAMES: Final = frozenset({*_NUMBERS, "data-dir", "home", "python", "network", "env"})


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The account and limits of people's code; ``uid`` ``None`` means the agent's own user, without walls."""

    uid: int | None
    gid: int | None
    data_dir: str
    environment: dict[str, str]
    file_bytes_max: int
    nofile_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed command line; ``forks_python`` says that this process has people's Python imported already."""

    listen_fd: int
    python: str
    network_is_disabled: bool
    people: People
    forks_python: bool = False


def parse(arguments: Sequence[str], environment: dict[str, str], executable: str) -> Options:
    """Read the command line, ``--NAME VALUE`` each. ``environment`` is the agent's own: only ``PATH`` (and in plain
    ``HOME``) pass on.

    - ``--listen-fd``: a listening Unix stream socket; the only one that must be there
    - ``--data-dir``: the folder that is called /mnt/data outside
    - ``--uid``, ``--gid``: whom people's code runs as (default: the agent's own user; the group of the same number)
    - ``--home``: home folder of people's code
    - ``--file-bytes-max``, ``--nofile-max``: limits of people's code
    - ``--python``: interpreter of people's Python
    - ``--network``: the network policy's type
    - ``--env NAME=VALUE``: for people's code; repeatable

    Only Atoll writes this line. Raises ``ValueError`` when it is none.
    """
    given, extra = _read(arguments)
    number = {name: int(given[name]) for name in _NUMBERS if name in given}
    uid = number.get("uid")
    uid = None if uid == os.geteuid() else uid
    gid = None if uid is None else number.get("gid", uid)
    data_dir = str(Path(given.get("data-dir", DATA_ROOT)).absolute())
    people = People(
        uid=uid,
        gid=gid,
        data_dir=data_dir,
        environment=_environment(uid, given.get("home"), data_dir, environment) | extra,
        file_bytes_max=number.get("file-bytes-max", _FILE_BYTES_MAX_DEFAULT),
        nofile_max=number.get("nofile-max", _NOFILE_MAX_DEFAULT),
    )
    return Options(
        listen_fd=number["listen-fd"],
        python=given.get("python", executable),
        network_is_disabled=given.get("network", "disabled") == "disabled",
        people=people,
    )


def _read(arguments: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Give the options by name, and what ``--env`` says. Without ``argparse``, which every fork would pay for."""
    given: dict[str, str] = {}
    extra: dict[str, str] = {}
    if len(arguments) % 2:
        raise ValueError(f"{arguments[-1]!r} has no value")
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        name = option.removeprefix("--")
        if option == name or name not in _NAMES:
            raise ValueError(f"{option!r} is no option of the agent")
        if name == "env":
            key, _, text = value.partition("=")
            extra[key] = text
        else:
            given[name] = value
    if "listen-fd" not in given:
        raise ValueError("--listen-fd is missing")
    return given, extra


def _environment(uid: int | None, home: str | None, data_dir: str, own: dict[str, str]) -> dict[str, str]:
    """A clean environment: nothing of the host's or the agent's reaches people's code but ``PATH``."""
    try:
        entry = pwd.getpwuid(os.geteuid() if uid is None else uid)
        name, account_home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, account_home = "sandbox", data_dir
    if uid is None:
        account_home = own.get("HOME", account_home)
    return {
        "PATH": own.get("PATH", _PATH_DEFAULT),
        "HOME": home or account_home,
        "USER": name,
        "LOGNAME": name,
        "SHELL": "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "DEBIAN_FRONTEND": "noninteractive",
        # Otherwise importing a module from the data folder would put a __pycache__ among people's files.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
