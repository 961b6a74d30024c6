"""The depth of lists and objects inside one another. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import ListValueNode, ObjectValueNode


def measure_nesting(*values: Any) -> int:
    """The number of lists and objects, of JSON or of a GraphQL document, that stand one inside the other."""
    depth, level = 0, list(values)
    while containers := [inner for inner in map(_list_inner_values, level) if inner is not None]:
        depth += 1
        level = [value for inner in containers for value in inner]
    return depth


def _list_inner_values(value: Any) -> Iterable[Any] | None:
    """None for a value that is neither a list nor an object."""
    match value:
        case Mapping():
            return value.values()
        case list():
            return value
        case ListValueNode():
            return value.values
        case ObjectValueNode():
            return [field.value for field in value.fields]
    return None
