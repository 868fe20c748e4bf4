"""A data folder is never used with another database than its own."""

from pathlib import Path

import pytest

from atoll.service.belonging import WrongDatabaseError, check_belonging
from atoll.store.database import open_database


async def check(database_path: Path, data_dir: Path) -> None:
    async with open_database(f"sqlite:///{database_path}") as database:
        await check_belonging(database, data_dir)


async def test_the_same_database_is_taken_again(tmp_path: Path) -> None:
    await check(tmp_path / "one.db", tmp_path)
    await check(tmp_path / "one.db", tmp_path)


async def test_another_database_is_refused_and_named(tmp_path: Path) -> None:
    await check(tmp_path / "one.db", tmp_path)
    with pytest.raises(WrongDatabaseError, match="belongs to another database") as caught:
        await check(tmp_path / "other.db", tmp_path)
    assert str(tmp_path / "database-id") in str(caught.value)


async def test_a_folder_can_be_given_up_on_purpose(tmp_path: Path) -> None:
    await check(tmp_path / "one.db", tmp_path)
    (tmp_path / "database-id").unlink()
    await check(tmp_path / "other.db", tmp_path)
    with pytest.raises(WrongDatabaseError):
        await check(tmp_path / "one.db", tmp_path)
