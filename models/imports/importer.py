"""Files → documents. A file with a problem imports nothing of itself, and the others still import."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from models.codecs import RAW, TOLERANT
from models.documents.block import SERIES
from models.imports.files import (
    ImportProblem,
    Limits,
    ProblemCode,
    Row,
    Source,
    encode,
    find_sources,
    is_bson,
    read_dump,
)
from models.imports.mongodump import read_bson
from models.imports.sdk_session import Session
from models.store.placeholders import build_placeholder_id
from models.types import Viewer

BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024
PROGRESS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is, in bytes of all its files; a dump is half done when it is checked."""

    file: Path
    done: int
    total: int


@dataclass(slots=True)
class Tally:
    """Documents of one collection; skipped are those that are stored already, the same or newer."""

    imported: int = 0
    updated: int = 0
    skipped: int = 0


@dataclass(slots=True)
class Report:
    """What an import did."""

    collections: dict[str, Tally] = field(default_factory=dict)
    not_mapped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (collection, field) → documents
    not_visible: int = 0  # documents of another company
    skipped_values: int = 0  # scalar events whose value, names or iteration cannot be used
    not_ours: int = 0  # documents that are stored for another company than the source says
    values_beyond_cap: int = 0  # scalar events of more metrics and variants than a task keeps
    problems: list[ImportProblem] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)  # files in folders that were left alone


async def import_files(
    database: AsyncDatabase[dict[str, Any]],
    paths: Sequence[Path],
    *,
    company: str,
    user: str,
    shown: Mapping[str, Collection[str]],
    progress: Callable[[Progress], None] = lambda _: None,
    limits: Limits | None = None,
) -> Report:
    """Import session zips, dumps, and folders of both.

    :param company: owner of the tasks and projects that sessions become
    :param user: their creator
    :param shown: collection → the stored top-level fields that the API shows; others are stored and reported
    :raises PyMongoError: the database cannot be reached; what it refuses is a problem in the report
    """
    limits = limits or Limits()
    found = find_sources(paths)
    report = Report(problems=found.problems, others=found.others)
    meter = _Meter(sum(source.size for source in found.sources), progress)
    writer = _Writer(database, Viewer(user, company, role="admin"), shown, report)
    for source in found.sources:
        try:
            await _import_one(source, writer, meter, limits)
        except ImportProblem as problem:
            report.problems.append(problem)
        meter.finish(source)
    return report


async def _import_one(source: Source, writer: "_Writer", meter: "_Meter", limits: Limits) -> None:
    try:
        if source.collection is None:
            await _import_session(source, writer, meter, limits)
        else:
            await _import_dump(source, source.collection, writer, meter, limits)
    except (OperationFailure, DocumentTooLarge) as error:
        raise ImportProblem(ProblemCode.REFUSED, source.file, detail=_refusal(error)) from error


