"""How many objects an answer may hold: a formula made once of a document, and put to the variables of each request.

Plain values are free; a list has its page, or the items that its arguments name, or the usual number of them.
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
    GraphQLList,
    GraphQLNamedType,
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

USUAL = 10  # items of a list of which nothing is said, and names that an argument left out stands for
PAGING = ("first", "last", "pageSize")
INTROSPECTION_SIZES = {
    ("__Schema", "types"): 100, ("__Field", "args"): 1, ("__Type", "interfaces"): 1, ("__Type", "possibleTypes"): 1,
}  # fmt: skip

Variables = Mapping[str, Any]
Count = Callable[[Variables], int]


# -- formulas --------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Of a selection: `paged` counts once for each item of a page of the field above."""

    fixed: int = 0
    paged: int = 0

    def of(self, page: int) -> int:
        return min(PLENTY, self.fixed + page * self.paged)


@dataclass(frozen=True, slots=True)
class Objects:
    """A field with objects: how many (None: a page of the field above), and how many a page below it has."""

    count: Count | None
    page: Count
    below: "Formula"


@dataclass(frozen=True, slots=True)
class Included:
    """A field, a fragment's name or an inline fragment's selection, if @skip and @include say so."""

    conditions: tuple[tuple[bool, Any], ...]
    part: "Objects | str | Formula"


