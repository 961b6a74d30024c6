"""A filter input, parsed once into plain nodes. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schema.spec import FieldSpec, ObjectSpec


@dataclass(frozen=True, slots=True)
class Condition:
    """One field of a filter input, the name of its operator, and its value.

    `with_subprojects` marks the projects that stand for all projects inside them, too.
    """

    field: FieldSpec
    operator: str
    value: Any
    is_nested: bool = False
    with_subprojects: bool = False

    @property
    def name(self) -> str:
        return self.field.graphql_name

    @property
    def path(self) -> str:
        return self.field.stored_paths[0] if self.field.stored_paths else self.field.name


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
        match field.filter_operator:
            case "and":
                nodes += [parse_filter(inner, input_spec, is_nested=True) for inner in value]
            case "or":
                filters = tuple(parse_filter(inner, input_spec, is_nested=True) for inner in value)
                nodes.append(AnyOf(filters, field.graphql_name))
            case "not":
                nodes.append(Not(parse_filter(value, input_spec, is_nested=True)))
            case str() as operator:
                with_subprojects = field.name == "project" and bool(values.get("include_subprojects"))
                nodes.append(Condition(field, operator, value, is_nested, with_subprojects))
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
