"""The dialect of the HOCON files as a table: for each kind of node, its keys and what stands behind them.

Besides the keys of ClearML's own files there are annotations (`x-…`), which say what those cannot.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from schema.sources import At, Node

SCALARS: Mapping[tuple[str, str | None], str] = {
    ("string", None): "String",
    ("string", "date-time"): "DateTime",
    ("integer", None): "Int",
    ("number", None): "Float",
    ("boolean", None): "Boolean",
}
# what an annotation may say, where that is a closed set
SCALAR_OVERRIDES = ("ID", "Long", "JSON")
LAYOUT_READERS = (
    "hyperparams", "first_model", "last_model", "model_items", "numbered", "container", "docker_cmd", "configuration",
    "model_desc",
)  # fmt: skip
LAYOUT_WRITERS = ("with_first_model", "with_docker_cmd", "with_model_desc")
RELATED_NAMES = (
    "subprojects",
    "task_counts",
    "children",
    "transitions",
    "available_transitions",
    "series",
    "metric_at",
)
KEY_ENCODINGS = ("md5", "escaped", "artifact", "plain")
FILTER_KINDS = (
    "listed", "names", "types", "equal", "pattern", "statuses", "dates", "text", "all_match", "any_match",
    "subprojects", "date_range", "is_set", "is_unset", "metrics", "hyperparams", "and", "or", "not",
    "insensitive", "unset",
)  # fmt: skip

NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
ENUM_VALUE = re.compile(r"[a-zA-Z][_a-zA-Z0-9]*\Z")
VERSION = re.compile(r"\d+(\.\d+)*\Z")
RESERVED = {"String", "ID", "Int", "Long", "Float", "Boolean", "DateTime", "JSON", "List", "Optional",
            "Query", "Mutation", "Subscription"}  # fmt: skip

# kind of node → key → kind of what stands there; a list of kinds are alternatives
TABLE: Mapping[str, Mapping[str, str]] = {
    "property": {
        "type": "text", "format": "text", "description": "text", "enum": "list", "default": "anything",
        "properties": "properties", "required": "texts", "items": "property",
        "additionalProperties": "flag or property", "minimum": "number", "maximum": "number", "pattern": "text",
        "dependencies": "anything", "$ref": "text",
        "x-name": "text", "x-scalar": "text", "x-relation": "text", "x-list": "list annotation",
        "x-stored": "text or texts", "x-read": "text", "x-write": "text", "x-filter": "text",
        "x-sortable": "flag", "x-index": "flag", "x-size": "number", "x-null-items": "flag", "x-related": "text",
        "x-arguments": "property", "x-values": "texts by name",
    },
    "list annotation": {"of": "text", "by": "texts", "key": "text", "entries": "flag"},
    "definition": {
        "type": "text", "description": "text", "properties": "properties", "required": "texts", "enum": "list",
        "additionalProperties": "flag or property", "x-values": "texts by name", "x-collection": "text",
        "x-like": "text", "x-without": "texts",
    },
    "endpoint": {
        "description": "text", "request": "property", "response": "property", "batch_request": "anything",
    },
    "operation": {"description": "text", "arguments": "property", "returns": "property", "required": "flag"},
    "mutation": {
        "endpoint": "text", "description": "text", "input": "property", "payload": "property", "many": "many",
    },
    "many": {"description": "text", "input": "property", "result": "property"},
}  # fmt: skip
MAPS = {"properties": "property", "texts by name": "text"}
PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "anything": lambda _: True,
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "texts": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
}

Tell = Callable[[At, str], None]


def checked(node: Any, kind: str, at: At, tell: Tell) -> dict[str, Any]:
    """The node with only what the table knows, each in its right form; tells of all else."""
    if not isinstance(node, Mapping):
        tell(at, f"{node!r} is no {kind}")
        return {}
    known = TABLE[kind]
    right = {}
    for key, value in node.items():
        here = (*at, key)
        if key not in known:
            what = "annotation" if key.startswith("x-") else "key"
            tell(here, f"unknown {what}; known are {', '.join(sorted(known))}")
        elif (found := _checked(value, known[key], here, tell)) is not None:
            right[key] = found
    return right


def _checked(value: Any, kinds: str, at: At, tell: Tell) -> Any:
    for kind in kinds.split(" or "):
        if kind in PLAIN and PLAIN[kind](value):
            return value
        if kind in TABLE and isinstance(value, Mapping):
            return checked(value, kind, at, tell)
        if kind in MAPS and isinstance(value, Mapping):
            found = {name: _checked(inner, MAPS[kind], (*at, name), tell) for name, inner in value.items()}
            return {name: inner for name, inner in found.items() if inner is not None}
    tell(at, f"{value!r} is no {kinds}")
    return None


def highest(versions: Any, at: At, tell: Tell) -> tuple[str, Node] | None:
    """The newest version of an endpoint; tells when there is none."""
    numbered = [key for key in versions if VERSION.match(key)] if isinstance(versions, Mapping) else []
    if isinstance(versions, Mapping):
        for key in versions:
            if key not in numbered and key != "internal":
                tell((*at, key), "unknown key; known are internal and versions such as 2.1")
    if not numbered:
        tell(at, "an endpoint has a version")
        return None
    best = max(numbered, key=lambda key: tuple(map(int, key.split("."))))
    return best, checked(versions[best], "endpoint", (*at, best), tell)
