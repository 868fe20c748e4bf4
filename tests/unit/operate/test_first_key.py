"""The launcher knows what key the server would take."""

import time
from pathlib import Path

import pytest

from atoll.model.errors import InvalidRequestError
from atoll.model.ids import IdGenerator
from atoll.operate.first_key import keep_key, key_problem, make_key, read_key
from atoll.service.keys import Keys
from atoll.service.limits import ServiceLimits
from atoll.store.database import open_database


@pytest.mark.parametrize(
    "secret", ["1234567", "12345678", "x" * 512, "x" * 513, "My API Key", "key-ä-12345", " 12345678", "1\n345678"]
)
async def test_both_agree(tmp_path: Path, secret: str) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'atoll.db'}") as database:
        keys = Keys(database=database, ids=IdGenerator(), clock=time.time, limits=ServiceLimits())
        if key_problem(secret) is None:
            await keys.ensure(secret)
        else:
            with pytest.raises(InvalidRequestError):
                await keys.ensure(secret)


def test_a_made_key_is_kept_for_its_owner_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    secret = make_key()
    assert key_problem(secret) is None
    assert read_key(path) is None
    keep_key(path, None, secret)
    assert read_key(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        keep_key(path, None, make_key())
