"""Curves: every value that a task reported of a variant of a metric, in blocks of packed columns.

MongoDB's time series have neither transactions nor change streams, so blocks are plain documents of our own.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import numpy as np
from beanie import Document as BeanieDocument
from numpy.typing import NDArray
from pydantic import Field
from pymongo import IndexModel

from models.layout import metric_key
from models.metrics import SCALAR, curve_point
from models.reading import Document

SERIES = "taskql_series"  # ours: ClearML has no collection of this name
BLOCK = 1024  # points

Pair = tuple[str, str]


class Block(BeanieDocument):
    """Up to 1024 points of one curve, in the order in which they came; a gap is NaN.

    The columns are packed little-endian: 64-bit integers, 64-bit floats, 64-bit milliseconds since 1970.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    company: str
    task: str
    metric: str
    variant: str
    number: int
    points: int
    last_update: datetime
    iterations: bytes
    values: bytes
    timestamps: bytes

    class Settings:
        name = SERIES
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("task", 1), ("metric", 1), ("variant", 1), ("number", 1)])
        ]


class Columns(NamedTuple):
    """A curve in the order of its iterations, those of one iteration in the order in which they came."""

    iterations: NDArray[np.int64]
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]

    def at(self, places: Any) -> "Columns":
        return Columns(self.iterations[places], self.values[places], self.timestamps[places])


class Curves:
    """The curves of one task while its events are read."""

    def __init__(self) -> None:
        self._columns: dict[Pair, tuple[array[int], array[float], array[int]]] = {}

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            if str(event.get("type")).replace(" ", "_") == SCALAR and (point := curve_point(event)):
                iterations, values, timestamps = self._columns.setdefault(
                    point.pair, (array("q"), array("d"), array("q"))
                )
                iterations.append(point.iteration)
                values.append(point.value)
                timestamps.append(point.timestamp)

    def blocks(self, task: str, company: str, now: datetime, known: Mapping[str, Any]) -> Iterator[Document]:
        """The documents to store; a curve of which the task keeps nothing (`last_metrics`) is left out."""
        for (metric, variant), columns in self._columns.items():
            if metric_key(variant) in known.get(metric_key(metric), {}):
                for number, start in enumerate(range(0, len(columns[0]), BLOCK)):
                    part = [column[start : start + BLOCK] for column in columns]
                    yield _block(task, company, (metric, variant), number, part, now)


def _block(
    task: str, company: str, pair: Pair, number: int, columns: Sequence["array[Any]"], now: datetime
) -> Document:
    metric, variant = pair
    iterations, values, timestamps = (np.asarray(column).tobytes() for column in columns)
    return {
        "_id": f"{task}/{metric_key(metric)}/{metric_key(variant)}/{number:06}", "company": company, "task": task,
        "metric": metric, "variant": variant, "number": number, "points": len(columns[0]), "last_update": now,
        "iterations": iterations, "values": values, "timestamps": timestamps,
    }  # fmt: skip


def columns(blocks: Sequence[Document]) -> Columns:
    """One curve of its blocks, whatever their order."""
    found = as_they_came(blocks)
    return found.at(np.argsort(found.iterations, kind="stable"))


def as_they_came(blocks: Sequence[Document]) -> Columns:
    """The points of one curve in the order in which they were reported."""
    ordered = sorted(blocks, key=lambda block: block["number"])
    return Columns(
        _joined(ordered, "iterations", "<i8"), _joined(ordered, "values", "<f8"), _joined(ordered, "timestamps", "<i8")
    )


def _joined(blocks: Sequence[Document], name: str, kind: str) -> NDArray[Any]:
    return np.frombuffer(b"".join(block[name] for block in blocks), dtype=kind)
