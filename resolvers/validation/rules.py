"""GraphQL's rules for documents. Those of graphql-core whose work or errors grow faster than a document are bounded."""

from collections.abc import Collection, Mapping
from typing import Any

from graphql import (
    ArgumentNode,
    ASTValidationRule,
    GraphQLError,
    OverlappingFieldsCanBeMergedRule,
    UniqueArgumentNamesRule,
    ValidationContext,
    ValuesOfCorrectTypeRule,
    specified_rules,
)
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from resolvers.validation.literals import LiteralsFitTypes

MAX_WRONG_VALUES = 20
COMPARED = 30_000  # steps of comparing fields of one name, which take 0.1 s of CPU


class BoundedOverlaps(OverlappingFieldsCanBeMergedRule):
    """The rule that compares all pairs of fields of one name, with a budget."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = COMPARED


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
        self._number = 0

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(error)
        self._number += 1
        if self._number == MAX_WRONG_VALUES:
            message = f"The document has {MAX_WRONG_VALUES} values of a wrong type; the others are not checked."
            raise ValidationAbortedError(message)


BOUNDED: Mapping[Any, type[ASTValidationRule]] = {
    OverlappingFieldsCanBeMergedRule: BoundedOverlaps,
    UniqueArgumentNamesRule: BoundedArguments,
    ValuesOfCorrectTypeRule: BoundedLiterals,
}
RULES = (*(BOUNDED.get(rule, rule) for rule in specified_rules), MaybeNullValidationRule, OneOfInputValidationRule)
