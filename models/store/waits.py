"""pymongo's waits for a server or a connection, made safe to cancel on Python 3.11."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

import pymongo.lock

Outcome = TypeVar("Outcome")


def mend_waits() -> None:
    """Make pymongo wait as Python 3.12 does.

    Before, `asyncio.wait_for` runs a task of its own. A wait that is cancelled just as it times out leaves the
    condition's lock with that task, and the next wait never ends. A wait that is cancelled just as it ends loses the
    cancellation.
    """
    if sys.version_info < (3, 12):
        pymongo.lock.wait_for = _wait_for  # type: ignore[assignment, attr-defined]


async def _wait_for(work: Awaitable[Outcome], timeout: float | None) -> Outcome:  # noqa: ASYNC109 - the name it replaces
    async with asyncio.timeout(timeout):
        return await work
