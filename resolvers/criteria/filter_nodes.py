"""A filter input, parsed once into plain nodes, and the walks that measure them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolvers.errors import limit_exceeded
from schema.spec import FieldSpec, ObjectSpec

MAX_FILTER_DEPTH = 16
MAX_FILTER_CONDITIONS = 500
VALUES_OF_ONE_CONDITION = 100
# operators that write a condition for each item of their list
ITEM_OPERATORS = {"is_set", "is_unset", "dates"}
PATTERN_OPERATORS = {"pattern", "insensitive", "all_match", "any_match"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One field of a filter input and its value. `field.filter_kind` names the operator.

    `with_subprojects` marks the projects that stand for all projects inside them, too.
    """

    field: FieldSpec
    value: Any
    is_nested: bool = False
    with_subprojects: bool = False

    @property
    def name(self) -> str:
        return self.field.graphql_name

    @property
    def path(self) -> str:
        return self.field.stored_paths[0] if self.field.stored_paths else self.field.name

    @property
    def has_pattern(self) -> bool:
        if self.field.filter_kind == "hyperparams":
            return any(item.get("matches") for item in self.value)
        return self.field.filter_kind in PATTERN_OPERATORS and bool(self.value)


@dataclass(frozen=True, slots=True)
class AllOf:
    """A filter input: all of its nodes must match."""

    nodes: tuple["FilterNode", ...]

    @property
    def conditions(self) -> list[Condition]:
        return [node for node in self.nodes if isinstance(node, Condition)]

    def find_value(self, field_name: str) -> Any:
        """The value of a condition by the HOCON name of its field; None without one."""
        return next((condition.value for condition in self.conditions if condition.field.name == field_name), None)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the filters must match, or several. `name` is the field that has them."""

    filters: tuple[AllOf, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """The filter must not match."""

    filter: AllOf


FilterNode = Condition | AllOf | AnyOf | Not


def parse_filter(values: Mapping[str, Any], input_spec: ObjectSpec, *, is_nested: bool = False) -> AllOf:
    """The nodes of a filter input, whose values stand by HOCON names. Null and absent values make no node."""
    nodes: list[FilterNode] = []
    for field in input_spec.fields:
        value = values.get(field.name)
        if value is None:
            continue
        match field.filter_kind:
            case "and":
                nodes += [parse_filter(inner, input_spec, is_nested=True) for inner in value]
            case "or":
                filters = tuple(parse_filter(inner, input_spec, is_nested=True) for inner in value)
                nodes.append(AnyOf(filters, field.graphql_name))
            case "not":
                nodes.append(Not(parse_filter(value, input_spec, is_nested=True)))
            case str():
                with_subprojects = field.name == "project" and bool(values.get("include_subprojects"))
                nodes.append(Condition(field, value, is_nested, with_subprojects))
    return AllOf(tuple(nodes))


def walk_filters(filter_: AllOf, depth: int = 0) -> Iterator[tuple[AllOf, int]]:
    """The filter and all filters inside it, outer ones first, each with its depth."""
    yield filter_, depth
    for node in filter_.nodes:
        for inner in _list_inner_filters(node):
            yield from walk_filters(inner, depth + 1)


def _list_inner_filters(node: FilterNode) -> Sequence[AllOf]:
    match node:
        case AllOf():
            return (node,)
        case AnyOf(filters):
            return filters
        case Not(filter_):
            return (filter_,)
        case Condition():
            return ()


def refuse_large_filter(filter_: AllOf) -> None:
    """Raises LimitError for a filter that is too deep, or has so many conditions that its query takes long to write."""
    filters, depths = zip(*walk_filters(filter_), strict=True)
    conditions = len(filters) - 1  # each inner filter counts as one
    for inner in filters:
        conditions += sum(map(_count_conditions, inner.conditions))
    for limit, actual, maximum, things in (
        ("filterDepth", max(depths), MAX_FILTER_DEPTH, "levels of filters inside it"),
        ("conditions", conditions, MAX_FILTER_CONDITIONS, "conditions"),
    ):
        if actual > maximum:
            message = f"filter has {actual} {things}; the maximum is {maximum}."
            raise limit_exceeded(message, field="filter", limit=limit, maximum=maximum, actual=actual)


def _count_conditions(condition: Condition) -> int:
    if condition.field.filter_kind in ITEM_OPERATORS:
        return len(condition.value)
    return _count_values(condition.value)


def _count_values(value: Any) -> int:
    """A list of plain values counts once for each hundred of them; all else counts with its inner values."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_count_values, value.values()))
    if isinstance(value, list):
        structures = [item for item in value if not isinstance(item, str | int | float)]
        return len(value) // VALUES_OF_ONE_CONDITION + sum(map(_count_values, structures))
    return 0 if value is None else 1


def find_pattern_fields(filter_: AllOf) -> set[str]:
    """The GraphQL names of the fields with regular expressions, which only the database can read."""
    fields: set[str] = set()
    for inner, _ in walk_filters(filter_):
        fields.update(condition.name for condition in inner.conditions if condition.has_pattern)
    return fields
