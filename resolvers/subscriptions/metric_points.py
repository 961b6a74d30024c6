"""The events of `metricsAppended`: points of the curves of a task."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import strawberry

from models.documents.block import SERIES
from models.metrics.blocks import BLOCK, as_they_came, is_counted, is_readable
from models.store.change_stream import EVERY_BLOCK, Batch
from models.types import Document
from resolvers.errors import not_found
from resolvers.execution.context import Context
from resolvers.fields.points import listed
from resolvers.subscriptions.sources import Event, Feed, Round, round_of

MAX_POINTS = 10_000  # of one event


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
        return round_of(batch.after, batch.upto, events)

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
        [found] = await info.context.load_documents("task", [task], {"_id": 1})
        if found is None:
            raise not_found("task", task)
        return Points(task, metric, variant)

    return resolve
