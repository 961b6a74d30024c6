"""Filter nodes → the query, the size and the patterns of a filter. Pure."""

from collections.abc import Mapping, Sequence

from models.types import Query
from resolvers.criteria.filter_nodes import AllOf, AnyOf, Condition, FilterNode, Not, walk_filters
from resolvers.criteria.operators import OPERATORS, FilterType, Sides, split_sides, write_sides
from resolvers.errors import ErrorCode, InputError, limit_exceeded

MAX_FILTER_DEPTH = 16
MAX_FILTER_CONDITIONS = 500

Subprojects = Mapping[str, Sequence[str]]  # project → the ids of all projects inside it


# -- query -----------------------------------------------------------------------------------------


def write_query(filter_: AllOf, filter_type: FilterType, subprojects: Subprojects) -> Query:
    """Raises InputError and LimitError, which name the GraphQL field."""
    conditions: list[Query] = []
    for node in filter_.nodes:
        conditions += _write_node(node, filter_type, subprojects)
    return join_conditions(*conditions)


def join_conditions(*conditions: Query) -> Query:
    """The conjunction, without empty conditions, which match everything."""
    filled = [condition for condition in conditions if condition]
    if len(filled) > 1:
        return {"$and": filled}
    return filled[0] if filled else {}


def _write_node(node: FilterNode, filter_type: FilterType, subprojects: Subprojects) -> list[Query]:
    """The conditions of a node. All must match."""
    match node:
        case AllOf():
            return [write_query(node, filter_type, subprojects)]
        case AnyOf((), name):
            message = f"{name} needs at least one filter; leave it out to match everything."
            raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=name)
        case AnyOf(filters):
            return [{"$or": [write_query(inner, filter_type, subprojects) for inner in filters]}]
        case Not(inner):
            return [{"$nor": [write_query(inner, filter_type, subprojects)]}]
        case Condition(with_subprojects=True):
            return write_sides(node.path, _widen_sides(split_sides(node.value), subprojects))
        case Condition():
            return OPERATORS[node.operator].write(node, filter_type)


def _widen_sides(projects: Sides, subprojects: Subprojects) -> Sides:
    """Each project, followed by all projects inside it."""
    return Sides(_add_subprojects(projects.included, subprojects), _add_subprojects(projects.excluded, subprojects))


def _add_subprojects(projects: Sequence[str], subprojects: Subprojects) -> list[str]:
    wide: list[str] = []
    for project in projects:
        wide += [project, *subprojects.get(project, ())]
    return wide


# -- size and patterns -----------------------------------------------------------------------------


def refuse_large_filter(filter_: AllOf) -> None:
    """Raises LimitError for a filter that is too deep, or has so many conditions that its query takes long to write."""
    filters, depths = zip(*walk_filters(filter_), strict=True)
    conditions = len(filters) - 1  # each inner filter counts as one
    for inner in filters:
        conditions += sum(OPERATORS[condition.operator].count(condition.value) for condition in inner.conditions)
    for limit, actual, maximum, things in (
        ("filterDepth", max(depths), MAX_FILTER_DEPTH, "levels of filters inside it"),
        ("conditions", conditions, MAX_FILTER_CONDITIONS, "conditions"),
    ):
        if actual > maximum:
            message = f"filter has {actual} {things}; the maximum is {maximum}."
            raise limit_exceeded(message, field="filter", limit=limit, maximum=maximum, actual=actual)


def find_pattern_fields(filter_: AllOf) -> set[str]:
    """The GraphQL names of the fields with regular expressions, which only the database can read."""
    fields: set[str] = set()
    for inner, _ in walk_filters(filter_):
        for condition in inner.conditions:
            if OPERATORS[condition.operator].has_pattern(condition.value):
                fields.add(condition.name)
    return fields
