"""Layouts of curves, one against the other: what it takes to write them, to read them, and to keep them.

    uv run python -m tests.bench.layouts [points] [points of a curve in a report]

A million points in 1,000 curves of 50 tasks, as reports bring them: 10 points of each curve at a time. Every layout
gets the same reports, in turns, so that whatever else the machine does meets all of them; all give the same curves
before anything is printed. CPU is that of this process and the database server together.
"""

import os
import sys
import tempfile
import time
import zlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pymongo
from pymongo import InsertOne, UpdateOne
from pymongo.collection import Collection

from api.embedded_mongodb import run_embedded_mongodb
from models.metrics import blocks as series
from models.metrics.blocks import LAST_BLOCK_FIELDS, POINT_TYPE, Points, append_points, build_last_blocks_query
from models.types import SeriesName

TASKS, CURVES = 50, 20
PAIRS: list[SeriesName] = [(f"metric {number % 5}", f"variant {number // 5}") for number in range(CURVES)]
DAY = datetime(2026, 1, 31)  # noqa: DTZ001 - stored dates are naive UTC
TICKS = os.sysconf("SC_CLK_TCK")
Document = dict[str, Any]
Report = Mapping[SeriesName, Points]


class Layout(ABC):
    """A way to store curves in a collection of its own."""

    def __init__(self, name: str, stored: Collection[Document], index: Sequence[str]) -> None:
        self.name = name
        self.stored = stored
        self.spent: dict[str, Spent] = defaultdict(Spent)
        stored.create_index([(field, 1) for field in index])

    @abstractmethod
    def write(self, task: str, report: Report) -> None:
        """Put points behind those that are stored."""

    @abstractmethod
    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        """A curve of each task, by one command."""


class Chunks(Layout):
    """What taskql does: a block is a list of what reports brought."""

    def __init__(self, stored: Collection[Document], size: int) -> None:
        super().__init__(f"chunks, {size}", stored, ("task", "metric", "variant", "number"))
        self._size = size
        stored.create_index([(field, 1) for field in ("task", "is_last", "metric", "variant")])

    def write(self, task: str, report: Report) -> None:
        series.BLOCK_SIZE = self._size
        found = self.stored.find(build_last_blocks_query(task, report), LAST_BLOCK_FIELDS, batch_size=100_000).to_list()
        updates, made = append_points(task, report, found, DAY)
        self.stored.bulk_write(
            [
                *(UpdateOne({"_id": id_}, update) for id_, update in updates),
                *(InsertOne(block) for block in made),
            ]
        )

    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        return joined(blocks_of(self.stored, tasks, pair), lambda block: b"".join(block["chunks"]))