async def _import_dump(source: Source, collection: str, writer: "_Writer", meter: "_Meter", limits: Limits) -> None:
    read = read_bson if is_bson(source.file) else read_dump
    for row in read(source.file, limits):
        await meter.at(source, row.position // 2)
    writer.report.collections.setdefault(collection, Tally())
    for batch in _batches(read(source.file, limits)):
        await writer.write(collection, batch)
        await meter.at(source, (source.size + batch[-1].position) // 2)


async def _import_session(source: Source, writer: "_Writer", meter: "_Meter", limits: Limits) -> None:
    session = Session(source.file, limits)
    for position in session.read():
        await meter.at(source, position)
    task = session.document(writer.viewer)
    projects, own = await writer.find_projects(session.project_names(), task)
    rows = [Row(document, encode(document, source.file, None, limits)) for document in [*projects, task | own]]
    if projects:
        await writer.write("project", rows[:-1])
    refused = writer.report.not_ours
    await writer.write("task", rows[-1:])
    if writer.report.not_ours > refused:
        return
    for batch in _batches(Row(block, encode(block, source.file, None, limits)) for block in session.build_blocks(task)):
        await writer.write(SERIES, batch)
    writer.report.skipped_values += session.metrics.skipped
    writer.report.values_beyond_cap += session.metrics.beyond_maximum


class _Meter:
    """Tells the progress now and then, and lets others on the event loop have a turn."""

    def __init__(self, total: int, tell: Callable[[Progress], None]) -> None:
        self.total = total
        self.tell = tell
        self.finished = self.told = 0

    async def at(self, source: Source, position: int) -> None:
        done = self.finished + min(position, source.size)
        if done - self.told >= PROGRESS_BYTES:
            self._tell(source, done)
            await asyncio.sleep(0)

    def finish(self, source: Source) -> None:
        self.finished += source.size
        self._tell(source, self.finished)

    def _tell(self, source: Source, done: int) -> None:
        self.told = done
        self.tell(Progress(source.file, done, self.total))


@dataclass(frozen=True, slots=True)
class _Writer:
    database: AsyncDatabase[dict[str, Any]]
    viewer: Viewer
    shown: Mapping[str, Collection[str]]
    report: Report

    async def write(self, collection: str, rows: Sequence[Row]) -> None:
        """Store what is new or changed, by one query and one bulk write."""
        self._note(collection, rows)
        try:
            await self._write(collection, rows)
        except BulkWriteError as error:
            refusals = (error.details or {}).get("writeErrors", ())
            if any(refusal.get("keyPattern") != {"_id": 1} for refusal in refusals):
                raise
            late = {refusal["keyValue"]["_id"] for refusal in refusals}
            # somebody else was first with these: now they are there, and can be compared
            await self._write(collection, [row for row in rows if row.document["_id"] in late])

    async def _write(self, collection: str, rows: Sequence[Row]) -> None:
        stored = cast("AsyncCollection[RawBSONDocument]", self.database.get_collection(collection, RAW))
        operations, not_ours = await _operations(stored, rows)
        self.report.not_ours += not_ours
        tally = self.report.collections.setdefault(collection, Tally())
        result: Mapping[str, Any] = {"nInserted": 0, "nMatched": 0}
        try:
            if operations:
                result = (await stored.bulk_write(operations, ordered=False)).bulk_api_result
        except BulkWriteError as error:
            result = error.details or result
            raise
        finally:
            written = result["nInserted"] + result["nMatched"] + len(result.get("writeErrors", ()))
            tally.imported += result["nInserted"]
            tally.updated += result["nMatched"]
            tally.skipped += len(rows) - written - not_ours

    async def find_projects(
        self, names: Sequence[str], task: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Find the projects of these names, each the parent of the next; make those that are not there.

        :return: the new documents, and the task's field that names the last one
        """
        query = self.viewer.narrow_to_writable({"name": {"$in": list(names)}})
        found = self.database.get_collection("project", TOLERANT).find(query, {"name": 1})
        # The oldest comes last, so that of two with one name it is the one that is taken.
        ids = {project["name"]: project["_id"] async for project in found.sort([("created", -1), ("_id", -1)])}
        new: list[dict[str, Any]] = []
        path: list[str] = []
        for name in names:
            if name not in ids:
                new.append(self._project(name, path, task))
                ids[name] = new[-1]["_id"]
            path.append(ids[name])
        return new, {"project": path[-1]} if path else {}

    def _project(self, name: str, path: list[str], task: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "_id": build_placeholder_id("project", self.viewer.company, name),
            "name": name,
            "basename": name.rpartition("/")[2],
            "description": "",
            "company": self.viewer.company,
            "user": self.viewer.user,
            "created": task["created"],
            "last_update": task["last_update"],
            "tags": [],
            "system_tags": [],
            "path": [*path],
            **({"parent": path[-1]} if path else {}),
        }

    def _note(self, collection: str, rows: Iterable[Row]) -> None:
        if collection == SERIES:
            return
        mapped = {"_id", *self.shown.get(collection, ())}
        for row in rows:
            self.report.not_mapped.update((collection, name) for name in row.document if name not in mapped)
            self.report.not_visible += not self.viewer.can_read(collection, row.document)


async def _operations(
    stored: AsyncCollection[RawBSONDocument], rows: Iterable[Row]
) -> tuple[list[InsertOne[RawBSONDocument] | ReplaceOne[RawBSONDocument]], int]:
    """What to write, and how many rows are stored for another company, which are left alone."""
    new = {row.document["_id"]: row for row in rows}
    changes: list[ReplaceOne[RawBSONDocument]] = []
    not_ours = 0
    async for document in stored.find({"_id": {"$in": list(new)}}):
        row = new.pop(document["_id"])
        if document.get("company") != row.document.get("company"):
            not_ours += 1
        elif not _is_same(bytes(document.raw), row.raw) and not _is_newer(document, row.document):
            # Whoever changed it since we looked at it wins.
            as_seen = {name: document.get(name) for name in ("_id", "company", "last_change", "last_update")}
            changes.append(ReplaceOne(as_seen, RawBSONDocument(row.raw, RAW)))
    return [*(InsertOne(RawBSONDocument(row.raw, RAW)) for row in new.values()), *changes], not_ours


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.raw)
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_same(stored: bytes, source: bytes) -> bool:
    """Compare by value and type, whatever the order of the keys; NaN is NaN."""
    return stored == source or _in_order(stored) == _in_order(source)


def _in_order(raw: bytes) -> bytes:
    return bson.encode(_sorted(bson.decode(raw, TOLERANT)))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _is_newer(stored: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    there, here = _changed(stored), _changed(source)
    return there is not None and here is not None and there > here


def _changed(document: Mapping[str, Any]) -> datetime | None:
    times = (document.get(name) for name in ("last_change", "last_update"))
    return next((time for time in times if isinstance(time, datetime)), None)


def _refusal(error: Exception) -> str:
    errors = (error.details or {}).get("writeErrors") if isinstance(error, BulkWriteError) else None
    return f"{len(errors)} of a batch, the first: {errors[0]['errmsg']}" if errors else str(error)
