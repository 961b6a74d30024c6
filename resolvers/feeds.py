"""What a subscription tells: changes of the database → events, each what its viewer and filter may see."""

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import strawberry
from pymongo.errors import PyMongoError

from models.changes import CHANGED, DELETED, EVERY_BLOCK, Batch, Change, Position
from models.reading import Document, Query
from models.series import BLOCK, SERIES, as_they_came, is_counted, is_readable
from resolvers.arguments import given
from resolvers.context import Context
from resolvers.curves import listed
from resolvers.errors import ErrorCode, InputError, coded
from resolvers.filters import Filters, both, filters_of
from resolvers.subprojects import query_of
from schema.spec import Spec

LEFT = "left"
MAX_POINTS = 10_000  # of one event
DIGEST = 6  # bytes
PLACE = 11  # bytes of a position
Key = str | tuple[str, str]


class Mark(NamedTuple):
    """Where a subscription has come to: of what lies behind `after` it has told up to `upto`, but only to this `id`.

    Events that are told together are in the order of their ids, so that a mark is short and exact.
    """

    after: Position
    upto: Position
    id: str | None = None

    @property
    def text(self) -> str:
        positions = [self.upto] if self.id is None else [self.upto, self.after]
        packed = b"".join(map(bytes.fromhex, positions)) + (self.id or "").encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(_digest(packed) + packed).decode().rstrip("=")


def mark_of(text: str) -> Mark:
    """Raises InputError."""
    try:
        known = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        digest, packed = known[:DIGEST], known[DIGEST:]
        upto, after, id_ = packed[:PLACE].hex(), packed[PLACE : 2 * PLACE].hex(), packed[2 * PLACE :]
        if digest == _digest(packed) and len(packed) == PLACE:
            return Mark(upto, upto)
        if digest == _digest(packed) and len(packed) >= 2 * PLACE:
            return Mark(after, upto, id_.decode("utf-8", "surrogatepass"))
    except ValueError:
        pass
    raise bad_mark("is damaged")


def _digest(packed: bytes) -> bytes:
    """Tells tokens from other texts."""
    return hashlib.sha256(packed).digest()[:DIGEST]


def bad_mark(reason: str) -> InputError:
    message = f"The token {reason}; read what there is now, and subscribe without it."
    return InputError(ErrorCode.BAD_CURSOR, message, field="resumeAfter")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell. What is not `news` is only told to those who were told of the same key before."""

    key: Key
    what: Any
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class Round:
    """Events that are told together, in order; `last` is the key of the last one, also where only one is looked at."""

    after: Position
    upto: Position
    events: Mapping[Key, Event]
    last: Key | None

    def only(self, key: Key) -> "Round":
        return replace(self, events={key: self.events[key]})


class Feed(ABC):
    """What the resolver of a subscription returns: as a source of events it has one, itself."""

    mark: Mark | None = None

    async def __aiter__(self) -> AsyncIterator["Feed"]:
        yield self

    @abstractmethod
    async def begin(self, context: Context) -> None:
        """Called once changes are listened to, before the first of them."""

    @abstractmethod
    def concerns(self, batch: Batch) -> bool:
        """Whether there may be something to tell; decided without the database."""

    @abstractmethod
    async def round(self, context: Context, batch: Batch) -> Round:
        """What there is to tell."""

    @abstractmethod
    def together(self, earlier: Event, later: Event) -> Event:
        """Two events with the same key as one."""

    @abstractmethod
    async def documents(self, context: Context, told: Round) -> list[Document]:
        """For each event the document of the subscription's type."""

    def both(self, earlier: Round, later: Round) -> Round:
        """Two rounds as one, for those who were not ready for the first."""
        events = dict(earlier.events)
        for key, event in later.events.items():
            events[key] = self.together(events[key], event) if key in events else event
        return _round(earlier.after, later.upto, events.values())


def _round(after: Position, upto: Position, events: Sequence[Event] | Any) -> Round:
    ordered = sorted(events, key=lambda event: event.key)
    return Round(after, upto, {event.key: event for event in ordered}, ordered[-1].key if ordered else None)


