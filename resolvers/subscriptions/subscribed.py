"""One subscription: its execution, and what it asks."""

import json
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from graphql import SKIP, ArgumentNode, DocumentNode, Executor, VariableDefinitionNode, VariableNode, Visitor, visit

from resolvers.execution.context import Context


class Subscribed(NamedTuple):
    """A subscription to execute, what it asks, and the extensions of its first result."""

    executor: Executor[Any]
    document: DocumentNode
    query: str
    variables: Mapping[str, Any]
    extensions: dict[str, Any]

    @property
    def identity(self) -> Hashable:
        """The same for all who are told the same from now on, wherever they continue."""
        uses = Uses()
        visit(self.document, uses)
        apart = uses.as_marks - uses.otherwise
        asked = {name: value for name, value in self.variables.items() if name not in apart}
        name = self.executor.operation.name
        context: Context = self.executor.context_value
        return self.query, name and name.value, json.dumps(asked, sort_keys=True), context.viewer


class Uses(Visitor):
    """What the variables of a document are used for."""

    def __init__(self) -> None:
        super().__init__()
        self.as_marks: set[str] = set()
        self.otherwise: set[str] = set()

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: Any) -> Any:
        return SKIP

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        if node.name.value == "resumeAfter" and isinstance(node.value, VariableNode):
            self.as_marks.add(node.value.name.value)
            return SKIP
        return None

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.otherwise.add(node.name.value)
