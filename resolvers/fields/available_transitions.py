"""What may be done with each task of a page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from models.dates import now
from models.status import MOVES
from models.types import Document
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from resolvers.transitions.guards import Situation, refuse_public
from resolvers.transitions.preconditions import Around, Surveyor


async def available_transitions(
    context: Context, _arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    surveyor = Surveyor(context.viewer, context.reader.all, context.reader.tally)

    async def load(tasks: list[Document]) -> list[list[Document]]:
        around, at = await surveyor.around(tasks, MOVES), now()
        return [_available(context, task, found, at) for task, found in zip(tasks, around, strict=True)]

    return await context.load_batched("available_transitions", load, documents)


def _available(context: Context, task: Document, around: Around, now: datetime) -> list[Document]:
    is_public, found = refuse_public(task, context.viewer), []
    for name, mutation in context.spec.mutations.items():
        if (move := name.removeprefix("task_")) in MOVES:
            at = Situation(move, task, around, context.rules, now)
            refusals = at.refusals()
            reasons = [str(is_public)] if is_public else [str(refusal.error) for refusal in refusals]
            found.append({
                "mutation": mutation.graphql_name, "target": at.target, "allowed": not reasons, "reasons": reasons,
                "requires_force": bool(reasons) and not is_public and all(refusal.by_force for refusal in refusals),
            })  # fmt: skip
    return found
