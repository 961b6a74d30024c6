"""The limits of a request, and one linear walk that counts a document. Pure.

The walk counts each fragment once, however often it is spread, and counts stop growing at `PLENTY`: fragments that fan
out to 2^n fields cost nothing.
"""

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from resolvers.criteria.nesting import measure_nesting
from resolvers.errors import LimitError, limit_exceeded

PLENTY = 10**9
INTROSPECTION = ("__schema", "__type")
INTROSPECTION_DEPTH = 15  # that of the standard query


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximums of a request. Each is a setting, `max_…`, which describes it."""

    page: int = 500
    characters: int = 100_000
    tokens: int = 4000
    depth: int = 12
    aliases: int = 100
    root_fields: int = 20
    directives: int = 100
    nesting: int = 64
    cost: int = 500_000
    values: int = 1000
    rows: int = 100_000
    rows_sorted: int = 10_000
    commands: int = 4


DEFAULT_LIMITS = Limits()


# -- the checks of a request -----------------------------------------------------------------------


def too_many(things: str, *, limit: str, maximum: int, actual: int | None = None) -> LimitError:
    """The error for a request with more than a maximum of something, such as "aliases"."""
    exact = None if actual is None or actual >= PLENTY else actual
    return limit_exceeded(f"The request has more than {maximum} {things}.", limit=limit, maximum=maximum, actual=exact)


def check_length(text: str, limits: Limits) -> None:
    """Raise LimitError for a text that is too long to be parsed."""
    if len(text) > limits.characters:
        things = "characters in its document; put long text into variables"
        raise too_many(things, limit="characters", maximum=limits.characters, actual=len(text))


def parse_document(text: str, limits: Limits) -> DocumentNode:
    """Parse a document. Raises GraphQLSyntaxError, and LimitError for too many tokens."""
    try:
        # the edition of September 2025 has no empty selection sets
        return parse(text, max_tokens=limits.tokens, allow_empty_selection_sets=False)
    except GraphQLSyntaxError as error:
        if error.message == f"Syntax Error: Document contains more than {limits.tokens} tokens. Parsing aborted.":
            raise too_many("tokens", limit="tokens", maximum=limits.tokens) from None
        raise


def check_counts(counts: "Counts", limits: Limits) -> LimitError | None:
    """The error for the first limit that a document exceeds."""
    for limit, things, maximum, actual in (
        ("depth", "levels of fields", limits.depth, counts.depth),
        ("depth", "levels of introspection", INTROSPECTION_DEPTH, counts.introspection),
        ("aliases", "aliases", limits.aliases, counts.aliases),
        ("rootFields", "fields at the root", limits.root_fields, counts.fields),
        ("directives", "directives", limits.directives, counts.directives),
        ("nesting", "levels of lists and objects in a value", limits.nesting, counts.nesting),
    ):
        if actual > maximum:
            return too_many(things, limit=limit, maximum=maximum, actual=actual)
    return None


def check_nesting(variables: Mapping[str, Any], limits: Limits) -> LimitError | None:
    if measure_nesting(*variables.values()) <= limits.nesting:
        return None
    return too_many("levels of lists and objects in a variable", limit="nesting", maximum=limits.nesting)


def check_cost(cost: int | None, limits: Limits) -> LimitError | None:
    if cost is None or cost <= limits.cost:
        return None
    return too_many("objects to answer with", limit="cost", maximum=limits.cost, actual=cost)


# -- counts ----------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """The counts of a selection with every fragment written out where it is spread."""

    aliases: int = 0
    directives: int = 0
    fields: int = 0  # on the first level
    depth: int = 0
    introspection: int = 0  # levels from __schema or __type on, which `depth` does not count
    nesting: int = 0

    def join(self, sibling: "Counts") -> "Counts":
        """The counts of two selections that stand side by side."""
        return Counts(
            min(PLENTY, self.aliases + sibling.aliases),
            min(PLENTY, self.directives + sibling.directives),
            min(PLENTY, self.fields + sibling.fields),
            max(self.depth, sibling.depth),
            max(self.introspection, sibling.introspection),
            max(self.nesting, sibling.nesting),
        )


NOTHING = Counts()


def count_document(document: DocumentNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Counts:
    """The highest counts of the document's operations. `fragments` are its own, sorted by `sort_fragments`."""
    by_fragment: dict[str, Counts] = {}
    for name, fragment in fragments.items():
        selection = _count_selection(fragment.selection_set, by_fragment)
        by_fragment[name] = selection.join(_count_directives(fragment.directives))
    highest = NOTHING
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            highest = Counts(*map(max, highest, _count_operation(node, by_fragment)))
    return highest


def _count_operation(operation: OperationDefinitionNode, by_fragment: Mapping[str, Counts]) -> Counts:
    total = _count_selection(operation.selection_set, by_fragment).join(_count_directives(operation.directives))
    for variable in operation.variable_definitions or ():
        total = total.join(_count_directives(variable.directives))
        total = total.join(Counts(nesting=measure_nesting(variable.default_value)))
    return total


def _count_selection(selection_set: SelectionSetNode | None, by_fragment: Mapping[str, Counts]) -> Counts:
    total = NOTHING
    for node in selection_set.selections if selection_set else ():
        match node:
            case FieldNode():
                counts = _count_field(node, _count_selection(node.selection_set, by_fragment))
            case FragmentSpreadNode():
                counts = by_fragment.get(node.name.value, NOTHING)
            case InlineFragmentNode():
                counts = _count_selection(node.selection_set, by_fragment)
            case _:
                raise TypeError(node.kind)
        total = total.join(counts).join(_count_directives(node.directives))
    return total


def _count_field(node: FieldNode, below: Counts) -> Counts:
    depth, introspection = below.depth + 1, below.introspection
    if node.name.value in INTROSPECTION:
        depth, introspection = 1, max(below.depth, below.introspection) + 1
    return Counts(
        aliases=min(PLENTY, below.aliases + (node.alias is not None)),
        directives=below.directives,
        fields=1,
        depth=depth,
        introspection=introspection,
        nesting=max(below.nesting, measure_nesting(*(argument.value for argument in node.arguments or ()))),
    )


def _count_directives(nodes: Iterable[DirectiveNode] | None) -> Counts:
    if not nodes:
        return NOTHING
    directives = list(nodes)
    values = [argument.value for directive in directives for argument in directive.arguments or ()]
    return Counts(directives=len(directives), nesting=measure_nesting(*values))


# -- fragments -------------------------------------------------------------------------------------


def sort_fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode] | None:
    """The fragments of a document, each after those that it spreads; None when they spread each other in a circle."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    spreads = {name: set(_find_spreads(node)) for name, node in fragments.items()}
    try:
        sorted_names = list(graphlib.TopologicalSorter(spreads).static_order())
    except graphlib.CycleError:
        return None
    return {name: fragments[name] for name in sorted_names if name in fragments}


def _find_spreads(fragment: FragmentDefinitionNode) -> Iterator[str]:
    nodes: list[Node] = [fragment]
    while nodes:
        node = nodes.pop()
        if isinstance(node, FragmentSpreadNode):
            yield node.name.value
        elif selection_set := getattr(node, "selection_set", None):
            nodes += selection_set.selections
