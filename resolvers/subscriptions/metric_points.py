"""The events of `metricsAppended`: points are appended to a series of a task, or the series starts again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import strawberry

from models.documents.block import SERIES
from models.metrics.blocks import BLOCK_SIZE, is_counted, is_readable, read_reported_points
from models.store.change_stream import EVERY_BLOCK, ChangeBatch
from models.types import Document, SeriesName
from resolvers.errors import not_found
from resolvers.execution.context import Context
from resolvers.fields.points import list_columns
from resolvers.subscriptions.sources import Event, EventBatch, EventSource, build_event_batch

MAX_EVENT_POINTS = 10_000
COUNT_FIELDS = {"metric": 1, "variant": 1, "points": 1}


class PointRange(NamedTuple):
    """Points of a series, counted in the order in which they were reported; `end` is the first after them."""

    start: int
    end: int


class StoredBlock(NamedTuple):
    """The series that a block belongs to, and its number of points."""

    series: SeriesName
    point_count: int


class PointEventSource(EventSource):
    """The points that are appended to the series of one task."""

    def __init__(self, task: str, metric: str | None, variant: str | None) -> None:
        self._task = task
        self._query: dict[str, Any] = {"task": task}
        if metric is not None:
            self._query["metric"] = metric
        if variant is not None:
            self._query["variant"] = variant
        self._blocks: dict[str, StoredBlock] = {}  # by id

    async def start(self, context: Context) -> None:
        self._note_blocks(await context.reader.read_all(SERIES, self._query, COUNT_FIELDS))

    def is_affected_by(self, changes: ChangeBatch) -> bool:
        return EVERY_BLOCK in changes.blocks or bool(self._select_ids(changes))

    def _select_ids(self, changes: ChangeBatch) -> list[str]:
        """The ids of the changed blocks of this task."""
        return [id_ for id_ in changes.blocks if id_.startswith(f"{self._task}/")]

    async def build_events(self, context: Context, changes: ChangeBatch) -> EventBatch:
        is_all_removed = EVERY_BLOCK in changes.removed
        query = self._query if is_all_removed else {**self._query, "_id": {"$in": self._select_ids(changes)}}
        blocks = await context.reader.read_all(SERIES, query, COUNT_FIELDS)
        # the counts change after the database has answered, because what it can't answer is asked again
        removed = frozenset(self._blocks) if is_all_removed else changes.removed & self._blocks.keys()
        restarted = {self._blocks.pop(id_).series for id_ in removed}
        counts_before = self._count_points()
        appended = self._note_blocks(blocks)
        counts = self._count_points()
        events = []
        for series in appended | restarted:
            start = 0 if series in restarted else counts_before.get(series, 0)
            end = counts.get(series, 0)
            if end > start or series in restarted:
                events.append(Event(series, _limit_range(start, end)))
        return build_event_batch(changes.after, changes.until, events)

    def _note_blocks(self, blocks: Sequence[Document]) -> set[SeriesName]:
        """Note the number of points of these blocks; returns the series that they belong to."""
        noted = set()
        for block in blocks:
            if type(block["_id"]) is str and is_counted(block):
                series = block["metric"], block["variant"]
                self._blocks[block["_id"]] = StoredBlock(series, block["points"])
                noted.add(series)
        return noted

    def _count_points(self) -> dict[SeriesName, int]:
        counts: dict[SeriesName, int] = {}
        for series, point_count in self._blocks.values():
            counts[series] = counts.get(series, 0) + point_count
        return counts

    def merge_events(self, earlier: Event, later: Event) -> Event:
        if earlier.content.end != later.content.start:
            return later
        return replace(later, content=_limit_range(earlier.content.start, later.content.end))

    async def load_documents(self, context: Context, event_batch: EventBatch) -> list[Document]:
        first_blocks = {(series, points.start // BLOCK_SIZE) for series, points in _iter_ranges(event_batch)}
        if not first_blocks:
            return []
        conditions = [
            {"metric": metric, "variant": variant, "number": {"$gte": number}}
            for (metric, variant), number in first_blocks
        ]
        blocks = await context.reader.read_all(SERIES, {"task": self._task, "$or": conditions}, {})
        readable = [block for block in blocks if is_readable(block)]
        return [self._build_document(series, points, readable) for series, points in _iter_ranges(event_batch)]

    def _build_document(self, series: SeriesName, points: PointRange, blocks: Sequence[Document]) -> Document:
        metric, variant = series
        columns = read_reported_points([block for block in blocks if (block["metric"], block["variant"]) == series])
        first_read = points.start // BLOCK_SIZE * BLOCK_SIZE
        appended = columns.select(slice(points.start - first_read, points.end - first_read))
        return {
            "task": self._task,
            "metric": metric,
            "variant": variant,
            "offset": points.start,
            **list_columns(appended),
        }


def _limit_range(start: int, end: int) -> PointRange:
    """The last points of a range, as many as an event may have."""
    return PointRange(max(start, end - MAX_EVENT_POINTS), end)


def _iter_ranges(event_batch: EventBatch) -> Iterator[tuple[Any, PointRange]]:
    for series, event in event_batch.events.items():
        yield series, event.content


def build_metrics_appended_resolver() -> Any:
    async def resolve(
        info: strawberry.Info[Context, None], task: str, metric: str | None = None, variant: str | None = None
    ) -> PointEventSource:
        [document] = await info.context.load_documents("task", [task], {"_id": 1})
        if document is None:
            raise not_found("task", task)
        return PointEventSource(task, metric, variant)

    return resolve
