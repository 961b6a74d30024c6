"""The dialect of the HOCON files as a table: kind of node → its keys → kind of their values.

ClearML's own files have the other keys; annotations (`x-…`) add what these cannot express.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from schema.sources import HoconNode, TreePath

SCALAR_NAMES: Mapping[tuple[str, str | None], str] = {
    ("string", None): "String",
    ("string", "date-time"): "DateTime",
    ("integer", None): "Int",
    ("number", None): "Float",
    ("boolean", None): "Boolean",
}
# the values of annotations that are a closed set
SCALAR_OVERRIDES = ("ID", "Long", "JSON")
LAYOUT_READERS = (
    "hyperparams",
    "first_model",
    "last_model",
    "model_items",
    "numbered",
    "container",
    "docker_cmd",
    "configuration",
    "model_desc",
)
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
FILTER_OPERATORS = (
    "listed",
    "names",
    "types",
    "statuses",
    "equal",
    "unset",
    "pattern",
    "insensitive",
    "all_match",
    "any_match",
    "text",
    "dates",
    "date_range",
    "is_set",
    "is_unset",
    "metrics",
    "hyperparams",
    "subprojects",
    "and",
    "or",
    "not",
)
# annotation → the names of the functions that it may call
FUNCTION_NAMES: Mapping[str, tuple[str, ...]] = {
    "x-read": LAYOUT_READERS,
    "x-write": LAYOUT_WRITERS,
    "x-filter": FILTER_OPERATORS,
    "x-related": RELATED_NAMES,
}

NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
ENUM_VALUE = re.compile(r"[a-zA-Z][_a-zA-Z0-9]*\Z")
VERSION = re.compile(r"\d+(\.\d+)*\Z")
RESERVED_TYPES = {*SCALAR_NAMES.values(), *SCALAR_OVERRIDES, "List", "Optional", "Query", "Mutation", "Subscription"}

# kind of node → key → kind of its value; " or " stands between alternatives
KEYS_OF_KINDS: Mapping[str, Mapping[str, str]] = {
    "property": {
        "type": "string",
        "format": "string",
        "description": "string",
        "enum": "list",
        "default": "anything",
        "properties": "properties",
        "required": "list of strings",
        "items": "property",
        "additionalProperties": "boolean or property",
        "minimum": "number",
        "maximum": "number",
        "pattern": "string",
        "dependencies": "anything",
        "$ref": "string",
        "x-name": "string",
        "x-scalar": "string",
        "x-relation": "string",
        "x-list": "list annotation",
        "x-stored": "string or list of strings",
        "x-read": "string",
        "x-write": "string",
        "x-filter": "string",
        "x-sortable": "boolean",
        "x-index": "boolean",
        "x-size": "number",
        "x-null-items": "boolean",
        "x-related": "string",
        "x-arguments": "property",
        "x-values": "map of strings",
    },
    "list annotation": {"of": "string", "by": "list of strings", "key": "string", "entries": "boolean"},
    "definition": {
        "type": "string",
        "description": "string",
        "properties": "properties",
        "required": "list of strings",
        "enum": "list",
        "additionalProperties": "boolean or property",
        "x-values": "map of strings",
        "x-collection": "string",
        "x-like": "string",
        "x-without": "list of strings",
    },
    "endpoint": {
        "description": "string",
        "request": "property",
        "response": "property",
        "batch_request": "anything",
    },
    "operation": {"description": "string", "arguments": "property", "returns": "property", "required": "boolean"},
    "mutation": {
        "endpoint": "string",
        "description": "string",
        "input": "property",
        "payload": "property",
        "many": "many",
    },
    "many": {"description": "string", "input": "property", "result": "property"},
}
KINDS_IN_MAPS = {"properties": "property", "map of strings": "string"}
PLAIN_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "anything": lambda _: True,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "list of strings": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
}

ReportMistake = Callable[[TreePath, str], None]


def check_node(node: Any, kind: str, path: TreePath, report_mistake: ReportMistake) -> dict[str, Any]:
    """Keep the keys that a node of this kind has, where their values have the right form; report all others."""
    if not isinstance(node, Mapping):
        report_mistake(path, f"must be a {kind}, not {node!r}")
        return {}
    kinds = KEYS_OF_KINDS[kind]
    checked: dict[str, Any] = {}
    for key, value in node.items():
        if key not in kinds:
            noun = "annotation" if key.startswith("x-") else "key"
            report_mistake((*path, key), f"unknown {noun}; allowed: {', '.join(sorted(kinds))}")
            continue
        checked_value = _check_value(value, kinds[key], (*path, key), report_mistake)
        if checked_value is not None:
            checked[key] = checked_value
    return checked


def _check_value(value: Any, kinds: str, path: TreePath, report_mistake: ReportMistake) -> Any:
    for kind in kinds.split(" or "):
        if kind in PLAIN_KINDS and PLAIN_KINDS[kind](value):
            return value
        if kind in KEYS_OF_KINDS and isinstance(value, Mapping):
            return check_node(value, kind, path, report_mistake)
        if kind in KINDS_IN_MAPS and isinstance(value, Mapping):
            checked = {
                name: _check_value(inner, KINDS_IN_MAPS[kind], (*path, name), report_mistake)
                for name, inner in value.items()
            }
            return {name: inner for name, inner in checked.items() if inner is not None}
    report_mistake(path, f"must be a {kinds}, not {value!r}")
    return None


def find_newest_version(versions: Any, path: TreePath, report_mistake: ReportMistake) -> tuple[str, HoconNode] | None:
    """Find the newest version of an endpoint; report an endpoint without one."""
    nodes: HoconNode = versions if isinstance(versions, Mapping) else {}
    numbers = [key for key in nodes if VERSION.match(key)]
    for key in nodes:
        if key not in numbers and key != "internal":
            report_mistake((*path, key), "unknown key; allowed: internal and versions such as 2.1")
    if not numbers:
        report_mistake(path, "an endpoint needs a version such as 2.1")
        return None
    newest = max(numbers, key=lambda number: tuple(map(int, number.split("."))))
    return newest, check_node(nodes[newest], "endpoint", (*path, newest), report_mistake)