Formula = tuple[Included, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    formula: Formula
    defaults: Variables
    fragments: Mapping[str, Formula]

    def cost(self, given: Variables) -> int:
        """How many objects the answer to these variables (as the request has them) may hold."""
        variables = {**self.defaults, **given}
        known: dict[str, Cost] = {}
        for name, formula in self.fragments.items():
            known[name] = _cost(formula, variables, known)
        return _cost(self.formula, variables, known).of(USUAL)


def _cost(formula: Formula, variables: Variables, known: Mapping[str, Cost]) -> Cost:
    fixed = paged = 0
    for included in formula:
        if any(bool(_value(condition, variables)) is not wanted for wanted, condition in included.conditions):
            continue
        match included.part:
            case str() as name:
                found = known.get(name, Cost())
            case Objects(count, page, below):
                each = 1 + _cost(below, variables, known).of(page(variables))
                found = Cost(count(variables) * each) if count else Cost(paged=each)
            case tuple() as inner:
                found = _cost(inner, variables, known)
        fixed, paged = min(PLENTY, fixed + found.fixed), min(PLENTY, paged + found.paged)
    return Cost(fixed, paged)


# -- from documents --------------------------------------------------------------------------------


def said_sizes(spec: Spec) -> dict[tuple[str, str], int]:
    """The `x-size` of fields, by the names of type and field."""
    return {
        (definition.graphql_name, name): output_field.usual_size
        for definition in spec.definitions.values() if isinstance(definition, ObjectSpec)
        for name, output_field in definition.output_fields.items() if output_field.usual_size is not None
    }  # fmt: skip


class Pricing:
    """Makes formulas of documents by one schema. `sizes` says which lists have an unusual size."""

    def __init__(self, schema: GraphQLSchema, sizes: Mapping[tuple[str, str], int], max_page: int) -> None:
        self._schema = schema
        self._sizes = {**INTROSPECTION_SIZES, **sizes}
        self._max_page = max_page

    def operations(
        self, document: DocumentNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> dict[str | None, Operation]:
        """Those of the document, by name. `fragments` are its own, each behind those that it spreads."""
        known = {
            name: self._formula(node.selection_set, self._schema.get_type(node.type_condition.name.value))
            for name, node in fragments.items()
        }
        return {
            node.name.value if node.name else None: Operation(
                self._formula(node.selection_set, self._schema.get_root_type(node.operation)), _defaults(node), known
            )
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        }

    def _formula(self, selected: SelectionSetNode, parent: GraphQLNamedType | None) -> Formula:
        formula = []
        for node in selected.selections:
            if part := self._part(node, parent):
                formula.append(Included(_conditions(node), part))  # noqa: PERF401 - a comprehension is one more frame a level
        return tuple(formula)

    def _part(self, node: SelectionNode, parent: GraphQLNamedType | None) -> Objects | str | Formula | None:
        match node:
            case FragmentSpreadNode():
                return node.name.value
            case InlineFragmentNode():
                on = self._schema.get_type(node.type_condition.name.value) if node.type_condition else parent
                return self._formula(node.selection_set, on)
            case FieldNode() if node.selection_set and is_composite_type(parent):
                return self._objects(node, node.selection_set, parent)
        return None

    def _objects(self, node: FieldNode, selected: SelectionSetNode, parent: GraphQLCompositeType) -> Objects | None:
        field = self._schema.get_field(parent, node.name.value)
        if field is None:
            return None
        given = {name: _default(argument) for name, argument in field.args.items()}
        given |= {argument.name.value: _known(argument.value) for argument in node.arguments or ()}
        page = self._page(given) if not field.args.keys().isdisjoint(PAGING) else None
        count = self._count(field, (parent.name, node.name.value), given, page)
        return Objects(count, page or _usual, self._formula(selected, get_named_type(field.type)))

    def _page(self, given: Variables) -> Count:
        asked = [given[name] for name in PAGING if name in given]

        def count(variables: Variables) -> int:
            sizes = [size for size in (_value(size, variables) for size in asked) if isinstance(size, int | float)]
            # the resolver refuses what lies outside
            return int(min(max(0, *sizes), self._max_page)) if sizes else min(DEFAULT_PAGE, self._max_page)

        return count

    def _count(self, field: GraphQLField, at: tuple[str, str], given: Variables, page: Count | None) -> Count | None:
        if not isinstance(get_nullable_type(field.type), GraphQLList):
            return _one
        lists = [name for name, known in field.args.items() if isinstance(get_nullable_type(known.type), GraphQLList)]
        if page or not (lists or at in self._sizes):
            return page
        named, usual = [given.get(name) for name in lists], self._sizes.get(at, USUAL)

        def count(variables: Variables) -> int:
            product = 1
            for names in named:
                product *= _length(_value(names, variables))
            return (product if all(named) else min(usual, product)) if named else usual

        return count


def _one(_variables: Variables) -> int:
    return 1


def _usual(_variables: Variables) -> int:
    return USUAL


def _length(names: Any) -> int:
    return USUAL if names is None else len(names) if isinstance(names, list) else 1


# -- values ----------------------------------------------------------------------------------------


class _Variable(NamedTuple):
    name: str


def _value(known: Any, variables: Variables) -> Any:
    return variables.get(known.name) if isinstance(known, _Variable) else known


def _known(node: ValueNode) -> Any:
    """As much of a literal as sizes and conditions need to know."""
    match node:
        case VariableNode():
            return _Variable(node.name.value)
        case IntValueNode() | FloatValueNode():
            return float(node.value)  # int refuses thousands of digits
        case BooleanValueNode():
            return node.value
        case ListValueNode():
            return list(node.values)
        case NullValueNode():
            return None
    return "other"


def _default(argument: GraphQLArgument) -> Any:
    """The default of an argument in either of the two forms that graphql-core keeps it in."""
    if argument.default is None:
        return None if argument.default_value is Undefined else argument.default_value
    return _known(argument.default.literal) if argument.default.literal else argument.default.value


def _defaults(node: OperationDefinitionNode) -> dict[str, Any]:
    return {
        variable.variable.name.value: _known(variable.default_value)
        for variable in node.variable_definitions or ()
        if variable.default_value
    }


def _conditions(node: SelectionNode) -> tuple[tuple[bool, Any], ...]:
    return tuple(
        (directive.name.value == "include", _known(argument.value))
        for directive in node.directives or () if directive.name.value in ("include", "skip")
        for argument in directive.arguments or () if argument.name.value == "if"
    )  # fmt: skip
