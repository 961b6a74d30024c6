"""Groups of tasks: one aggregation counts them and works out what their metrics come to."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import strawberry

from models.types import Document, Query
from resolvers.criteria.filters import read_filter_type
from resolvers.criteria.list_query import ListQuery, read_list_query
from resolvers.criteria.sort_keys import SortKey, build_metric_key, build_parameter_key, write_parameter, write_value
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from schema.spec import Spec

MAX_GROUPS, MAX_METRICS = 4, 20
STORED = {
    "status": "status", "project": "project", "user": "user", "type": "type", "tag": "tags", "queue": "execution.queue",
}  # fmt: skip
RELATED = ("project", "user", "queue")
ENUMS = ("status", "type")
AS_TEXT = {"$ifNull": ["$$text", {"$toString": "$$stored"}]}


class Group(NamedTuple):
    """One thing to group by: a field, or None for a hyperparameter, and the expression for its text."""

    field: str | None
    expression: Any


class Stats(Plan):
    """The groups, the largest first."""

    def __init__(
        self,
        list_query: ListQuery,
        groups: Sequence[Group],
        metrics: Sequence[Mapping[str, Any]],
        keys: Sequence[SortKey],
    ) -> None:
        self._query, _, self.patterned = list_query
        self._groups = groups
        self._metrics = metrics
        self._keys = keys

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        rows = await context.reader.group("task", self._query, self._stages(), limit=context.max_page + 1)
        if len(rows) > context.max_page:
            message = f"These are more than {context.max_page} groups; filter the tasks, or group by less."
            raise limit_exceeded(message, limit="page", maximum=context.max_page)
        return await build_answers(context, selection, [self._row(row) for row in rows])

    def _stages(self) -> list[Query]:
        values = {f"_group{number}": group.expression for number, group in enumerate(self._groups)}
        measured = {f"_metric{number}": write_value(key) for number, key in enumerate(self._keys)}
        together: dict[str, Any] = {
            "_id": {name: f"${name}" for name in values}, "count": {"$sum": 1},
        }  # fmt: skip
        for name in measured:
            together |= _accumulated(name)
        by_tag = [
            {"$unwind": {"path": f"$_group{number}", "preserveNullAndEmptyArrays": True}}
            for number, group in enumerate(self._groups) if group.field == "tag"
        ]  # fmt: skip
        texts = {name: {"$cond": [{"$eq": [{"$type": f"${name}"}, "string"]}, f"${name}", None]} for name in values}
        once = {f"_group{number}": _distinct(group) for number, group in enumerate(self._groups)} if by_tag else values
        return [
            *([{"$set": once | measured}] if once or measured else []),
            *by_tag,
            *([{"$set": texts}] if texts else []),
            {"$group": together},
            {"$sort": {"count": -1, **{f"_id.{name}": 1 for name in values}}},
        ]

    def _row(self, row: Document) -> Document:
        found = [row["_id"][f"_group{number}"] for number in range(len(self._groups))]
        return {
            "group": [_value(group, value) for group, value in zip(self._groups, found, strict=True)],
            "count": row["count"],
            "metrics": [_measured(row, number, metric) for number, metric in enumerate(self._metrics)],
        }


def _distinct(group: Group) -> Any:
    """A task counts once for each tag, however often it has it."""
    if group.field != "tag":
        return group.expression
    return {"$cond": [{"$isArray": group.expression}, {"$setUnion": [group.expression]}, None]}


def _accumulated(name: str) -> dict[str, Any]:
    """What one metric comes to; tasks without it are null there, which these pass over."""
    has_value = {"$ne": [{"$type": f"${name}"}, "null"]}
    pair = {"$cond": [has_value, {"value": f"${name}", "task": "$_id"}, "$$REMOVE"]}
    return {
        f"{name}_count": {"$sum": {"$cond": [has_value, 1, 0]}},
        f"{name}_mean": {"$avg": f"${name}"},
        f"{name}_std": {"$stdDevSamp": f"${name}"},
        f"{name}_min": {"$min": pair},
        f"{name}_max": {"$max": pair},
    }


def _value(group: Group, value: str | None) -> Document:
    shown = value.upper() if value is not None and group.field in ENUMS else value
    return {"value": shown} | ({group.field: value} if group.field in RELATED else {})


def _measured(row: Document, number: int, metric: Mapping[str, Any]) -> Document:
    name = f"_metric{number}"
    lowest, highest = row[f"{name}_min"] or {}, row[f"{name}_max"] or {}
    return {
        "metric": metric["metric"], "variant": metric["variant"], "stat": metric["stat"] or "last",
        "count": row[f"{name}_count"], "mean": row[f"{name}_mean"], "std": row[f"{name}_std"],
        "min": lowest.get("value"), "max": highest.get("value"),
        "min_task": lowest.get("task"), "max_task": highest.get("task"),
    }  # fmt: skip


def task_stats(spec: Spec) -> Callable[..., Awaitable[Plan]]:
    filter_type = read_filter_type(spec, "task")

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        asked = read_arguments(arguments)
        groups, metrics = [_group(item) for item in asked["group_by"]], asked.get("metrics") or []
        _refuse_more("groupBy", len(groups), MAX_GROUPS)
        _refuse_more("metrics", len(metrics), MAX_METRICS)
        filter_ = filter_type.parse(asked.get("filter") or {})
        list_query = await read_list_query(filter_, filter_type, info.context.reader)
        return Stats(list_query, groups, metrics, [build_metric_key(metric) for metric in metrics])

    return resolve


def _group(item: Mapping[str, Any]) -> Group:
    match [name for name in ("field", "hyperparam") if item.get(name)]:
        case ["field"]:
            return Group(item["field"], f"${STORED[item['field']]}")
        case ["hyperparam"]:
            return Group(None, write_parameter(build_parameter_key(item["hyperparam"], "groupBy"), AS_TEXT))
    message = "An item of groupBy has exactly one of field and hyperparam."
    raise InputError(ErrorCode.VALIDATION_ERROR, message, field="groupBy")


def _refuse_more(name: str, actual: int, maximum: int) -> None:
    if actual > maximum:
        message = f"{name} has at most {maximum} items."
        raise limit_exceeded(message, field=name, maximum=maximum, actual=actual)
