"""What changes in the database: one change stream for the whole process, told in batches to all who listen.

The stream is there as long as somebody listens. What it brought last is kept, so that who was away for a while is told
what they missed; only what is older is read once more.
"""

import asyncio
import contextlib
import logging
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bson import Timestamp
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from models.history import TRANSITIONS
from models.reading import TOLERANT, Document
from models.series import SERIES

log = logging.getLogger("taskql.changes")

WINDOW_MS = 50  # what changes within it is told at once
KEPT = 10_000  # changes
MAX_BEHIND = 100_000
MAX_STEPS = 100  # of the history of one task, told at once
PAUSE = 1.0  # seconds between attempts to open the stream again
MANY = 0xFFFFFF  # changes of one time, more than there can be
NO_REPLICA_SET = 40573
# where to go on is not in the oplog any more, or can't be gone on from, such as an event of more than 16 MB
FORGOTTEN = {280, 286, 10334}
MAX_ID = 10_000  # bytes of an id with its name; an event holds it three times
MAX_STEP = 16_000_000  # bytes of a step, which leave room for the rest of its event
TASKS = "task"
EVERY_BLOCK = ""  # instead of the id of a block
CREATED, CHANGED, DELETED = "created", "changed", "deleted"
KINDS: Mapping[str, str] = {"insert": CREATED, "update": CHANGED, "replace": CHANGED, "delete": DELETED}
WRITTEN = "$updateDescription.updatedFields"
REPLACING = ("drop", "rename")  # what happens to a collection, its own documents or those of another in its place
IS_STEP: Mapping[str, Any] = {
    "$and": [{"$eq": ["$ns.coll", TRANSITIONS]}, {"$lte": [{"$bsonSize": "$fullDocument"}, MAX_STEP]}]
}
PIPELINE: Sequence[Mapping[str, Any]] = (
    {"$match": {
        "$or": [{"ns.coll": {"$in": [TASKS, TRANSITIONS, SERIES]}}, {"to.coll": {"$in": [TASKS, SERIES]}}],
        "operationType": {"$in": [*KINDS, *REPLACING]},
    }},
    # a document whose id is not text can't be named; one whose id is too long would make the stream fail
    {"$match": {"$or": [
        {"operationType": {"$in": REPLACING}},
        {"documentKey._id": {"$type": "string"}, "$expr": {"$lte": [{"$bsonSize": "$documentKey"}, MAX_ID]}},
    ]}},
    # values stay where they are: a configuration may be long, and who is told reads what they may see; of the paths
    # only where they begin is asked for, and one report of metrics writes thousands
    {"$project": {
        "operationType": 1, "clusterTime": 1, "ns.coll": 1, "to.coll": 1, "documentKey._id": 1,
        "fields": {"$setUnion": {"$map": {
            "input": {"$concatArrays": [
                {"$ifNull": [{"$map": {"input": {"$objectToArray": WRITTEN}, "in": "$$this.k"}}, []]},
                {"$ifNull": ["$updateDescription.removedFields", []]},
                {"$ifNull": ["$updateDescription.truncatedArrays.field", []]},
            ]},
            "in": {"$first": {"$split": ["$$this", "."]}},
        }}},
        "step": {"$cond": [IS_STEP, "$fullDocument", "$$REMOVE"]},
    }},
)  # fmt: skip

FORGOTTEN_SAID = "is so old that what came after it is not known any more"

# The database's own time, and how many changes of that time were seen, as hexadecimal text that sorts. MongoDB's resume
# tokens hold ids of documents, and who is told may not see those of others.
Position = str


class NoChangesError(Exception):
    """The MongoDB is no replica set, so it does not tell what changes."""


class PositionError(Exception):
    """A position in the future, or so old that what came after it is not known any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one task: the fields that were written, and the steps of its history, each in order."""

    kind: str
    fields: tuple[str, ...] = ()
    steps: tuple[Document, ...] = ()

    def then(self, later: "Change") -> "Change":
        kind = {(CREATED, CHANGED): CREATED, (DELETED, CREATED): CHANGED}.get((self.kind, later.kind), later.kind)
        fields = tuple(dict.fromkeys([*self.fields, *later.fields]))
        return Change(kind, fields, (*self.steps, *later.steps)[-MAX_STEPS:])


