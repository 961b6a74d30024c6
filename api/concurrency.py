"""Work for clients: a maximum of it at once, and each only as long as its client waits."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from api.errors import RefusedError
from resolvers.errors import ErrorCode

Result = TypeVar("Result")


class RequestSlots:
    """The places for requests that are worked on at once."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._occupied = 0

    @contextmanager
    def occupy(self) -> Iterator[None]:
        """Hold a place; raises RefusedError when all are occupied."""
        if self._occupied >= self._maximum:
            message = f"The server works on its maximum of {self._maximum} requests at once. Try again."
            raise RefusedError(503, message, ErrorCode.LIMIT_EXCEEDED, retry_after="1")
        self._occupied += 1
        try:
            yield
        finally:
            self._occupied -= 1


async def run_while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of the work; when the client leaves first, cancel it and raise ClientDisconnect."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
