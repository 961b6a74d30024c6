"""Which rows a filter finds and how an order sorts them, worked out in Python from the stored documents.

Written from the descriptions in the schema, apart from the code that makes MongoDB's queries.
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
    "eq": lambda one, other: bool(one == other),
    "gt": lambda one, other: bool(one > other),
    "gte": lambda one, other: bool(one >= other),
    "lt": lambda one, other: bool(one < other),
    "lte": lambda one, other: bool(one <= other),
}


# -- values ----------------------------------------------------------------------------------------


def get_at(row: Any, *path: str) -> Any:
    for part in path:
        row = row.get(part) if isinstance(row, dict) else None
    return row


def read_typed(value: Any, type_: type) -> Any:
    """The value if it counts as one of this type, else None; dates as milliseconds."""
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
    """The text of a hyperparameter; what an older server stored counts where there is no new one."""
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


class Filters:
    """Evaluates a filter; `paths` are the projects with the ids of those around them."""

    def __init__(self, paths: Mapping[str, list[str]]) -> None:
        self._paths = paths

    def holds(self, filter_: Mapping[str, Any], row: Document) -> bool:
        return all(self._one(name, value, filter_, row) for name, value in filter_.items() if value is not None)

    def _one(self, name: str, value: Any, filter_: Mapping[str, Any], row: Document) -> bool:
        if name in RANGES:
            bounds = {comparison: parse_date(moment) for comparison, moment in value.items()}
            return is_within(bounds, read_typed(row.get(RANGES[name]), datetime))
        if name == "project" and filter_.get("includeSubprojects"):
            return is_listed(self._widened(value), row.get("project"))
        nested: dict[str, Callable[[], bool]] = {
            "and": lambda: all(self.holds(inner, row) for inner in value),
            "or": lambda: any(self.holds(inner, row) for inner in value),
            "not": lambda: not self.holds(value, row),
            "includeSubprojects": lambda: True,
        }
        return nested[name]() if name in nested else SIMPLE[name](value, row)

    def _widened(self, tokens: Iterable[str]) -> list[str]:
        tokens = list(tokens)
        within = [
            ("-" if token.startswith("-") else "") + project
            for token in tokens
            for project, path in self._paths.items()
            if token.removeprefix("-") in path
        ]
        return tokens + within


SIMPLE: dict[str, Callable[[Any, Document], bool]] = {
    "id": lambda value, row: is_listed(value, row["_id"]),
    "user": lambda value, row: is_listed(value, row.get("user")),
    "project": lambda value, row: is_listed(value, row.get("project")),
    "tags": lambda value, row: is_listed(value, row.get("tags")),
    "systemTags": lambda value, row: is_listed(value, row.get("system_tags")),
    "type": lambda value, row: is_listed([item.lower() for item in value], row.get("type")),
    "status": lambda value, row: not value or row.get("status") in [item.lower() for item in value],
    "parent": lambda value, row: bool(row.get("parent") == value),
    "name": lambda value, row: matches(value, row.get("name")),
    "_any_": lambda value, row: not value["fields"] or any(match_fields(value, row)),
    "_all_": lambda value, row: all(match_fields(value, row)),
    "statusChanged": lambda value, row: all(
        is_in_bound(bound, read_typed(row.get("status_changed"), datetime)) for bound in value
    ),
    "isSet": lambda value, row: all(read_field(row, field) is not None for field in value),
    "isUnset": lambda value, row: all(read_field(row, field) is None for field in value),
    "metrics": lambda value, row: all(is_within(condition, read_metric(row, condition)) for condition in value),
    "hyperparams": lambda value, row: all(is_match(condition, read_text(row, condition)) for condition in value),
}
SEARCHED_PATHS = {"name": "name", "lastWorker": "last_worker", "execution.queueId": "execution.queue"}


def matches(pattern: str, value: Any, flags: re.RegexFlag = re.NOFLAG) -> bool:
    """Of a list, one item is enough."""
    values = value if isinstance(value, list) else [value]
    return any(type(item) is str and re.search(pattern, item, flags) is not None for item in values)


def match_fields(value: Mapping[str, Any], row: Document) -> list[bool]:
    texts = [get_at(row, *SEARCHED_PATHS[field].split(".")) for field in value["fields"]]
    return [matches(value["pattern"], text, re.IGNORECASE) for text in texts]


def is_listed(tokens: list[str], value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    include = [token for token in tokens if not token.startswith("-")]
    exclude = [token[1:] for token in tokens if token.startswith("-")]
    return (not include or any(item in include for item in values)) and not any(item in exclude for item in values)


def is_in_bound(bound: str, value: int | None) -> bool:
    operator, text = re.fullmatch(r"(>=|>|<=|<|)(.*)", bound).groups()  # type: ignore[union-attr]
    name = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "": "eq"}[operator]
    return value is not None and COMPARISONS[name](value, parse_date(text))


def parse_date(text: str) -> int:
    moment = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def is_within(condition: Mapping[str, Any], value: Any) -> bool:
    if condition.get("isSet") not in (None, value is not None):
        return False
    asked = [name for name in COMPARISONS if condition.get(name) is not None]
    return not asked or (value is not None and all(COMPARISONS[name](value, condition[name]) for name in asked))


def is_match(condition: Mapping[str, Any], text: str | None) -> bool:
    if condition.get("eq") is not None and text != condition["eq"]:
        return False
    if condition.get("in") is not None and text not in condition["in"]:
        return False
    if condition.get("matches") and not (text is not None and re.search(condition["matches"], text)):
        return False
    if condition.get("isSet") not in (None, text is not None):
        return False
    return is_within({name: condition.get(name) for name in ("gt", "gte", "lt", "lte")}, parse_number(text))


# -- orders ----------------------------------------------------------------------------------------


def rank(row: Document, order: Mapping[str, Any]) -> tuple[int, Any]:
    """The group of what a row is ordered by (0 numbers, dates and texts of fields; 1 other text; 2 nulls) and it."""
    if "hyperparam" in order:
        text = read_text(row, order["hyperparam"])
        value = parse_number(text)
        return (0, value) if value is not None else (2, None) if text is None else (1, text)
    value = read_metric(row, order["metric"]) if "metric" in order else read_field(row, order["field"])
    return (2, None) if value is None else (0, value)


def sort_ids(rows: list[Document], order_by: list[dict[str, Any]]) -> list[Any]:
    """The ids of the rows, sorted by one key after the other, the last one first."""
    end = next((place for place, order in enumerate(order_by) if order.get("field") == "ID"), len(order_by))
    by_id = order_by[end] if end < len(order_by) else order_by[0]
    found = sorted(rows, key=lambda row: row["_id"], reverse=by_id.get("direction") == "DESC")
    for order in reversed(order_by[:end]):
        parts: dict[int, list[Document]] = {0: [], 1: [], 2: []}
        for row in found:
            parts[rank(row, order)[0]].append(row)
        for part in (parts[0], parts[1]):
            part.sort(key=lambda row, order=order: rank(row, order)[1], reverse=order.get("direction") == "DESC")  # type: ignore[misc]
        nulls_first = order.get("nulls") == "FIRST"
        found = parts[2] + parts[0] + parts[1] if nulls_first else parts[0] + parts[1] + parts[2]
    return ids(found)
