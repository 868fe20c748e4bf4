"""Keys: who comes in, and who does not any more."""

import re
from pathlib import Path

import pytest

from atoll.model.errors import AuthenticationError, InvalidRequestError, NotFoundError
from tests.unit.service.world import World, open_world


async def test_a_new_key_opens_its_project(world: World) -> None:
    key, secret = await world.services.keys.create("ci", "research")
    assert re.fullmatch(r"sk-atoll-[A-Za-z0-9_-]{43}", secret)
    project = await world.services.keys.authenticate(secret)
    assert (project.id, project.name) == (key.project_id, "research")
    again, other = await world.services.keys.create("laptop", "research")
    assert again.project_id == key.project_id
    assert other != secret
    assert key.hint == f"{secret[:12]}…{secret[-4:]}"
    database = b"".join(path.read_bytes() for path in world.folder.iterdir() if path.is_file())
    assert secret.encode() not in database


@pytest.mark.parametrize("secret", ["", "x", "sk-atoll-" + "a" * 43, "é\ud800", "\0"])
async def test_other_secrets_open_nothing_and_are_not_shown(world: World, secret: str) -> None:
    for _ in range(2):
        with pytest.raises(AuthenticationError) as caught:
            await world.services.keys.authenticate(secret)
        assert caught.value.code == "invalid_api_key"
        assert not secret or secret not in caught.value.message


async def test_a_revoked_key_opens_nothing(world: World) -> None:
    key, secret = await world.services.keys.create("ci", "p")
    await world.services.keys.authenticate(secret)
    await world.services.keys.revoke(key.id)
    await world.services.keys.revoke(key.id)
    with pytest.raises(AuthenticationError):
        await world.services.keys.authenticate(secret)
    listed = {one.id: one.revoked_at for one in await world.services.keys.list()}
    assert listed[key.id] == int(world.clock.now)
    for unknown in ("key_x", "key_" + "0" * 24):
        with pytest.raises(NotFoundError):
            await world.services.keys.revoke(unknown)


async def test_keys_made_or_revoked_by_another_process_count_within_seconds(tmp_path: Path, world: World) -> None:
    async with open_world(tmp_path, runtime=world.runtime, clock=world.clock) as other:
        key, secret = await other.services.keys.create("ci", "p")
        await world.services.keys.authenticate(secret)
        await other.services.keys.revoke(key.id)
        await world.services.keys.authenticate(secret)
        world.clock.tick(5)
        with pytest.raises(AuthenticationError):
            await world.services.keys.authenticate(secret)

        wrong = "a secret that comes later"
        with pytest.raises(AuthenticationError):
            await world.services.keys.authenticate(wrong)
        await other.services.keys.ensure(wrong)
        world.clock.tick(5)
        assert (await world.services.keys.authenticate(wrong)).name == "default"


async def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path, key_cache_max=3) as world:
        _, secret = await world.services.keys.create("ci", "p")
        await world.services.keys.authenticate(secret)
        for number in range(10):
            with pytest.raises(AuthenticationError):
                await world.services.keys.authenticate(f"wrong {number}")
        assert len(world.services.keys._unknown._answers) == 3
        assert len(world.services.keys._known._answers) == 1


async def test_ensure_lets_a_chosen_secret_in_once(world: World) -> None:
    first = await world.services.keys.ensure("My API Key")
    assert await world.services.keys.ensure("My API Key") == first
    assert (await world.services.keys.authenticate("My API Key")).name == "default"
    assert first.hint == "***"
    await world.services.keys.revoke(first.id)
    with pytest.raises(InvalidRequestError, match="revoked"):
        await world.services.keys.ensure("My API Key")


@pytest.mark.parametrize("secret", ["a" * 7, "a" * 513, " leading space", "new\nline key", "schlüssel-lang"])
async def test_a_secret_that_cannot_be_a_key_is_refused(world: World, secret: str) -> None:
    with pytest.raises(InvalidRequestError):
        await world.services.keys.ensure(secret)
