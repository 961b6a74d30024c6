"""Groups of tasks: one aggregation counts their tasks and computes statistics of their metrics."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import strawberry

from models.types import Document, Query
from resolvers.criteria.list_query import ListQuery, read_list_query
from resolvers.criteria.operators import read_filter_type
from resolvers.criteria.sort_keys import SortKey, build_metric_key, build_parameter_key, write_parameter, write_value
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from schema.spec import Spec

MAX_GROUP_KEYS, MAX_METRICS = 4, 20
STORED_PATHS = {
    "status": "status",
    "project": "project",
    "user": "user",
    "type": "type",
    "tag": "tags",
    "queue": "execution.queue",
}
REFERENCES = ("project", "user", "queue")
ENUMS = ("status", "type")
AS_TEXT = {"$ifNull": ["$$text", {"$toString": "$$stored"}]}


class GroupKey(NamedTuple):
    """A field by which tasks are grouped, None for a hyperparameter, and the expression for its text."""

    field: str | None
    expression: Any


class Stats(Plan):
    """The groups, the largest first."""

    def __init__(
        self,
        list_query: ListQuery,
        group_keys: Sequence[GroupKey],
        metrics: Sequence[Mapping[str, Any]],
        metric_keys: Sequence[SortKey],
    ) -> None:
        self._query, _, self.pattern_fields = list_query
        self._group_keys = group_keys
        self._metrics = metrics
        self._metric_keys = metric_keys

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        rows = await context.reader.group("task", self._query, self._build_stages(), limit=context.max_page + 1)
        if len(rows) > context.max_page:
            message = f"groupBy makes more than {context.max_page} groups. Filter the tasks, or group by fewer keys."
            raise limit_exceeded(message, limit="page", maximum=context.max_page)
        return await build_answers(context, selection, [self._build_group(row) for row in rows])

    def _build_stages(self) -> list[Query]:
        group_keys = {f"_group{number}": key for number, key in enumerate(self._group_keys)}
        metrics = {f"_metric{number}": write_value(key) for number, key in enumerate(self._metric_keys)}
        computed = {name: _write_group_value(key) for name, key in group_keys.items()} | metrics
        stages: list[Query] = [{"$set": computed}] if computed else []
        for name, key in group_keys.items():
            if key.field == "tag":
                stages.append({"$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": True}})
        if group_keys:
            stages.append({"$set": {name: _write_text_or_null(f"${name}") for name in group_keys}})
        accumulators: dict[str, Any] = {"_id": {name: f"${name}" for name in group_keys}, "count": {"$sum": 1}}
        for name in metrics:
            accumulators |= _write_accumulators(name)
        order = {"count": -1} | {f"_id.{name}": 1 for name in group_keys}
        return [*stages, {"$group": accumulators}, {"$sort": order}]

    def _build_group(self, row: Document) -> Document:
        values = [row["_id"][f"_group{number}"] for number in range(len(self._group_keys))]
        return {
            "group": [_build_group_value(key, value) for key, value in zip(self._group_keys, values, strict=True)],
            "count": row["count"],
            "metrics": [_build_statistics(row, number, metric) for number, metric in enumerate(self._metrics)],
        }


def _write_group_value(key: GroupKey) -> Any:
    """The expression for a key's value. A task counts once for each tag, however often it has the tag."""
    if key.field != "tag":
        return key.expression
    return {"$cond": [{"$isArray": key.expression}, {"$setUnion": [key.expression]}, None]}


def _write_text_or_null(value: str) -> Query:
    return {"$cond": [{"$eq": [{"$type": value}, "string"]}, value, None]}


def _write_accumulators(name: str) -> dict[str, Any]:
    """The statistics of one metric. A task without the metric has null there, which none of them counts."""
    value = f"${name}"
    has_value = {"$ne": [{"$type": value}, "null"]}
    value_and_task = {"$cond": [has_value, {"value": value, "task": "$_id"}, "$$REMOVE"]}
    return {
        f"{name}_count": {"$sum": {"$cond": [has_value, 1, 0]}},
        f"{name}_mean": {"$avg": value},
        f"{name}_std": {"$stdDevSamp": value},
        f"{name}_min": {"$min": value_and_task},
        f"{name}_max": {"$max": value_and_task},
    }


def _build_group_value(key: GroupKey, value: str | None) -> Document:
    if key.field in ENUMS:
        return {"value": value and value.upper()}
    if key.field in REFERENCES:
        return {"value": value, key.field: value}
    return {"value": value}


def _build_statistics(row: Document, number: int, metric: Mapping[str, Any]) -> Document:
    name = f"_metric{number}"
    lowest, highest = row[f"{name}_min"] or {}, row[f"{name}_max"] or {}
    return {
        "metric": metric["metric"],
        "variant": metric["variant"],
        "stat": metric["stat"] or "last",
        "count": row[f"{name}_count"],
        "mean": row[f"{name}_mean"],
        "std": row[f"{name}_std"],
        "min": lowest.get("value"),
        "max": highest.get("value"),
        "min_task": lowest.get("task"),
        "max_task": highest.get("task"),
    }


def build_stats_resolver(spec: Spec) -> Callable[..., Awaitable[Plan]]:
    filter_type = read_filter_type(spec, "task")

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        plain = read_arguments(arguments)
        group_keys, metrics = [_parse_group_key(item) for item in plain["group_by"]], plain.get("metrics") or []
        _refuse_long_list("groupBy", len(group_keys), MAX_GROUP_KEYS)
        _refuse_long_list("metrics", len(metrics), MAX_METRICS)
        filter_ = filter_type.parse(plain.get("filter") or {})
        list_query = await read_list_query(filter_, filter_type, info.context.reader)
        return Stats(list_query, group_keys, metrics, [build_metric_key(metric) for metric in metrics])

    return resolve


def _parse_group_key(item: Mapping[str, Any]) -> GroupKey:
    match [name for name in ("field", "hyperparam") if item.get(name)]:
        case ["field"]:
            return GroupKey(item["field"], f"${STORED_PATHS[item['field']]}")
        case ["hyperparam"]:
            return GroupKey(None, write_parameter(build_parameter_key(item["hyperparam"], "groupBy"), AS_TEXT))
    message = "An item of groupBy has exactly one of field and hyperparam."
    raise InputError(ErrorCode.VALIDATION_ERROR, message, field="groupBy")


def _refuse_long_list(argument: str, actual: int, maximum: int) -> None:
    if actual > maximum:
        message = f"{argument} has {actual} items; the maximum is {maximum}."
        raise limit_exceeded(message, field=argument, maximum=maximum, actual=actual)
