"""Lists of values in a request, such as ids, names and tags: none is longer than a maximum, wherever it stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    ListValueNode,
    OperationDefinitionNode,
    ValidationRule,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    type_from_ast,
)

from resolvers.errors import LimitError, limit_exceeded


class Listed(NamedTuple):
    """A list of values: the argument, field or variable that has it, and its length."""

    name: str
    length: int


def too_long(found: Listed, maximum: int) -> LimitError:
    message = f"{found.name} has {found.length} values; a list has at most {maximum}. Send several requests."
    return limit_exceeded(message, field=found.name, limit="values", maximum=maximum, actual=found.length)


def listed_values(
    operation: OperationDefinitionNode, variables: Mapping[str, Any], schema: GraphQLSchema
) -> Iterator[Listed]:
    """The lists of values in the variables of an operation. Free JSON holds none."""
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        type_: Any = type_from_ast(schema, definition.type)
        if name in variables and type_:
            yield from _listed(name, variables[name], type_)


def _listed(name: str, value: Any, type_: GraphQLInputType) -> Iterator[Listed]:
    known: Any = get_nullable_type(type_)
    if is_list_type(known) and isinstance(value, list):
        if _is_of_values(known):
            yield Listed(name, len(value))
        for item in value:
            yield from _listed(name, item, known.of_type)
    elif is_list_type(known):
        yield from _listed(name, value, known.of_type)
    elif is_input_object_type(known) and isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, list | Mapping) and key in known.fields:
                yield from _listed(key, inner, known.fields[key].type)


def _is_of_values(list_type: Any) -> bool:
    return is_leaf_type(get_nullable_type(list_type.of_type))


def values_rule(maximum: int) -> type[ValidationRule]:
    """The rule that refuses longer lists of values in a document."""

    class ValuesRule(ValidationRule):
        def enter_list_value(
            self, node: ListValueNode, _key: Any, parent: Any, _path: Any, ancestors: Sequence[Any]
        ) -> None:
            list_type: Any = get_nullable_type(self.context.get_parent_input_type())
            if len(node.values) > maximum and is_list_type(list_type) and _is_of_values(list_type):
                error = too_long(Listed(_name_of([parent, *reversed(ancestors)]), len(node.values)), maximum)
                self.report_error(GraphQLError(str(error), node, original_error=error))

    return ValuesRule


def _name_of(around: Sequence[Any]) -> str:
    """The name of the nearest of these nodes: an argument, a field of an input, or a variable with a default."""
    named = (getattr(node, "variable", node) for node in around)
    name: str = next(node.name.value for node in named if hasattr(node, "name"))
    return name
