"""Reports of metrics: points for the curves of tasks, and what the tasks themselves keep of them."""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import strawberry

from models.documents.block import SERIES
from models.layout import hash_name
from models.metrics.blocks import LAST_BLOCK_FIELDS, Points, append_points, build_last_blocks_query, pack_points
from models.metrics.last_metrics import MAX_SERIES, LastMetrics
from models.status import PUBLISHED, PUBLISHING, STATUSES
from models.types import Document, SeriesName
from resolvers.errors import ConflictError, ErrorCode, InputError, limit_exceeded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.mutations.batch import each
from resolvers.mutations.idempotency import key_of
from resolvers.mutations.transaction import Change, Payload
from resolvers.transitions.situation import format_status

NAME = "metrics_report"
MAX_POINTS = 10_000
MAX_TASKS = 100
LONGEST_NAME = 256
INFINITE = (math.inf, -math.inf)
LOCKED = (PUBLISHING, PUBLISHED)
KEPT = ("last_metrics", "last_iteration", "unique_metrics")
READ = dict.fromkeys(("company", "status", "project", "started", *KEPT), 1)


class MetricsReport(Plan):
    """What tasks report, each of them by itself."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._asked = asked

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        reports = self._asked["reports"]
        _refuse_many(reports)
        key = key_of(context.viewer, NAME, self._asked)
        results = await each(context, NAME, store, reports, key, report)
        context.forget_documents()
        whole = [{"added": 0, "bad_points": [], **result} for result in results]
        return (await build_answers(context, selection, [{"results": whole}]))[0]


def metrics_report(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
    return MetricsReport(read_arguments(input))


def _refuse_many(reports: Sequence[Mapping[str, Any]]) -> None:
    if len(reports) > MAX_TASKS:
        message = f"reports names {len(reports)} tasks; the maximum is {MAX_TASKS}. Send several requests."
        raise limit_exceeded(message, limit="reports", maximum=MAX_TASKS, actual=len(reports))
    points = sum(len(one["points"]) for one in reports)
    if points > MAX_POINTS:
        message = f"reports has {points} points; the maximum is {MAX_POINTS}. Send several requests."
        raise limit_exceeded(message, limit="points", maximum=MAX_POINTS, actual=points)
    seen: set[str] = set()
    for one in reports:
        if one["task"] in seen:
            message = f"The task {one['task']!r} is given twice; put all its points together."
            raise InputError(ErrorCode.DATA_VALIDATION_ERROR, message, field="reports", task=one["task"])
        seen.add(one["task"])


async def store(change: Change) -> Payload:
    """The points of one task, but those that are bad."""
    task = await change.task(fields=READ)
    _refuse_locked(task)
    points, kept = change.asked["points"], LastMetrics(*map(task.get, KEPT))
    bad = {at: why for at, point in enumerate(points) if (why := _wrong(point))}
    places = _by_pair(points, bad)
    last = await change.tx.read_own(SERIES, build_last_blocks_query(task["_id"], places), LAST_BLOCK_FIELDS)
    for pair in await _beyond(change, kept, places, last):
        bad |= dict.fromkeys(places.pop(pair), _no_room(pair))
    if places:
        reported = {pair: _packed([points[at] for at in own], change.now) for pair, own in places.items()}
        await _keep(change, task, kept, reported)
        updates, blocks = append_points(task["_id"], reported, last, change.now)
        await change.tx.update_each(SERIES, updates)
        await change.tx.insert_all(SERIES, blocks)
    told = [{"index": at, **why} for at, why in sorted(bad.items())]
    return {"task": task["_id"], "added": len(points) - len(told), "bad_points": told}


def _refuse_locked(task: Document) -> None:
    if task.get("status") in LOCKED:
        status, allowed = format_status(task["status"]), [other.upper() for other in STATUSES if other not in LOCKED]
        message = f"A task that is {status} takes no more metrics."
        raise ConflictError(
            ErrorCode.INVALID_TASK_STATUS, message, task=task["_id"], status=status, allowed=allowed, force=False
        )


def _by_pair(points: Iterable[Mapping[str, Any]], bad: Container[int]) -> dict[SeriesName, list[int]]:
    """The places of the points of each curve, but the bad ones; the curves in the order in which they begin."""
    places: dict[SeriesName, list[int]] = {}
    for at, point in enumerate(points):
        if at not in bad:
            places.setdefault((point["metric"], point["variant"]), []).append(at)
    return places


def _packed(points: Sequence[Mapping[str, Any]], now: datetime) -> Points:
    return pack_points(
        [point["iteration"] for point in points],
        np.array([point.get("timestamp") or now for point in points], "M8[ms]").view("i8"),
        np.array([point.get("value") for point in points], float),  # None becomes NaN
    )


# -- what is bad -----------------------------------------------------------------------------------


def _wrong(point: Mapping[str, Any]) -> Document | None:
    for field in ("metric", "variant"):
        if len(point[field]) > LONGEST_NAME:
            message = f"The {field} has at most {LONGEST_NAME} characters."
            return _bad(field, ErrorCode.DATA_VALIDATION_ERROR, message)
    if point.get("value") in INFINITE:
        return _bad("value", ErrorCode.DATA_VALIDATION_ERROR, "The value is too large for a number; null is a gap.")
    return None


async def _beyond(
    change: Change, kept: LastMetrics, curves: Iterable[SeriesName], last: Iterable[Document]
) -> list[SeriesName]:
    """Those of the curves that are new and find no room. One with nothing but gaps is stored, but not kept."""
    stored = {(block["metric"], block["variant"]) for block in last}
    new = [pair for pair in curves if pair not in stored and not kept.knows(pair)]
    if not new:
        return []
    count = len(await change.tx.read_own(SERIES, build_last_blocks_query(change.asked["task"]), {"_id": 0, "task": 1}))
    return new[max(0, MAX_SERIES - max(count, kept.pairs)) :]


def _no_room(pair: SeriesName) -> Document:
    message = f"A task has at most {MAX_SERIES} curves, and {pair[1]} of {pair[0]} is one more."
    return _bad("variant", ErrorCode.LIMIT_EXCEEDED, message)


def _bad(field: str, code: ErrorCode, message: str) -> Document:
    return {"field": field, "code": code.name, "message": message}


# -- what the task keeps ---------------------------------------------------------------------------


async def _keep(change: Change, task: Document, kept: LastMetrics, reported: Mapping[SeriesName, Points]) -> None:
    metrics: dict[str, Any] = {}
    names = len(kept.unique_metrics)
    for pair, points in reported.items():
        kept.reach(pair[0], int(points["iterations"].max()))
        values = points[~np.isnan(points["values"])].tolist()
        if values and (found := kept.take(pair, values)):
            metrics[f"last_metrics.{hash_name(pair[0])}.{hash_name(pair[1])}"] = found
    if not _is_sound(task.get("last_metrics", {})):
        metrics = {"last_metrics": kept.last_metrics}
    if len(kept.unique_metrics) > names:
        metrics["unique_metrics"] = kept.unique_metrics
    own = {**change.alive(task), **metrics, "last_iteration": kept.last_iteration}
    await change.tx.update_all("task", {"_id": task["_id"]}, {"$set": own})
    change.touch(task.get("project"))


def _is_sound(stored: Any) -> bool:
    """Whether MongoDB can set a part of it."""
    return isinstance(stored, dict) and all(isinstance(variants, dict) for variants in stored.values())
