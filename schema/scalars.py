"""The scalars: which literals and which variables each of them reads.

A scalar refuses a value with a GraphQLError that repeats in one sentence what the scalar is, and raises nothing else.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from graphql import (
    FloatValueNode,
    GraphQLError,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLNamedType,
    GraphQLScalarType,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    value_from_ast_untyped,
)
from graphql.language.printer import print_for_error

from schema.moments import read_rfc_3339

MAX_DIGITS = 400  # of a whole number that is read; more of them are beyond every type
MAX_SHOWN = 100  # characters of a refused value
INEXACT_DOUBLES = 2**53  # from here on a double is the nearest one to several whole numbers

Read = Callable[[Any], Any]


class Plain(dict[str, Any]):
    """What needs no conversion: free JSON, or an input of scalars that has HOCON's names already."""


# -- values ----------------------------------------------------------------------------------------


def whole_number(bits: int) -> Read:
    """Reads a whole number of so many bits, also one that is written as 10.0; raises ValueError."""
    limit = 2 ** (bits - 1)

    def read(value: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < INEXACT_DOUBLES:
            value = int(value)
        if not _is_whole(value) or not -limit <= value < limit:
            raise ValueError
        return int(value)

    return read


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> float:
    if not isinstance(value, float) and not _is_whole(value):
        raise ValueError
    if not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _identifier(value: Any) -> str:
    if not isinstance(value, str) and not _is_whole(value):
        raise ValueError
    return str(value)


def _object(value: Any) -> Plain:
    if not isinstance(value, dict) or not all(map(_can_be_stored, _numbers(value))):
        raise ValueError
    return Plain(value)


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers in a JSON value, wherever they are."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _can_be_stored(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**63


def _moment(value: Any) -> datetime:
    return read_rfc_3339(value if isinstance(value, str) else "")


# -- literals --------------------------------------------------------------------------------------


def _text(node: Any) -> str:
    text: str = node.value
    return text


def _digits(node: Any) -> int | float:
    """The whole number of a literal; infinity for one with more digits than any type has."""
    return int(node.value) if len(node.value) <= MAX_DIGITS else math.inf


def _double(node: Any) -> float:
    return float(node.value)


def _json(node: Any) -> Any:
    """The JSON value of a literal without variables; an enum value is its name."""
    match node:
        case ObjectValueNode():
            return {field.name.value: _json(field.value) for field in node.fields}
        case ListValueNode():
            return [_json(item) for item in node.values]
        case IntValueNode():
            return _digits(node)
    return value_from_ast_untyped(node)


def show(value: Any) -> str:
    """The beginning of a JSON value."""
    shown = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        shown += part
        if len(shown) > MAX_SHOWN:
            return f"{shown[:MAX_SHOWN]}…"
    return shown


def show_literal(node: ValueNode) -> str:
    """The beginning of a literal."""
    shown = print_for_error(node)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


# -- types -----------------------------------------------------------------------------------------


class OwnScalar(GraphQLScalarType):
    """A scalar that may have the name of one of GraphQL's own."""

    reserved_types: Mapping[str, GraphQLNamedType] = {}


def _scalar(
    name: str, sentence: str, read: Read, literals: Mapping[type[ValueNode], Read], **options: Any
) -> GraphQLScalarType:
    """A scalar that refuses values in one sentence; `literals` makes a variable's value of each kind of literal."""

    def coerce(value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, OverflowError):
            raise GraphQLError(f"{sentence}, not {show(value)}.") from None

    def coerce_literal(node: ValueNode) -> Any:
        with suppress(ValueError, OverflowError):
            if type(node) in literals:
                return read(literals[type(node)](node))
        # a literal whose variables were replaced has no place in the document; whoever reads it knows one
        raise GraphQLError(f"{sentence}, not {show_literal(node)}.", node if node.loc else None)

    return OwnScalar(name, coerce_input_value=coerce, coerce_input_literal=coerce_literal, **options)


INT = _scalar(
    "Int",
    "Int is a whole number of at most 32 bits",
    whole_number(32),
    {IntValueNode: _digits},
    description=GraphQLInt.description,
    coerce_output_value=GraphQLInt.coerce_output_value,
)
FLOAT = _scalar(
    "Float",
    "Float is a number that a double can hold",
    _finite,
    {IntValueNode: _digits, FloatValueNode: _double},
    description=GraphQLFloat.description,
    coerce_output_value=GraphQLFloat.coerce_output_value,
)
ID = _scalar(
    "ID",
    "ID is a text or a whole number",
    _identifier,
    {StringValueNode: _text, IntValueNode: _text},
    description=GraphQLID.description,
    coerce_output_value=GraphQLID.coerce_output_value,
    value_to_literal=lambda value: StringValueNode(value=str(value), block=False),
)
LONG = _scalar(
    "Long",
    "Long is a whole number of at most 64 bits",
    whole_number(64),
    {IntValueNode: _digits},
    description="A whole number of up to 64 bits; 10.0 as a variable is 10. JavaScript reads it exactly up to 2^53.",
    specified_by_url="https://scalars.graphql.org/jakobmerrild/long.html",
    coerce_output_value=int,
)
JSON = _scalar(
    "JSON",
    "JSON is an object whose whole numbers have at most 64 bits",
    _object,
    {ObjectValueNode: _json},
    description=(
        "A free JSON object. A variable inside a literal is the value that was sent; an absent one leaves its key out "
        "and is null in a list. Stored values that JSON lacks are MongoDB's relaxed extended JSON, such as "
        '`{"$oid": "6b0bdf19a60e4b2b4ec03e26"}`; times are RFC 3339, UUIDs texts, NaN and infinity null.'
    ),
    specified_by_url="https://ecma-international.org/publications-and-standards/standards/ecma-404/",
    coerce_output_value=lambda value: value,
)
DATE_TIME = _scalar(
    "DateTime",
    "DateTime is an RFC 3339 time such as 2026-01-31T12:00:00Z",
    _moment,
    {StringValueNode: _text},
    description=(
        "A point in time in RFC 3339. Answers are in UTC with milliseconds: 2026-01-31T12:00:00.000Z. Finer digits are "
        "cut off when a time is stored and count when it bounds a range; a leap second is the second that follows it."
    ),
    specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
    coerce_output_value=str,
)
