"""The moves of each task of a page: whether each is allowed, why not, and to which status it leads."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.dates import now
from models.types import Document
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from resolvers.transitions.guards import check_owner
from resolvers.transitions.moves import MOVES
from resolvers.transitions.preconditions import Lookup, read_preconditions
from resolvers.transitions.situation import Situation

NEEDS = frozenset().union(*(move.needs for move in MOVES.values()))


async def load_available_transitions(
    context: Context, _arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    lookup = Lookup(context.viewer, context.reader.read_all, context.reader.tally)

    async def load(tasks: list[Document]) -> list[list[Document]]:
        preconditions, moment = await read_preconditions(lookup, tasks, NEEDS), now()
        rows = []
        for task, of_task in zip(tasks, preconditions, strict=True):
            situations = [
                Situation(MOVES[name], mutation, task, of_task, context.rules, moment)
                for name, mutation in _list_mutations(context)
            ]
            rows.append([_build_transition(context, situation) for situation in situations])
        return rows

    return await context.load_batched("available_transitions", load, documents)


def _list_mutations(context: Context) -> list[tuple[str, str]]:
    """List the moves with the public names of their mutations, in the order of the schema."""
    mutations = [(name.removeprefix("task_"), spec.graphql_name) for name, spec in context.spec.mutations.items()]
    return [(name, mutation) for name, mutation in mutations if name in MOVES]


def _build_transition(context: Context, situation: Situation) -> Document:
    refusals = situation.find_refusals()
    reasons = [str(refusal.error) for refusal in refusals]
    requires_force = bool(refusals) and all(refusal.is_forcible for refusal in refusals)
    if not_owner := check_owner(situation.task, context.viewer):
        reasons, requires_force = [str(not_owner)], False
    return {
        "mutation": situation.mutation,
        "target": situation.target,
        "allowed": not reasons,
        "reasons": reasons,
        "requires_force": requires_force,
    }
