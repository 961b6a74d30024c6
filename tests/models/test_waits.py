"""A wait in the driver that is cancelled, at whatever moment, ends and leaves its lock free."""

import asyncio

import pytest
from pymongo.lock import _async_cond_wait, _async_create_condition, _async_create_lock

from models.store.waits import mend_waits


class Driver:
    """What the driver has for those who wait."""

    def __init__(self) -> None:
        self.lock = _async_create_lock()
        self.condition = _async_create_condition(self.lock)

    async def wait(self, seconds: float) -> None:
        async with self.condition:
            await _async_cond_wait(self.condition, seconds)


@pytest.fixture
def driver() -> Driver:
    mend_waits()
    return Driver()


async def test_cancelled_as_it_times_out_while_another_has_the_lock(driver: Driver) -> None:
    waiting = asyncio.ensure_future(driver.wait(0.01))
    await asyncio.sleep(0)
    async with driver.lock:
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([waiting], timeout=30)
    assert waiting.cancelled()
    assert not driver.lock.locked()


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_as_it_ends(driver: Driver, turns: int) -> None:
    waiting = asyncio.ensure_future(driver.wait(60))
    await asyncio.sleep(0.01)
    async with driver.condition:
        driver.condition.notify_all()
    for _ in range(turns):
        await asyncio.sleep(0)
    was_waiting = waiting.cancel()
    await asyncio.wait([waiting], timeout=30)
    assert waiting.cancelled() is was_waiting
    assert not driver.lock.locked()
