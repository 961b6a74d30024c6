"""The query of a list: its filter nodes, measured and written, with the sub-projects that they include."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from models.store.reader import Reader
from models.types import Query
from resolvers.criteria.filter_nodes import AllOf, walk_filters
from resolvers.criteria.filters import find_pattern_fields, refuse_large_filter, write_query
from resolvers.criteria.operators import FilterType, split_sides
from resolvers.criteria.subprojects import read_subprojects, refuse_many_subprojects


class ListQuery(NamedTuple):
    """The query of a filter, and an identity that stays the same while sub-projects come and go.

    `pattern_fields` are the fields with regular expressions, which only the database can read.
    """

    query: Query
    identity: object
    pattern_fields: Collection[str]


async def read_list_query(filter_: AllOf, filter_type: FilterType, reader: Reader) -> ListQuery:
    """Raises LimitError for a large filter before anything is written or read for it."""
    refuse_large_filter(filter_)
    query = write_query(filter_, filter_type, {})
    roots = _list_roots(filter_)
    projects = [project for values in roots for side in split_sides(values) for project in side]
    if not projects:
        return ListQuery(query, query, find_pattern_fields(filter_))
    subprojects = await read_subprojects(sorted(set(projects)), reader)
    refuse_many_subprojects(sum(len(subprojects[project]) for project in projects))
    wide_query = write_query(filter_, filter_type, subprojects)
    return ListQuery(wide_query, (query, roots), find_pattern_fields(filter_))


def _list_roots(filter_: AllOf) -> list[Sequence[Any]]:
    """The `project` of each filter that includes sub-projects."""
    filters = [inner for inner, _ in walk_filters(filter_) if inner.find_value("include_subprojects")]
    return [inner.find_value("project") or () for inner in filters]
