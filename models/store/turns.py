"""Turns of the commands of one request: only some of them are with the database at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pymongo
from pymongo.errors import ConnectionFailure, ExecutionTimeout

COMMANDS = 4


class Turns:
    """A place for each of so many commands at once; the others wait."""

    def __init__(self, places: int = COMMANDS) -> None:
        self.number = places
        self._places = asyncio.Semaphore(places)
        self._failure: ConnectionFailure | None = None

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """A command's turn, which takes so many seconds at most, also with a server that does not answer at all.

        It waits a second longer than that, and then raises what ended the others: a lost connection, or the time.
        """
        try:
            async with asyncio.timeout(seconds + 1):
                await self._places.acquire()
        except TimeoutError as error:
            raise self._failure or ExecutionTimeout("the request's other commands took all the time") from error
        try:
            with pymongo.timeout(seconds):
                yield
            self._failure = None
        except ConnectionFailure as error:
            self._failure = error
            raise
        finally:
            self._places.release()
