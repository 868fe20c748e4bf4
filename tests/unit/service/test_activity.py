"""What a killed server may forget of uses: at most a second, however long ago the use before was."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from atoll.model.containers import Container
from atoll.store import containers
from tests.unit.service.test_calls import ended, python
from tests.unit.service.world import START, World, open_world


async def on_disk(world: World, container: Container) -> int:
    """Give what a server that is started after a kill would know."""
    row = await world.services.database.scan(
        lambda connection: containers.find(connection, world.project, container.id)
    )
    assert row is not None
    return row.last_active_at


async def test_a_look_after_a_long_time_is_written_before_it_is_answered(world: World) -> None:
    container = await world.container()
    world.clock.tick(600)
    assert (await world.services.containers.retrieve(world.project, container.id)).last_active_at == START + 600
    assert await on_disk(world, container) == START + 600


async def test_a_call_after_a_long_time_is_written_before_it_has_ended(world: World) -> None:
    container = await world.container()
    world.clock.tick(600)
    await ended(python(world, container, "say 1"))
    assert await on_disk(world, container) == START + 600


async def test_uses_that_follow_each_other_wait_for_no_disk(world: World) -> None:
    container = await world.container()
    world.clock.tick(1)
    await world.services.containers.retrieve(world.project, container.id)
    await ended(python(world, container, "say 1"))
    assert await on_disk(world, container) == START
    await world.services.activity.flush()
    assert await on_disk(world, container) == START + 1


async def test_what_is_told_is_never_more_than_a_second_ahead(world: World) -> None:
    container = await world.container()
    for pause in (1, 1, 1, 2, 7, 1, 1):
        world.clock.tick(pause)
        told = (await world.services.containers.retrieve(world.project, container.id)).last_active_at
        assert told - await on_disk(world, container) <= 1


async def test_many_at_once_share_a_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [await world.container() for _ in range(20)]
    world.clock.tick(600)
    written: list[int] = []
    touch = containers.touch

    async def counting(connection: object, moments: dict[object, int]) -> None:
        written.append(len(moments))
        await touch(connection, moments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(containers, "touch", counting)
    await asyncio.gather(*(world.services.containers.retrieve(world.project, one.id) for one in made))
    assert sum(written) >= 20
    assert len(written) <= 3
    for one in made:
        assert await on_disk(world, one) == START + 600


async def test_a_call_is_answered_for_although_its_use_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opening: AbstractAsyncContextManager[World] = open_world(tmp_path)
    async with opening as world:
        container = await world.container()
        world.clock.tick(600)

        async def full(*_: object) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patch:
            patch.setattr(containers, "touch", full)
            text, end = await ended(python(world, container, "say 1"))
        assert (text, end.status) == ("1", "completed")
        assert "is not written yet" in caplog.text
        await world.services.activity.flush()
        assert await on_disk(world, container) == START + 600
