"""MongoDB's change stream: what one change is, and many in one."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bson import Timestamp
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from models.codecs import TOLERANT
from models.documents.block import SERIES
from models.documents.transition import TRANSITIONS
from models.types import Document

WINDOW_MS = 50  # what changes within it is told at once
MAX_STEPS = 100  # of the history of one task, told at once
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
OplogPosition = str


class NoChangeStreamError(Exception):
    """The MongoDB is no replica set, so it does not tell what changes."""


class OplogPositionError(Exception):
    """A position in the future, or so old that what came after it is not known any more."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """What happened to one task: the fields that were written, and the steps of its history, each in order."""

    kind: str
    fields: tuple[str, ...] = ()
    steps: tuple[Document, ...] = ()

    def then(self, later: "DocumentChange") -> "DocumentChange":
        kind = {(CREATED, CHANGED): CREATED, (DELETED, CREATED): CHANGED}.get((self.kind, later.kind), later.kind)
        fields = tuple(dict.fromkeys([*self.fields, *later.fields]))
        return DocumentChange(kind, fields, (*self.steps, *later.steps)[-MAX_STEPS:])


class ChangeRecord(NamedTuple):
    """One change as the stream brings it. `key` is the id of a task, of a block of its curves, or EVERY_BLOCK."""

    position: OplogPosition
    is_task: bool
    key: str
    change: DocumentChange

    @property
    def task(self) -> str:
        return self.key if self.is_task else self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """What changed behind `after`, up to and with `upto`: tasks by their ids, and blocks of curves by theirs.

    `removed` has the blocks that were removed, also those that were made anew since.
    """

    after: OplogPosition
    upto: OplogPosition
    tasks: Mapping[str, DocumentChange]
    blocks: Mapping[str, DocumentChange]
    removed: frozenset[str] = frozenset()

    def then(self, later: "ChangeBatch") -> "ChangeBatch":
        """Both in one."""
        tasks, blocks = dict(self.tasks), dict(self.blocks)
        for into, changes in ((tasks, later.tasks), (blocks, later.blocks)):
            for key, change in changes.items():
                into[key] = into[key].then(change) if key in into else change
        return ChangeBatch(self.after, later.upto, tasks, blocks, self.removed | later.removed)


def build_change_batch(after: OplogPosition, upto: OplogPosition, records: Iterable[ChangeRecord]) -> ChangeBatch:
    tasks: dict[str, DocumentChange] = {}
    blocks: dict[str, DocumentChange] = {}
    removed = set()
    for _, is_task, key, change in records:
        into = tasks if is_task else blocks
        into[key] = into[key].then(change) if key in into else change
        if not is_task and change.kind == DELETED:
            removed.add(key)
    return ChangeBatch(after, upto, tasks, blocks, frozenset(removed))


class ChangeStream:
    """MongoDB's change stream from a position on, or from now."""

    def __init__(self, stream: AsyncDatabaseChangeStream[Document], after: OplogPosition | None) -> None:
        self._stream = stream
        self._after = self.position = after or self._here()
        self._time, self._count = Timestamp(0, 0), 0

    @classmethod
    async def open(cls, database: AsyncDatabase[Document], after: OplogPosition | None) -> "ChangeStream":
        """Raises NoChangeStreamError, OplogPositionError, PyMongoError."""
        at = Timestamp(int(after[:8], 16), int(after[8:16], 16)) if after else None
        watched = database.with_options(codec_options=TOLERANT).watch(
            list(PIPELINE), start_at_operation_time=at, max_await_time_ms=WINDOW_MS
        )
        with _explained():
            return cls(await watched, after)

    async def close(self) -> None:
        await self._stream.close()

    async def next(self) -> Iterable[ChangeRecord] | None:
        """The records of the next change; None after a while without one. Raises OplogPositionError, PyMongoError."""
        if not self._stream.alive:  # the database was dropped, and had no tasks
            raise OplogPositionError(FORGOTTEN_SAID)
        with _explained():
            event = await self._stream.try_next()
        if event is None:
            self.position = max(self.position, self._here())
            return None
        time = event["clusterTime"]
        self._time, self._count = time, self._count + 1 if time == self._time else 1
        position = build_oplog_position(time, self._count)
        if position <= self._after:
            return ()
        self.position = position
        return _records(position, event)

    def _here(self) -> OplogPosition:
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
            raise NoChangeStreamError from error
        if error.code in FORGOTTEN:
            raise OplogPositionError(FORGOTTEN_SAID) from error
        raise


def build_oplog_position(time: Timestamp, count: int) -> OplogPosition:
    return f"{time.time:08x}{time.inc:08x}{count:06x}"


def _records(position: OplogPosition, event: Mapping[str, Any]) -> Iterable[ChangeRecord]:
    """The change in an event; none of what nobody can name. Raises OplogPositionError when all tasks are others now."""
    operation, collection = event["operationType"], event["ns"]["coll"]
    if operation in REPLACING:
        return _of_collections(position, {collection, event.get("to", {}).get("coll")})
    if collection == TRANSITIONS:
        return _of_step(position, operation, event.get("step"))
    change = DocumentChange(KINDS[operation], tuple(event["fields"]))
    return _named(position, collection == TASKS, event["documentKey"]["_id"], change)


def _of_collections(position: OplogPosition, collections: Collection[str | None]) -> Iterable[ChangeRecord]:
    if TASKS in collections:
        raise OplogPositionError(FORGOTTEN_SAID)
    return [ChangeRecord(position, False, EVERY_BLOCK, DocumentChange(DELETED))] if SERIES in collections else ()


def _of_step(position: OplogPosition, operation: str, step: Any) -> Iterable[ChangeRecord]:
    # a document with `$ref` and `$id` is decoded as a DBRef
    if operation != "insert" or not isinstance(step, dict):
        return ()
    return _named(position, True, step.get("task"), DocumentChange(CHANGED, (), (step,)))


def _named(position: OplogPosition, is_task: bool, key: Any, change: DocumentChange) -> Iterable[ChangeRecord]:
    # JavaScript is decoded as a kind of text that can't be a key
    return [ChangeRecord(position, is_task, key, change)] if type(key) is str else ()
