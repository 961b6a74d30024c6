"""Mutations that move a task through its statuses: each looks up its row in the table, writes once, notes the move."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from models.reading import Document
from models.rules import in_force
from models.status import CLEARML, CREATED, IN_PROGRESS, MOVES, QUEUED, Move
from resolvers.errors import ConflictError, ErrorCode, InputError
from resolvers.mutations.change import Change, Payload
from resolvers.mutations.models import forget_models, output_model, refuse_ready_models
from resolvers.mutations.queues import leave_queues, the_queue

LIVE_WORKER = timedelta(seconds=600)
DEVELOPMENT, ARCHIVED = "development", "archived"


@dataclass(slots=True)
class Effect:
    """What a move does beyond the status: fields it sets and takes away, other operators, parts of the answer."""

    set: dict[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    operators: dict[str, Any] = field(default_factory=dict)
    answer: Payload = field(default_factory=dict)


Prepare = Callable[[Change, Document, Effect], Awaitable[None]]


def moves(endpoint: str) -> Callable[[Change], Awaitable[Payload]]:
    """The work of a mutation that is a row of the table."""
    row, prepare = MOVES[endpoint], PREPARED.get(endpoint)

    async def work(change: Change) -> Payload:
        task = await change.task()
        change.expect_status(task)
        if endpoint == "stop" and _has_live_worker(change, task):
            return await _ask_worker(change, task)
        refuse_status(change, task, row)
        assert row.target
        effect = Effect(dict.fromkeys(row.now, change.now), row.cleared)
        if prepare:
            await prepare(change, task, effect)
        return await _move(change, task, row.target, effect)

    return work


def refuse_status(change: Change, task: Document, row: Move) -> None:
    """Raises ConflictError unless the row accepts the task's status, or force was given and may be."""
    status = task.get("status")
    if row.accepts(str(status), change.rules) or (row.has_force and change.asked.get("force")):
        return
    allowed = sorted(row.accepted | (row.clearml if change.rules == CLEARML else frozenset()))
    message = f"A task that is {str(status).upper()} does not allow this; {', '.join(allowed).upper()} would."
    raise ConflictError(
        ErrorCode.INVALID_TASK_STATUS, message, task=task["_id"], status=str(status).upper(),
        allowed=[name.upper() for name in allowed], force=row.has_force,
    )  # fmt: skip


async def _move(change: Change, task: Document, target: str, effect: Effect) -> Payload:
    reason, message = change.asked.get("status_reason") or "", change.asked.get("status_message") or ""
    status: dict[str, Any] = {
        "status": target, "status_reason": reason, "status_message": message, "status_changed": change.now,
        "last_update": change.now,
    } | effect.set  # fmt: skip
    written = await change.write(task, status, effect.unset, **effect.operators)
    await change.note(task, target, status["status_reason"], status["status_message"])
    return written | effect.answer


# -- what single moves do beyond it ----------------------------------------------------------------


async def _started(_change: Change, task: Document, effect: Effect) -> None:
    """A task that was already running keeps its start."""
    if task.get("status") == IN_PROGRESS and task.get("started") is not None:
        effect.set, effect.unset = {}, ()
    effect.answer["started"] = 1


def _has_live_worker(change: Change, task: Document) -> bool:
    last = task.get("last_update")
    return (
        bool(task.get("last_worker")) and DEVELOPMENT not in _tags(task)
        and isinstance(last, type(change.now)) and change.now - last < LIVE_WORKER
        and not (change.rules == CLEARML and task.get("status") == QUEUED)
    )  # fmt: skip


async def _ask_worker(change: Change, task: Document) -> Payload:
    """The status stays; the message tells the worker to stop."""
    return await _move(change, task, task["status"], Effect({"status_message": "stopping"}))


async def _stop(change: Change, task: Document, effect: Effect) -> None:
    [user] = await change.tx.visible("user", {"_id": change.viewer.user}, {"name": 1}) or [{}]
    effect.set["status_message"] = f"Stopped by {user.get('name') or change.viewer.user}"
    await _leave_if_queued(change, task, effect)


