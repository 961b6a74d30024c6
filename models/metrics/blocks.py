"""Curves: every value that a task reported of a variant of a metric, in blocks of packed points.

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
from models.metrics.last_metrics import SCALAR, curve_point
from models.types import Document, Pair, Query

BLOCK = 256  # points; tests/bench/layouts.py shows why
LAST = {"metric": 1, "variant": 1, "number": 1, "points": 1}
POINT = np.dtype([("iterations", "<i8"), ("timestamps", "<i8"), ("values", "<f8")])  # milliseconds since 1970

Points = NDArray[np.void]  # of POINT


class Columns(NamedTuple):
    """Points of one curve: iterations, values and milliseconds since 1970, column by column."""

    iterations: NDArray[np.int64]
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]

    def at(self, places: Any) -> "Columns":
        return Columns(self.iterations[places], self.values[places], self.timestamps[places])


def is_counted(block: Document) -> bool:
    """Whether the block says of which curve it is and how many points it has. One that does not is not from here."""
    names, points = [block.get("metric"), block.get("variant")], block.get("points")
    return all(type(name) is str for name in names) and isinstance(points, int) and 0 <= points <= BLOCK


def is_readable(block: Document) -> bool:
    """Whether the points of a block can be read."""
    chunks = block.get("chunks")
    return (
        is_counted(block)
        and isinstance(block.get("number"), int)
        and isinstance(chunks, list)
        and all(isinstance(chunk, bytes) and len(chunk) % POINT.itemsize == 0 for chunk in chunks)
    )


def columns(blocks: Sequence[Document]) -> Columns:
    """Build one curve of its blocks: in the order of iterations, of each the point that was reported last.

    Replaced points stay stored, so that a report never reads a curve. To pass over them takes 26 ms of a million points
    of which a quarter are replaced, and a curve that came in order, the usual one, is not even sorted (9 ms in place of
    41).
    """
    reported = as_they_came(blocks)
    if (reported.iterations[1:] > reported.iterations[:-1]).all():
        return reported
    places = np.argsort(reported.iterations, kind="stable")
    iterations = reported.iterations[places]
    is_newest = np.append(iterations[1:] != iterations[:-1], np.True_)
    return reported.at(places[is_newest])


def as_they_came(blocks: Sequence[Document]) -> Columns:
    """The points of one curve in the order in which they were reported."""
    ordered = sorted(blocks, key=itemgetter("number"))
    points = np.frombuffer(b"".join(chunk for block in ordered for chunk in block["chunks"]), POINT)
    return Columns(points["iterations"], points["values"], points["timestamps"])


class Curves:
    """The curves of one task while its events are read."""

    def __init__(self) -> None:
        self._columns: dict[Pair, tuple[array[int], array[int], array[float]]] = {}

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if str(event.get("type")).replace(" ", "_") == SCALAR and (point := curve_point(event)):
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
                for block in _blocks(task, (metric, variant), packed(*columns), now):
                    yield block | {"company": company}


def packed(iterations: ArrayLike, timestamps: ArrayLike, values: ArrayLike) -> Points:
    points = np.empty(np.shape(iterations), POINT)
    points["iterations"], points["timestamps"], points["values"] = iterations, timestamps, values
    return points


def last_of(task: str, pairs: Iterable[Pair] | None = None) -> Query:
    """The last blocks of the curves of a task, or of those that have the names of these pairs."""
    query: dict[str, Any] = {"task": task, "is_last": True}
    if pairs is not None:
        metrics, variants = zip(*pairs, strict=True) if (pairs := [*pairs]) else ((), ())
        query |= {"metric": {"$in": sorted({*metrics})}, "variant": {"$in": sorted({*variants})}}
    return query


def appended(
    task: str, reported: Mapping[Pair, Points], last: Iterable[Document], now: datetime
) -> tuple[list[tuple[Any, Document]], list[Document]]:
    """What puts points behind those of the curves of a task: updates by id, and new blocks; no curve is read for it.

    :param last: `LAST` of the last block of each of these curves, where there is one
    """
    blocks = {(block["metric"], block["variant"]): block for block in sorted(last, key=itemgetter("number"))}
    updates: list[tuple[Any, Document]] = []
    made: list[Document] = []
    for pair, points in reported.items():
        block = blocks.get(pair)
        room = BLOCK - block["points"] if block else 0
        if block:
            updates.append((block["_id"], _filled(points[:room], is_last=len(points) <= room, now=now)))
        made += _blocks(task, pair, points[room:], now, block["number"] + 1 if block else 0)
    return updates, made


def _filled(points: Points, *, is_last: bool, now: datetime) -> Document:
    set_ = {"$set": {"last_update": now, "is_last": is_last}}
    return {**set_, "$push": {"chunks": points.tobytes()}, "$inc": {"points": len(points)}} if len(points) else set_


def _blocks(task: str, pair: Pair, points: Points, now: datetime, number: int = 0) -> Iterator[Document]:
    """The blocks of points from this number on; of a company yet to be said."""
    metric, variant = pair
    for start in range(0, len(points), BLOCK):
        part = points[start : start + BLOCK]
        at = number + start // BLOCK
        yield {
            "_id": f"{task}/{hash_name(metric)}/{hash_name(variant)}/{at:06}", "task": task, "metric": metric,
            "variant": variant, "number": at, "points": len(part), "is_last": start + BLOCK >= len(points),
            "last_update": now, "chunks": [part.tobytes()],
        }  # fmt: skip
