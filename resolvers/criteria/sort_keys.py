"""What lists are ordered by, and what can be set or unset: one value of a document, of one kind.

A value of another kind counts as none, and so do NaN and infinity. Pure.
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
from schema.spec import FieldSpec, Scalar

NUMBERS = ("Int", "Long", "Float")
NUMERIC = ("int", "long", "double")
STATS = {"last": "value", "min": "min_value", "max": "max_value"}
FINITE: Query = {"$gt": -math.inf, "$lt": math.inf}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an order.

    `path` is where the value is stored, and `kind` what counts as one: a date, a number, a string, or what MongoDB has
    to work out: a parameter (a number in a text, then other text) or the score of a text search. `legacy` is where
    older servers keep a parameter.
    """

    path: str
    kind: str
    ascending: bool = True
    nulls_last: bool = True
    text_last: bool = True
    legacy: str | None = None

    @property
    def direction(self) -> int:
        return 1 if self.ascending else -1

    @property
    def past(self) -> str:
        return "$gt" if self.ascending else "$lt"

    @property
    def is_computed(self) -> bool:
        return self.kind in ("parameter", "score")

    @property
    def kinds(self) -> tuple[str, ...]:
        return {"parameter": ("number", "string"), "score": ("number",)}.get(self.kind, (self.kind,))

    def rank(self, kind: str | None) -> int:
        """The group of a value's kind; groups come in the order of their ranks, whatever the direction."""
        if kind is None:
            return 3 if self.nulls_last else 0
        is_text = self.kind == "parameter" and kind == "string"
        return 2 if is_text == self.text_last else 1

    def reversed(self) -> "Key":
        return replace(self, ascending=not self.ascending, nulls_last=not self.nulls_last, text_last=not self.text_last)


SCORE = Key("", "score", ascending=False)


def field_key(field: FieldSpec) -> Key:
    if field.type == Scalar("DateTime"):
        return Key(field.stored[0], "date")
    is_number = isinstance(field.type, Scalar) and field.type.name in NUMBERS
    return Key(field.stored[0], "number" if is_number else "string")


def metric_value_key(ref: Mapping[str, Any]) -> Key:
    """What is kept of a metric, by its names."""
    place = f"last_metrics.{hash_name(ref['metric'])}.{hash_name(ref['variant'])}"
    return Key(f"{place}.{STATS[ref['stat'] or 'last']}", "number")


def parameter_key(ref: Mapping[str, Any], argument: str) -> Key:
    """A hyperparameter, by its section and name; raises InputError for names that none can have."""
    section, name = ref["section"], ref["name"]
    if not section.strip() or not name.strip() or "\0" in section + name:
        message = "A hyperparameter has a section and a name, neither of them blank nor with a NUL character."
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=argument)
    return Key(f"hyperparams.{escape(section)}.{escape(name)}", "parameter", legacy=find_legacy_name(section, name))


# -- in Python -------------------------------------------------------------------------------------


def value_of(document: Document, key: Key) -> Any:
    """The value of a key that is not computed; None when there is none of its kind."""
    value = read_path(document, key.path)
    return value if kind_of(value) == key.kind else None


def kind_of(value: Any) -> str | None:
    match value:
        case bool() | None:
            return None
        case str() if type(value) is str:  # the driver's Code is one as well
            return "string"
        case datetime() | DatetimeMS():
            return "date"
        case int() | float() if math.isfinite(value):
            return "number"
    return "other"


# -- in MongoDB ------------------------------------------------------------------------------------


def has_value(key: Key) -> Query:
    """The condition for a value of the right kind; MongoDB would also look inside lists, which are no values here."""
    if key.kind == "parameter":
        return {"$expr": {"$ne": [_parameter(key), None]}}
    parts = key.path.split(".")
    no_lists = [{".".join(parts[:end]): {"$not": {"$type": "array"}}} for end in range(1, len(parts))]
    if key.kind == "number":
        own: Query = {key.path: {**FINITE, "$not": {"$type": ["array", "decimal"]}}}
    else:
        own = {key.path: {"$type": key.kind, "$not": {"$type": "array"}}}
    return {"$and": [own, *no_lists]} if no_lists else own


def value_expression(key: Key) -> Any:
    """The value of the right kind, else null."""
    if key.kind == "score":
        return {"$meta": "textScore"}
    if key.kind == "parameter":
        return of_parameter(key, {"$ifNull": ["$$number", "$$text"]})
    field = f"${key.path}"
    if key.kind != "number":
        return {"$cond": [{"$eq": [{"$type": field}, key.kind]}, field, None]}
    return {"$cond": [{"$and": [_is_a(field, *NUMERIC), _is_finite(field)]}, field, None]}