class Packed(Layout):
    """A block is one piece, three columns long, which each report reads and writes anew."""

    def __init__(self, stored: Collection[Document], size: int, *, is_small: bool = False) -> None:
        super().__init__(
            f"{'compressed' if is_small else 'packed'}, {size}", stored, ("task", "metric", "variant", "number")
        )
        self._size = size
        self._pack: Callable[[bytes], bytes] = (lambda data: zlib.compress(data, 1)) if is_small else bytes
        self._unpack: Callable[[bytes], bytes] = zlib.decompress if is_small else bytes

    def write(self, task: str, report: Report) -> None:
        found = self.stored.find({"task": task, "is_last": True}, batch_size=100_000).to_list()
        last = {(block["metric"], block["variant"]): block for block in found}
        writes: list[Any] = []
        for pair, points in report.items():
            block = last.get(pair)
            known = np.frombuffer(self._unpack(block["points"]), POINT_TYPE) if block else points[:0]
            number = block["number"] if block else 0
            whole = np.concatenate([known, points])
            for start in range(0, len(whole), self._size):
                part = self._pack(whole[start : start + self._size].tobytes())
                one = {"task": task, "metric": pair[0], "variant": pair[1], "number": number + start // self._size}
                made = {**one, "points": part, "is_last": start + self._size >= len(whole)}
                is_new = start > 0 or not block
                writes.append(InsertOne(made) if is_new else UpdateOne({"_id": block["_id"]}, {"$set": made}))
        self.stored.bulk_write(writes)

    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        return joined(blocks_of(self.stored, tasks, pair), lambda block: self._unpack(block["points"]))


class Numbers(Layout):
    """A block has three lists of numbers."""

    def __init__(self, stored: Collection[Document], size: int) -> None:
        super().__init__(f"numbers, {size}", stored, ("task", "metric", "variant", "number"))
        self._size = size
        self._written: dict[tuple[str, SeriesName], int] = defaultdict(int)

    def write(self, task: str, report: Report) -> None:
        writes = []
        for (metric, variant), points in report.items():
            count = self._written[task, (metric, variant)]  # known for nothing: a favour
            self._written[task, (metric, variant)] += len(points)
            one = {"task": task, "metric": metric, "variant": variant, "number": count // self._size}
            pushed = {name: {"$each": points[name].tolist()} for name in POINT_TYPE.names or ()}
            writes.append(UpdateOne(one, {"$push": pushed}, upsert=True))
        self.stored.bulk_write(writes)

    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        def packed(block: Document) -> bytes:
            return series.pack_points(*(block[name] for name in POINT_TYPE.names or ())).tobytes()

        return joined(blocks_of(self.stored, tasks, pair), packed)


class Singles(Layout):
    """A document for each point."""

    def __init__(self, stored: Collection[Document]) -> None:
        super().__init__("a document a point", stored, ("task", "metric", "variant"))

    def write(self, task: str, report: Report) -> None:
        self.stored.insert_many(
            [
                {"task": task, "metric": metric, "variant": variant, "i": iteration, "t": timestamp, "v": value}
                for (metric, variant), points in report.items()
                for iteration, timestamp, value in points.tolist()
            ]
        )

    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        query = {"task": {"$in": [*tasks]}, "metric": pair[0], "variant": pair[1]}
        found: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
        for one in self.stored.find(query, batch_size=1_000_000):
            found[one["task"]].append((one["i"], one["t"], one["v"]))
        return {task: np.array(points, POINT_TYPE) for task, points in found.items()}


class Wide(Layout):
    """A document for each report of a task, with all its curves."""

    def __init__(self, stored: Collection[Document]) -> None:
        super().__init__("a document a report", stored, ("task", "_id"))

    def write(self, task: str, report: Report) -> None:
        curves = {series.hash_name("/".join(pair)): points.tobytes() for pair, points in report.items()}
        self.stored.insert_one({"task": task, "curves": curves})

    def read(self, tasks: Sequence[str], pair: SeriesName) -> dict[str, Points]:
        key = series.hash_name("/".join(pair))
        found = self.stored.find({"task": {"$in": [*tasks]}}, {"task": 1, f"curves.{key}": 1}, batch_size=1_000_000)
        return joined(found.sort("_id"), lambda block: block["curves"][key])


def blocks_of(stored: Collection[Document], tasks: Sequence[str], pair: SeriesName) -> list[Document]:
    query = {"task": {"$in": [*tasks]}, "metric": pair[0], "variant": pair[1]}
    return sorted(stored.find(query, batch_size=100_000), key=lambda block: block["number"])


def joined(blocks: Any, packed: Callable[[Document], bytes]) -> dict[str, Points]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for block in blocks:
        found[block["task"]].append(packed(block))
    return {task: np.frombuffer(b"".join(parts), POINT_TYPE) for task, parts in found.items()}


# -- what it takes ---------------------------------------------------------------------------------


class Spent:
    """Seconds, of CPU and by the clock."""

    cpu = wall = 0.0


class Meter(NamedTuple):
    pid: int

    def measure(self, spent: Spent, work: Callable[[], Any]) -> Any:
        before, began = self._cpu(), time.perf_counter()
        result = work()
        spent.wall += time.perf_counter() - began
        spent.cpu += self._cpu() - before
        return result

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / TICKS


def reports(points: int, each: int, tasks: int = TASKS) -> Iterator[dict[str, Report]]:
    """Reports of all tasks, with so many points of each curve, until there are so many points."""
    dice = np.random.default_rng(7)
    values = dice.normal(size=(tasks, CURVES)).cumsum(axis=0)
    for start in range(0, points // (tasks * CURVES), each):
        steps = np.arange(start, start + each)
        values = values + dice.normal(size=values.shape) / 100
        yield {
            f"task {task:02}": {
                pair: series.pack_points(steps, 1_790_000_000_000 + 250 * steps, values[task, place] + steps / 7)
                for place, pair in enumerate(PAIRS)
            }
            for task in range(tasks)
        }


class Row(NamedTuple):
    """What a layout takes: seconds of CPU and by the clock, and bytes on disk."""

    name: str
    write: float
    clock: float
    curve: float
    overlay: float
    bytes: float


def layouts(database: Any) -> list[Layout]:
    return [
        *(Chunks(database[f"chunks{size}"], size) for size in (256, 512, 1024, 4096)),
        Packed(database["packed"], 1024),
        Packed(database["compressed"], 1024, is_small=True),
        Numbers(database["numbers"], 1000),
        Singles(database["singles"]),
        Wide(database["wide"]),
    ]


def compare(database: Any, points: int, each: int, rounds: int = 20, count: int = TASKS) -> list[Row]:
    meter, all_ = Meter(database.command("serverStatus")["pid"]), layouts(database)
    usual = series.BLOCK_SIZE
    for number, report in enumerate(reports(points, each, count)):
        for layout in turned(all_, number):
            meter.measure(layout.spent["write"], lambda: [layout.write(*one) for one in report.items()])  # noqa: B023
    series.BLOCK_SIZE = usual
    tasks = [f"task {number:02}" for number in range(count)]
    for number in range(rounds):
        pair, seen = PAIRS[number % len(PAIRS)], []
        for layout in turned(all_, number):
            meter.measure(layout.spent["curve"], lambda: [layout.read([task], pair) for task in tasks])  # noqa: B023
            seen.append(meter.measure(layout.spent["overlay"], lambda: layout.read(tasks, pair)))  # noqa: B023
        assert all(len(found) == count for found in seen)
        assert all(np.array_equal(found[task], seen[0][task]) for found in seen for task in tasks), "two layouts differ"
    database.client.admin.command("fsync")
    return [row(database, layout) for layout in all_]


def turned(all_: list[Layout], number: int) -> list[Layout]:
    """Another one first each time."""
    start = number % len(all_)
    return all_[start:] + all_[:start]


def row(database: Any, layout: Layout) -> Row:
    database.command("compact", layout.stored.name, force=True)
    kept = database.command("collStats", layout.stored.name)
    write, curve, overlay = (layout.spent[kind] for kind in ("write", "curve", "overlay"))
    size = kept["storageSize"] + kept["totalIndexSize"]
    return Row(layout.name, write.cpu, write.wall, curve.cpu, overlay.cpu, size)


def main(points: int = 1_000_000, each: int = 10) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        run_embedded_mongodb(Path(folder) / "data") as uri,
        pymongo.MongoClient[Document](uri) as client,
    ):
        rows = compare(client["bench"], points, each)
    first = rows[0]
    print(f"{points} points, {each} of each of {TASKS * CURVES} curves in a report; {first.name} is 1")
    print("| layout | write, CPU | write, clock | a curve | 50 curves | bytes a point |\n|---|---|---|---|---|---|")
    for one in rows:
        ratios = " | ".join(f"{own / base:.2f}" for own, base in zip(one[1:5], first[1:5], strict=True))
        print(f"| {one.name} | {ratios} | {one.bytes / points:.1f} |")
    print(first)


if __name__ == "__main__":
    began = time.monotonic()
    main(*map(int, sys.argv[1:]))
    print(f"{time.monotonic() - began:.0f} s in all")
