"""What the agent is told at its start: where data is, whom people's code runs as, and how much it may use."""

import argparse
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atoll.guest.protocol import DATA_ROOT

_PATH_DEFAULT: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILE_BYTES_MAX_DEFAULT: Final = 64 * 1024**3


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
    """Read the command line. ``environment`` is the agent's own: only ``PATH`` (and in plain ``HOME``) pass on."""
    parser = argparse.ArgumentParser(prog="atoll.guest", description="Atoll's agent inside a sandbox.")
    parser.add_argument("--listen-fd", type=int, required=True, help="a listening Unix stream socket")
    parser.add_argument("--data-dir", default=DATA_ROOT, help="the folder that is called /mnt/data outside")
    parser.add_argument("--uid", type=int, help="run people's code as this user (default: the agent's own)")
    parser.add_argument("--gid", type=int, help="and group (default: the same number as --uid)")
    parser.add_argument("--home", help="home folder of people's code")
    parser.add_argument("--file-bytes-max", type=int, default=_FILE_BYTES_MAX_DEFAULT)
    parser.add_argument("--nofile-max", type=int, default=65536)
    parser.add_argument("--python", default=executable, help="interpreter of people's Python")
    parser.add_argument("--network", default="disabled", help="the network policy's type")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="for people's code; repeatable"
    )
    given = parser.parse_args(arguments)
    uid = None if given.uid is None or given.uid == os.geteuid() else given.uid
    gid = None if uid is None else (uid if given.gid is None else given.gid)
    data_dir = str(Path(given.data_dir).absolute())
    people = People(
        uid=uid,
        gid=gid,
        data_dir=data_dir,
        environment=_environment(uid, given.home, data_dir, environment) | dict(_pair(text) for text in given.env),
        file_bytes_max=given.file_bytes_max,
        nofile_max=given.nofile_max,
    )
    return Options(
        listen_fd=given.listen_fd,
        python=given.python,
        network_is_disabled=given.network == "disabled",
        people=people,
    )


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


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
