"""Projects within projects: which there are, and filters in which a project stands for all of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from models.store.reader import Reader
from models.types import Query
from resolvers.criteria.filters import Filters, Sides, patterned, refuse_large, sides, to_query
from resolvers.errors import limit_exceeded

MAX_SUBPROJECTS = 10_000
Within = Mapping[str, Sequence[str]]


async def within(projects: Sequence[str], reader: Reader) -> Within:
    """For each of these projects the ids of all that are inside it, at any depth, by one command."""
    query = {"path": {"$in": list(projects)}}
    found = await reader.read_all("project", query, {"path": 1}, limit=MAX_SUBPROJECTS + 1)
    _refuse_more(len(found))
    inside: dict[str, list[str]] = {project: [] for project in projects}
    for document in found:
        for around in _texts(document["path"]) & inside.keys() if type(document["_id"]) is str else ():
            inside[around].append(document["_id"])
    return inside


class Asked(NamedTuple):
    """The query for a filter, and what tells it from others: the filter itself, whatever projects there are by now.

    `patterned` are the names of its fields with regular expressions, which only the database can read.
    """

    query: Query
    identity: Any
    patterned: Collection[str]


async def query_of(filter_: Mapping[str, Any], filters: Filters, reader: Reader) -> Asked:
    """The query for a filter input, which is measured before anything is made of it or read for it."""
    refuse_large(filter_)
    query = to_query(filter_, filters)
    asked = {project for values in _asked(filter_) for side in sides(values) for project in side}
    if not asked:
        return Asked(query, query, patterned(filter_, filters))
    inside = await within(sorted(asked), reader)
    _refuse_more(sum(len(inside[name]) for values in _asked(filter_) for side in sides(values) for name in side))
    wide = to_query(_widened(filter_, inside), filters)
    return Asked(wide, (query, list(_asked(filter_))), patterned(filter_, filters))


def _asked(filter_: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """The values of `project` wherever they stand for more."""
    if filter_.get("include_subprojects"):
        yield filter_.get("project") or ()
    for inner in (*(filter_.get("and") or ()), *(filter_.get("or") or ()), *filter(None, [filter_.get("not")])):
        yield from _asked(inner)


def _widened(filter_: Mapping[str, Any], inside: Within) -> Mapping[str, Any]:
    changed = dict(filter_)
    if filter_.get("include_subprojects") and filter_.get("project"):
        wide = [[name for one in side for name in (one, *inside[one])] for side in sides(filter_["project"])]
        changed["project"] = Sides(*wide)
    for name in ("and", "or"):
        if filter_.get(name):
            changed[name] = [_widened(inner, inside) for inner in filter_[name]]
    if filter_.get("not"):
        changed["not"] = _widened(filter_["not"], inside)
    return changed


def _refuse_more(actual: int) -> None:
    if actual > MAX_SUBPROJECTS:
        message = f"These projects have more than {MAX_SUBPROJECTS} others within them."
        raise limit_exceeded(message, field="includeSubprojects", limit="subprojects", maximum=MAX_SUBPROJECTS)


def _texts(values: Any) -> set[str]:
    """Those of a stored list that can be ids."""
    return {value for value in values if type(value) is str} if isinstance(values, list) else set()
