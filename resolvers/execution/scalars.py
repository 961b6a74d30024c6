"""Stored values → JSON scalars; a value of a wrong type reads null. Pure."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from bson.dbref import DBRef

from models.dates import format_date
from models.extended_json import convert_to_json
from schema.derive import UNKNOWN
from schema.spec import EnumSpec

Convert = Callable[[Any], Any]


def serialize_text(value: Any) -> str | None:
    return value if type(value) is str else None  # the driver's Code is a str as well


def serialize_id(value: Any) -> str | None:
    """The id of another document; a blank one refers to nothing."""
    return value if type(value) is str and value else None


def build_int_serializer(bits: int) -> Convert:
    limit = 2 ** (bits - 1)

    def serialize_int(value: Any) -> int | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JavaScript writes every number as a double
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return int(value) if -limit <= value < limit else None

    return serialize_int


def serialize_float(value: Any) -> float | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def serialize_boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def serialize_json(value: Any) -> Any:
    """A stored object as JSON; null for anything else. The driver makes a DBRef of some objects."""
    return convert_to_json(value) if isinstance(value, Mapping | DBRef) else None


SCALARS: Mapping[str, Convert] = {
    "String": serialize_text,
    "ID": serialize_id,
    "Int": build_int_serializer(32),
    "Long": build_int_serializer(64),
    "Float": serialize_float,
    "Boolean": serialize_boolean,
    "DateTime": format_date,
    "JSON": serialize_json,
}
# Conditions under which a stored value `v` of a type is the answer as it stands.
USUAL_VALUES: Mapping[str, str] = {
    "String": "type(v) is str",
    "Int": "type(v) is int and -2147483648 <= v < 2147483648",
    "Float": "type(v) is float and v - v == 0.0",
    "Boolean": "type(v) is bool",
}


def build_enum_serializer(enum: EnumSpec) -> Convert:
    names = {value.name: value.name.upper() for value in enum.values}
    return lambda value: names.get(value, UNKNOWN) if type(value) is str else None


def build_list_serializer(convert: Convert) -> Convert:
    """Build the serializer of a list; it leaves out items that `convert` can't read."""

    def serialize_list(value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        return [item for item in map(convert, value) if item is not None]

    return serialize_list


def build_nullable_list_serializer(convert: Convert) -> Convert:
    """Build the serializer of a list; items that `convert` can't read are null."""
    return lambda value: [*map(convert, value)] if isinstance(value, list) else None
