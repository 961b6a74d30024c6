"""Turns of the commands of one request: only some of them run in the database at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pymongo
from pymongo.errors import ConnectionFailure, ExecutionTimeout

COMMANDS = 4


class Turns:
    """Lets a number of commands run at once; the others wait."""

    def __init__(self, number: int = COMMANDS) -> None:
        self.number = number
        self._turns = asyncio.Semaphore(number)
        self._failure: ConnectionFailure | None = None

    @asynccontextmanager
    async def wait_for_turn(self, seconds: float) -> AsyncIterator[None]:
        """Wait for the turn of a command, which ends after so many seconds, also with a server that never answers.

        After a second more than that the wait raises the lost connection of another command, or ExecutionTimeout.
        """
        try:
            async with asyncio.timeout(seconds + 1):
                await self._turns.acquire()
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
            self._turns.release()