def rank_expression(key: Key, value: str) -> Any:
    """The rank of what `value_expression` gave."""
    kind = {"$type": value}
    of_value = {"$cond": [{"$eq": [kind, "string"]}, key.rank("string"), key.rank("number")]}
    return {"$cond": [{"$eq": [kind, "null"]}, key.rank(None), of_value]}


def of_parameter(key: Key, expression: Any) -> Any:
    """An expression of a hyperparameter's `$$stored` value, its `$$text` and the `$$number` that it is, or nulls."""
    text = {"$cond": [_is_a("$$stored", "string"), "$$stored", _bool_text("$$stored")]}
    read = {"$convert": {"input": "$$stored", "to": "double", "onError": None, "onNull": None}}
    number = {"$cond": [_is_a("$$stored", "string", *NUMERIC), read, None]}
    known = {"text": text, "number": {"$let": {"vars": {"read": number}, "in": _finite("$$read")}}}
    return {"$let": {"vars": {"stored": _parameter(key)}, "in": {"$let": {"vars": known, "in": expression}}}}


# What is shown of a hyperparameter, also of a number of an older server. MongoDB writes six digits of one that is not
# whole: what has more is not known as a text.
SPELLED: Query = {"$switch": {
    "branches": [
        {"case": {"$in": [{"$type": "$$stored"}, ["int", "long"]]}, "then": {"$toString": "$$stored"}},
        {"case": {"$ne": [{"$type": "$$stored"}, "double"]}, "then": "$$text"},
        {"case": {"$and": [{"$eq": ["$$stored", {"$trunc": "$$stored"}]}, {"$lt": [{"$abs": "$$stored"}, 1e16]}]},
         "then": {"$concat": [{"$toString": {"$toLong": "$$stored"}}, ".0"]}},
        {"case": {"$eq": [{"$toDouble": {"$toString": "$$stored"}}, "$$stored"]}, "then": {"$toString": "$$stored"}},
    ],
    "default": None,
}}  # fmt: skip


def spellings(text: str) -> list[Any]:
    """What may be stored of a hyperparameter that is shown as this text: older servers keep other types than text."""
    found: list[Any] = [text]
    for kind in (int, float):
        with suppress(ValueError, OverflowError):
            number = kind(text)
            if str(number) == text and abs(number) < 2**63:
                found.append(number)
    return found + [value for value in (True, False) if str(value) == text]


def _parameter(key: Key) -> Any:
    """What is stored of a hyperparameter, null for nothing that is shown. A new one hides that of an older server."""
    new = f"${key.path}"
    shown = {"$cond": [_is_a(f"{new}.value", "string"), f"{new}.value", None]}
    return {"$cond": [_is_a(new, "object"), shown, _legacy(key)]}


def _legacy(key: Key) -> Any:
    if key.legacy is None:
        return None
    old = {"$getField": {"field": {"$literal": key.legacy}, "input": "$execution.parameters"}}
    number = {"$cond": [_is_a("$$old", *NUMERIC), _finite("$$old"), None]}
    shown = {"$cond": [_is_a("$$old", "string", "bool"), "$$old", number]}
    return {"$let": {"vars": {"old": old}, "in": shown}}


def _bool_text(value: str) -> Query:
    return {"$cond": [{"$eq": [value, True]}, "True", {"$cond": [{"$eq": [value, False]}, "False", None]}]}


def _is_a(value: str, *types: str) -> Query:
    return {"$in": [{"$type": value}, list(types)]}


def _finite(value: str) -> Query:
    return {"$cond": [_is_finite(value), value, None]}


def _is_finite(value: str) -> Query:
    return {"$and": [{"$gt": [value, -math.inf]}, {"$lt": [value, math.inf]}]}


def _text_or_null(value: Any) -> Query:
    """The value where it is a text that is not empty."""
    return {"$cond": [{"$and": [_is_a(value, "string"), {"$gt": [value, ""]}]}, value, None]}


# of texts that are shown of several places: name of the reader (models/layout.py) → the same text in MongoDB
VIEWS: Mapping[str, Query] = {
    "docker_cmd": {"$let": {
        "vars": {
            "image": _text_or_null("$container.image"),
            "arguments": _text_or_null("$container.arguments"),
            "old": {"$trim": {"input": _text_or_null("$execution.docker_cmd"), "chars": BLANKS}},
        },
        "in": {"$switch": {
            "branches": [
                {"case": {"$eq": ["$$image", None]}, "then": _text_or_null("$$old")},
                {"case": {"$eq": ["$$arguments", None]}, "then": "$$image"},
            ],
            "default": {"$concat": ["$$image", " ", "$$arguments"]},
        }},
    }},
}  # fmt: skip
