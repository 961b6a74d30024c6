"""GraphQL's rules for documents. Those of graphql-core whose work or errors grow faster than a document are bounded."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    UniqueArgumentNamesRule,
    ValidationContext,
    ValuesOfCorrectTypeRule,
    specified_rules,
    validate,
)
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from resolvers.errors import LimitError, limit_exceeded
from resolvers.validation.limits import Limits
from resolvers.validation.literals import LiteralsFitTypes
from resolvers.validation.values import build_values_rule

Rule = type[ASTValidationRule]

MAX_ERRORS = 100
MAX_SUGGESTING = 10  # errors up to which names are suggested; each suggestion compares with all names of a type
MAX_WRONG_VALUES = 20
MAX_COMPARISONS = 30_000  # of fields of one name, which take 0.1 s of CPU


class BoundedOverlaps(OverlappingFieldsCanBeMergedRule):
    """The rule that compares all pairs of fields of one name, with a budget."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = MAX_COMPARISONS


class BoundedArguments(UniqueArgumentNamesRule):
    """The rule that shows all arguments of one name, with the first two of them."""

    def check_arg_uniqueness(self, argument_nodes: Collection[ArgumentNode] | None) -> None:
        by_name: dict[str, list[ArgumentNode]] = {}
        for node in argument_nodes or ():
            by_name.setdefault(node.name.value, []).append(node)
        super().check_arg_uniqueness([node for nodes in by_name.values() for node in nodes[:2]])


class BoundedLiterals(LiteralsFitTypes):
    """The rule whose every error writes out the whole literal, with a maximum of errors."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._error_count = 0

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(error)
        self._error_count += 1
        if self._error_count == MAX_WRONG_VALUES:
            message = f"The document has {MAX_WRONG_VALUES} values of a wrong type; the others are not checked."
            raise ValidationAbortedError(message)


BOUNDED_RULES: Mapping[Any, Rule] = {
    OverlappingFieldsCanBeMergedRule: BoundedOverlaps,
    UniqueArgumentNamesRule: BoundedArguments,
    ValuesOfCorrectTypeRule: BoundedLiterals,
}


def build_rules(limits: Limits) -> tuple[Rule, ...]:
    """The rules of graphql-core and Strawberry, and the one for the length of lists."""
    standard_rules = (BOUNDED_RULES.get(rule, rule) for rule in specified_rules)
    return *standard_rules, MaybeNullValidationRule, OneOfInputValidationRule, build_values_rule(limits.values)


def validate_document(
    schema: GraphQLSchema, document: DocumentNode, rules: Sequence[Rule], *, has_suggestions: bool
) -> list[GraphQLError]:
    """The errors of a document. They suggest names if they may and are few."""
    errors = _validate(schema, document, rules, hide_suggestions=True)
    was_aborted = any(isinstance(error, ValidationAbortedError) for error in errors)
    if has_suggestions and not was_aborted and 0 < len(errors) <= MAX_SUGGESTING:
        errors = _validate(schema, document, rules, hide_suggestions=False)
    return [_explain_abort(error) if isinstance(error, ValidationAbortedError) else error for error in errors]


def _validate(
    schema: GraphQLSchema, document: DocumentNode, rules: Sequence[Rule], *, hide_suggestions: bool
) -> list[GraphQLError]:
    # the last error says that there were more
    return validate(schema, document, rules, MAX_ERRORS - 1, hide_suggestions=hide_suggestions)


def _explain_abort(aborted: ValidationAbortedError) -> GraphQLError:
    message = aborted.message
    if message == "Validation aborted.":
        message = "The document selects fields of one name too often; select each once, or use fewer fragments."
    error: LimitError = limit_exceeded(message, limit="validation")
    return GraphQLError(str(error), original_error=error)
