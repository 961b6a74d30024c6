"""Documents on their way to execution: parsed, counted, priced and validated, in this order.

What depends on the document alone is done once and kept; its cost is worked out anew for the variables of each request.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)
from graphql.validation.validate import ValidationAbortedError
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from resolvers.criteria.nesting import measure_nesting
from resolvers.errors import ApiError, ErrorCode, LimitError, RequestError, limit_exceeded
from resolvers.execution.context import Context
from resolvers.execution.plan import PlannedExecution
from resolvers.subscriptions.request import SubscriptionRequest
from resolvers.validation.cost import Operation, Pricing
from resolvers.validation.limits import Limits, counts, in_order, refusal, too_many
from resolvers.validation.operation import OneOperation
from resolvers.validation.rules import RULES
from resolvers.validation.values import listed_values, too_long, values_rule

KEPT = 128  # documents
MAX_KEPT = 20_000  # characters of one, so that long ones don't fill the memory
MAX_ERRORS = 100
MAX_SUGGESTING = 10  # errors up to which names are suggested; each suggestion compares with all names of a type


class Checked(NamedTuple):
    """A document with all that is known of it before there are variables."""

    document: DocumentNode
    operations: Mapping[str | None, Operation]
    errors: list[GraphQLError]


class Schema(strawberry.Schema):
    """Strawberry's schema, which refuses documents that ask for too much before anything else looks at them.

    It leaves errors to the view: what clients do wrong is not for the log.
    """

    def __init__(
        self, *, limits: Limits, sizes: Mapping[tuple[str, str], int], introspection: bool, **options: Any
    ) -> None:
        super().__init__(**options, extensions=[lambda: _Checks(self), OneOperation])
        self._schema.type_map = dict(sorted(self._schema.type_map.items()))  # the order that introspection gives
        self.limits = limits
        self._introspection = introspection
        self._rules = (*RULES, values_rule(limits.values))
        self._pricing = Pricing(self._schema, sizes, limits.page)
        self._kept = lru_cache(KEPT)(self._check)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the schema's file: the SDL and the end of its last line."""
        return hashlib.sha256(f"{self.as_str()}\n".encode()).hexdigest()

    def check(self, text: str) -> Checked:
        """The document; raises GraphQLSyntaxError, or LimitError when it is too long to be one."""
        if len(text) > self.limits.characters:
            raise too_many(
                "characters in its document; put long text into variables",
                limit="characters",
                maximum=self.limits.characters,
                actual=len(text),
            )
        return self._kept(text) if len(text) <= MAX_KEPT else self._check(text)

    def refusals(
        self, checked: Checked, operation_name: str | None, variables: Mapping[str, Any]
    ) -> tuple[list[GraphQLError], int | None]:
        """What forbids to execute an operation with these variables, and what it costs, if that is known."""
        operation = checked.operations.get(operation_name)
        cost = operation.cost(variables) if operation else None
        errors = checked.errors
        if not errors and measure_nesting(*variables.values()) > self.limits.nesting:
            errors = [
                _error(
                    too_many("levels of lists and objects in a variable", limit="nesting", maximum=self.limits.nesting)
                )
            ]
        if not errors and (long := self._long_list(checked.document, operation_name, variables)):
            errors = [_error(long)]
        if not errors and cost is not None and cost > self.limits.cost:
            errors = [_error(too_many("objects to answer with", limit="cost", maximum=self.limits.cost, actual=cost))]
        return errors, cost

    def cost_report(self, cost: int | None, asked: Mapping[str, Any] | None) -> dict[str, Any]:
        """The extensions of an answer; those of a request ask for its cost with `{"cost": true}`."""
        if cost is None or (asked or {}).get("cost") is not True:
            return {}
        return {"cost": {"requested": cost, "budget": self.limits.cost}}

    def _long_list(
        self, document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any]
    ) -> LimitError | None:
        operation, maximum = get_operation_ast(document, operation_name), self.limits.values
        found = listed_values(operation, variables, self._schema) if operation else ()
        return next((too_long(listed, maximum) for listed in found if listed.length > maximum), None)

    def is_subscription(self, query: str, operation_name: str | None) -> bool:
        """Tells whether a document's operation is a subscription; not when there is no such operation."""
        try:
            operation = get_operation_ast(self.check(query).document, operation_name)
        except (GraphQLError, LimitError):
            return False
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def subscribed(
        self,
        query: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        context: Context,
        extensions: Mapping[str, Any] | None = None,
    ) -> SubscriptionRequest | list[GraphQLError] | None:
        """The subscription that is asked for, or what forbids it; None when something else is asked for."""
        try:
            checked = self.check(query)
        except GraphQLError as error:
            return [error]
        except LimitError as error:
            return [_error(error)]
        operation = get_operation_ast(checked.document, operation_name)
        if operation is None or operation.operation is not OperationType.SUBSCRIPTION:
            return None
        errors, cost = self.refusals(checked, operation.name.value if operation.name else None, variables)
        if errors:
            return errors
        executor = PlannedExecution.build(
            self._schema, checked.document, None, context, dict(variables), operation_name,
            hide_suggestions=not self._introspection,
        )  # fmt: skip
        if isinstance(executor, list):
            return executor
        return SubscriptionRequest(executor, checked.document, query, variables, self.cost_report(cost, extensions))

    def _check(self, text: str) -> Checked:
        document = self._parsed(text)
        fragments = in_order(document)
        if fragments is None:  # a circle of fragments, which validation refuses
            return Checked(document, {}, self._validated(document))
        operations = self._pricing.operations(document, fragments)
        found = counts(document, fragments)
        refused: ApiError | None = refusal(found, self.limits)
        if found.introspection and not self._introspection:
            refused = RequestError(ErrorCode.VALIDATION_FAILED, "Introspection is turned off here.")
        return Checked(document, operations, [_error(refused)] if refused else self._validated(document))

    def _parsed(self, text: str) -> DocumentNode:
        most = self.limits.tokens
        try:
            # the edition of September 2025 has no empty selection sets
            return parse(text, max_tokens=most, allow_empty_selection_sets=False)
        except GraphQLSyntaxError as error:
            if error.message == f"Syntax Error: Document contains more than {most} tokens. Parsing aborted.":
                raise too_many("tokens", limit="tokens", maximum=most) from None
            raise

    def _validated(self, document: DocumentNode) -> list[GraphQLError]:
        """The errors of the document; with suggestions while there are few of them."""
        errors = self._violations(document, hide_suggestions=True)
        was_aborted = any(isinstance(error, ValidationAbortedError) for error in errors)
        if self._introspection and not was_aborted and 0 < len(errors) <= MAX_SUGGESTING:
            errors = self._violations(document, hide_suggestions=False)
        return [_error(_aborted(error)) if isinstance(error, ValidationAbortedError) else error for error in errors]

    def _violations(self, document: DocumentNode, *, hide_suggestions: bool) -> list[GraphQLError]:
        # the last error says that there were more
        return validate(self._schema, document, self._rules, MAX_ERRORS - 1, hide_suggestions=hide_suggestions)

    def _get_custom_context_kwargs(
        self, operation_extensions: dict[str, Any] | None = None, *, sync: bool = False
    ) -> dict[str, Any]:
        """Arguments of graphql-core's execute; Strawberry has no public way to add one."""
        options = super()._get_custom_context_kwargs(operation_extensions, sync=sync)
        return options | {"hide_suggestions": not self._introspection}


class _Checks(SchemaExtension):
    """Takes the place of parsing and validation."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._cost: int | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        assert context.query
        self._checked = self._schema.check(context.query)
        context.graphql_document = self._checked.document
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        errors, self._cost = self._schema.refusals(self._checked, context.operation_name, context.variables or {})
        context.pre_execution_errors = errors
        yield

    def get_results(self) -> dict[str, Any]:
        return self._schema.cost_report(self._cost, self.execution_context.operation_extensions)


def _error(error: ApiError) -> GraphQLError:
    return GraphQLError(str(error), original_error=error)


def _aborted(error: ValidationAbortedError) -> LimitError:
    message = error.message
    if message == "Validation aborted.":
        message = "The document selects fields of one name too often; select each once, or use fewer fragments."
    return limit_exceeded(message, limit="validation")
