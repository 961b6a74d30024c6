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


def text(value: Any) -> str | None:
    return value if type(value) is str else None  # the driver's Code is a str as well


def whole(bits: int) -> Convert:
    limit = 2 ** (bits - 1)

    def convert(value: Any) -> int | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JavaScript writes every number as a double
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return int(value) if -limit <= value < limit else None

    return convert


def number(value: Any) -> float | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def reference(value: Any) -> str | None:
    """The id of another document; a blank one refers to nothing."""
    return value if type(value) is str and value else None


def free(value: Any) -> Any:
    """A stored object as JSON; null when it is no object. The driver makes a DBRef of some."""
    return convert_to_json(value) if isinstance(value, Mapping | DBRef) else None


SCALARS: Mapping[str, Convert] = {
    "String": text, "ID": reference, "Int": whole(32), "Long": whole(64), "Float": number,
    "Boolean": boolean, "DateTime": format_date, "JSON": free,
}  # fmt: skip


def enum(spec: EnumSpec) -> Convert:
    names = {value.name: value.name.upper() for value in spec.values}
    return lambda value: names.get(value, UNKNOWN) if type(value) is str else None


def values_of(convert: Convert) -> Convert:
    """A list of plain values; those that can't be read are left out."""

    def read(value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        return [item for item in map(convert, value) if item is not None]

    return read


def items_of(convert: Convert) -> Convert:
    """A list of plain values; those that can't be read are null."""
    return lambda value: [*map(convert, value)] if isinstance(value, list) else None


# How the usual value of a type is told in place; it is then the answer as it stands.
USUAL: Mapping[str, str] = {
    "String": "type(v) is str", "Int": "type(v) is int and -2147483648 <= v < 2147483648",
    "Float": "type(v) is float and v - v == 0.0", "Boolean": "type(v) is bool",
}  # fmt: skip
