"""Filters and orders evaluated in Python over the stored documents.

The code follows the descriptions in the schema and shares nothing with the code that writes MongoDB's queries.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.datetime_ms import DatetimeMS

from tests.support.factories import Document, escape, ids, md5

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - stored dates are naive UTC
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
STATS = {"LAST": "value", "MIN": "min_value", "MAX": "max_value"}
FIELDS: dict[str, tuple[str, type]] = {
    "ID": ("_id", str),
    "NAME": ("name", str),
    "STATUS": ("status", str),
    "TYPE": ("type", str),
    "PROJECT": ("project", str),
    "USER": ("user", str),
    "PARENT": ("parent", str),
    "EXECUTION_QUEUE": ("execution.queue", str),
    "SCRIPT_BRANCH": ("script.branch", str),
    "LAST_WORKER": ("last_worker", str),
    "LAST_UPDATE": ("last_update", datetime),
    "STARTED": ("started", datetime),
    "CREATED": ("created", datetime),
    "STATUS_CHANGED": ("status_changed", datetime),
    "LAST_ITERATION": ("last_iteration", float),
    "ACTIVE_DURATION": ("active_duration", float),
}
RANGES = {
    "created": "created",
    "started": "started",
    "completed": "completed",
    "published": "published",
    "lastUpdate": "last_update",
    "lastChange": "last_change",
    "lastWorkerReport": "last_worker_report",
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, bound: bool(value == bound),
    "gt": lambda value, bound: bool(value > bound),
    "gte": lambda value, bound: bool(value >= bound),
    "lt": lambda value, bound: bool(value < bound),
    "lte": lambda value, bound: bool(value <= bound),
}


# -- values ----------------------------------------------------------------------------------------


def get_at(row: Any, *path: str) -> Any:
    value = row
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def read_typed(value: Any, type_: type) -> Any:
    """The value where it counts as one of this type, else None; a date as milliseconds."""
    if isinstance(value, bool):
        return None
    if type_ is float:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    if type_ is datetime:
        if isinstance(value, datetime):
            return (value - EPOCH) // timedelta(milliseconds=1)
        return int(value) if isinstance(value, DatetimeMS) else None
    return value if type(value) is str else None


def read_field(row: Document, name: str) -> Any:
    path, type_ = FIELDS[name]
    return read_typed(get_at(row, *path.split(".")), type_)


def read_metric(row: Document, ref: Mapping[str, Any]) -> Any:
    stored = get_at(row, "last_metrics", md5(ref["metric"]), md5(ref["variant"]), STATS[ref.get("stat") or "LAST"])
    return read_typed(stored, float)


def read_text(row: Document, ref: Mapping[str, Any]) -> str | None:
    """The text of a hyperparameter; a new one hides that of an older server."""
    section, name = ref["section"].strip(), ref["name"].strip()
    item = get_at(row, "hyperparams", escape(section), escape(name))
    if isinstance(item, dict):
        return read_typed(item.get("value"), str)  # type: ignore[no-any-return]
    legacy = get_at(row, "execution", "parameters", {"Args": name, "TF_DEFINE": f"TF_DEFINE/{name}"}.get(section, ""))
    if isinstance(legacy, bool) or read_typed(legacy, float) is not None:
        return str(legacy)
    return read_typed(legacy, str)  # type: ignore[no-any-return]


def parse_number(text: str | None) -> float | None:
    if text is None or not NUMBER.fullmatch(text):
        return None
    return read_typed(float(text), float)  # type: ignore[no-any-return]


# -- filters ---------------------------------------------------------------------------------------


class FilterOracle:
    """Evaluates filters; `paths` has for each project the ids of the projects around it."""

    def __init__(self, paths: Mapping[str, list[str]]) -> None:
        self._paths = paths

    def matches(self, filter_: Mapping[str, Any], row: Document) -> bool:
        return all(
            self._matches_field(name, value, filter_, row) for name, value in filter_.items() if value is not None
        )

    def _matches_field(self, name: str, value: Any, filter_: Mapping[str, Any], row: Document) -> bool:
        if name in RANGES:
            bounds = {comparison: parse_date(moment) for comparison, moment in value.items()}
            return matches_comparison(bounds, read_typed(row.get(RANGES[name]), datetime))
        if name == "project" and filter_.get("includeSubprojects"):
            return matches_list(self._add_subprojects(value), row.get("project"))
        nested: dict[str, Callable[[], bool]] = {
            "and": lambda: all(self.matches(inner, row) for inner in value),
            "or": lambda: any(self.matches(inner, row) for inner in value),
            "not": lambda: not self.matches(value, row),
            "includeSubprojects": lambda: True,
        }
        return nested[name]() if name in nested else EVALUATORS[name](value, row)

    def _add_subprojects(self, tokens: Iterable[str]) -> list[str]:
        tokens = list(tokens)
        subprojects = [
            ("-" if token.startswith("-") else "") + project
            for token in tokens
            for project, path in self._paths.items()
            if token.removeprefix("-") in path
        ]
        return tokens + subprojects


EVALUATORS: dict[str, Callable[[Any, Document], bool]] = {
    "id": lambda value, row: matches_list(value, row["_id"]),
    "user": lambda value, row: matches_list(value, row.get("user")),
    "project": lambda value, row: matches_list(value, row.get("project")),
    "tags": lambda value, row: matches_list(value, row.get("tags")),
    "systemTags": lambda value, row: matches_list(value, row.get("system_tags")),
    "type": lambda value, row: matches_list([item.lower() for item in value], row.get("type")),
    "status": lambda value, row: not value or row.get("status") in [item.lower() for item in value],
    "parent": lambda value, row: bool(row.get("parent") == value),
    "name": lambda value, row: matches(value, row.get("name")),
    "_any_": lambda value, row: not value["fields"] or any(match_fields(value, row)),
    "_all_": lambda value, row: all(match_fields(value, row)),
    "statusChanged": lambda value, row: all(
        matches_bound(bound, read_typed(row.get("status_changed"), datetime)) for bound in value
    ),
    "isSet": lambda value, row: all(read_field(row, field) is not None for field in value),
    "isUnset": lambda value, row: all(read_field(row, field) is None for field in value),
    "metrics": lambda value, row: all(
        matches_comparison(condition, read_metric(row, condition)) for condition in value
    ),
    "hyperparams": lambda value, row: all(
        matches_parameter(condition, read_text(row, condition)) for condition in value
    ),
}
SEARCHED_PATHS = {"name": "name", "lastWorker": "last_worker", "execution.queueId": "execution.queue"}


def matches(pattern: str, value: Any, flags: re.RegexFlag = re.NOFLAG) -> bool:
    """One matching item of a list is enough."""
    values = value if isinstance(value, list) else [value]
    return any(type(item) is str and re.search(pattern, item, flags) is not None for item in values)


def match_fields(value: Mapping[str, Any], row: Document) -> list[bool]:
    texts = [get_at(row, *SEARCHED_PATHS[field].split(".")) for field in value["fields"]]
    return [matches(value["pattern"], text, re.IGNORECASE) for text in texts]


def matches_list(tokens: list[str], value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    include = [token for token in tokens if not token.startswith("-")]
    exclude = [token[1:] for token in tokens if token.startswith("-")]
    return (not include or any(item in include for item in values)) and not any(item in exclude for item in values)


def matches_bound(bound: str, value: int | None) -> bool:
    operator, text = re.fullmatch(r"(>=|>|<=|<|)(.*)", bound).groups()  # type: ignore[union-attr]
    name = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "": "eq"}[operator]
    return value is not None and COMPARISONS[name](value, parse_date(text))


def parse_date(text: str) -> int:
    moment = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def matches_comparison(condition: Mapping[str, Any], value: Any) -> bool:
    if condition.get("isSet") not in (None, value is not None):
        return False
    names = [name for name in COMPARISONS if condition.get(name) is not None]
    return not names or (value is not None and all(COMPARISONS[name](value, condition[name]) for name in names))


def matches_parameter(condition: Mapping[str, Any], text: str | None) -> bool:
    if condition.get("eq") is not None and text != condition["eq"]:
        return False
    if condition.get("in") is not None and text not in condition["in"]:
        return False
    if condition.get("matches") and not (text is not None and re.search(condition["matches"], text)):
        return False
    if condition.get("isSet") not in (None, text is not None):
        return False
    return matches_comparison({name: condition.get(name) for name in ("gt", "gte", "lt", "lte")}, parse_number(text))


# -- orders ----------------------------------------------------------------------------------------


def rank(row: Document, order: Mapping[str, Any]) -> tuple[int, Any]:
    """The group (0 numbers, dates and texts of fields, 1 other texts, 2 nulls) and the sort value of a row."""
    if "hyperparam" in order:
        text = read_text(row, order["hyperparam"])
        value = parse_number(text)
        if value is not None:
            return 0, value
        return (2, None) if text is None else (1, text)
    value = read_metric(row, order["metric"]) if "metric" in order else read_field(row, order["field"])
    return (2, None) if value is None else (0, value)


def sort_ids(rows: list[Document], order_by: list[dict[str, Any]]) -> list[Any]:
    """The ids of the rows in this order: a stable sort by each key, the last key first."""
    end = next((index for index, order in enumerate(order_by) if order.get("field") == "ID"), len(order_by))
    by_id = order_by[end] if end < len(order_by) else order_by[0]
    ordered = sorted(rows, key=lambda row: row["_id"], reverse=by_id.get("direction") == "DESC")
    for order in reversed(order_by[:end]):
        groups: dict[int, list[Document]] = {0: [], 1: [], 2: []}
        for row in ordered:
            groups[rank(row, order)[0]].append(row)
        for group in (groups[0], groups[1]):
            group.sort(key=lambda row, order=order: rank(row, order)[1], reverse=order.get("direction") == "DESC")  # type: ignore[misc]
        filled = groups[0] + groups[1]
        ordered = groups[2] + filled if order.get("nulls") == "FIRST" else filled + groups[2]
    return ids(ordered)
