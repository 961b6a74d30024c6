"""The statuses of a task and the table of moves between them. Pure.

Everything that affects where a task may go stands in MOVES; the server's checks, what `availableTransitions` tells, the
diagram in docs/mutations.md and the tests are made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DOCUMENTED, CLEARML = "documented", "clearml"

CREATED, QUEUED, IN_PROGRESS, STOPPED = "created", "queued", "in_progress", "stopped"
PUBLISHING, PUBLISHED, CLOSED, FAILED = "publishing", "published", "closed", "failed"
COMPLETED, UNKNOWN = "completed", "unknown"
SAME = "same"  # the target of a move that leaves the status as it is
STATUSES = (CREATED, QUEUED, IN_PROGRESS, STOPPED, PUBLISHING, PUBLISHED, CLOSED, FAILED, COMPLETED, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Move:
    """What one mutation does to a status.

    `clearml` are the statuses from which only ClearML's rules accept it; `now` and `cleared` are the fields that it
    sets to the present and takes away. Without a target the task is gone afterwards.
    """

    accepted: frozenset[str]
    target: str | None
    has_force: bool = True
    clearml: frozenset[str] = frozenset()
    now: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    def accepts(self, status: str, rules: str) -> bool:
        return status in self.allowed(rules)

    def allowed(self, rules: str) -> frozenset[str]:
        return self.accepted | self.clearml if rules == CLEARML else self.accepted


def _from(*statuses: str) -> frozenset[str]:
    return frozenset(statuses)


# fmt: off
MOVES: Mapping[str, Move] = {
    "started": Move(_from(CREATED, QUEUED, IN_PROGRESS, STOPPED, COMPLETED), IN_PROGRESS,
                    now=("started",), cleared=("completed", "active_duration")),
    "stop": Move(_from(IN_PROGRESS, STOPPED, CLOSED, FAILED), STOPPED, clearml=_from(QUEUED)),
    "stopped": Move(_from(IN_PROGRESS, STOPPED, CLOSED, FAILED), STOPPED, clearml=_from(QUEUED), now=("completed",)),
    "failed": Move(_from(IN_PROGRESS, STOPPED, CLOSED, FAILED), FAILED, now=("completed",)),
    "close": Move(_from(STOPPED, CLOSED), CLOSED),
    "completed": Move(_from(IN_PROGRESS, STOPPED, COMPLETED), COMPLETED, now=("completed",)),
    "publish": Move(_from(STOPPED, CLOSED, FAILED, COMPLETED, PUBLISHING), PUBLISHED, now=("published",)),
    "enqueue": Move(_from(CREATED), QUEUED, has_force=False, clearml=_from(QUEUED, STOPPED, FAILED),
                    cleared=("enqueue_status",)),
    "dequeue": Move(_from(QUEUED), CREATED, has_force=False, cleared=("execution.queue", "enqueue_status")),
    "reset": Move(_from(CREATED, QUEUED, IN_PROGRESS, STOPPED, CLOSED, FAILED, COMPLETED), CREATED,
                  cleared=("started", "completed", "published", "active_duration", "last_worker", "last_worker_report",
                           "execution.queue", "output.result", "output.error", "output.model", "enqueue_status")),
    "edit": Move(_from(CREATED), SAME),
    "delete": Move(_from(CREATED), None),
}
# fmt: on


def diagram() -> str:
    """The moves that need no force as a Mermaid diagram; those that leave a status as it is are not drawn."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for name, move in MOVES.items():
        end = "[*]" if move.target is None else move.target.upper()
        for status in STATUSES:
            if move.accepts(status, CLEARML) and move.target not in (status, SAME):
                label = name if move.accepts(status, DOCUMENTED) else f"{name} (clearml)"
                arrows.setdefault((status.upper(), end), []).append(label)
    drawn = [f"    {start} --> {end}: {', '.join(labels)}" for (start, end), labels in arrows.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {CREATED.upper()}: create", *drawn])
