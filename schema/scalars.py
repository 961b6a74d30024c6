"""The scalars, with the literals and variables that each of them reads.

A scalar refuses a value with a GraphQLError whose one sentence describes the scalar, and raises nothing else.
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

MAX_DIGITS = 400  # of a whole number; more of them are beyond every type
MAX_QUOTED = 100  # characters of a refused value in an error
INEXACT_DOUBLES = 2**53  # from here a double is the nearest one to several whole numbers

ReadScalar = Callable[[Any], Any]


class PlainObject(dict[str, Any]):
    """An object without conversion: free JSON, or an input of scalars that has the names of HOCON."""


# -- values ----------------------------------------------------------------------------------------


def build_integer_reader(bits: int) -> ReadScalar:
    """Build a reader of whole numbers of so many bits, also of one written as 10.0; it raises ValueError."""
    limit = 2 ** (bits - 1)

    def read_integer(value: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < INEXACT_DOUBLES:
            value = int(value)
        if not _is_whole(value) or not -limit <= value < limit:
            raise ValueError
        return int(value)

    return read_integer


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_finite(value: Any) -> float:
    if not isinstance(value, float) and not _is_whole(value):
        raise ValueError
    if not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _read_identifier(value: Any) -> str:
    if not isinstance(value, str) and not _is_whole(value):
        raise ValueError
    return str(value)


def _read_object(value: Any) -> PlainObject:
    if not isinstance(value, dict) or not all(map(_can_be_stored, _walk_numbers(value))):
        raise ValueError
    return PlainObject(value)


def _walk_numbers(value: Any) -> Iterator[int | float]:
    """Yield the numbers at every depth of a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _walk_numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _can_be_stored(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**63


def _read_date_time(value: Any) -> datetime:
    return read_rfc_3339(value if isinstance(value, str) else "")


# -- literals --------------------------------------------------------------------------------------


def _read_string_literal(node: Any) -> str:
    text: str = node.value
    return text


def _read_integer_literal(node: Any) -> int | float:
    """Read the whole number of a literal; infinity when it has more digits than any type."""
    return int(node.value) if len(node.value) <= MAX_DIGITS else math.inf


def _read_float_literal(node: Any) -> float:
    return float(node.value)


def _read_json_literal(node: Any) -> Any:
    """Read the JSON value of a literal without variables; an enum value is its name."""
    match node:
        case ObjectValueNode():
            return {field.name.value: _read_json_literal(field.value) for field in node.fields}
        case ListValueNode():
            return [_read_json_literal(item) for item in node.values]
        case IntValueNode():
            return _read_integer_literal(node)
    return value_from_ast_untyped(node)


def print_value(value: Any) -> str:
    """Print the beginning of a JSON value."""
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > MAX_QUOTED:
            return f"{text[:MAX_QUOTED]}…"
    return text


def print_literal(node: ValueNode) -> str:
    """Print the beginning of a literal."""
    text = print_for_error(node)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


# -- types -----------------------------------------------------------------------------------------


class OverridingScalar(GraphQLScalarType):
    """A scalar that can have the name of a scalar of GraphQL itself."""

    reserved_types: Mapping[str, GraphQLNamedType] = {}


def _build_scalar(
    name: str, sentence: str, read: ReadScalar, literals: Mapping[type[ValueNode], ReadScalar], **options: Any
) -> GraphQLScalarType:
    """Build a scalar that refuses values in one sentence; `literals` has a reader for each kind of literal."""

    def coerce(value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, OverflowError):
            raise GraphQLError(f"{sentence}, not {print_value(value)}.") from None

    def coerce_literal(node: ValueNode) -> Any:
        with suppress(ValueError, OverflowError):
            if type(node) in literals:
                return read(literals[type(node)](node))
        # a literal whose variables were replaced has no location in the document; its caller adds one
        raise GraphQLError(f"{sentence}, not {print_literal(node)}.", node if node.loc else None)

    return OverridingScalar(name, coerce_input_value=coerce, coerce_input_literal=coerce_literal, **options)


INT = _build_scalar(
    "Int",
    "Int is a whole number of at most 32 bits",
    build_integer_reader(32),
    {IntValueNode: _read_integer_literal},
    description=GraphQLInt.description,
    coerce_output_value=GraphQLInt.coerce_output_value,
)
FLOAT = _build_scalar(
    "Float",
    "Float is a number that a double can hold",
    _read_finite,
    {IntValueNode: _read_integer_literal, FloatValueNode: _read_float_literal},
    description=GraphQLFloat.description,
    coerce_output_value=GraphQLFloat.coerce_output_value,
)
ID = _build_scalar(
    "ID",
    "ID is a text or a whole number",
    _read_identifier,
    {StringValueNode: _read_string_literal, IntValueNode: _read_string_literal},
    description=GraphQLID.description,
    coerce_output_value=GraphQLID.coerce_output_value,
    value_to_literal=lambda value: StringValueNode(value=str(value), block=False),
)
LONG = _build_scalar(
    "Long",
    "Long is a whole number of at most 64 bits",
    build_integer_reader(64),
    {IntValueNode: _read_integer_literal},
    description="A whole number of up to 64 bits; 10.0 as a variable is 10. JavaScript reads it exactly up to 2^53.",
    specified_by_url="https://scalars.graphql.org/jakobmerrild/long.html",
    coerce_output_value=int,
)
JSON = _build_scalar(
    "JSON",
    "JSON is an object whose whole numbers have at most 64 bits",
    _read_object,
    {ObjectValueNode: _read_json_literal},
    description=(
        "A free JSON object. A variable inside a literal is the value that was sent; an absent one leaves its key out "
        "and is null in a list. Stored values that JSON lacks are MongoDB's relaxed extended JSON, such as "
        '`{"$oid": "6b0bdf19a60e4b2b4ec03e26"}`; times are RFC 3339, UUIDs texts, NaN and infinity null.'
    ),
    specified_by_url="https://ecma-international.org/publications-and-standards/standards/ecma-404/",
    coerce_output_value=lambda value: value,
)
DATE_TIME = _build_scalar(
    "DateTime",
    "DateTime is an RFC 3339 time such as 2026-01-31T12:00:00Z",
    _read_date_time,
    {StringValueNode: _read_string_literal},
    description=(
        "A point in time in RFC 3339. Answers are in UTC with milliseconds: 2026-01-31T12:00:00.000Z. Finer digits are "
        "cut off when a time is stored and count when it bounds a range; a leap second is the second that follows it."
    ),
    specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
    coerce_output_value=str,
)