# -- tasks -----------------------------------------------------------------------------------------


class Tasks(Feed):
    """Tasks that a filter finds, and those that it finds no more."""

    def __init__(
        self, filter_: Mapping[str, Any], filters: Filters, names: Mapping[str, str], mark: Mark | None
    ) -> None:
        self._filter = filter_
        self._filters = filters
        self._names = names
        self._ids = {id_ for id_ in filter_.get("id") or () if not id_.startswith("-")}
        self.mark = mark

    async def begin(self, context: Context) -> None:
        """Raises what forbids the filter, some of which only MongoDB knows."""
        query = (await query_of(self._filter, self._filters, context.reader)).query
        await context.reader.all("task", both(query, {"_id": {"$in": []}}), {"_id": 1})

    def concerns(self, batch: Batch) -> bool:
        return bool(self._asked(batch))

    def _asked(self, batch: Batch) -> set[str]:
        return self._ids & batch.tasks.keys() if self._ids else set(batch.tasks)

    async def round(self, context: Context, batch: Batch) -> Round:
        asked = self._asked(batch)
        there = [id_ for id_ in asked if batch.tasks[id_].kind != DELETED]
        query = (await query_of(self._filter, self._filters, context.reader)).query  # there may be new sub-projects
        fitting = await _fitting(context, query, there) if there else set()
        return _round(batch.after, batch.upto, [self._event(id_, batch.tasks[id_], id_ in fitting) for id_ in asked])

    def _event(self, id_: str, change: Change, is_fitting: bool) -> Event:
        if is_fitting or change.kind == DELETED:
            return Event(id_, change, is_fitting)
        return Event(id_, replace(change, kind=LEFT), is_news=False)

    def together(self, earlier: Event, later: Event) -> Event:
        change: Change = earlier.what.then(later.what)
        # who was not told yet that it was created needs not be told that it is gone
        return Event(later.key, change, later.is_news)

    async def documents(self, context: Context, told: Round) -> list[Document]:
        sees = context.viewer.sees
        return [
            {
                "kind": event.what.kind, "id": key, "task": None if event.what.kind == DELETED else key,
                "fields": self._fields(event.what),
                "moves": [step for step in event.what.steps if step.get("company") in sees],
                "resume_token": Mark(told.after, told.upto, None if key == told.last else str(key)).text,
            }
            for key, event in told.events.items()
        ]  # fmt: skip

    def _fields(self, change: Change) -> list[str]:
        return [
            self._names[field] for field in change.fields if field in self._names and change.kind in {CHANGED, LEFT}
        ]


async def _fitting(context: Context, query: Query, ids: Sequence[str]) -> set[str]:
    """Those of these tasks that a filter finds. It does not find a task whose text its patterns can't be tried on."""
    try:
        found = await context.reader.all("task", both(query, {"_id": {"$in": ids}}), {"_id": 1})
    except PyMongoError as error:
        known = coded(error)
        if known is None or known.code is not ErrorCode.INVALID_REGEX_ERROR:
            raise
        if len(ids) == 1:
            return set()
        half = len(ids) // 2
        return await _fitting(context, query, ids[:half]) | await _fitting(context, query, ids[half:])
    return {document["_id"] for document in found}


def task_changed(spec: Spec) -> Any:
    filters = filters_of(spec, "task")
    names: dict[str, str] = {}
    for name, face in spec.object("task").outputs.items():
        for path in (face.stored or (face.name,)) if not face.loader else ():
            names.setdefault(path.partition(".")[0], name)

    async def resolve(filter: Any = None, resume_after: str | None = None) -> Tasks:  # noqa: A002 - the public name
        return Tasks(given(filter) or {}, filters, names, None if resume_after is None else mark_of(resume_after))

    return resolve


# -- curves ----------------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """Points of a curve by their number in the order in which they came."""

    start: int
    end: int


