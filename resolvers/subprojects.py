"""`includeSubprojects`: a project in a filter stands for itself and everything within it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.reading import Part, Reader
from resolvers.errors import ErrorCode, LimitError

MAX_SUBPROJECTS = 10_000
Within = Mapping[str, Sequence[str]]


async def with_subprojects(filter_: Mapping[str, Any], reader: Reader) -> Mapping[str, Any]:
    """The filter with its projects widened where it says so: one more command where it does, none otherwise."""
    asked = {token.removeprefix("-") for token in _asked(filter_)}
    return _widened(filter_, await _within(asked, reader)) if asked else filter_


def _asked(filter_: Mapping[str, Any]) -> Iterator[str]:
    if filter_.get("include_subprojects"):
        yield from filter_.get("project") or ()
    for inner in _inner(filter_):
        yield from _asked(inner)


def _inner(filter_: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    opposite = filter_.get("not")
    return [*(filter_.get("and") or ()), *(filter_.get("or") or ()), *([opposite] if opposite else ())]


async def _within(projects: set[str], reader: Reader) -> Within:
    part = Part({"path": {"$in": sorted(projects)}}, {"_id": 1})
    found = await reader.list("project", [part], skip=0, limit=MAX_SUBPROJECTS + 1, projection={"path": 1})
    if len(found) > MAX_SUBPROJECTS:
        message = f"These projects have more than {MAX_SUBPROJECTS} others within them."
        raise LimitError(ErrorCode.LIMIT_EXCEEDED, message, field="includeSubprojects", maximum=MAX_SUBPROJECTS)
    within: dict[str, list[str]] = {}
    for document in found:
        path = document["path"]
        for ancestor in path if isinstance(path, list) else [path]:
            if ancestor in projects:
                within.setdefault(ancestor, []).append(document["_id"])
    return within


def _widened(filter_: Mapping[str, Any], within: Within) -> Mapping[str, Any]:
    changed = dict(filter_)
    if filter_.get("include_subprojects") and filter_.get("project"):
        changed["project"] = [wide for token in filter_["project"] for wide in _with_all_within(token, within)]
    for name in ("and", "or"):
        if filter_.get(name):
            changed[name] = [_widened(inner, within) for inner in filter_[name]]
    if filter_.get("not"):
        changed["not"] = _widened(filter_["not"], within)
    return changed


def _with_all_within(token: str, within: Within) -> list[str]:
    sign = "-" if token.startswith("-") else ""
    return [token, *(sign + inner for inner in within.get(token.removeprefix("-"), ()))]
