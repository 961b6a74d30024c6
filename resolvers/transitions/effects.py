"""The effects of moves: what each changes beside the status and the fields that its row sets to now or clears."""

from datetime import datetime
from typing import Any

from models.documents.block import SERIES
from models.layout import DELETED_PREFIX, read_path
from models.status import IN_PROGRESS, QUEUED
from models.store.writer import Transaction
from models.types import Document
from resolvers.transitions.output_models import forget_models
from resolvers.transitions.situation import DEVELOPMENT, Outcome, Situation, get_system_tags


async def start(situation: Situation, _tx: Transaction, outcome: Outcome) -> None:
    """A task that is already running clears no field, and keeps its start unless that lies in the future."""
    started = situation.task.get("started")
    if situation.status == IN_PROGRESS and isinstance(started, datetime):
        outcome.set, outcome.unset = {"started": min(started, situation.now)}, ()
    outcome.answer["started"] = 1


async def stop(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    if situation.is_left_to_worker:
        outcome.set["status_message"] = "stopping"
        return
    [user] = await tx.read_visible("user", {"_id": tx.viewer.user}, {"name": 1}) or [{}]
    outcome.set["status_message"] = f"Stopped by {user.get('name') or tx.viewer.user}"
    await leave_queues_if_queued(situation, tx, outcome)


async def leave_queues_if_queued(situation: Situation, tx: Transaction, _outcome: Outcome) -> None:
    if situation.status == QUEUED:
        await leave_queues(tx, situation.task["_id"], situation.now)


async def publish(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    outcome.answer["committed_versions_results"] = []
    model = situation.preconditions.last_model
    if model and not model["ready"]:
        update = {"$set": {"ready": True, "last_update": situation.now}}
        await tx.update("model", {"_id": model["model"]}, update)


async def enqueue(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    [queue] = situation.preconditions.queues
    await leave_queues(tx, situation.task["_id"], situation.now)
    entry = {"task": situation.task["_id"], "added": situation.now}
    update = {"$push": {"entries": entry}, "$set": {"last_update": situation.now}}
    await tx.update("queue", {"_id": queue["_id"]}, update)
    outcome.set["execution.queue"] = queue["_id"]
    tags = get_system_tags(situation.task)
    if DEVELOPMENT in tags:
        outcome.set["system_tags"] = [tag for tag in tags if tag != DEVELOPMENT]
    outcome.answer["queued"] = 1


async def dequeue(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    """The entry is gone already when a worker took it."""
    count = await leave_queues(tx, situation.task["_id"], situation.now)
    outcome.answer["dequeued"] = int(count > 0)


async def reset(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    task = situation.task
    removed = await leave_queues(tx, task["_id"], situation.now)
    deleted_models, _ = await forget_models(tx, task, None)
    await tx.delete(SERIES, {"task": task["_id"]})
    outcome.set |= {
        "last_iteration": 0,
        "last_metrics": {},
        "unique_metrics": [],
        "metric_stats": {},
        "runtime": {},
        "models.output": [],
    }
    artifacts = select_input_artifacts(task)
    if artifacts is not None:
        outcome.set["execution.artifacts"] = artifacts
    outcome.answer |= {
        "dequeued": {"removed": removed} if removed else {},
        "deleted_models": deleted_models,
        "deleted_indices": [],
        "frames": {},
        "events": {},
    }


async def delete(situation: Situation, tx: Transaction, outcome: Outcome) -> None:
    """Delete the task; its children and ready models keep its id, marked as deleted."""
    task_id = situation.task["_id"]
    mark = f"{DELETED_PREFIX}{task_id}"
    await leave_queues(tx, task_id, situation.now)
    updated_children = await tx.update_all("task", {"parent": task_id}, {"$set": {"parent": mark}})
    deleted_models, updated_models = await forget_models(tx, situation.task, mark)
    await tx.delete(SERIES, {"task": task_id})
    if situation.arguments.get("move_to_trash"):
        await tx.delete("task__trash", {"_id": task_id})
        await tx.insert("task__trash", situation.task)
    await tx.delete("task", {"_id": task_id})
    outcome.answer |= {
        "id": task_id,
        "deleted": True,
        "updated_children": updated_children,
        "updated_models": updated_models,
        "deleted_models": deleted_models,
        "updated_versions": 0,
        "frames": {},
        "events": {},
    }


async def leave_queues(tx: Transaction, task_id: str, now: datetime) -> int:
    """Remove a task from every queue; returns the number of queues it was in."""
    update = {"$pull": {"entries": {"task": task_id}}, "$set": {"last_update": now}}
    return await tx.update_all("queue", {"entries.task": task_id}, update)


def select_input_artifacts(task: Document) -> Any:
    """Select the input artifacts, in the form in which they are stored; None when the task has no artifacts."""
    artifacts = read_path(task, "execution.artifacts")
    if isinstance(artifacts, dict):
        return {key: item for key, item in artifacts.items() if _is_input(item)}
    return [item for item in artifacts if _is_input(item)] if isinstance(artifacts, list) else None


def _is_input(artifact: Any) -> bool:
    return isinstance(artifact, dict) and artifact.get("mode") == "input"
