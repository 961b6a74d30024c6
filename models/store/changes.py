"""What changes in the database: one change stream for the whole process, for all who listen.

The stream is there as long as somebody listens. What it brought last is kept, so that a listener that was away for a
while gets what it missed; only what is older is read once more.
"""

import asyncio
import contextlib
import logging
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from models.store.change_stream import (
    WINDOW_MS,
    ChangeBatch,
    ChangeRecord,
    ChangeStream,
    OplogPosition,
    OplogPositionError,
    build_change_batch,
    build_oplog_position,
)
from models.types import Document

log = logging.getLogger("taskql.changes")
KEPT = 10_000  # changes
MAX_BEHIND = 100_000
PAUSE = 1.0  # seconds between attempts to open the stream again
MANY = 0xFFFFFF  # changes of one time, more than there can be


class Listener(NamedTuple):
    """Whom to tell each batch, and whom to tell when there will be no more."""

    tell: Callable[[ChangeBatch], None]
    end: Callable[[Exception], None]


class SharedChangeStream:
    """The changes of a database, for all who listen."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._starting = asyncio.Lock()
        self._looking_back = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._records: list[ChangeRecord] = []
        self._known_from: OplogPosition = ""  # the records have all that is behind it
        self.position: OplogPosition = ""  # up to here

    @contextlib.asynccontextmanager
    async def listen(self, listener: Listener) -> AsyncIterator[None]:
        """The listener is told all behind the position that there is then. Raises NoChangesError, PyMongoError."""
        async with self._starting:
            if self._running is None:
                await self._start()
            self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._running:
                self._running.cancel()
                self._running = None

    async def wait_until(self, position: OplogPosition) -> None:
        """Wait for a position that another process was first to read. Raises OplogPositionError, PyMongoError."""
        if position > self.position:
            if position > build_oplog_position(await self._now(), MANY):
                raise OplogPositionError("lies in the future")
            while position > self.position and self._running:  # noqa: ASYNC110 - it will be there at once
                await asyncio.sleep(WINDOW_MS / 1000)

    async def read_since(self, after: OplogPosition) -> list[ChangeRecord]:
        """What came after a position, for those who listen. Raises OplogPositionError, PyMongoError."""
        async with self._looking_back:
            if after < self._known_from:
                await self._look_back(after)
            start = bisect_right(self._records, after, key=lambda record: record.position)
            return self._records[start:]

    async def _start(self) -> None:
        stream = await ChangeStream.open(self._database, None)
        self.position = self._known_from = stream.position
        self._records = []
        self._running = asyncio.create_task(self._run(stream))

    async def _run(self, stream: ChangeStream) -> None:
        """Until nobody listens, or there is nothing more to be known."""
        try:
            while True:
                await self._follow(stream)
                if not self._is_running():
                    return
                stream = await self._open_again()
        except Exception as error:  # noqa: BLE001 - who listens is told, whatever it is
            if not self._is_running():
                return
            self._running = None
            for listener in list(self._listeners):
                listener.end(error)

    def _is_running(self) -> bool:
        """Whether this task is still the one that reads: `wait_for` of Python 3.11 may lose its cancellation."""
        return self._running is asyncio.current_task()

    async def _follow(self, stream: ChangeStream) -> None:
        """Tell what comes until the connection fails, or nobody listens."""
        async with contextlib.AsyncExitStack() as opened:
            opened.push_async_callback(stream.close)
            try:
                while True:
                    records = await _window(stream)
                    if not self._is_running():
                        return
                    self._tell(records, stream.position)
            except PyMongoError as error:
                log.warning("changes can't be read at the moment: %s", error)

    async def _open_again(self) -> ChangeStream:
        """Where it broke off."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                return await ChangeStream.open(self._database, self.position)
            except PyMongoError as error:
                log.warning("changes can't be read yet: %s", error)

    def _tell(self, records: list[ChangeRecord], position: OplogPosition) -> None:
        before, self.position = self.position, position
        if not records:
            return
        self._records += records
        if (over := len(self._records) - KEPT) > 0:
            self._known_from = self._records[over - 1].position
            del self._records[:over]
        told = build_change_batch(before, position, records)
        for listener in list(self._listeners):
            listener.tell(told)

    async def _look_back(self, after: OplogPosition) -> None:
        """Read what the records lack. Meanwhile they may lose more of their beginning."""
        found: list[ChangeRecord] = []
        known_from = self._known_from
        async with contextlib.AsyncExitStack() as opened:
            stream = await ChangeStream.open(self._database, after)
            opened.push_async_callback(stream.close)
            # where nothing is written, the stream does not come to the very place from which the records are
            last = build_oplog_position(await self._now(), 0)
            while stream.position < self._known_from:
                records = await stream.next()
                found += records or ()
                if records is None and stream.position >= last and self._known_from == known_from:
                    break
                if len(found) > MAX_BEHIND:
                    raise OplogPositionError(f"has more than {MAX_BEHIND} changes behind it")
        end = bisect_right(found, self._known_from, key=lambda record: record.position)
        self._records[:0], self._known_from = found[:end], after

    async def _now(self) -> Timestamp:
        """The database's own time."""
        found: Timestamp = (await self._database.command("ping"))["operationTime"]
        return found


async def _window(stream: ChangeStream) -> list[ChangeRecord]:
    """What comes within a window from the first change on."""
    found: list[ChangeRecord] = []
    loop = asyncio.get_running_loop()
    end = None
    while end is None or loop.time() < end:
        records = await stream.next()
        if records is None:
            break
        found += records
        end = end or loop.time() + WINDOW_MS / 1000
    return found
