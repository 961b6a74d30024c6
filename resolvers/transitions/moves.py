"""The moves of a task between its statuses, a row each.

The mutations, `availableTransitions`, the diagram in docs/mutations.md and the tests read this table. Its columns are
explained in situation.py; a row names its guards (guards.py) and its effect (effects.py). Exceptions that fit no column
stand below the table.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from models.status import (
    CLEARML,
    CLOSED,
    COMPLETED,
    CREATED,
    DOCUMENTED,
    FAILED,
    IN_PROGRESS,
    PUBLISHED,
    PUBLISHING,
    QUEUED,
    SAME,
    STATUSES,
    STOPPED,
)
from resolvers.transitions import effects, guards
from resolvers.transitions.preconditions import CHILDREN, MODELS, QUEUES
from resolvers.transitions.situation import Move

MOVES: Mapping[str, Move] = {
    "started": Move(
        accepted={CREATED, QUEUED, IN_PROGRESS, STOPPED, COMPLETED},
        target=IN_PROGRESS,
        guards=(guards.check_status,),
        now=("started",),
        cleared=("completed", "active_duration"),
        effect=effects.start,
    ),
    "stop": Move(
        accepted={IN_PROGRESS, STOPPED, CLOSED, FAILED},
        clearml={QUEUED},
        target=STOPPED,
        can_leave_to_worker=True,
        guards=(guards.check_status,),
        effect=effects.stop,
    ),
    "stopped": Move(
        accepted={IN_PROGRESS, STOPPED, CLOSED, FAILED},
        clearml={QUEUED},
        target=STOPPED,
        guards=(guards.check_status,),
        now=("completed",),
        effect=effects.leave_queues_if_queued,
    ),
    "failed": Move(
        accepted={IN_PROGRESS, STOPPED, CLOSED, FAILED},
        target=FAILED,
        guards=(guards.check_status,),
        now=("completed",),
    ),
    "close": Move(
        accepted={STOPPED, CLOSED},
        target=CLOSED,
        guards=(guards.check_status,),
    ),
    "completed": Move(
        accepted={IN_PROGRESS, STOPPED, COMPLETED},
        target=COMPLETED,
        guards=(guards.check_status,),
        now=("completed",),
    ),
    "publish": Move(
        accepted={STOPPED, CLOSED, FAILED, COMPLETED, PUBLISHING},
        target=PUBLISHED,
        needs={MODELS},
        guards=(guards.check_status,),
        strict_guards=(guards.check_last_model,),
        now=("published",),
        effect=effects.publish,
    ),
    "enqueue": Move(
        accepted={CREATED},
        clearml={QUEUED, STOPPED, FAILED},
        target=QUEUED,
        has_force=False,
        needs={QUEUES},
        guards=(guards.check_status, guards.check_script, guards.check_queue, guards.check_not_queued),
        cleared=("enqueue_status",),
        effect=effects.enqueue,
    ),
    "dequeue": Move(
        accepted={QUEUED},
        target=CREATED,
        has_force=False,
        guards=(guards.check_status,),
        cleared=("execution.queue", "enqueue_status"),
        effect=effects.dequeue,
    ),
    "reset": Move(
        accepted={CREATED, QUEUED, IN_PROGRESS, STOPPED, CLOSED, FAILED, COMPLETED},
        target=CREATED,
        needs={CHILDREN, MODELS},
        guards=(guards.check_status, guards.check_ready_models, guards.check_published_children),
        cleared=(
            "started",
            "completed",
            "published",
            "active_duration",
            "last_worker",
            "last_worker_report",
            "execution.queue",
            "output.result",
            "output.error",
            "output.model",
            "enqueue_status",
        ),
        effect=effects.reset,
    ),
    # the input's values are written by edits.py
    "edit": Move(
        accepted={CREATED},
        target=SAME,
        guards=(guards.check_status,),
    ),
    "delete": Move(
        accepted={CREATED},
        target=None,
        needs={CHILDREN, MODELS},
        guards=(guards.check_deletable_status, guards.check_children, guards.check_ready_models),
        effect=effects.delete,
    ),
}

# status → the move whose target and fields taskArchive writes; a task in another status keeps it
MOVES_OF_ARCHIVE: Mapping[str, Move] = {QUEUED: MOVES["dequeue"], IN_PROGRESS: MOVES["stopped"]}


def find_needs(move: Move, arguments: Mapping[str, Any]) -> AbstractSet[str]:
    """Find the preconditions that a call reads: with `publishModel: false` models decide nothing."""
    return move.needs - {MODELS} if arguments.get("publish_model") is False else move.needs


def draw_diagram() -> str:
    """Draw the moves that need no force as a Mermaid diagram, less those that leave a status as it is."""
    labels: dict[tuple[str, str], list[str]] = {}
    for name, move in MOVES.items():
        end = "[*]" if move.target is None else move.target.upper()
        for status in STATUSES:
            if move.accepts(status, CLEARML) and move.target not in (status, SAME):
                label = name if move.accepts(status, DOCUMENTED) else f"{name} (clearml)"
                labels.setdefault((status.upper(), end), []).append(label)
    arrows = [f"    {start} --> {end}: {', '.join(names)}" for (start, end), names in labels.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {CREATED.upper()}: create", *arrows])
