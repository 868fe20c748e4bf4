"""The agent's command line is read exactly, and what is none is refused."""

import os

import pytest

from atoll.guest.options import parse


def test_everything_that_can_be_given() -> None:
    options = parse(
        [
            *(
                "--listen-fd",
                "3",
                "--data-dir",
                "/mnt/data",
                "--uid",
                "1000",
                "--gid",
                "1001",
                "--home",
                "/home/sandbox",
            ),
            *(
                "--file-bytes-max",
                "4096",
                "--nofile-max",
                "64",
                "--python",
                "/usr/bin/python3",
                "--network",
                "allowlist",
            ),
            *("--env", "ONE=1", "--env", "TWO=a=b", "--env", "LANG=de_DE"),
        ],
        {"PATH": "/bin", "HOME": "/root", "SECRET": "of the agent"},
        "/usr/bin/python",
    )
    people = options.people
    assert (options.listen_fd, options.python, options.network_is_disabled) == (3, "/usr/bin/python3", False)
    assert (people.uid, people.gid, people.data_dir) == (1000, 1001, "/mnt/data")
    assert (people.file_bytes_max, people.nofile_max) == (4096, 64)
    given = {"HOME": "/home/sandbox", "PATH": "/bin", "ONE": "1", "TWO": "a=b", "LANG": "de_DE"}
    assert given.items() <= people.environment.items()
    assert "SECRET" not in people.environment


def test_what_need_not_be_given() -> None:
    options = parse(["--listen-fd", "7"], {"HOME": "/home/me"}, "/usr/bin/python")
    assert (options.listen_fd, options.python, options.network_is_disabled) == (7, "/usr/bin/python", True)
    assert (options.people.uid, options.people.gid) == (None, None)
    assert options.people.environment["HOME"] == "/home/me"
    assert not options.forks_python


def test_the_group_is_the_users_and_the_agents_own_user_is_nobody_else() -> None:
    assert parse(["--listen-fd", "3", "--uid", "4321"], {}, "python").people.gid == 4321
    own = parse(["--listen-fd", "3", "--uid", str(os.geteuid()), "--gid", "7"], {}, "python").people
    assert (own.uid, own.gid) == (None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--uid", "1000"],
        ["--listen-fd"],
        ["--listen-fd", "three"],
        ["--listen-fd", "3", "--uid"],
        ["--listen-fd", "3", "--colour", "red"],
        ["listen-fd", "3"],
    ],
)
def test_no_command_line(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(arguments, {}, "python")
