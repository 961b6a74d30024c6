"""Curves: every value that a task reported of a variant of a metric, in blocks of pack_points points.

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
from models.metrics.last_metrics import SCALAR, read_point
from models.types import Document, Query, SeriesName

BLOCK_SIZE = 256  # points; tests/bench/layouts.py shows why
LAST_BLOCK_FIELDS = {"metric": 1, "variant": 1, "number": 1, "points": 1}
POINT_TYPE = np.dtype([("iterations", "<i8"), ("timestamps", "<i8"), ("values", "<f8")])  # milliseconds since 1970

Points = NDArray[np.void]  # of POINT_TYPE


class SeriesColumns(NamedTuple):
    """Points of one curve: iterations, values and milliseconds since 1970, column by column."""

    iterations: NDArray[np.int64]
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]

    def at(self, places: Any) -> "SeriesColumns":
        return SeriesColumns(self.iterations[places], self.values[places], self.timestamps[places])


def is_counted(block: Document) -> bool:
    """Whether the block says of which curve it is and how many points it has. One that does not is not from here."""
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


def columns(blocks: Sequence[Document]) -> SeriesColumns:
    """Build one curve of its blocks: in the order of iterations, of each the point that was reported last.

    Replaced points stay stored, so that a report never reads a curve. To pass over them takes 26 ms of a million points
    of which a quarter are replaced, and a curve that came in order, the usual one, is not even sorted (9 ms in place of
    41).
    """
    reported = read_reported_points(blocks)
    if (reported.iterations[1:] > reported.iterations[:-1]).all():
        return reported
    places = np.argsort(reported.iterations, kind="stable")
    iterations = reported.iterations[places]
    is_newest = np.append(iterations[1:] != iterations[:-1], np.True_)
    return reported.at(places[is_newest])


def read_reported_points(blocks: Sequence[Document]) -> SeriesColumns:
    """The points of one curve in the order in which they were reported."""
    ordered = sorted(blocks, key=itemgetter("number"))
    points = np.frombuffer(b"".join(chunk for block in ordered for chunk in block["chunks"]), POINT_TYPE)
    return SeriesColumns(points["iterations"], points["values"], points["timestamps"])


class SeriesCollector:
    """The curves of one task while its events are read."""

    def __init__(self) -> None:
        self._columns: dict[SeriesName, tuple[array[int], array[int], array[float]]] = {}

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if str(event.get("type")).replace(" ", "_") == SCALAR and (point := read_point(event)):
                iterations, timestamps, values = self._columns.setdefault(
                    point.pair, (array("q"), array("q"), array("d"))
                )
                iterations.append(point.iteration)
                timestamps.append(point.timestamp)
                values.append(point.value)

    def blocks(self, task: str, company: str, now: datetime, known: Mapping[str, Any]) -> Iterator[Document]:
        """The documents to store; a curve of which the task keeps nothing (`last_metrics`) is left out."""
        for (metric, variant), columns in self._columns.items():
            if hash_name(variant) in known.get(hash_name(metric), {}):
                for block in _blocks(task, (metric, variant), pack_points(*columns), now):
                    yield block | {"company": company}


def pack_points(iterations: ArrayLike, timestamps: ArrayLike, values: ArrayLike) -> Points:
    points = np.empty(np.shape(iterations), POINT_TYPE)
    points["iterations"], points["timestamps"], points["values"] = iterations, timestamps, values
    return points


def build_last_blocks_query(task: str, pairs: Iterable[SeriesName] | None = None) -> Query:
    """The last blocks of the curves of a task, or of those that have the names of these pairs."""
    query: dict[str, Any] = {"task": task, "is_last": True}
    if pairs is not None:
        metrics, variants = zip(*pairs, strict=True) if (pairs := [*pairs]) else ((), ())
        query |= {"metric": {"$in": sorted({*metrics})}, "variant": {"$in": sorted({*variants})}}
    return query


def append_points(
    task: str, reported: Mapping[SeriesName, Points], last: Iterable[Document], now: datetime
) -> tuple[list[tuple[Any, Document]], list[Document]]:
    """What puts points behind those of the curves of a task: updates by id, and new blocks; no curve is read for it.

    :param last: `LAST_BLOCK_FIELDS` of the last block of each of these curves, where there is one
    """
    blocks = {(block["metric"], block["variant"]): block for block in sorted(last, key=itemgetter("number"))}
    updates: list[tuple[Any, Document]] = []
    made: list[Document] = []
    for pair, points in reported.items():
        block = blocks.get(pair)
        room = BLOCK_SIZE - block["points"] if block else 0
        if block:
            updates.append((block["_id"], _filled(points[:room], is_last=len(points) <= room, now=now)))
        made += _blocks(task, pair, points[room:], now, block["number"] + 1 if block else 0)
    return updates, made


def _filled(points: Points, *, is_last: bool, now: datetime) -> Document:
    set_ = {"$set": {"last_update": now, "is_last": is_last}}
    return {**set_, "$push": {"chunks": points.tobytes()}, "$inc": {"points": len(points)}} if len(points) else set_


def _blocks(task: str, pair: SeriesName, points: Points, now: datetime, number: int = 0) -> Iterator[Document]:
    """The blocks of points from this number on; of a company yet to be said."""
    metric, variant = pair
    for start in range(0, len(points), BLOCK_SIZE):
        part = points[start : start + BLOCK_SIZE]
        at = number + start // BLOCK_SIZE
        yield {
            "_id": f"{task}/{hash_name(metric)}/{hash_name(variant)}/{at:06}", "task": task, "metric": metric,
            "variant": variant, "number": at, "points": len(part), "is_last": start + BLOCK_SIZE >= len(points),
            "last_update": now, "chunks": [part.tobytes()],
        }  # fmt: skip
