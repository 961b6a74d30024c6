"""The steps of a request: parse → limits → cost → validate → execute.

`Schema.prepare` takes the steps that need the document alone, once for each text; `Schema.check` takes those that need
the variables of a request. Strawberry executes, by plan; `RequestSteps` replaces its own parsing and validation.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import strawberry
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType, get_operation_ast
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionContext

from resolvers.errors import ApiError, ErrorCode, RequestError
from resolvers.execution.context import Context
from resolvers.execution.plan import PlannedExecution
from resolvers.subscriptions.request import SubscriptionRequest
from resolvers.validation.cost import CostModel, OperationCost
from resolvers.validation.limits import (
    Counts,
    Limits,
    check_cost,
    check_counts,
    check_length,
    check_nesting,
    count_document,
    parse_document,
    sort_fragments,
)
from resolvers.validation.rules import build_rules, validate_document
from resolvers.validation.values import check_list_lengths

MAX_CACHED = 128  # documents
MAX_CACHED_LENGTH = 20_000  # characters of one document, so that long ones don't fill the memory


class PreparedDocument(NamedTuple):
    """A document after the steps that need no variables."""

    document: DocumentNode
    costs: Mapping[str | None, OperationCost]
    errors: list[GraphQLError]


class CheckedRequest(NamedTuple):
    """The errors that keep a request from execution, and its cost unless fragments hide it in a circle."""

    errors: list[GraphQLError]
    cost: int | None


class Schema(strawberry.Schema):
    """Strawberry's schema with the steps of a request.

    It leaves errors to the view: the mistakes of clients are not for the log.
    """

    def __init__(
        self, *, limits: Limits, usual_sizes: Mapping[tuple[str, str], int], introspection: bool, **options: Any
    ) -> None:
        super().__init__(**options, extensions=[lambda: RequestSteps(self)], execution_context_class=PlannedExecution)
        self._schema.type_map = dict(sorted(self._schema.type_map.items()))  # the order that introspection gives
        self.limits = limits
        self._has_introspection = introspection
        self._rules = build_rules(limits)
        self._cost_model = CostModel(self._schema, usual_sizes, limits.page)
        self._take_document_steps_cached = lru_cache(MAX_CACHED)(self._take_document_steps)

    # -- the steps ---------------------------------------------------------------------------------

    def prepare(self, text: str) -> PreparedDocument:
        """Take the steps of a document. Raises GraphQLSyntaxError, and LimitError for a text that is too long."""
        check_length(text, self.limits)
        is_cached = len(text) <= MAX_CACHED_LENGTH
        return self._take_document_steps_cached(text) if is_cached else self._take_document_steps(text)

    def _take_document_steps(self, text: str) -> PreparedDocument:
        # parse
        document = parse_document(text, self.limits)
        fragments = sort_fragments(document)
        if fragments is None:  # they spread each other in a circle, which has no counts; validation names it
            return PreparedDocument(document, {}, self._validate(document))
        # limits
        counts = count_document(document, fragments)
        refusal = self._check_introspection(counts) or check_counts(counts, self.limits)
        # cost
        costs = self._cost_model.build_operation_costs(document, fragments)
        # validate
        errors = [_to_graphql_error(refusal)] if refusal else self._validate(document)
        return PreparedDocument(document, costs, errors)

    def check(
        self, prepared: PreparedDocument, operation_name: str | None, variables: Mapping[str, Any]
    ) -> CheckedRequest:
        """Take the steps of a request with these variables; errors of its document come first."""
        operation_cost = prepared.costs.get(operation_name)
        cost = operation_cost.compute(variables) if operation_cost else None
        if prepared.errors:
            return CheckedRequest(prepared.errors, cost)
        operation = get_operation_ast(prepared.document, operation_name)
        refusal = (
            check_nesting(variables, self.limits)
            or check_list_lengths(operation, variables, self._schema, self.limits)
            or check_cost(cost, self.limits)
        )
        return CheckedRequest([_to_graphql_error(refusal)] if refusal else [], cost)

    def _check_introspection(self, counts: Counts) -> ApiError | None:
        if counts.introspection and not self._has_introspection:
            return RequestError(ErrorCode.VALIDATION_FAILED, "Introspection is turned off here.")
        return None

    def _validate(self, document: DocumentNode) -> list[GraphQLError]:
        return validate_document(self._schema, document, self._rules, has_suggestions=self._has_introspection)

    def report_cost(self, cost: int | None, request_extensions: Mapping[str, Any] | None) -> dict[str, Any]:
        """The extensions of an answer; a request asks for its cost by the extension `{"cost": true}`."""
        if cost is None or (request_extensions or {}).get("cost") is not True:
            return {}
        return {"cost": {"requested": cost, "budget": self.limits.cost}}

    # -- subscriptions -----------------------------------------------------------------------------

    def is_subscription(self, text: str, operation_name: str | None) -> bool:
        """Whether the operation of a document is a subscription; False if the document has no such operation."""
        try:
            operation = get_operation_ast(self.prepare(text).document, operation_name)
        except (GraphQLError, ApiError):
            return False
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def prepare_subscription(
        self,
        text: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        context: Context,
        extensions: Mapping[str, Any] | None = None,
    ) -> SubscriptionRequest | list[GraphQLError] | None:
        """Take the steps of a subscription up to execution; its errors, or None for another operation."""
        try:
            prepared = self.prepare(text)
        except GraphQLError as error:
            return [error]
        except ApiError as error:
            return [_to_graphql_error(error)]
        document = prepared.document
        operation = get_operation_ast(document, operation_name)
        if operation is None or operation.operation is not OperationType.SUBSCRIPTION:
            return None
        errors, cost = self.check(prepared, operation.name.value if operation.name else None, variables)
        if errors:
            return errors
        executor = PlannedExecution.build(
            self._schema,
            document,
            context_value=context,
            raw_variable_values=dict(variables),
            operation_name=operation_name,
            hide_suggestions=not self._has_introspection,
        )
        if isinstance(executor, list):
            return executor
        return SubscriptionRequest(executor, document, text, variables, self.report_cost(cost, extensions))

    # -- Strawberry --------------------------------------------------------------------------------

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the schema's file: the SDL and the end of its last line."""
        return hashlib.sha256(f"{self.as_str()}\n".encode()).hexdigest()

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass

    def _get_custom_context_kwargs(
        self, operation_extensions: dict[str, Any] | None = None, *, sync: bool = False
    ) -> dict[str, Any]:
        """Arguments of graphql-core's execute; Strawberry has no public way to add one."""
        options = super()._get_custom_context_kwargs(operation_extensions, sync=sync)
        return options | {"hide_suggestions": not self._has_introspection}


class RequestSteps(SchemaExtension):
    """Takes the place of Strawberry's parsing and validation."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._cost: int | None = None

    def on_operation(self) -> Iterator[None]:
        # once there is a document, this is the name of its first operation
        self._has_operation_name = self.execution_context.operation_name is not None
        yield

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self._prepared = self._schema.prepare(context.query or "")
        context.graphql_document = self._prepared.document
        yield
        if not self._has_operation_name and _count_operations(self._prepared.document) > 1:
            raise CannotGetOperationTypeError(None)  # Strawberry would execute the first

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        variables = context.variables or {}
        context.pre_execution_errors, self._cost = self._schema.check(self._prepared, context.operation_name, variables)
        yield

    def get_results(self) -> dict[str, Any]:
        return self._schema.report_cost(self._cost, self.execution_context.operation_extensions)


def _count_operations(document: DocumentNode) -> int:
    return sum(isinstance(node, OperationDefinitionNode) for node in document.definitions)


def _to_graphql_error(error: ApiError) -> GraphQLError:
    return GraphQLError(str(error), original_error=error)
