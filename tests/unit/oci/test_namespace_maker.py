"""The maker of user namespaces, and what must not be left of it."""

import pwd
from pathlib import Path

import pytest

from atoll.runtime.oci.zygote.account import Account
from atoll.runtime.oci.zygote.namespace_maker import NamespaceMaker
from tests.harness.machine import is_alive
from tests.harness.poll import wait_until


@pytest.fixture
def account() -> Account:
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def test_a_namespace_maps_what_it_should(account: Account) -> None:
    maker = NamespaceMaker(account)
    try:
        with maker.mapping(0x70000000, 65536) as namespace:
            assert str(Path(f"/proc/self/fd/{namespace}").readlink()).startswith("user:[")
    finally:
        maker.close()
    assert maker.has_ended


def test_its_child_goes_with_it(account: Account) -> None:
    """A supervisor killed while a namespace is made leaves a child that nobody else will ever end."""
    maker = NamespaceMaker(account)
    maker._control.send(b"1")
    child = int(maker._control.recv(16))
    assert is_alive(child)
    maker.close()
    wait_until(lambda: not is_alive(child), what="the child's end")
