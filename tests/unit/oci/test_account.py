"""A zygote's user is one that owns nothing, or there is no zygote."""

import pytest

from atoll.runtime.oci.zygote import account
from atoll.runtime.oci.zygote.account import NoAccountError


def test_an_ordinary_user() -> None:
    found = account.find("nobody")
    assert found.uid > 0
    assert found.gid > 0


@pytest.mark.parametrize(("name", "why"), [("root", "must not be"), ("nobody-of-that-name", "useradd")])
def test_neither_root_nor_nobody_at_all(name: str, why: str) -> None:
    with pytest.raises(NoAccountError, match=why):
        account.find(name)
