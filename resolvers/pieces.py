"""A task taken to pieces for comparison: section and path → text. Pure."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from pyhocon import ConfigFactory, ConfigTree
from pyparsing import ParseBaseException

from models import layout
from models.reading import Document
from resolvers.shaping import number

SCRIPT = {
    "binary": "binary", "repository": "repository", "tag": "tag", "branch": "branch", "version_num": "versionNum",
    "entry_point": "entryPoint", "working_dir": "workingDir", "diff": "diff",
}  # fmt: skip
STATS = {"value": "last", "min_value": "min", "max_value": "max"}
FIELDS = (
    "hyperparams", "execution.parameters", "configuration", "execution.model_desc", "script", "last_metrics",
)  # fmt: skip
MAX_HOCON = 16_384  # characters; parsing takes some 20 microseconds for each
INCLUDE = re.compile(r"\binclude\b")  # HOCON would read files for it
REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*?)\s*(?:#.*)?")


class Piece(NamedTuple):
    section: str
    path: tuple[str, ...]


def pieces(task: Document) -> dict[Piece, str]:
    """All that is compared of a task; what is missing or of a wrong type is left out."""
    return {
        Piece(section, path): text
        for section, parts in (
            ("hyperparams", _hyperparams(task)), ("configuration", _configuration(task)), ("script", _script(task)),
            ("requirements", _requirements(task)), ("last_metrics", _metrics(task)),
        )
        for path, text in parts
    }  # fmt: skip


Parts = Iterator[tuple[tuple[str, ...], str]]


def _hyperparams(task: Document) -> Parts:
    shown = layout.hyperparams(task.get("hyperparams"), _part(task, "execution").get("parameters"))
    for section, items in shown.items():
        for name, item in items.items():
            if isinstance(value := item.get("value"), str):
                yield (layout.unescape(section), layout.unescape(name)), value


def _configuration(task: Document) -> Parts:
    shown = layout.configuration(task.get("configuration"), _part(task, "execution").get("model_desc"))
    for name, item in shown.items():
        if isinstance(item, dict) and isinstance(text := item.get("value"), str):
            for path, value in _leaves(_parsed(text)):
                yield (layout.unescape(name), *path), value


def _parsed(text: str) -> Any:
    """JSON or HOCON as an object or a list, any other text as it is."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = _hocon(text)
    return found if isinstance(found, dict | list) else text


def _hocon(text: str) -> Any:
    if len(text) > MAX_HOCON or INCLUDE.search(text):
        return text
    try:
        found = ConfigFactory.parse_string(text, resolve=False)
    except (ParseBaseException, ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return text
    return found.as_plain_ordered_dict() if isinstance(found, ConfigTree) and found else text


def _leaves(value: Any) -> Parts:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            for path, leaf in _leaves(inner):
                yield (str(key), *path), leaf
    elif isinstance(value, str):
        yield (), value
    else:
        yield (), orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _script(task: Document) -> Parts:
    script = _part(task, "script")
    for name, shown in SCRIPT.items():
        if isinstance(value := script.get(name), str) and value:
            yield (shown,), value


def _requirements(task: Document) -> Parts:
    for manager, listed in _part(_part(task, "script"), "requirements").items():
        lines = listed.splitlines() if isinstance(listed, str) else listed if isinstance(listed, list) else []
        for line in lines:
            if isinstance(line, str) and (found := REQUIREMENT.fullmatch(line)):
                yield (manager, found[1]), found[2]


def _metrics(task: Document) -> Parts:
    for variants in _part(task, "last_metrics").values():
        for event in variants.values() if isinstance(variants, dict) else ():
            yield from _values(event) if isinstance(event, dict) else ()


def _values(event: Document) -> Parts:
    metric, variant = event.get("metric"), event.get("variant")
    for stored, stat in STATS.items():
        if isinstance(metric, str) and isinstance(variant, str) and (value := number(event.get(stored))) is not None:
            yield (metric, variant, stat), orjson.dumps(value).decode()


def _part(document: Document, name: str) -> Document:
    part = document.get(name)
    return part if isinstance(part, dict) else {}
