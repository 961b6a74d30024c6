"""What a request may hold, and one linear walk that counts it. Pure.

Each fragment is counted once, however often it is spread, and counts stop growing at `PLENTY`: fragments that fan out
to 2^n fields cost nothing.
"""

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
)

from resolvers.criteria.nesting import measure_nesting
from resolvers.errors import LimitError, limit_exceeded

PLENTY = 10**9
INTROSPECTION = ("__schema", "__type")
INTROSPECTION_DEPTH = 15  # that of the standard query


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a request may ask for. Each is a setting, `max_…`, which says what it means."""

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


DEFAULTS = Limits()


def too_many(things: str, *, limit: str, maximum: int, actual: int | None = None) -> LimitError:
    """The error for a request with more than a maximum of something, such as "aliases"."""
    exact = None if actual is None or actual >= PLENTY else actual
    return limit_exceeded(f"The request has more than {maximum} {things}.", limit=limit, maximum=maximum, actual=exact)


def refusal(counts: "Counts", limits: Limits) -> LimitError | None:
    """The first limit that a document goes beyond."""
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


# -- counts ----------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """What a selection comes to when every fragment is written out where it is spread."""

    aliases: int = 0
    directives: int = 0
    fields: int = 0  # on the first level
    depth: int = 0
    introspection: int = 0  # levels from __schema or __type on, which are none of `depth`
    nesting: int = 0

    def beside(self, other: "Counts") -> "Counts":
        return Counts(
            min(PLENTY, self.aliases + other.aliases),
            min(PLENTY, self.directives + other.directives),
            min(PLENTY, self.fields + other.fields),
            max(self.depth, other.depth),
            max(self.introspection, other.introspection),
            max(self.nesting, other.nesting),
        )


def counts(document: DocumentNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Counts:
    """The highest counts of the document's operations. `fragments` are its own, in order (see `in_order`)."""
    known: dict[str, Counts] = {}
    for name, fragment in fragments.items():
        known[name] = _counts(fragment.selection_set, known).beside(_directives(fragment.directives))
    highest = Counts()
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            found = _counts(node.selection_set, known).beside(_directives(node.directives))
            for variable in node.variable_definitions or ():
                found = found.beside(_directives(variable.directives))
                found = found.beside(Counts(nesting=measure_nesting(variable.default_value)))
            highest = Counts(*map(max, highest, found))
    return highest


def _counts(selected: SelectionSetNode | None, known: Mapping[str, Counts]) -> Counts:
    total = Counts()
    for node in selected.selections if selected else ():
        match node:
            case FieldNode():
                found = _field(node, _counts(node.selection_set, known))
            case FragmentSpreadNode():
                found = known.get(node.name.value, Counts())
            case InlineFragmentNode():
                found = _counts(node.selection_set, known)
            case _:
                raise TypeError(node.kind)
        total = total.beside(found).beside(_directives(node.directives))
    return total


def _field(node: FieldNode, below: Counts) -> Counts:
    is_introspection = node.name.value in INTROSPECTION
    return Counts(
        min(PLENTY, below.aliases + (node.alias is not None)),
        below.directives,
        1,
        1 if is_introspection else below.depth + 1,
        max(below.depth, below.introspection) + 1 if is_introspection else below.introspection,
        max(below.nesting, measure_nesting(*(argument.value for argument in node.arguments or ()))),
    )


def _directives(nodes: Iterable[DirectiveNode] | None) -> Counts:
    found = list(nodes or ())
    values = (argument.value for node in found for argument in node.arguments or ())
    return Counts(directives=len(found), nesting=measure_nesting(*values)) if found else NOTHING


NOTHING = Counts()


# -- fragments -------------------------------------------------------------------------------------


def in_order(document: DocumentNode) -> dict[str, FragmentDefinitionNode] | None:
    """The fragments of a document, each behind those that it spreads; None when they spread each other in a circle."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    spreads = {name: set(_spreads(node)) for name, node in fragments.items()}
    try:
        order = list(graphlib.TopologicalSorter(spreads).static_order())
    except graphlib.CycleError:
        return None
    return {name: fragments[name] for name in order if name in fragments}


def _spreads(fragment: FragmentDefinitionNode) -> Iterator[str]:
    nodes: list[Node] = [fragment]
    while nodes:
        node = nodes.pop()
        if isinstance(node, FragmentSpreadNode):
            yield node.name.value
        elif selected := getattr(node, "selection_set", None):
            nodes += selected.selections
