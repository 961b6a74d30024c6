"""Reports of metrics: points are appended to the series of tasks, and summarized in the tasks' last metrics."""

import math
from collections.abc import Iterable, Mapping, Sequence
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
from resolvers.mutations.batch import perform_each
from resolvers.mutations.idempotency import read_idempotency_key
from resolvers.mutations.transaction import MutationCall, Payload
from resolvers.transitions.situation import format_status, format_statuses

NAME = "metrics_report"
MAX_POINTS = 10_000
MAX_TASKS = 100
MAX_NAME_LENGTH = 256
INFINITIES = (math.inf, -math.inf)
LOCKED = {PUBLISHING, PUBLISHED}
SUMMARY = ("last_metrics", "last_iteration", "unique_metrics")
READ_FIELDS = dict.fromkeys(("company", "status", "project", "started", *SUMMARY), 1)


class MetricsReportPlan(Plan):
    """Stores the points of several tasks, each task in its own transaction."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        reports = self._arguments["reports"]
        _refuse_too_many(reports)
        _refuse_repeated_task(reports)
        key = read_idempotency_key(context.viewer, NAME, self._arguments)
        results = await perform_each(context, NAME, store_points, reports, key, report)
        context.forget_documents()
        complete = [{"added": 0, "bad_points": [], **result} for result in results]
        return (await build_answers(context, selection, [{"results": complete}]))[0]


def plan_metrics_report(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
    return MetricsReportPlan(read_arguments(input))


def _refuse_too_many(reports: Sequence[Mapping[str, Any]]) -> None:
    if len(reports) > MAX_TASKS:
        message = f"reports names {len(reports)} tasks; the maximum is {MAX_TASKS}. Send several requests."
        raise limit_exceeded(message, limit="reports", maximum=MAX_TASKS, actual=len(reports))
    points = sum(len(report["points"]) for report in reports)
    if points > MAX_POINTS:
        message = f"reports has {points} points; the maximum is {MAX_POINTS}. Send several requests."
        raise limit_exceeded(message, limit="points", maximum=MAX_POINTS, actual=points)


def _refuse_repeated_task(reports: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for report in reports:
        task = report["task"]
        if task in seen:
            message = f"reports names the task {task!r} twice; put all its points together."
            raise InputError(ErrorCode.DATA_VALIDATION_ERROR, message, field="reports", task=task)
        seen.add(task)


async def store_points(call: MutationCall) -> Payload:
    """Store the points of one task; bad points are named in the answer and stop no other."""
    task = await call.read_task(fields=READ_FIELDS)
    _refuse_locked(task)
    points, summary = call.arguments["points"], LastMetrics(*map(task.get, SUMMARY))
    bad_points = {}  # by index
    indexes_by_series: dict[SeriesName, list[int]] = {}  # of good points; series in the order in which they begin
    for index, point in enumerate(points):
        if problem := _check_point(point):
            bad_points[index] = problem
        else:
            indexes_by_series.setdefault((point["metric"], point["variant"]), []).append(index)
    query = build_last_blocks_query(task["_id"], indexes_by_series)
    last_blocks = await call.tx.read_own(SERIES, query, LAST_BLOCK_FIELDS)
    for series in await _find_series_without_room(call, summary, indexes_by_series, last_blocks):
        bad_points |= dict.fromkeys(indexes_by_series.pop(series), _describe_no_room(series))
    if indexes_by_series:
        reported = {}
        for series, indexes in indexes_by_series.items():
            reported[series] = _pack_points([points[index] for index in indexes], call.now)
        await _write_summary(call, task, summary, reported)
        updates, blocks = append_points(task["_id"], reported, last_blocks, call.now)
        await call.tx.update_each(SERIES, updates)
        await call.tx.insert_all(SERIES, blocks)
    problems = [{"index": index, **bad_points[index]} for index in sorted(bad_points)]
    return {"task": task["_id"], "added": len(points) - len(problems), "bad_points": problems}


def _refuse_locked(task: Document) -> None:
    if task.get("status") not in LOCKED:
        return
    status, allowed = format_status(task["status"]), format_statuses(set(STATUSES) - LOCKED)
    message = f"metricsReport needs a task that is not PUBLISHING or PUBLISHED; this one is {status}."
    details = {"task": task["_id"], "status": status, "allowed": allowed, "force": False}
    raise ConflictError(ErrorCode.INVALID_TASK_STATUS, message, **details)


def _pack_points(points: Sequence[Mapping[str, Any]], now: datetime) -> Points:
    return pack_points(
        [point["iteration"] for point in points],
        np.array([point.get("timestamp") or now for point in points], "M8[ms]").view("i8"),
        np.array([point.get("value") for point in points], float),  # None becomes NaN
    )


# -- bad points ------------------------------------------------------------------------------------


def _check_point(point: Mapping[str, Any]) -> Document | None:
    """Describe the problem of a point, if it has one."""
    for field in ("metric", "variant"):
        if len(point[field]) > MAX_NAME_LENGTH:
            message = f"{field} has {len(point[field])} characters; the maximum is {MAX_NAME_LENGTH}."
            return _describe_bad_point(field, ErrorCode.DATA_VALIDATION_ERROR, message)
    if point.get("value") in INFINITIES:
        message = "value is too large for a number; pass null for a gap."
        return _describe_bad_point("value", ErrorCode.DATA_VALIDATION_ERROR, message)
    return None


async def _find_series_without_room(
    call: MutationCall, summary: LastMetrics, reported: Iterable[SeriesName], last_blocks: Iterable[Document]
) -> list[SeriesName]:
    """Find the new series beyond the maximum of a task. A series with gaps only is stored, but not in the summary."""
    stored = {(block["metric"], block["variant"]) for block in last_blocks}
    new = [series for series in reported if series not in stored and not summary.has_series(series)]
    if not new:
        return []
    count = len(await call.tx.read_own(SERIES, build_last_blocks_query(call.arguments["task"]), {"_id": 0, "task": 1}))
    return new[max(0, MAX_SERIES - max(count, summary.series_count)) :]


def _describe_no_room(series: SeriesName) -> Document:
    metric, variant = series
    message = f"The maximum is {MAX_SERIES} series of a task; {variant} of {metric} is one more."
    return _describe_bad_point("variant", ErrorCode.LIMIT_EXCEEDED, message)


def _describe_bad_point(field: str, code: ErrorCode, message: str) -> Document:
    return {"field": field, "code": code.name, "message": message}


# -- the summary in the task -----------------------------------------------------------------------


async def _write_summary(
    call: MutationCall, task: Document, summary: LastMetrics, reported: Mapping[SeriesName, Points]
) -> None:
    metrics: dict[str, Any] = {}
    names = len(summary.unique_metrics)
    for series, points in reported.items():
        summary.raise_last_iteration(series[0], int(points["iterations"].max()))
        values = points[~np.isnan(points["values"])].tolist()
        if values and (last_metric := summary.add_values(series, values)):
            metrics[f"last_metrics.{hash_name(series[0])}.{hash_name(series[1])}"] = last_metric
    if not _can_set_within(task.get("last_metrics", {})):
        metrics = {"last_metrics": summary.last_metrics}
    if len(summary.unique_metrics) > names:
        metrics["unique_metrics"] = summary.unique_metrics
    fields = {**call.build_heartbeat(task), **metrics, "last_iteration": summary.last_iteration}
    await call.tx.update_all("task", {"_id": task["_id"]}, {"$set": fields})
    call.touch(task.get("project"))


def _can_set_within(stored: Any) -> bool:
    """Whether MongoDB can set one metric within the stored last metrics."""
    return isinstance(stored, dict) and all(isinstance(variants, dict) for variants in stored.values())