class Record(NamedTuple):
    """One change as the stream brings it. `key` is the id of a task, of a block of its curves, or EVERY_BLOCK."""

    position: Position
    is_task: bool
    key: str
    change: Change

    @property
    def task(self) -> str:
        return self.key if self.is_task else self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Batch:
    """What changed behind `after`, up to and with `upto`: tasks by their ids, and blocks of curves by theirs.

    `removed` has the blocks that were removed, also those that were made anew since.
    """

    after: Position
    upto: Position
    tasks: Mapping[str, Change]
    blocks: Mapping[str, Change]
    removed: frozenset[str] = frozenset()

    def then(self, later: "Batch") -> "Batch":
        """Both in one."""
        tasks, blocks = dict(self.tasks), dict(self.blocks)
        for into, changes in ((tasks, later.tasks), (blocks, later.blocks)):
            for key, change in changes.items():
                into[key] = into[key].then(change) if key in into else change
        return Batch(self.after, later.upto, tasks, blocks, self.removed | later.removed)


def batch(after: Position, upto: Position, records: Iterable[Record]) -> Batch:
    tasks: dict[str, Change] = {}
    blocks: dict[str, Change] = {}
    removed = set()
    for _, is_task, key, change in records:
        into = tasks if is_task else blocks
        into[key] = into[key].then(change) if key in into else change
        if not is_task and change.kind == DELETED:
            removed.add(key)
    return Batch(after, upto, tasks, blocks, frozenset(removed))


class Stream:
    """MongoDB's change stream from a position on, or from now."""

    def __init__(self, stream: AsyncDatabaseChangeStream[Document], after: Position | None) -> None:
        self._stream = stream
        self._after = self.position = after or self._here()
        self._time, self._count = Timestamp(0, 0), 0

    @classmethod
    async def open(cls, database: AsyncDatabase[Document], after: Position | None) -> "Stream":
        """Raises NoChangesError, PositionError, PyMongoError."""
        at = Timestamp(int(after[:8], 16), int(after[8:16], 16)) if after else None
        watched = database.with_options(codec_options=TOLERANT).watch(
            list(PIPELINE), start_at_operation_time=at, max_await_time_ms=WINDOW_MS
        )
        with _explained():
            return cls(await watched, after)

    async def close(self) -> None:
        await self._stream.close()

    async def next(self) -> Iterable[Record] | None:
        """What the next change comes to; None when there was none for a while. Raises PositionError, PyMongoError."""
        if not self._stream.alive:  # the database was dropped, and had no tasks
            raise PositionError(FORGOTTEN_SAID)
        with _explained():
            event = await self._stream.try_next()
        if event is None:
            self.position = max(self.position, self._here())
            return None
        time = event["clusterTime"]
        self._time, self._count = time, self._count + 1 if time == self._time else 1
        position = _position(time, self._count)
        if position <= self._after:
            return ()
        self.position = position
        return _records(position, event)

    def _here(self) -> Position:
        """Where MongoDB has come to; more of that very time may come."""
        token = self._stream.resume_token
        assert token
        return f"{token['_data'][2:18].lower()}{0:06x}"


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if error.code == NO_REPLICA_SET:
            raise NoChangesError from error
        if error.code in FORGOTTEN:
            raise PositionError(FORGOTTEN_SAID) from error
        raise


def _position(time: Timestamp, count: int) -> Position:
    return f"{time.time:08x}{time.inc:08x}{count:06x}"


def _records(position: Position, event: Mapping[str, Any]) -> Iterable[Record]:
    """The change in an event; none of what nobody can name. Raises PositionError when all tasks are others now."""
    operation, collection = event["operationType"], event["ns"]["coll"]
    if operation in REPLACING:
        return _of_collections(position, {collection, event.get("to", {}).get("coll")})
    if collection == TRANSITIONS:
        return _of_step(position, operation, event.get("step"))
    change = Change(KINDS[operation], tuple(event["fields"]))
    return _named(position, collection == TASKS, event["documentKey"]["_id"], change)


def _of_collections(position: Position, collections: Collection[str | None]) -> Iterable[Record]:
    if TASKS in collections:
        raise PositionError(FORGOTTEN_SAID)
    return [Record(position, False, EVERY_BLOCK, Change(DELETED))] if SERIES in collections else ()


def _of_step(position: Position, operation: str, step: Any) -> Iterable[Record]:
    # a document with `$ref` and `$id` is decoded as a DBRef
    if operation != "insert" or not isinstance(step, dict):
        return ()
    return _named(position, True, step.get("task"), Change(CHANGED, (), (step,)))