class Points(Feed):
    """Points of the curves of a task, as they come."""

    def __init__(self, task: str, metric: str | None, variant: str | None) -> None:
        self._task = task
        self._query: dict[str, Any] = {"task": task} | {
            name: value for name, value in (("metric", metric), ("variant", variant)) if value is not None
        }
        self._blocks: dict[str, tuple[tuple[str, str], int]] = {}  # id → curve and number of points

    async def begin(self, context: Context) -> None:
        self._note(await context.reader.all(SERIES, self._query, {"metric": 1, "variant": 1, "points": 1}))

    def concerns(self, batch: Batch) -> bool:
        return EVERY_BLOCK in batch.blocks or any(block.startswith(f"{self._task}/") for block in batch.blocks)

    async def round(self, context: Context, batch: Batch) -> Round:
        changed = [block for block in batch.blocks if block.startswith(f"{self._task}/")]
        is_all = EVERY_BLOCK in batch.removed
        query = self._query if is_all else {**self._query, "_id": {"$in": changed}}
        blocks = await context.reader.all(SERIES, query, {"metric": 1, "variant": 1, "points": 1})
        # noted only once the database has answered, for else this is asked again
        removed = frozenset(self._blocks) if is_all else batch.removed & self._blocks.keys()
        begun_anew = {self._blocks.pop(block)[0] for block in removed}
        before = self._totals()
        found = self._note(blocks)
        totals = self._totals()
        events = []
        for pair in found | begun_anew:
            start = 0 if pair in begun_anew else before.get(pair, 0)
            end = totals.get(pair, 0)
            if end > start or pair in begun_anew:
                events.append(Event(pair, Stretch(max(start, end - MAX_POINTS), end)))
        return _round(batch.after, batch.upto, events)

    def _note(self, blocks: Sequence[Document]) -> set[tuple[str, str]]:
        counted = {block["_id"]: block for block in blocks if type(block["_id"]) is str and is_counted(block)}
        for id_, block in counted.items():
            self._blocks[id_] = ((block["metric"], block["variant"]), block["points"])
        return {(block["metric"], block["variant"]) for block in counted.values()}

    def _totals(self) -> dict[tuple[str, str], int]:
        totals: dict[tuple[str, str], int] = {}
        for pair, points in self._blocks.values():
            totals[pair] = totals.get(pair, 0) + points
        return totals

    def together(self, earlier: Event, later: Event) -> Event:
        if earlier.what.end != later.what.start:
            return later
        return replace(later, what=Stretch(max(earlier.what.start, later.what.end - MAX_POINTS), later.what.end))

    async def documents(self, context: Context, told: Round) -> list[Document]:
        numbers = {(pair, stretch.start // BLOCK) for pair, stretch in _stretches(told)}
        wanted = [
            {"metric": metric, "variant": variant, "number": {"$gte": first}} for (metric, variant), first in numbers
        ]
        found = await context.reader.all(SERIES, {"task": self._task, "$or": wanted}, {}) if wanted else []
        blocks = [block for block in found if is_readable(block)]
        return [self._chunk(pair, stretch, blocks) for pair, stretch in _stretches(told)]

    def _chunk(self, pair: tuple[str, str], stretch: Stretch, blocks: Sequence[Document]) -> Document:
        first = stretch.start // BLOCK * BLOCK
        points = as_they_came([block for block in blocks if (block["metric"], block["variant"]) == pair])
        shown = points.at(slice(stretch.start - first, stretch.end - first))
        return {
            "task": self._task, "metric": pair[0], "variant": pair[1], "offset": stretch.start, **listed(shown),
        }  # fmt: skip


def _stretches(told: Round) -> list[tuple[Any, Stretch]]:
    return [(key, event.what) for key, event in told.events.items()]


def metrics_appended() -> Any:
    async def resolve(
        info: strawberry.Info[Context, None], task: str, metric: str | None = None, variant: str | None = None
    ) -> Points:
        [found] = await info.context.documents("task", [task], {"_id": 1})
        if found is None:
            raise InputError(ErrorCode.INVALID_TASK_ID, f"There is no task {task!r}.", field="task", task=task)
        return Points(task, metric, variant)

    return resolve
