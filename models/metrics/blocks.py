"""Series: all values that a task reported of a variant of a metric, stored in blocks of packed points.

MongoDB's time series have neither transactions nor change streams, so blocks are plain documents of our own.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.layout import hash_name
from models.metrics.last_metrics import is_scalar, read_point
from models.types import Document, Query, SeriesName

BLOCK_SIZE = 256  # points; tests/bench/layouts.py shows why
LAST_BLOCK_FIELDS = {"metric": 1, "variant": 1, "number": 1, "points": 1}
POINT_TYPE = np.dtype([("iterations", "<i8"), ("timestamps", "<i8"), ("values", "<f8")])  # milliseconds since 1970

Points = NDArray[np.void]  # of POINT_TYPE


class SeriesColumns(NamedTuple):
    """The points of one series column by column: iterations, values and milliseconds since 1970."""

    iterations: NDArray[np.int64]
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]

    def select(self, indexes: Any) -> "SeriesColumns":
        """Select points by a slice, a mask or their indexes."""
        return SeriesColumns(self.iterations[indexes], self.values[indexes], self.timestamps[indexes])


# -- stored blocks → a series ----------------------------------------------------------------------


def is_counted(block: Document) -> bool:
    """Whether the block names its series and the number of its points, as all blocks of taskql do."""
    names, points = [block.get("metric"), block.get("variant")], block.get("points")
    return all(type(name) is str for name in names) and isinstance(points, int) and 0 <= points <= BLOCK_SIZE


def is_readable(block: Document) -> bool:
    """Whether the points of a block can be read."""
    chunks = block.get("chunks")
    return (
        is_counted(block)
        and isinstance(block.get("number"), int)
        and isinstance(chunks, list)
        and all(isinstance(chunk, bytes) and len(chunk) % POINT_TYPE.itemsize == 0 for chunk in chunks)
    )


def read_series(blocks: Sequence[Document]) -> SeriesColumns:
    """Read the series of some blocks: in the order of iterations, of each iteration the point that was reported last.

    Replaced points stay stored, so that a report never reads a series. Passing over them takes 26 ms when a quarter of
    a million points are replaced. A series that came in order, the usual one, is not even sorted: 9 ms instead
    of 41.
    """
    reported = read_reported_points(blocks)
    if (reported.iterations[1:] > reported.iterations[:-1]).all():
        return reported
    order = np.argsort(reported.iterations, kind="stable")
    iterations = reported.iterations[order]
    is_newest = np.append(iterations[1:] != iterations[:-1], np.True_)
    return reported.select(order[is_newest])


def read_reported_points(blocks: Sequence[Document]) -> SeriesColumns:
    """Read the points of one series in the order in which they were reported."""
    ordered = sorted(blocks, key=itemgetter("number"))
    points = np.frombuffer(b"".join(chunk for block in ordered for chunk in block["chunks"]), POINT_TYPE)
    return SeriesColumns(points["iterations"], points["values"], points["timestamps"])


# -- reported points → blocks ----------------------------------------------------------------------


class SeriesCollector:
    """Collects the series of one task from its events."""

    def __init__(self) -> None:
        self._series: dict[SeriesName, tuple[array[int], array[int], array[float]]] = {}

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if is_scalar(event) and (point := read_point(event)):
                empty = array("q"), array("q"), array("d")
                iterations, timestamps, values = self._series.setdefault(point.series, empty)
                iterations.append(point.iteration)
                timestamps.append(point.timestamp)
                values.append(point.value)

    def build_blocks(
        self, task: str, company: str, now: datetime, last_metrics: Mapping[str, Any]
    ) -> Iterator[Document]:
        """Build the blocks to store, without the series that `last_metrics` of the task lacks."""
        for (metric, variant), columns in self._series.items():
            if hash_name(variant) in last_metrics.get(hash_name(metric), {}):
                for block in _build_blocks(task, (metric, variant), pack_points(*columns), now):
                    yield block | {"company": company}


def pack_points(iterations: ArrayLike, timestamps: ArrayLike, values: ArrayLike) -> Points:
    points = np.empty(np.shape(iterations), POINT_TYPE)
    points["iterations"], points["timestamps"], points["values"] = iterations, timestamps, values
    return points


def build_last_blocks_query(task: str, names: Iterable[SeriesName] | None = None) -> Query:
    """Build the query for the last block of each series of a task, or of those that have the given names."""
    query: dict[str, Any] = {"task": task, "is_last": True}
    if names is not None:
        metrics, variants = zip(*names, strict=True) if (names := [*names]) else ((), ())
        query |= {"metric": {"$in": sorted({*metrics})}, "variant": {"$in": sorted({*variants})}}
    return query


def append_points(
    task: str, reported: Mapping[SeriesName, Points], last_blocks: Iterable[Document], now: datetime
) -> tuple[list[tuple[Any, Document]], list[Document]]:
    """Append points to the series of a task without reading them.

    :param last_blocks: `LAST_BLOCK_FIELDS` of the last block of each of these series, where there is one
    :return: updates of last blocks by id, and new blocks
    """
    ordered = sorted(last_blocks, key=itemgetter("number"))
    last_by_series = {(block["metric"], block["variant"]): block for block in ordered}
    updates: list[tuple[Any, Document]] = []
    new_blocks: list[Document] = []
    for series, points in reported.items():
        block = last_by_series.get(series)
        if block is None:
            new_blocks += _build_blocks(task, series, points, now)
            continue
        room = BLOCK_SIZE - block["points"]
        updates.append((block["_id"], _build_update(points[:room], is_last=len(points) <= room, now=now)))
        new_blocks += _build_blocks(task, series, points[room:], now, block["number"] + 1)
    return updates, new_blocks


def _build_update(points: Points, *, is_last: bool, now: datetime) -> Document:
    update: Document = {"$set": {"last_update": now, "is_last": is_last}}
    if len(points):
        update |= {"$push": {"chunks": points.tobytes()}, "$inc": {"points": len(points)}}
    return update


def _build_blocks(
    task: str, series: SeriesName, points: Points, now: datetime, first_number: int = 0
) -> Iterator[Document]:
    """Build the blocks of some points, without their company."""
    metric, variant = series
    for start in range(0, len(points), BLOCK_SIZE):
        chunk = points[start : start + BLOCK_SIZE]
        number = first_number + start // BLOCK_SIZE
        yield {
            "_id": f"{task}/{hash_name(metric)}/{hash_name(variant)}/{number:06}",
            "task": task,
            "metric": metric,
            "variant": variant,
            "number": number,
            "points": len(chunk),
            "is_last": start + BLOCK_SIZE >= len(points),
            "last_update": now,
            "chunks": [chunk.tobytes()],
        }
