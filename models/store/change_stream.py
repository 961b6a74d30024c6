"""MongoDB's change stream: its events become records of changes, and records become batches."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bson import Timestamp
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from models.codecs import TOLERANT
from models.documents.block import SERIES
from models.documents.transition import TRANSITIONS
from models.store.change_pipeline import COLLECTION_OPERATIONS, DOCUMENT_OPERATIONS, PIPELINE, TASKS
from models.types import Document

WINDOW_MS = 50  # the changes within it form one batch
MAX_TRANSITIONS = 100  # of one task in one batch
NO_REPLICA_SET = 40573
# The oplog lacks the position, or can't continue there, such as at an event of more than 16 MB.
LOST_POSITIONS = {280, 286, 10334}
LOST = "is too old: MongoDB no longer has the changes after it"
EVERY_BLOCK = ""  # instead of the id of a block
CREATED, CHANGED, DELETED = "created", "changed", "deleted"
KINDS = dict(zip(DOCUMENT_OPERATIONS, (CREATED, CHANGED, CHANGED, DELETED), strict=True))

# The database's own time and the count of the changes at that time, as hexadecimal text that sorts. MongoDB's resume
# tokens hold ids of documents, and a subscriber may not read those of other companies.
OplogPosition = str


class NoChangeStreamError(Exception):
    """The MongoDB is not a replica set, so it has no change stream."""


class OplogPositionError(Exception):
    """An oplog position is in the future, or too old; the message continues "the position …"."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """The change of one task or block: the fields that were written, and the transitions of a task, each in order."""

    kind: str
    fields: tuple[str, ...] = ()
    transitions: tuple[Document, ...] = ()

    def merge(self, later: "DocumentChange") -> "DocumentChange":
        kind = {(CREATED, CHANGED): CREATED, (DELETED, CREATED): CHANGED}.get((self.kind, later.kind), later.kind)
        fields = tuple(dict.fromkeys([*self.fields, *later.fields]))
        return DocumentChange(kind, fields, (*self.transitions, *later.transitions)[-MAX_TRANSITIONS:])


class ChangeRecord(NamedTuple):
    """One change of the stream. `key` is the id of a task or of a block, or EVERY_BLOCK."""

    position: OplogPosition
    is_task: bool
    key: str
    change: DocumentChange

    @property
    def task(self) -> str:
        return self.key if self.is_task else self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """The changes after one oplog position until another: of tasks and of blocks, each by id.

    `removed` has the ids of removed blocks, also of those that were inserted again.
    """

    after: OplogPosition
    until: OplogPosition
    tasks: Mapping[str, DocumentChange]
    blocks: Mapping[str, DocumentChange]
    removed: frozenset[str] = frozenset()

    def merge(self, later: "ChangeBatch") -> "ChangeBatch":
        tasks, blocks = dict(self.tasks), dict(self.blocks)
        for merged, changes in ((tasks, later.tasks), (blocks, later.blocks)):
            for key, change in changes.items():
                _add_change(merged, key, change)
        return ChangeBatch(self.after, later.until, tasks, blocks, self.removed | later.removed)


def build_change_batch(after: OplogPosition, until: OplogPosition, records: Iterable[ChangeRecord]) -> ChangeBatch:
    tasks: dict[str, DocumentChange] = {}
    blocks: dict[str, DocumentChange] = {}
    removed = set()
    for record in records:
        _add_change(tasks if record.is_task else blocks, record.key, record.change)
        if not record.is_task and record.change.kind == DELETED:
            removed.add(record.key)
    return ChangeBatch(after, until, tasks, blocks, frozenset(removed))


def _add_change(changes: dict[str, DocumentChange], key: str, change: DocumentChange) -> None:
    changes[key] = changes[key].merge(change) if key in changes else change


class ChangeStream:
    """MongoDB's change stream after an oplog position, or from now on."""

    def __init__(self, stream: AsyncDatabaseChangeStream[Document], after: OplogPosition | None) -> None:
        self._stream = stream
        self._after = self.position = after or self._read_position()
        self._time, self._count = Timestamp(0, 0), 0

    @classmethod
    async def open(cls, database: AsyncDatabase[Document], after: OplogPosition | None) -> "ChangeStream":
        """Raises NoChangeStreamError, OplogPositionError, PyMongoError."""
        time = Timestamp(int(after[:8], 16), int(after[8:16], 16)) if after else None
        opening = database.with_options(codec_options=TOLERANT).watch(
            list(PIPELINE), start_at_operation_time=time, max_await_time_ms=WINDOW_MS
        )
        with _translate_stream_errors():
            return cls(await opening, after)

    async def close(self) -> None:
        await self._stream.close()

    async def read_next(self) -> Iterable[ChangeRecord] | None:
        """Read the records of the next change; None after WINDOW_MS without one.

        Raises OplogPositionError, PyMongoError.
        """
        if not self._stream.alive:  # the database was dropped, and had no tasks
            raise OplogPositionError(LOST)
        with _translate_stream_errors():
            event = await self._stream.try_next()
        if event is None:
            self.position = max(self.position, self._read_position())
            return None
        time = event["clusterTime"]
        self._time, self._count = time, self._count + 1 if time == self._time else 1
        position = build_oplog_position(time, self._count)
        if position <= self._after:
            return ()
        self.position = position
        return _read_event(position, event)

    def _read_position(self) -> OplogPosition:
        """Read how far MongoDB has read the oplog; more changes of that very time may follow."""
        token = self._stream.resume_token
        assert token
        return f"{token['_data'][2:18].lower()}{0:06x}"


@contextlib.contextmanager
def _translate_stream_errors() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if error.code == NO_REPLICA_SET:
            raise NoChangeStreamError from error
        if error.code in LOST_POSITIONS:
            raise OplogPositionError(LOST) from error
        raise


def build_oplog_position(time: Timestamp, count: int) -> OplogPosition:
    return f"{time.time:08x}{time.inc:08x}{count:06x}"


def _read_event(position: OplogPosition, event: Mapping[str, Any]) -> Iterable[ChangeRecord]:
    """Read the change of an event; raises OplogPositionError when the whole collection of tasks was replaced."""
    operation, collection = event["operationType"], event["ns"]["coll"]
    if operation in COLLECTION_OPERATIONS:
        return _read_collection_event(position, {collection, event.get("to", {}).get("coll")})
    if collection == TRANSITIONS:
        return _read_transition_event(position, operation, event.get("transition"))
    change = DocumentChange(KINDS[operation], tuple(event["fields"]))
    return _build_records(position, collection == TASKS, event["documentKey"]["_id"], change)


def _read_collection_event(position: OplogPosition, collections: Collection[str | None]) -> Iterable[ChangeRecord]:
    if TASKS in collections:
        raise OplogPositionError(LOST)
    return [ChangeRecord(position, False, EVERY_BLOCK, DocumentChange(DELETED))] if SERIES in collections else ()


def _read_transition_event(position: OplogPosition, operation: str, transition: Any) -> Iterable[ChangeRecord]:
    # a document with `$ref` and `$id` is decoded as a DBRef
    if operation != "insert" or not isinstance(transition, dict):
        return ()
    return _build_records(position, True, transition.get("task"), DocumentChange(CHANGED, (), (transition,)))


def _build_records(position: OplogPosition, is_task: bool, key: Any, change: DocumentChange) -> Iterable[ChangeRecord]:
    # JavaScript is decoded as a subclass of str that can't be a key
    return [ChangeRecord(position, is_task, key, change)] if type(key) is str else ()
