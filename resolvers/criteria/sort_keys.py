"""Sort keys: each reads one value of a document, by which lists are ordered and which can be set or unset.

A value has one kind. A value of another kind counts as none, and so do NaN and infinity. Pure.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bson.datetime_ms import DatetimeMS

from models.layout import BLANKS, escape, find_legacy_name, hash_name, read_path
from models.types import Document, Query
from resolvers.errors import ErrorCode, InputError
from schema.spec import FieldSpec, ScalarType

NUMBERS = ("Int", "Long", "Float")
NUMERIC = ("int", "long", "double")
STATS = {"last": "value", "min": "min_value", "max": "max_value"}
FINITE: Query = {"$gt": -math.inf, "$lt": math.inf}


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order.

    `path` is where the value is stored. `kind` is what counts as a value: "date", "number", "string", or what MongoDB
    has to compute: "parameter" (numbers in texts, then other texts) or "score" (of a text search). `legacy_name` is the
    name of a parameter in the map of older servers.
    """

    path: str
    kind: str
    is_ascending: bool = True
    has_nulls_last: bool = True
    has_text_last: bool = True
    legacy_name: str | None = None

    @property
    def direction(self) -> int:
        return 1 if self.is_ascending else -1

    @property
    def after_operator(self) -> str:
        return "$gt" if self.is_ascending else "$lt"

    @property
    def is_computed(self) -> bool:
        return self.kind in ("parameter", "score")

    @property
    def value_kinds(self) -> tuple[str, ...]:
        return {"parameter": ("number", "string"), "score": ("number",)}.get(self.kind, (self.kind,))

    def rank(self, value_kind: str | None) -> int:
        """The group of a value by its kind; groups come in the order of their ranks in either direction."""
        if value_kind is None:
            return 3 if self.has_nulls_last else 0
        is_text = self.kind == "parameter" and value_kind == "string"
        return 2 if is_text == self.has_text_last else 1

    def reverse(self) -> "SortKey":
        return replace(
            self,
            is_ascending=not self.is_ascending,
            has_nulls_last=not self.has_nulls_last,
            has_text_last=not self.has_text_last,
        )


SCORE = SortKey("", "score", is_ascending=False)


def build_field_key(field: FieldSpec) -> SortKey:
    if field.type == ScalarType("DateTime"):
        return SortKey(field.stored_paths[0], "date")
    is_number = isinstance(field.type, ScalarType) and field.type.name in NUMBERS
    return SortKey(field.stored_paths[0], "number" if is_number else "string")


def build_metric_key(metric: Mapping[str, Any]) -> SortKey:
    """The key of a last metric by its metric, variant and stat."""
    path = f"last_metrics.{hash_name(metric['metric'])}.{hash_name(metric['variant'])}"
    return SortKey(f"{path}.{STATS[metric['stat'] or 'last']}", "number")


def build_parameter_key(parameter: Mapping[str, Any], argument: str) -> SortKey:
    """The key of a hyperparameter by its section and name; raises InputError for names that no parameter can have."""
    section, name = parameter["section"], parameter["name"]
    if not section.strip() or not name.strip() or "\0" in section + name:
        message = f"{argument} needs a section and a name for a hyperparameter, neither blank nor with a NUL character."
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=argument)
    path = f"hyperparams.{escape(section)}.{escape(name)}"
    return SortKey(path, "parameter", legacy_name=find_legacy_name(section, name))


# -- in Python -------------------------------------------------------------------------------------


def read_sort_value(document: Document, key: SortKey) -> Any:
    """The value of a key that is not computed; None for a value of another kind."""
    value = read_path(document, key.path)
    return value if find_value_kind(value) == key.kind else None


def find_value_kind(value: Any) -> str | None:
    match value:
        case bool() | None:
            return None
        case str() if type(value) is str:  # the driver's Code is a subclass
            return "string"
        case datetime() | DatetimeMS():
            return "date"
        case int() | float() if math.isfinite(value):
            return "number"
    return "other"


# -- in MongoDB ------------------------------------------------------------------------------------


def write_has_value(key: SortKey) -> Query:
    """The condition for a value of the key's kind. MongoDB also looks inside lists, which hold no values here."""
    if key.kind == "parameter":
        return {"$expr": {"$ne": [_write_stored_parameter(key), None]}}
    names = key.path.split(".")
    no_lists = [{".".join(names[:end]): {"$not": {"$type": "array"}}} for end in range(1, len(names))]
    if key.kind == "number":
        fits: Query = {key.path: {**FINITE, "$not": {"$type": ["array", "decimal"]}}}
    else:
        fits = {key.path: {"$type": key.kind, "$not": {"$type": "array"}}}
    return {"$and": [fits, *no_lists]} if no_lists else fits


def write_value(key: SortKey) -> Any:
    """The expression of a value of the key's kind, null for any other."""
    if key.kind == "score":
        return {"$meta": "textScore"}
    if key.kind == "parameter":
        return write_parameter(key, {"$ifNull": ["$$number", "$$text"]})
    field = f"${key.path}"
    if key.kind != "number":
        return {"$cond": [{"$eq": [{"$type": field}, key.kind]}, field, None]}
    return {"$cond": [{"$and": [_is_a(field, *NUMERIC), _is_finite(field)]}, field, None]}


