"""The cost of an operation is the number of objects that its answer may hold.

A formula is built once from a document, and computed with the variables of each request. Plain values are free; a list
has its page, or the items that its arguments name, or the usual number of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
)

from resolvers.criteria.pages import DEFAULT_PAGE
from resolvers.validation.limits import PLENTY
from schema.spec import ObjectSpec, Spec

USUAL_SIZE = 10  # items of a list without a size of its own, and names in an argument that is omitted
PAGE_SIZE_ARGUMENTS = ("first", "last", "pageSize")

Coordinates = tuple[str, str]  # the names of a type and its field
INTROSPECTION_SIZES: Mapping[Coordinates, int] = {
    ("__Schema", "types"): 100,
    ("__Field", "args"): 1,
    ("__Type", "interfaces"): 1,
    ("__Type", "possibleTypes"): 1,
}

Variables = Mapping[str, Any]
CountItems = Callable[[Variables], int]


# -- formulas --------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """The objects of a selection: `paged` counts once for each item of a page of the field above."""

    fixed: int = 0
    paged: int = 0

    def count_objects(self, page_size: int) -> int:
        return min(PLENTY, self.fixed + page_size * self.paged)


class InclusionRule(NamedTuple):
    """@include or @skip: its selection counts when the argument has the required value."""

    required: bool
    argument: Any


@dataclass(frozen=True, slots=True)
class Objects:
    """A field with objects: their number (None: a page of the field above), and the size of a page below it."""

    count: CountItems | None
    page_size: CountItems
    formula: "Formula"


@dataclass(frozen=True, slots=True)
class Term:
    """A field, the name of a fragment, or the formula of an inline fragment; it counts if all rules include it."""

    rules: tuple[InclusionRule, ...]
    content: "Objects | str | Formula"

    def is_included(self, variables: Variables) -> bool:
        return all(bool(_resolve(rule.argument, variables)) is rule.required for rule in self.rules)


Formula = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class OperationCost:
    """The formula of an operation, with the defaults of its variables and the fragments of its document."""

    formula: Formula
    defaults: Variables
    fragments: Mapping[str, Formula]

    def compute(self, request_variables: Variables) -> int:
        """The number of objects that the answer to these variables may hold; they are as the request has them."""
        variables = {**self.defaults, **request_variables}
        by_fragment: dict[str, Cost] = {}
        for name, formula in self.fragments.items():
            by_fragment[name] = _compute_formula(formula, variables, by_fragment)
        return _compute_formula(self.formula, variables, by_fragment).count_objects(USUAL_SIZE)


def _compute_formula(formula: Formula, variables: Variables, by_fragment: Mapping[str, Cost]) -> Cost:
    fixed = paged = 0
    for term in formula:
        if not term.is_included(variables):
            continue
        match term.content:
            case str() as fragment:
                cost = by_fragment.get(fragment, Cost())
            case Objects(count, page_size, below):
                each = 1 + _compute_formula(below, variables, by_fragment).count_objects(page_size(variables))
                cost = Cost(count(variables) * each) if count else Cost(paged=each)
            case tuple() as inline:
                cost = _compute_formula(inline, variables, by_fragment)
        fixed, paged = min(PLENTY, fixed + cost.fixed), min(PLENTY, paged + cost.paged)
    return Cost(fixed, paged)


# -- from documents --------------------------------------------------------------------------------


def find_usual_sizes(spec: Spec) -> dict[Coordinates, int]:
    """The `x-size` of all fields that have one."""
    sizes = {}
    for definition in spec.definitions.values():
        if isinstance(definition, ObjectSpec):
            for name, output_field in definition.output_fields.items():
                if output_field.usual_size is not None:
                    sizes[definition.graphql_name, name] = output_field.usual_size
    return sizes


class CostModel:
    """Builds the formulas of documents by one schema; `usual_sizes` are those of lists with an unusual size."""

    def __init__(self, schema: GraphQLSchema, usual_sizes: Mapping[Coordinates, int], max_page: int) -> None:
        self._schema = schema
        self._usual_sizes = {**INTROSPECTION_SIZES, **usual_sizes}
        self._max_page = max_page

    def build_operation_costs(
        self, document: DocumentNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> dict[str | None, OperationCost]:
        """Build the costs of the document's operations, by name. `fragments` are its own, by `sort_fragments`."""
        formulas = {}
        for name, fragment in fragments.items():
            type_ = self._schema.get_type(fragment.type_condition.name.value)
            formulas[name] = self._build_formula(fragment.selection_set, type_)
        costs: dict[str | None, OperationCost] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                formula = self._build_formula(node.selection_set, self._schema.get_root_type(node.operation))
                name_of_operation = node.name.value if node.name else None
                costs[name_of_operation] = OperationCost(formula, _read_variable_defaults(node), formulas)
        return costs

    def _build_formula(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> Formula:
        terms = []
        for node in selection_set.selections:
            if content := self._build_content(node, parent):
                terms.append(Term(_read_inclusion_rules(node), content))  # noqa: PERF401 - a comprehension is one more frame a level
        return tuple(terms)

    def _build_content(self, node: SelectionNode, parent: GraphQLNamedType | None) -> Objects | str | Formula | None:
        match node:
            case FragmentSpreadNode():
                return node.name.value
            case InlineFragmentNode():
                type_ = self._schema.get_type(node.type_condition.name.value) if node.type_condition else parent
                return self._build_formula(node.selection_set, type_)
            case FieldNode() if node.selection_set and is_composite_type(parent):
                return self._build_objects(node, node.selection_set, parent)
        return None

    def _build_objects(
        self, node: FieldNode, selection_set: SelectionSetNode, parent: GraphQLCompositeType
    ) -> Objects | None:
        field = self._schema.get_field(parent, node.name.value)
        if field is None:
            return None
        arguments = {name: _read_default(argument) for name, argument in field.args.items()}
        for argument in node.arguments or ():
            arguments[argument.name.value] = _read_literal(argument.value)
        has_pages = not field.args.keys().isdisjoint(PAGE_SIZE_ARGUMENTS)
        page_size = self._build_page_size(arguments) if has_pages else None
        count = page_size
        if not _is_list(field.type):
            count = _count_one
        elif page_size is None:
            count = self._build_count(field, (parent.name, node.name.value), arguments)
        formula = self._build_formula(selection_set, get_named_type(field.type))
        return Objects(count, page_size or _count_usual, formula)

    def _build_page_size(self, arguments: Variables) -> CountItems:
        literals = [arguments[name] for name in PAGE_SIZE_ARGUMENTS if name in arguments]

        def count_page(variables: Variables) -> int:
            values = [_resolve(literal, variables) for literal in literals]
            sizes = [value for value in values if isinstance(value, int | float)]
            # the resolver refuses sizes outside the range
            return int(min(max(0, *sizes), self._max_page)) if sizes else min(DEFAULT_PAGE, self._max_page)

        return count_page

    def _build_count(self, field: GraphQLField, coordinates: Coordinates, arguments: Variables) -> CountItems | None:
        """Build the count of a list without pages, by its usual size and by the names in its arguments."""
        literals = [arguments.get(name) for name, argument in field.args.items() if _is_list(argument.type)]
        usual_size = self._usual_sizes.get(coordinates, USUAL_SIZE)
        if not literals:
            return (lambda _variables: usual_size) if coordinates in self._usual_sizes else None

        def count_named(variables: Variables) -> int:
            product = 1
            for literal in literals:
                product *= _count_names(_resolve(literal, variables))
            return product if all(literals) else min(usual_size, product)

        return count_named


def _is_list(type_: GraphQLInputType | GraphQLOutputType) -> bool:
    return isinstance(get_nullable_type(type_), GraphQLList)


def _count_one(_variables: Variables) -> int:
    return 1


def _count_usual(_variables: Variables) -> int:
    return USUAL_SIZE


def _count_names(names: Any) -> int:
    if names is None:
        return USUAL_SIZE
    return len(names) if isinstance(names, list) else 1


# -- literals --------------------------------------------------------------------------------------


class VariableReference(NamedTuple):
    name: str


def _resolve(literal: Any, variables: Variables) -> Any:
    return variables.get(literal.name) if isinstance(literal, VariableReference) else literal


def _read_literal(node: ValueNode) -> Any:
    """As much of a literal as sizes and inclusion rules need."""
    match node:
        case VariableNode():
            return VariableReference(node.name.value)
        case IntValueNode() | FloatValueNode():
            return float(node.value)  # int refuses thousands of digits
        case BooleanValueNode():
            return node.value
        case ListValueNode():
            return list(node.values)
        case NullValueNode():
            return None
    return "other"


def _read_default(argument: GraphQLArgument) -> Any:
    """The default of an argument in either of the two forms that graphql-core keeps it in."""
    if argument.default is None:
        return None if argument.default_value is Undefined else argument.default_value
    return _read_literal(argument.default.literal) if argument.default.literal else argument.default.value


def _read_variable_defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    defaults = {}
    for definition in operation.variable_definitions or ():
        if definition.default_value:
            defaults[definition.variable.name.value] = _read_literal(definition.default_value)
    return defaults


def _read_inclusion_rules(node: SelectionNode) -> tuple[InclusionRule, ...]:
    rules: list[InclusionRule] = []
    for directive in node.directives or ():
        if directive.name.value in ("include", "skip"):
            required = directive.name.value == "include"
            conditions = [argument.value for argument in directive.arguments or () if argument.name.value == "if"]
            rules += [InclusionRule(required, _read_literal(condition)) for condition in conditions]
    return tuple(rules)
