"""Files → stored documents. Of a file with a problem nothing is imported, and the other files still are."""

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
    ImportLimits,
    ImportProblem,
    ProblemCode,
    Row,
    Source,
    encode_document,
    find_sources,
    is_bson,
    read_dump,
)
from models.imports.mongodump import read_bson
from models.imports.sdk_session import OfflineSession
from models.store.placeholders import build_placeholder_id
from models.types import Viewer

BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024
PROGRESS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an import in bytes of all its files; a dump is half done when it is checked."""

    file: Path
    done: int
    total: int


@dataclass(slots=True)
class Tally:
    """Counts the documents of one collection; `skipped` are stored already, the same or newer."""

    imported: int = 0
    updated: int = 0
    skipped: int = 0


@dataclass(slots=True)
class Report:
    """The counts and problems of an import."""

    collections: dict[str, Tally] = field(default_factory=dict)
    not_mapped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (collection, field) → documents
    not_visible: int = 0  # documents of another company
    skipped_values: int = 0  # scalar events whose value, names or iteration can't be used
    not_ours: int = 0  # documents that are stored for another company than the source names
    values_beyond_maximum: int = 0  # scalar events of more series than a task may have
    problems: list[ImportProblem] = field(default_factory=list)
    unknown_files: list[Path] = field(default_factory=list)  # in folders, not imported


async def import_files(
    database: AsyncDatabase[dict[str, Any]],
    paths: Sequence[Path],
    *,
    company: str,
    user: str,
    shown_fields: Mapping[str, Collection[str]],
    progress: Callable[[Progress], None] = lambda _: None,
    limits: ImportLimits | None = None,
) -> Report:
    """Import session zips, dumps, and folders of both.

    :param company: owner of the tasks and projects that sessions become
    :param user: their creator
    :param shown_fields: collection → the stored top-level fields that the API shows; all others are stored and reported
    :raises PyMongoError: the database can't be reached; a document that it refuses is a problem in the report
    """
    limits = limits or ImportLimits()
    sources, unknown_files, problems = find_sources(paths)
    report = Report(problems=problems, unknown_files=unknown_files)
    meter = _ProgressMeter(sum(source.size for source in sources), progress)
    writer = _ImportWriter(database, Viewer(user, company, role="admin"), shown_fields, report)
    for source in sources:
        try:
            await _import_one(source, writer, meter, limits)
        except ImportProblem as problem:
            report.problems.append(problem)
        meter.finish(source)
    return report


async def _import_one(source: Source, writer: "_ImportWriter", meter: "_ProgressMeter", limits: ImportLimits) -> None:
    try:
        if source.collection is None:
            await _import_session(source, writer, meter, limits)
        else:
            await _import_dump(source, source.collection, writer, meter, limits)
    except (OperationFailure, DocumentTooLarge) as error:
        raise ImportProblem(ProblemCode.REFUSED, source.file, detail=_describe_refusal(error)) from error


async def _import_dump(
    source: Source, collection: str, writer: "_ImportWriter", meter: "_ProgressMeter", limits: ImportLimits
) -> None:
    read = read_bson if is_bson(source.file) else read_dump
    for row in read(source.file, limits):
        await meter.advance(source, row.position // 2)
    writer.report.collections.setdefault(collection, Tally())
    for batch in _split_batches(read(source.file, limits)):
        await writer.write(collection, batch)
        await meter.advance(source, (source.size + batch[-1].position) // 2)


async def _import_session(
    source: Source, writer: "_ImportWriter", meter: "_ProgressMeter", limits: ImportLimits
) -> None:
    session = OfflineSession(source.file, limits)
    for position in session.read():
        await meter.advance(source, position)
    task = session.build_task(writer.viewer)
    projects, reference = await writer.find_projects(session.list_project_names(), task)
    rows = [
        Row(document, encode_document(document, source.file, None, limits))
        for document in [*projects, task | reference]
    ]
    if projects:
        await writer.write("project", rows[:-1])
    refused = writer.report.not_ours
    await writer.write("task", rows[-1:])
    if writer.report.not_ours > refused:
        return
    for batch in _split_batches(
        Row(block, encode_document(block, source.file, None, limits)) for block in session.build_blocks(task)
    ):
        await writer.write(SERIES, batch)
    writer.report.skipped_values += session.metrics.skipped
    writer.report.values_beyond_maximum += session.metrics.beyond_maximum


class _ProgressMeter:
    """Publishes the progress every PROGRESS_BYTES, and then lets other tasks of the event loop run."""

    def __init__(self, total: int, progress: Callable[[Progress], None]) -> None:
        self.total = total
        self.progress = progress
        self.finished = self.published = 0

    async def advance(self, source: Source, position: int) -> None:
        done = self.finished + min(position, source.size)
        if done - self.published >= PROGRESS_BYTES:
            self._publish(source, done)
            await asyncio.sleep(0)

    def finish(self, source: Source) -> None:
        self.finished += source.size
        self._publish(source, self.finished)

    def _publish(self, source: Source, done: int) -> None:
        self.published = done
        self.progress(Progress(source.file, done, self.total))


@dataclass(frozen=True, slots=True)
class _ImportWriter:
    database: AsyncDatabase[dict[str, Any]]
    viewer: Viewer
    shown_fields: Mapping[str, Collection[str]]
    report: Report

    async def write(self, collection: str, rows: Sequence[Row]) -> None:
        """Store new and changed documents, by one query and one bulk write."""
        self._update_report(collection, rows)
        try:
            await self._write(collection, rows)
        except BulkWriteError as error:
            refusals = (error.details or {}).get("writeErrors", ())
            if any(refusal.get("keyPattern") != {"_id": 1} for refusal in refusals):
                raise
            late = {refusal["keyValue"]["_id"] for refusal in refusals}
            # another writer inserted these first; now they can be compared
            await self._write(collection, [row for row in rows if row.document["_id"] in late])

    async def _write(self, collection: str, rows: Sequence[Row]) -> None:
        stored = cast("AsyncCollection[RawBSONDocument]", self.database.get_collection(collection, RAW))
        operations, not_ours = await _build_operations(stored, rows)
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
        """Find the projects of these names, each the parent of the next; build the missing ones.

        :return: the new documents, and the task's field that names the last one
        """
        query = self.viewer.narrow_to_writable({"name": {"$in": list(names)}})
        cursor = self.database.get_collection("project", TOLERANT).find(query, {"name": 1})
        # The oldest comes last, so that it wins over another of the same name.
        ids = {project["name"]: project["_id"] async for project in cursor.sort([("created", -1), ("_id", -1)])}
        new: list[dict[str, Any]] = []
        path: list[str] = []
        for name in names:
            if name not in ids:
                new.append(self._build_project(name, path, task))
                ids[name] = new[-1]["_id"]
            path.append(ids[name])
        return new, {"project": path[-1]} if path else {}

    def _build_project(self, name: str, path: list[str], task: Mapping[str, Any]) -> dict[str, Any]:
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

    def _update_report(self, collection: str, rows: Iterable[Row]) -> None:
        if collection == SERIES:
            return
        mapped = {"_id", *self.shown_fields.get(collection, ())}
        for row in rows:
            self.report.not_mapped.update((collection, name) for name in row.document if name not in mapped)
            self.report.not_visible += not self.viewer.can_read(collection, row.document)


async def _build_operations(
    stored: AsyncCollection[RawBSONDocument], rows: Iterable[Row]
) -> tuple[list[InsertOne[RawBSONDocument] | ReplaceOne[RawBSONDocument]], int]:
    """Build the writes, and count the rows that are stored for another company, which stay unchanged."""
    new = {row.document["_id"]: row for row in rows}
    changes: list[ReplaceOne[RawBSONDocument]] = []
    not_ours = 0
    async for document in stored.find({"_id": {"$in": list(new)}}):
        row = new.pop(document["_id"])
        if document.get("company") != row.document.get("company"):
            not_ours += 1
        elif not _is_same(bytes(document.raw), row.raw) and not _is_newer(document, row.document):
            # A change of another writer since the find wins.
            as_seen = {name: document.get(name) for name in ("_id", "company", "last_change", "last_update")}
            changes.append(ReplaceOne(as_seen, RawBSONDocument(row.raw, RAW)))
    return [*(InsertOne(RawBSONDocument(row.raw, RAW)) for row in new.values()), *changes], not_ours


def _split_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
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
    return stored == source or _encode_sorted(stored) == _encode_sorted(source)


def _encode_sorted(raw: bytes) -> bytes:
    return bson.encode(_sort_keys(bson.decode(raw, TOLERANT)))


def _sort_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sort_keys(value[key]) for key in sorted(value)}
    return [_sort_keys(item) for item in value] if isinstance(value, list) else value


def _is_newer(stored: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    stored_time, source_time = _read_change_time(stored), _read_change_time(source)
    return stored_time is not None and source_time is not None and stored_time > source_time


def _read_change_time(document: Mapping[str, Any]) -> datetime | None:
    times = (document.get(name) for name in ("last_change", "last_update"))
    return next((time for time in times if isinstance(time, datetime)), None)


def _describe_refusal(error: Exception) -> str:
    errors = (error.details or {}).get("writeErrors") if isinstance(error, BulkWriteError) else None
    return f"{len(errors)} of a batch, the first: {errors[0]['errmsg']}" if errors else str(error)
