"""Literals that don't fit their types: each error names the argument or variable that has the literal."""

from typing import Any

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLInputType,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VisitorAction,
)
from graphql.language import SKIP
from graphql.pyutils import print_path_list
from graphql.utilities import validate_input_literal

MAX_MESSAGE = 500  # characters, most of them the client's own


class LiteralsFitTypes(ValuesOfCorrectTypeRule):
    """GraphQL's rule for the types of literals."""

    _owner = ""

    def enter_argument(self, node: ArgumentNode, *_args: Any) -> None:
        self._owner = f"Argument '{node.name.value}' has invalid value"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_args: Any) -> None:
        self._owner = f"Variable '${node.variable.name.value}' has invalid default value"

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        """Report each part of the literal that does not fit; an exception of a type's own is a misfit as well."""

        def report(error: GraphQLError, path: list[str | int]) -> None:
            is_own = error.original_error is None or isinstance(error.original_error, GraphQLError)
            reason = error.message if is_own else f"{input_type} can't be read from it."
            message = f"{self._owner}{print_path_list(path)}: {reason}"
            # a node whose variables were replaced has no place in the document
            nodes = [inner for inner in error.nodes or () if inner.loc]
            self.report_error(GraphQLError(_shorten(message), nodes or node))

        if input_type:
            validate_input_literal(node, input_type, report, hide_suggestions=self.context.hide_suggestions)
        return SKIP


def _shorten(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
