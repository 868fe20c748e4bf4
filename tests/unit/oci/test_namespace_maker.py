"""Namespaces come from a user who is nobody, or it is known at once why not."""

import array
import fcntl
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.runtime.oci.zygote.account import Account
from atoll.runtime.oci.zygote.namespace_maker import NamespaceMaker, NamespaceMakerError
from tests.harness.machine import is_alive
from tests.harness.poll import wait_until
from tests.harness.requirements import unmet

NOBODY = pwd.getpwnam("nobody")
ACCOUNT = Account(NOBODY.pw_uid, NOBODY.pw_gid)
FIRST_ID = 0x6FFE0000

# As root of a folder that is not the root of its mount namespace, nobody may make a user namespace.
REFUSED = """
import sys
from atoll.runtime.oci.zygote.account import Account
from atoll.runtime.oci.zygote.namespace_maker import NamespaceMaker
try:
    NamespaceMaker(Account(int(sys.argv[1]), int(sys.argv[2])))
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        unmet("needs root")


def test_a_namespace_is_its_users_and_maps_the_ids() -> None:
    maker = NamespaceMaker(ACCOUNT)
    try:
        with maker.mapping(FIRST_ID, 65536) as namespace:
            seen = subprocess.run(
                ["nsenter", f"--user=/proc/self/fd/{namespace}", "--preserve-credentials", "cat", "/proc/self/uid_map"],
                pass_fds=[namespace],
                check=True,
                capture_output=True,
                text=True,
            )
            assert [int(number) for number in seen.stdout.split()] == [0, FIRST_ID, 65536]
            assert _owner(namespace) == ACCOUNT.uid
    finally:
        maker.close()


def test_the_helper_has_four_capabilities_and_nobody_else_may_look_at_it() -> None:
    maker = NamespaceMaker(ACCOUNT)
    try:
        process = Path(f"/proc/{maker._process.pid}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 5 | 1 << 6 | 1 << 7 | 1 << 21
        assert status["NoNewPrivs"] == "1"
        # Root, all the same: the zygote's user may neither trace nor signal it.
        assert status["Uid"].split() == ["0"] * 4
        said = subprocess.run(
            ["cat", str(process / "environ")], user=ACCOUNT.uid, check=False, capture_output=True, text=True
        )
        assert said.returncode != 0
    finally:
        maker.close()


def test_where_the_kernel_makes_none_the_start_says_why(tmp_path: Path) -> None:
    inside = f'mount --rbind / "{tmp_path}" && exec chroot "{tmp_path}" "$@"'
    said = subprocess.run(
        [
            *("unshare", "--mount", "--propagation=private", "sh", "-c", inside, "sh"),
            *(sys.executable, "-c", REFUSED, str(ACCOUNT.uid), str(ACCOUNT.gid)),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path("src").resolve())},
    )
    assert said.stdout.startswith("NamespaceMakerError"), said
    assert "Operation not permitted" in said.stdout


def test_a_helper_that_is_gone_is_noticed() -> None:
    maker = NamespaceMaker(ACCOUNT)
    try:
        maker._process.kill()
        wait_until(lambda: maker.has_ended, what="the helper's end")
        with pytest.raises(NamespaceMakerError, match="gone"), maker.mapping(FIRST_ID, 65536):
            pass
    finally:
        maker.close()


def test_its_child_goes_with_it() -> None:
    """A supervisor killed while a namespace is made leaves a child that nobody else will ever end."""
    maker = NamespaceMaker(ACCOUNT)
    maker._control.send(b"1")
    child = int(maker._control.recv(16))
    assert is_alive(child)
    maker.close()
    wait_until(lambda: not is_alive(child), what="the child's end")


def _owner(namespace: int) -> int:
    """Ask the kernel who made a user namespace (``NS_GET_OWNER_UID``)."""
    answer = array.array("I", [0])
    fcntl.ioctl(namespace, 0xB704, answer)
    return answer[0]
