"""Which operation of a document is meant: with several, only the one that is named."""

from collections.abc import Iterator

from graphql import OperationDefinitionNode
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError


class OneOperation(SchemaExtension):
    """Refuses a document of several operations when none was named; Strawberry would run the first."""

    def on_operation(self) -> Iterator[None]:
        # once there is a document, this is the name of its first operation
        self._is_named = self.execution_context.operation_name is not None
        yield

    def on_parse(self) -> Iterator[None]:
        yield
        document = self.execution_context.graphql_document
        definitions = document.definitions if document else ()
        if not self._is_named and sum(isinstance(node, OperationDefinitionNode) for node in definitions) > 1:
            raise CannotGetOperationTypeError(None)
