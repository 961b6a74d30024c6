"""How deep lists and objects stand inside one another. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import ListValueNode, ObjectValueNode


def nesting(*values: Any) -> int:
    """How many lists and objects, of JSON or of a document, stand one inside the other."""
    depth, layer = 0, list(values)
    while parts := [inner for inner in map(_parts, layer) if inner is not None]:
        depth += 1
        layer = [item for inner in parts for item in inner]
    return depth


def _parts(value: Any) -> Iterable[Any] | None:
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
