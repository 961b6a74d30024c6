"""Mutations that move a task through its statuses: each looks up its row in the table, writes once, notes the move."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.documents.block import SERIES
from models.layout import DELETED_PREFIX
from models.status import IN_PROGRESS, MOVES, QUEUED
from models.types import Document
from resolvers.mutations.output_models import forget_models
from resolvers.mutations.queues import leave_queues
from resolvers.mutations.transaction import Change, Payload
from resolvers.transitions.guards import ARCHIVED, DEVELOPMENT, Situation, system_tags
from resolvers.transitions.preconditions import Around, Surveyor


@dataclass(slots=True)
class Effect:
    """What a move does beyond the status: fields it sets and takes away, other operators, parts of the answer."""

    set: dict[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    operators: dict[str, Any] = field(default_factory=dict)
    answer: Payload = field(default_factory=dict)


Prepare = Callable[[Change, Document, Around, Effect], Awaitable[None]]


def moves(endpoint: str) -> Callable[[Change], Awaitable[Payload]]:
    """The work of a mutation that is a row of the table."""
    row, prepare = MOVES[endpoint], PREPARED.get(endpoint)

    async def work(change: Change) -> Payload:
        task = await change.task()
        change.expect_status(task)
        found = await allowed(change, endpoint, task)
        if found.is_asked_of_worker:
            return await _move(change, task, found.target, Effect({"status_message": "stopping"}))
        effect = Effect(dict.fromkeys(row.now, change.now), row.cleared)
        if prepare:
            await prepare(change, task, found.around, effect)
        return await _move(change, task, found.target, effect)

    return work


async def allowed(change: Change, endpoint: str, task: Document) -> Situation:
    """The situation of a task that may be moved; raises the weightiest error that force does not make up for."""
    surveyor = Surveyor(change.viewer, change.tx.visible, change.tx.tally)
    # what is not to be published decides nothing
    decides = () if change.asked.get("publish_model") is False else (endpoint,)
    [around] = await surveyor.around([task], decides, change.asked.get("queue"))
    found = Situation(endpoint, task, around, change.rules, change.now)
    for refusal in found.refusals():
        if not (refusal.by_force and change.asked.get("force")):
            raise refusal.error
    return found


async def _move(change: Change, task: Document, target: str | None, effect: Effect) -> Payload:
    reason, message = _said(change)
    status: dict[str, Any] = {
        "status": target, "status_reason": reason, "status_message": message, "status_changed": change.now,
        "last_update": change.now,
    } | effect.set  # fmt: skip
    written = await change.write(task, status, effect.unset, **effect.operators)
    await change.note(task, target, status["status_reason"], status["status_message"])
    return written | effect.answer


def _said(change: Change) -> tuple[str, str]:
    """The reason and the message that the input gives; an omitted one is empty, and clears what was there."""
    return change.asked.get("status_reason") or "", change.asked.get("status_message") or ""


# -- what single moves do beyond it ----------------------------------------------------------------


async def _started(change: Change, task: Document, _around: Around, effect: Effect) -> None:
    """A task that was already running keeps its start, unless that is yet to come."""
    started = task.get("started")
    if task.get("status") == IN_PROGRESS and isinstance(started, datetime):
        effect.set, effect.unset = {"started": min(started, change.now)}, ()
    effect.answer["started"] = 1


async def _stop(change: Change, task: Document, around: Around, effect: Effect) -> None:
    [user] = await change.tx.visible("user", {"_id": change.viewer.user}, {"name": 1}) or [{}]
    effect.set["status_message"] = f"Stopped by {user.get('name') or change.viewer.user}"
    await _leave_if_queued(change, task, around, effect)


async def _leave_if_queued(change: Change, task: Document, _around: Around, _effect: Effect) -> None:
    if task.get("status") == QUEUED:
        await leave_queues(change, task["_id"])


async def _publish(change: Change, _task: Document, around: Around, effect: Effect) -> None:
    effect.answer["committed_versions_results"] = []
    if around.model and not around.model["ready"]:
        made_ready = {"$set": {"ready": True, "last_update": change.now}}
        await change.tx.update("model", {"_id": around.model["model"]}, made_ready)


async def _enqueue(change: Change, task: Document, around: Around, effect: Effect) -> None:
    [queue] = around.queues
    await leave_queues(change, task["_id"])
    entry = {"task": task["_id"], "added": change.now}
    pushed = {"$push": {"entries": entry}, "$set": {"last_update": change.now}}
    await change.tx.update("queue", {"_id": queue["_id"]}, pushed)
    effect.set["execution.queue"] = queue["_id"]
    if DEVELOPMENT in system_tags(task):
        effect.set["system_tags"] = [tag for tag in system_tags(task) if tag != DEVELOPMENT]
    effect.answer["queued"] = 1


async def _dequeue(change: Change, task: Document, _around: Around, effect: Effect) -> None:
    """The entry may be gone, when a worker took it."""
    effect.answer["dequeued"] = int(await leave_queues(change, task["_id"]) > 0)


async def _reset(change: Change, task: Document, _around: Around, effect: Effect) -> None:
    removed = await leave_queues(change, task["_id"])
    deleted, _ = await forget_models(change, task, None)
    await change.tx.delete(SERIES, {"task": task["_id"]})
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


def input_artifacts(task: Document) -> Any:
    """Those that the task was given, in the form in which they are stored; None when there are none at all."""
    execution = task.get("execution")
    artifacts = execution.get("artifacts") if isinstance(execution, dict) else None

    def is_input(item: Any) -> bool:
        return isinstance(item, dict) and item.get("mode") == "input"

    if isinstance(artifacts, dict):
        return {key: item for key, item in artifacts.items() if is_input(item)}
    return [item for item in artifacts if is_input(item)] if isinstance(artifacts, list) else None


PREPARED: Mapping[str, Prepare] = {
    "started": _started, "stop": _stop, "stopped": _leave_if_queued, "publish": _publish, "enqueue": _enqueue,
    "dequeue": _dequeue, "reset": _reset,
}  # fmt: skip


# -- out of sight ----------------------------------------------------------------------------------


async def archive(change: Change) -> Payload:
    """A task that waits or runs goes through its own row of the table first."""
    task = await change.task()
    change.expect_status(task)
    tags = [*(tag for tag in system_tags(task) if tag != ARCHIVED), ARCHIVED]
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
    return await _tag(change, task, [tag for tag in system_tags(task) if tag != ARCHIVED])


async def _tag(change: Change, task: Document, tags: list[Any]) -> Payload:
    reason, message = _said(change)
    return await change.write(task, {
        "system_tags": tags, "status_reason": reason, "status_message": message, "last_update": change.now,
    })  # fmt: skip


# -- deleting and living ---------------------------------------------------------------------------


async def delete(change: Change) -> Payload:
    """Delete a task; its children and ready models keep a mark of it."""
    task = await change.task()
    change.expect_status(task)
    id_, gone = task["_id"], f"{DELETED_PREFIX}{task['_id']}"
    found = await allowed(change, "delete", task)
    await change.note(task, found.target, *_said(change))
    await leave_queues(change, id_)
    children = await change.tx.update_all("task", {"parent": id_}, {"$set": {"parent": gone}})
    deleted, updated = await forget_models(change, task, gone)
    await change.tx.delete(SERIES, {"task": id_})
    if change.asked.get("move_to_trash"):
        await change.tx.delete("task__trash", {"_id": id_})
        await change.tx.insert("task__trash", task)
    await change.tx.delete("task", {"_id": id_})
    change.touch(task.get("project"))
    return {
        "id": id_, "deleted": True, "updated_children": children, "updated_models": updated, "deleted_models": deleted,
        "updated_versions": 0, "frames": {}, "events": {},
    }  # fmt: skip


async def ping(change: Change) -> Payload:
    task = await change.task()
    written = await change.write(task, change.alive(task))
    return {"task": written["task"]}
