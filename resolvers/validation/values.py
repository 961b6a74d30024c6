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
from resolvers.validation.limits import Limits


class ValueList(NamedTuple):
    """A list of values: the argument, field or variable that has it, and its length."""

    name: str
    length: int


def check_list_lengths(
    operation: OperationDefinitionNode | None, variables: Mapping[str, Any], schema: GraphQLSchema, limits: Limits
) -> LimitError | None:
    """The error for the first list in the variables of an operation that is too long."""
    for value_list in _find_value_lists(operation, variables, schema) if operation else ():
        if value_list.length > limits.values:
            return _list_too_long(value_list, limits.values)
    return None


def _list_too_long(value_list: ValueList, maximum: int) -> LimitError:
    name, length = value_list
    message = f"{name} has {length} values; a list has at most {maximum}. Send several requests."
    return limit_exceeded(message, field=name, limit="values", maximum=maximum, actual=length)


def _find_value_lists(
    operation: OperationDefinitionNode, variables: Mapping[str, Any], schema: GraphQLSchema
) -> Iterator[ValueList]:
    """The lists of values in the variables of an operation. Free JSON holds none."""
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        type_: Any = type_from_ast(schema, definition.type)
        if name in variables and type_:
            yield from _find_lists_in_value(name, variables[name], type_)


def _find_lists_in_value(name: str, value: Any, input_type: GraphQLInputType) -> Iterator[ValueList]:
    type_: Any = get_nullable_type(input_type)
    if is_list_type(type_) and isinstance(value, list):
        if _has_leaf_items(type_):
            yield ValueList(name, len(value))
        for item in value:
            yield from _find_lists_in_value(name, item, type_.of_type)
    elif is_list_type(type_):
        yield from _find_lists_in_value(name, value, type_.of_type)
    elif is_input_object_type(type_) and isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, list | Mapping) and key in type_.fields:
                yield from _find_lists_in_value(key, inner, type_.fields[key].type)


def _has_leaf_items(list_type: Any) -> bool:
    return is_leaf_type(get_nullable_type(list_type.of_type))


def build_values_rule(maximum: int) -> type[ValidationRule]:
    """Build the rule that refuses longer lists of values in a document."""

    class ValuesRule(ValidationRule):
        def enter_list_value(
            self, node: ListValueNode, _key: Any, parent: Any, _path: Any, ancestors: Sequence[Any]
        ) -> None:
            list_type: Any = get_nullable_type(self.context.get_parent_input_type())
            if len(node.values) > maximum and is_list_type(list_type) and _has_leaf_items(list_type):
                value_list = ValueList(_find_nearest_name([parent, *reversed(ancestors)]), len(node.values))
                error = _list_too_long(value_list, maximum)
                self.report_error(GraphQLError(str(error), node, original_error=error))

    return ValuesRule


def _find_nearest_name(nodes: Sequence[Any]) -> str:
    """The name of the nearest of these nodes: an argument, a field of an input, or a variable with a default."""
    named = (getattr(node, "variable", node) for node in nodes)
    name: str = next(node.name.value for node in named if hasattr(node, "name"))
    return name