def write_rank(key: SortKey, value: str) -> Any:
    """The expression of the rank of a value that `write_value` computes."""
    bson_type = {"$type": value}
    value_rank = {"$cond": [{"$eq": [bson_type, "string"]}, key.rank("string"), key.rank("number")]}
    return {"$cond": [{"$eq": [bson_type, "null"]}, key.rank(None), value_rank]}


def write_parameter(key: SortKey, expression: Any) -> Any:
    """The expression over a hyperparameter's `$$stored` value, its `$$text` and its `$$number`; each may be null."""
    text = {"$cond": [_is_a("$$stored", "string"), "$$stored", _write_bool_text("$$stored")]}
    read = {"$convert": {"input": "$$stored", "to": "double", "onError": None, "onNull": None}}
    number = {"$cond": [_is_a("$$stored", "string", *NUMERIC), read, None]}
    names = {"text": text, "number": {"$let": {"vars": {"read": number}, "in": _write_finite("$$read")}}}
    stored = _write_stored_parameter(key)
    return {"$let": {"vars": {"stored": stored}, "in": {"$let": {"vars": names, "in": expression}}}}


IS_WHOLE = {"$eq": ["$$stored", {"$trunc": "$$stored"}]}
IS_BELOW_EXPONENTS = {"$lt": [{"$abs": "$$stored"}, 1e16]}
# The text that the API shows of a hyperparameter, also of a number of an older server. MongoDB writes six digits of a
# fraction: the text of a number with more digits is unknown.
SHOWN_TEXT: Query = {
    "$switch": {
        "branches": [
            {"case": {"$in": [{"$type": "$$stored"}, ["int", "long"]]}, "then": {"$toString": "$$stored"}},
            {"case": {"$ne": [{"$type": "$$stored"}, "double"]}, "then": "$$text"},
            {
                "case": {"$and": [IS_WHOLE, IS_BELOW_EXPONENTS]},
                "then": {"$concat": [{"$toString": {"$toLong": "$$stored"}}, ".0"]},
            },
            {
                "case": {"$eq": [{"$toDouble": {"$toString": "$$stored"}}, "$$stored"]},
                "then": {"$toString": "$$stored"},
            },
        ],
        "default": None,
    }
}


def list_stored_values(text: str) -> list[Any]:
    """The stored values of a hyperparameter that the API shows as this text: older servers store more than texts."""
    values: list[Any] = [text]
    for number_type in (int, float):
        with suppress(ValueError, OverflowError):
            number = number_type(text)
            if str(number) == text and abs(number) < 2**63:
                values.append(number)
    return values + [value for value in (True, False) if str(value) == text]


def _write_stored_parameter(key: SortKey) -> Any:
    """The stored value of a hyperparameter, null where the API shows none. A new one hides that of an older server."""
    parameter = f"${key.path}"
    value = {"$cond": [_is_a(f"{parameter}.value", "string"), f"{parameter}.value", None]}
    return {"$cond": [_is_a(parameter, "object"), value, _write_legacy_parameter(key)]}


def _write_legacy_parameter(key: SortKey) -> Any:
    if key.legacy_name is None:
        return None
    old = {"$getField": {"field": {"$literal": key.legacy_name}, "input": "$execution.parameters"}}
    number = {"$cond": [_is_a("$$old", *NUMERIC), _write_finite("$$old"), None]}
    value = {"$cond": [_is_a("$$old", "string", "bool"), "$$old", number]}
    return {"$let": {"vars": {"old": old}, "in": value}}


def _write_bool_text(value: str) -> Query:
    return {"$cond": [{"$eq": [value, True]}, "True", {"$cond": [{"$eq": [value, False]}, "False", None]}]}


def _is_a(value: str, *bson_types: str) -> Query:
    return {"$in": [{"$type": value}, list(bson_types)]}


def _write_finite(value: str) -> Query:
    return {"$cond": [_is_finite(value), value, None]}


def _is_finite(value: str) -> Query:
    return {"$and": [{"$gt": [value, -math.inf]}, {"$lt": [value, math.inf]}]}


def _write_filled_text(value: Any) -> Query:
    """The value where it is a text that is not empty, else null."""
    return {"$cond": [{"$and": [_is_a(value, "string"), {"$gt": [value, ""]}]}, value, None]}


DOCKER_COMMAND: Query = {
    "$let": {
        "vars": {
            "image": _write_filled_text("$container.image"),
            "arguments": _write_filled_text("$container.arguments"),
            "old": {"$trim": {"input": _write_filled_text("$execution.docker_cmd"), "chars": BLANKS}},
        },
        "in": {
            "$switch": {
                "branches": [
                    {"case": {"$eq": ["$$image", None]}, "then": _write_filled_text("$$old")},
                    {"case": {"$eq": ["$$arguments", None]}, "then": "$$image"},
                ],
                "default": {"$concat": ["$$image", " ", "$$arguments"]},
            }
        },
    }
}
# texts that are read from several stored fields: name of the reader (models/layout.py) → the same text in MongoDB
VIEWS: Mapping[str, Query] = {"docker_cmd": DOCKER_COMMAND}
