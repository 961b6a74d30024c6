"""One change stream for the whole process: every listener gets its batches.

The stream is open as long as there is a listener. The newest records stay in memory, so that a listener that was away
for a while reads there what it missed; only older ones are read from the oplog again.
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
MAX_RECORDS = 10_000  # in memory
MAX_MISSED = 100_000  # records that are read from the oplog again
REOPEN_PAUSE = 1.0  # seconds
MAX_COUNT = 0xFFFFFF  # more than the changes of any one time


class Listener(NamedTuple):
    """`deliver` takes each batch, `end` the error after which there are no more."""

    deliver: Callable[[ChangeBatch], None]
    end: Callable[[Exception], None]


class SharedChangeStream:
    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._starting = asyncio.Lock()
        self._reading_missed = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._records: list[ChangeRecord] = []
        self._records_after: OplogPosition = ""  # the records are all changes after this position
        self.position: OplogPosition = ""  # and until this one

    @contextlib.asynccontextmanager
    async def listen(self, listener: Listener) -> AsyncIterator[None]:
        """Deliver all changes after the current position. Raises NoChangeStreamError, PyMongoError."""
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
            if position > build_oplog_position(await self._read_time(), MAX_COUNT):
                raise OplogPositionError("lies in the future")
            while position > self.position and self._running:  # noqa: ASYNC110 - the wait ends within a window
                await asyncio.sleep(WINDOW_MS / 1000)

    async def read_since(self, after: OplogPosition) -> list[ChangeRecord]:
        """Read the changes after a position while listening. Raises OplogPositionError, PyMongoError."""
        async with self._reading_missed:
            if after < self._records_after:
                await self._read_missed(after)
            start = bisect_right(self._records, after, key=lambda record: record.position)
            return self._records[start:]

    async def _start(self) -> None:
        stream = await ChangeStream.open(self._database, None)
        self.position = self._records_after = stream.position
        self._records = []
        self._running = asyncio.create_task(self._run(stream))

    async def _run(self, stream: ChangeStream) -> None:
        """Run until the last listener leaves, or the stream is lost."""
        try:
            while True:
                await self._follow(stream)
                if not self._is_running():
                    return
                stream = await self._reopen()
        except Exception as error:  # noqa: BLE001 - every listener gets the error, whatever it is
            if not self._is_running():
                return
            self._running = None
            for listener in list(self._listeners):
                listener.end(error)

    def _is_running(self) -> bool:
        """Whether this task is still the one that reads: `wait_for` of Python 3.11 may lose its cancellation."""
        return self._running is asyncio.current_task()

    async def _follow(self, stream: ChangeStream) -> None:
        """Deliver batches until the connection fails, or the last listener leaves."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stream.close)
            try:
                while True:
                    records = await _read_window(stream)
                    if not self._is_running():
                        return
                    self._deliver(records, stream.position)
            except PyMongoError as error:
                log.warning("changes can't be read at the moment: %s", error)

    async def _reopen(self) -> ChangeStream:
        """Open the stream at the current position, as soon as MongoDB answers again."""
        while True:
            await asyncio.sleep(REOPEN_PAUSE)
            try:
                return await ChangeStream.open(self._database, self.position)
            except PyMongoError as error:
                log.warning("changes can't be read yet: %s", error)

    def _deliver(self, records: list[ChangeRecord], position: OplogPosition) -> None:
        after, self.position = self.position, position
        if not records:
            return
        self._records += records
        if (surplus := len(self._records) - MAX_RECORDS) > 0:
            self._records_after = self._records[surplus - 1].position
            del self._records[:surplus]
        batch = build_change_batch(after, position, records)
        for listener in list(self._listeners):
            listener.deliver(batch)

    async def _read_missed(self, after: OplogPosition) -> None:
        """Read older changes than those in memory, which may lose more of their beginning meanwhile."""
        missed: list[ChangeRecord] = []
        records_after = self._records_after
        async with contextlib.AsyncExitStack() as stack:
            stream = await ChangeStream.open(self._database, after)
            stack.push_async_callback(stream.close)
            # without writes the stream does not reach the very position after which the records begin
            newest = build_oplog_position(await self._read_time(), 0)
            while stream.position < self._records_after:
                records = await stream.read_next()
                missed += records or ()
                if records is None and stream.position >= newest and self._records_after == records_after:
                    break
                if len(missed) > MAX_MISSED:
                    raise OplogPositionError(f"has more than {MAX_MISSED} changes after it")
        end = bisect_right(missed, self._records_after, key=lambda record: record.position)
        self._records[:0], self._records_after = missed[:end], after

    async def _read_time(self) -> Timestamp:
        """Read the database's own time."""
        time: Timestamp = (await self._database.command("ping"))["operationTime"]
        return time


async def _read_window(stream: ChangeStream) -> list[ChangeRecord]:
    """Read the changes of one window, which begins with the first of them."""
    window: list[ChangeRecord] = []
    loop = asyncio.get_running_loop()
    end = None
    while end is None or loop.time() < end:
        records = await stream.read_next()
        if records is None:
            break
        window += records
        end = end or loop.time() + WINDOW_MS / 1000
    return window
