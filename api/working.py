"""Work for clients: so much of it at once, and each only as long as its client waits."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from api.errors import RefusedError
from resolvers.errors import ErrorCode

Outcome = TypeVar("Outcome")


class AtOnce:
    """How many requests are worked on, and how many may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises RefusedError when there are as many as may be."""
        if self._running >= self._most:
            message = f"This server works on {self._most} requests at once, and has as many; try again."
            raise RefusedError(503, message, ErrorCode.LIMIT_EXCEEDED, retry_after="1")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The outcome of the work; when the client leaves before it, the work is cancelled and ClientDisconnect raised."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
