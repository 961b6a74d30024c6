"""What forbids a move: what a mutation refuses, and what `availableTransitions` tells before anybody tries.

Both look at the same things in the same way, so that they can't disagree.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from models.layout import read_path
from models.rules import RULES, in_force
from models.status import CLEARML, CREATED, MOVES, QUEUED, SAME, STATUSES, UNKNOWN
from models.types import Document, Viewer
from resolvers.errors import ApiError, ConflictError, ErrorCode, ForbiddenError, InputError, not_found
from resolvers.transitions.preconditions import Around

LIVE_WORKER = timedelta(seconds=600)
DEVELOPMENT, ARCHIVED = "development", "archived"


# -- what refuses ----------------------------------------------------------------------------------


class Refusal(NamedTuple):
    """An error to answer with, and whether `force` makes up for it."""

    error: ApiError
    by_force: bool


Guard = Callable[["Situation"], ApiError | None]


@dataclass(frozen=True, slots=True)
class Situation:
    """A task that is to be moved, under these rules, at this moment."""

    move: str
    task: Document
    around: Around
    rules: str
    now: datetime

    @property
    def status(self) -> Any:
        return self.task.get("status")

    @property
    def target(self) -> str | None:
        """The status afterwards; None when the task is gone then."""
        target = MOVES[self.move].target
        return self.status if target == SAME or self.is_asked_of_worker else target

    @property
    def is_asked_of_worker(self) -> bool:
        """A live worker is only asked to stop, whatever the status is."""
        last, waits = self.task.get("last_update"), self.rules == CLEARML and self.status == QUEUED
        return (
            self.move == "stop" and bool(self.task.get("last_worker")) and DEVELOPMENT not in system_tags(self.task)
            and isinstance(last, datetime) and self.now - last < LIVE_WORKER and not waits
        )  # fmt: skip

    def refusals(self) -> list[Refusal]:
        """All that forbids the move, the weightiest first."""
        has_force, guards = MOVES[self.move].has_force, GUARDS.get(self.move, (_status,))
        found = [(guard(self), has_force and guard is not _foreign_model) for guard in guards]
        return [Refusal(error, by_force) for error, by_force in found if error]


def refuse_public(task: Document, viewer: Viewer) -> ApiError | None:
    if task["company"] == viewer.company:
        return None
    message = "A public task is not changed by those who read it."
    return ForbiddenError(ErrorCode.NO_WRITE_PERMISSION, message, task=task["_id"])


def refuse_queues(found: Sequence[Document], asked: str | None) -> ApiError | None:
    """What is against taking the one queue that was found for the id asked for, or as the default one."""
    if not found and asked is not None:
        return not_found("queue", asked)
    if not found:
        return ConflictError(ErrorCode.NO_DEFAULT_QUEUE, "There is no default queue; name one.", field="queue")
    if len(found) > 1:
        queues = sorted(str(queue["_id"]) for queue in found)
        message = "There are several default queues; name one."
        return ConflictError(ErrorCode.MULTIPLE_DEFAULT_QUEUES, message, field="queue", queues=queues)
    return None


def _status(at: Situation) -> ApiError | None:
    row = MOVES[at.move]
    if at.is_asked_of_worker or row.accepts(str(at.status), at.rules):
        return None
    status, allowed = shown(at.status), _shown_all(row.allowed(at.rules))
    message = f"A task that is {status} does not allow this; {', '.join(allowed)} would."
    return ConflictError(
        ErrorCode.INVALID_TASK_STATUS, message, task=at.task["_id"], status=status, allowed=allowed, force=row.has_force
    )


def _undeletable(at: Situation) -> ApiError | None:
    if at.status == CREATED or (at.rules == CLEARML and ARCHIVED in system_tags(at.task)):
        return None
    status = shown(at.status)
    message = f"Only a task that is CREATED is deleted, and this one is {status}; use force to do it all the same."
    return _undone(at, message, status=status, allowed=["CREATED"])


def _children(at: Situation) -> ApiError | None:
    if not in_force("delete_refused_with_children", at.rules):
        return _published_children(at)
    if not at.around.children:
        return None
    message = "The task has child tasks; use force to delete it all the same."
    return _undone(at, message, children=at.around.children)


def _published_children(at: Situation) -> ApiError | None:
    if not at.around.published_children:
        return None
    message = "A child task is published; use force to do it all the same."
    return _undone(at, message, children=at.around.published_children)


def _ready_models(at: Situation) -> ApiError | None:
    if not at.around.ready_models:
        return None
    message = "A model that the task made is ready; use force to do it all the same."
    return _undone(at, message, models=at.around.ready_models)


def _undone(at: Situation, message: str, **details: Any) -> ApiError:
    return ConflictError(ErrorCode.TASK_CANNOT_BE_DELETED, message, task=at.task["_id"], **details)


def _foreign_model(at: Situation) -> ApiError | None:
    model = at.around.model
    if model is None or model["ready"] or model["company"] == at.task["company"]:
        return None
    message = "The model that the task made last is public and not ready, and is not made ready by those who read it."
    return InputError(ErrorCode.INVALID_MODEL_ID, message, model=model["model"])


def _script(at: Situation) -> ApiError | None:
    names = {"script.repository": "script.repository", "script.entry_point": "script.entryPoint"}
    missing = [shown for path, shown in names.items() if not read_path(at.task, path)]
    if not missing or not in_force("enqueue_needs_script", at.rules):
        return None
    message = RULES["enqueue_needs_script"]
    return InputError(ErrorCode.TASK_VALIDATION_ERROR, message, task=at.task["_id"], missing=missing)


def _no_queue(at: Situation) -> ApiError | None:
    return refuse_queues(at.around.queues, at.around.queue)


def _in_queue(at: Situation) -> ApiError | None:
    id_, queues = at.task["_id"], at.around.queues
    if len(queues) != 1 or id_ not in queues[0]["holds"]:
        return None
    message = "The task is in this queue already."
    return ConflictError(ErrorCode.TASK_ALREADY_QUEUED, message, task=id_, queue=queues[0]["_id"])


# those of a move that has none here: the status alone
GUARDS: Mapping[str, Sequence[Guard]] = {
    "publish": (_status, _foreign_model), "enqueue": (_status, _script, _no_queue, _in_queue),
    "reset": (_status, _ready_models, _published_children), "delete": (_undeletable, _children, _ready_models),
}  # fmt: skip


# -- small things ----------------------------------------------------------------------------------


def system_tags(task: Document) -> list[Any]:
    tags = task.get("system_tags")
    return tags if isinstance(tags, list) else []


def shown(status: Any) -> str:
    """A stored status as the API names it."""
    return (status if status in STATUSES else UNKNOWN).upper()


def _shown_all(statuses: Collection[str]) -> list[str]:
    return [status.upper() for status in STATUSES if status in statuses]