def _named(position: Position, is_task: bool, key: Any, change: Change) -> Iterable[Record]:
    # JavaScript is decoded as a kind of text that can't be a key
    return [Record(position, is_task, key, change)] if type(key) is str else ()


class Listener(NamedTuple):
    """Whom to tell each batch, and whom to tell when there will be no more."""

    tell: Callable[[Batch], None]
    end: Callable[[Exception], None]


class Changes:
    """The changes of a database, for all who listen."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._starting = asyncio.Lock()
        self._looking_back = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._records: list[Record] = []
        self._known_from: Position = ""  # the records have all that is behind it
        self.position: Position = ""  # up to here

    @contextlib.asynccontextmanager
    async def listening(self, listener: Listener) -> AsyncIterator[None]:
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

    async def come_to(self, position: Position) -> None:
        """Another process may have told of a change before this one comes to it. Raises PositionError, PyMongoError."""
        if position > self.position:
            if position > _position(await self._now(), MANY):
                raise PositionError("lies in the future")
            while position > self.position and self._running:  # noqa: ASYNC110 - it will be there at once
                await asyncio.sleep(WINDOW_MS / 1000)

    async def since(self, after: Position) -> list[Record]:
        """What came after a position, for those who listen. Raises PositionError, PyMongoError."""
        async with self._looking_back:
            if after < self._known_from:
                await self._look_back(after)
            start = bisect_right(self._records, after, key=lambda record: record.position)
            return self._records[start:]

    async def _start(self) -> None:
        stream = await Stream.open(self._database, None)
        self.position = self._known_from = stream.position
        self._records = []
        self._running = asyncio.create_task(self._run(stream))

    async def _run(self, stream: Stream) -> None:
        """Until nobody listens, or there is nothing more to be known."""
        try:
            while True:
                await self._follow(stream)
                stream = await self._open_again()
        except Exception as error:  # noqa: BLE001 - who listens is told, whatever it is
            self._running = None
            for listener in list(self._listeners):
                listener.end(error)

    async def _follow(self, stream: Stream) -> None:
        """Tell what comes until the connection fails."""
        async with contextlib.AsyncExitStack() as opened:
            opened.push_async_callback(stream.close)
            try:
                while True:
                    self._tell(await _window(stream), stream.position)
            except PyMongoError as error:
                log.warning("changes can't be read at the moment: %s", error)

    async def _open_again(self) -> Stream:
        """Where it broke off."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                return await Stream.open(self._database, self.position)
            except PyMongoError as error:
                log.warning("changes can't be read yet: %s", error)

    def _tell(self, records: list[Record], position: Position) -> None:
        before, self.position = self.position, position
        if not records:
            return
        self._records += records
        if (over := len(self._records) - KEPT) > 0:
            self._known_from = self._records[over - 1].position
            del self._records[:over]
        told = batch(before, position, records)
        for listener in list(self._listeners):
            listener.tell(told)

    async def _look_back(self, after: Position) -> None:
        """Read what the records lack. Meanwhile they may lose more of their beginning."""
        found: list[Record] = []
        known_from = self._known_from
        async with contextlib.AsyncExitStack() as opened:
            stream = await Stream.open(self._database, after)
            opened.push_async_callback(stream.close)
            # where nothing is written, the stream does not come to the very place from which the records are
            last = _position(await self._now(), 0)
            while stream.position < self._known_from:
                records = await stream.next()
                found += records or ()
                if records is None and stream.position >= last and self._known_from == known_from:
                    break
                if len(found) > MAX_BEHIND:
                    raise PositionError(f"has more than {MAX_BEHIND} changes behind it")
        end = bisect_right(found, self._known_from, key=lambda record: record.position)
        self._records[:0], self._known_from = found[:end], after

    async def _now(self) -> Timestamp:
        """The database's own time."""
        found: Timestamp = (await self._database.command("ping"))["operationTime"]
        return found


async def _window(stream: Stream) -> list[Record]:
    """What comes within a window from the first change on."""
    found: list[Record] = []
    loop = asyncio.get_running_loop()
    end = None
    while end is None or loop.time() < end:
        records = await stream.next()
        if records is None:
            break
        found += records
        end = end or loop.time() + WINDOW_MS / 1000
    return found