async def _leave_if_queued(change: Change, task: Document, _effect: Effect) -> None:
    if task.get("status") == QUEUED:
        await leave_queues(change, task["_id"])


async def _publish(change: Change, task: Document, _effect: Effect) -> None:
    model = output_model(task)
    if model is None or change.asked.get("publish_model") is False:
        return
    found = next(iter(await change.tx.visible("model", {"_id": model}, {"company": 1, "ready": 1})), None)
    if found is None or found.get("ready"):
        return
    if found["company"] != change.viewer.company:
        raise InputError(ErrorCode.INVALID_MODEL_ID, f"The model {model!r} belongs to nobody here.", model=model)
    await change.tx.update("model", {"_id": model}, {"$set": {"ready": True, "last_update": change.now}})


async def _enqueue(change: Change, task: Document, effect: Effect) -> None:
    if in_force("enqueue_needs_script", change.rules):
        _refuse_without_script(task)
    queue = await the_queue(change)
    if any(isinstance(entry, dict) and entry.get("task") == task["_id"] for entry in queue.get("entries") or ()):
        message = "The task is in this queue already."
        raise ConflictError(ErrorCode.TASK_ALREADY_QUEUED, message, task=task["_id"], queue=queue["_id"])
    await leave_queues(change, task["_id"])
    entry = {"task": task["_id"], "added": change.now}
    pushed = {"$push": {"entries": entry}, "$set": {"last_update": change.now}}
    await change.tx.update("queue", {"_id": queue["_id"]}, pushed)
    effect.set["execution.queue"] = queue["_id"]
    if DEVELOPMENT in _tags(task):
        effect.set["system_tags"] = [tag for tag in _tags(task) if tag != DEVELOPMENT]
    effect.answer["queued"] = 1


def _refuse_without_script(task: Document) -> None:
    script = task.get("script")
    missing = [name for name in ("repository", "entry_point") if not (isinstance(script, dict) and script.get(name))]
    if missing:
        message = "A task that is put into a queue has a script with a repository and an entry point."
        missing = [f"script.{'entryPoint' if name == 'entry_point' else name}" for name in missing]
        raise InputError(ErrorCode.TASK_VALIDATION_ERROR, message, task=task["_id"], missing=missing)


async def _dequeue(change: Change, task: Document, effect: Effect) -> None:
    """The entry may be gone, when a worker took it."""
    effect.answer["dequeued"] = int(await leave_queues(change, task["_id"]) > 0)


async def _reset(change: Change, task: Document, effect: Effect) -> None:
    if not change.asked.get("force"):
        await refuse_ready_models(change, task)
        await refuse_published_children(change, task)
    removed = await leave_queues(change, task["_id"])
    deleted, _ = await forget_models(change, task, None)
    effect.set |= {
        "last_iteration": 0, "last_metrics": {}, "unique_metrics": [], "metric_stats": {}, "runtime": {},
        "models.output": [],
    }  # fmt: skip
    if (kept := input_artifacts(task)) is not None:
        effect.set["execution.artifacts"] = kept
    effect.answer |= {
        "dequeued": {"removed": removed} if removed else {}, "deleted_models": deleted, "deleted_indices": [],
        "frames": {}, "events": {},
    }  # fmt: skip


async def refuse_published_children(change: Change, task: Document) -> None:
    children = await change.tx.own("task", {"parent": task["_id"], "status": "published"}, {"_id": 1})
    if children:
        message = "A child task is published; use force to do it all the same."
        raise ConflictError(ErrorCode.TASK_CANNOT_BE_DELETED, message, task=task["_id"], children=len(children))


def input_artifacts(task: Document) -> Any:
    """Those that the task was given, in the form in which they are stored; None when there are none at all."""
    execution = task.get("execution")
    artifacts = execution.get("artifacts") if isinstance(execution, dict) else None

    def is_input(item: Any) -> bool:
        return isinstance(item, dict) and item.get("mode") == "input"

    if isinstance(artifacts, dict):
        return {key: item for key, item in artifacts.items() if is_input(item)}
    return [item for item in artifacts if is_input(item)] if isinstance(artifacts, list) else None


