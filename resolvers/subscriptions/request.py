"""A subscription as a client requests it."""

import json
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from graphql import SKIP, ArgumentNode, DocumentNode, Executor, VariableDefinitionNode, VariableNode, Visitor, visit

from resolvers.execution.context import Context


class SubscriptionRequest(NamedTuple):
    """A subscription that is ready for execution, with the document that it executes.

    `extensions` are those of its first result.
    """

    executor: Executor[Any]
    document: DocumentNode
    query: str
    variables: Mapping[str, Any]
    extensions: dict[str, Any]

    @property
    def group_key(self) -> Hashable:
        """The same for all subscriptions that get the same events from now on, from whichever token they resume."""
        uses = VariableUses()
        visit(self.document, uses)
        token_variables = uses.as_token - uses.elsewhere
        variables = {name: value for name, value in self.variables.items() if name not in token_variables}
        operation_name = self.executor.operation.name and self.executor.operation.name.value
        context: Context = self.executor.context_value
        return self.query, operation_name, json.dumps(variables, sort_keys=True), context.viewer


class VariableUses(Visitor):
    """The names of a document's variables, by whether they are used as a resume token."""

    def __init__(self) -> None:
        super().__init__()
        self.as_token: set[str] = set()
        self.elsewhere: set[str] = set()

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: Any) -> Any:
        return SKIP

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        if node.name.value == "resumeAfter" and isinstance(node.value, VariableNode):
            self.as_token.add(node.value.name.value)
            return SKIP
        return None

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.elsewhere.add(node.name.value)
