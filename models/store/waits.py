"""pymongo's waits for a server or a connection, made safe to cancel on Python 3.11."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

import pymongo.lock

Outcome = TypeVar("Outcome")


def mend_waits() -> None:
    """Make them wait as from Python 3.12 on.

    Before it, `asyncio.wait_for` waits for a task of its own. When one is cancelled just as it times out, that task
    takes the condition's lock back for nobody, and whatever waits next waits for ever. When one is cancelled just as it
    ends, the cancellation is lost.
    """
    if sys.version_info < (3, 12):
        pymongo.lock.wait_for = _wait_for  # type: ignore[assignment, attr-defined]


async def _wait_for(work: Awaitable[Outcome], timeout: float | None) -> Outcome:  # noqa: ASYNC109 - the name it replaces
    async with asyncio.timeout(timeout):
        return await work