def _tags(task: Document) -> list[Any]:
    tags = task.get("system_tags")
    return tags if isinstance(tags, list) else []


PREPARED: Mapping[str, Prepare] = {
    "started": _started, "stop": _stop, "stopped": _leave_if_queued, "publish": _publish, "enqueue": _enqueue,
    "dequeue": _dequeue, "reset": _reset,
}  # fmt: skip


# -- out of sight ----------------------------------------------------------------------------------


async def archive(change: Change) -> Payload:
    """A task that waits or runs goes through its own row of the table first."""
    task = await change.task()
    change.expect_status(task)
    tags = [*(tag for tag in _tags(task) if tag != ARCHIVED), ARCHIVED]
    endpoint = {QUEUED: "dequeue", IN_PROGRESS: "stopped"}.get(str(task.get("status")))
    if endpoint is None:
        return await _tag(change, task, tags)
    await leave_queues(change, task["_id"])
    row = MOVES[endpoint]
    assert row.target
    effect = Effect({**dict.fromkeys(row.now, change.now), "system_tags": tags}, row.cleared)
    return await _move(change, task, row.target, effect)


async def unarchive(change: Change) -> Payload:
    task = await change.task()
    change.expect_status(task)
    return await _tag(change, task, [tag for tag in _tags(task) if tag != ARCHIVED])


async def _tag(change: Change, task: Document, tags: list[Any]) -> Payload:
    reason, message = change.asked.get("status_reason") or "", change.asked.get("status_message") or ""
    return await change.write(task, {
        "system_tags": tags, "status_reason": reason, "status_message": message, "last_update": change.now,
    })  # fmt: skip


# -- deleting and living ---------------------------------------------------------------------------


async def delete(change: Change) -> Payload:
    """Delete a task; its children and ready models keep a mark of it."""
    task = await change.task()
    change.expect_status(task)
    id_, gone = task["_id"], f"__DELETED__{task['_id']}"
    if not change.asked.get("force"):
        _refuse_undeletable(change, task)
        await _refuse_children(change, task)
        await refuse_ready_models(change, task)
    await leave_queues(change, id_)
    children = await change.tx.update_all("task", {"parent": id_}, {"$set": {"parent": gone}})
    deleted, updated = await forget_models(change, task, gone)
    if change.asked.get("move_to_trash"):
        await change.tx.delete("task__trash", {"_id": id_})
        await change.tx.insert("task__trash", task)
    await change.tx.delete("task", {"_id": id_})
    change.touch(task.get("project"))
    return {
        "id": id_, "deleted": True, "updated_children": children, "updated_models": updated, "deleted_models": deleted,
        "updated_versions": 0, "frames": {}, "events": {},
    }  # fmt: skip


def _refuse_undeletable(change: Change, task: Document) -> None:
    if task.get("status") == CREATED or (change.rules == CLEARML and "archived" in _tags(task)):
        return
    status = str(task.get("status")).upper()
    message = f"Only a task that is CREATED is deleted, and this one is {status}; use force to do it all the same."
    raise ConflictError(ErrorCode.TASK_CANNOT_BE_DELETED, message, task=task["_id"], status=status, allowed=["CREATED"])


async def _refuse_children(change: Change, task: Document) -> None:
    if not in_force("delete_refused_with_children", change.rules):
        await refuse_published_children(change, task)
        return
    children = await change.tx.own("task", {"parent": task["_id"]}, {"_id": 1})
    if children:
        message = "The task has child tasks; use force to delete it all the same."
        raise ConflictError(ErrorCode.TASK_CANNOT_BE_DELETED, message, task=task["_id"], children=len(children))


async def ping(change: Change) -> Payload:
    """A sign of life. While the task runs, the time that it has run is known by it."""
    task = await change.task()
    alive: dict[str, Any] = {"last_update": change.now}
    if task.get("status") == IN_PROGRESS and isinstance(started := task.get("started"), type(change.now)):
        alive["active_duration"] = int((change.now - started).total_seconds())
    written = await change.write(task, alive)
    return {"task": written["task"]}
