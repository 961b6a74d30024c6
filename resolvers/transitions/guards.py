"""The guards of moves: each returns the error that forbids a move, or None.

A mutation raises the error; `availableTransitions` shows it before a client tries. So the two can't disagree.
"""

from collections.abc import Sequence
from typing import Any

from models.layout import read_path
from models.rules import RULES, is_in_force
from models.status import CLEARML
from models.types import Document, Viewer
from resolvers.errors import ApiError, ConflictError, ErrorCode, ForbiddenError, InputError, not_found
from resolvers.transitions.situation import ARCHIVED, Situation, format_status, format_statuses, get_system_tags

FORCE_HINT = "Pass force: true to do it anyway."
SCRIPT_FIELDS = {"script.repository": "script.repository", "script.entry_point": "script.entryPoint"}  # stored → public


def check_owner(task: Document, viewer: Viewer) -> ApiError | None:
    if viewer.can_write(task):
        return None
    message = "The task is public and read-only for you; choose a task of your company."
    return ForbiddenError(ErrorCode.NO_WRITE_PERMISSION, message, task=task["_id"])


def check_status(situation: Situation) -> ApiError | None:
    move = situation.move
    if situation.is_left_to_worker or move.accepts(str(situation.status), situation.rules):
        return None
    status, allowed = format_status(situation.status), format_statuses(move.get_accepted(situation.rules))
    details = {"task": situation.task["_id"], "status": status, "allowed": allowed, "force": move.has_force}
    return ConflictError(ErrorCode.INVALID_TASK_STATUS, _describe_status(situation), **details)


def check_deletable_status(situation: Situation) -> ApiError | None:
    """ClearML's rules accept an archived task as well."""
    is_archived = ARCHIVED in get_system_tags(situation.task)
    if situation.move.accepts(str(situation.status), situation.rules) or (situation.rules == CLEARML and is_archived):
        return None
    status, allowed = format_status(situation.status), format_statuses(situation.move.accepted)
    return _refuse_removal(situation, _describe_status(situation), status=status, allowed=allowed)


def _describe_status(situation: Situation) -> str:
    *first, last = format_statuses(situation.move.get_accepted(situation.rules))
    statuses = f"{', '.join(first)} or {last}" if first else last
    return f"{situation.mutation} needs a task that is {statuses}; this one is {format_status(situation.status)}."


def check_children(situation: Situation) -> ApiError | None:
    if not is_in_force("delete_refused_with_children", situation.rules):
        return check_published_children(situation)
    if children := situation.preconditions.children:
        return _refuse_removal(situation, "The task has child tasks.", children=children)
    return None


def check_published_children(situation: Situation) -> ApiError | None:
    if children := situation.preconditions.published_children:
        return _refuse_removal(situation, "A child task is published.", children=children)
    return None


def check_ready_models(situation: Situation) -> ApiError | None:
    if models := situation.preconditions.ready_models:
        return _refuse_removal(situation, "An output model of the task is ready.", models=models)
    return None


def _refuse_removal(situation: Situation, reason: str, **details: Any) -> ApiError:
    message = f"{reason} {FORCE_HINT}"
    return ConflictError(ErrorCode.TASK_CANNOT_BE_DELETED, message, task=situation.task["_id"], **details)


def check_last_model(situation: Situation) -> ApiError | None:
    model = situation.preconditions.last_model
    if model is None or model["ready"] or model["company"] == situation.task["company"]:
        return None
    message = "The task's last output model is public and read-only for you, and not ready; pass publishModel: false."
    return InputError(ErrorCode.INVALID_MODEL_ID, message, model=model["model"])


def check_script(situation: Situation) -> ApiError | None:
    missing = [name for path, name in SCRIPT_FIELDS.items() if not read_path(situation.task, path)]
    if not missing or not is_in_force("enqueue_needs_script", situation.rules):
        return None
    message = RULES["enqueue_needs_script"]
    return InputError(ErrorCode.TASK_VALIDATION_ERROR, message, task=situation.task["_id"], missing=missing)


def check_queue(situation: Situation) -> ApiError | None:
    return check_queue_choice(situation.preconditions.queues, situation.preconditions.queue_id)


def check_queue_choice(queues: Sequence[Document], queue_id: str | None) -> ApiError | None:
    """Expect one queue: the one with this id, or without an id the default one."""
    if not queues and queue_id is not None:
        return not_found("queue", queue_id)
    if not queues:
        message = "The company has no default queue; name one in queue."
        return ConflictError(ErrorCode.NO_DEFAULT_QUEUE, message, field="queue")
    if len(queues) > 1:
        ids = sorted(str(queue["_id"]) for queue in queues)
        message = "The company has several default queues; name one in queue."
        return ConflictError(ErrorCode.MULTIPLE_DEFAULT_QUEUES, message, field="queue", queues=ids)
    return None


def check_not_queued(situation: Situation) -> ApiError | None:
    task_id, queues = situation.task["_id"], situation.preconditions.queues
    if len(queues) != 1 or task_id not in queues[0]["holds"]:
        return None
    message = "The task is in this queue already."
    return ConflictError(ErrorCode.TASK_ALREADY_QUEUED, message, task=task_id, queue=queues[0]["_id"])
