"""Queues: which one is meant, and who leaves them."""

from typing import Any

from models.status import QUEUED
from models.types import Document
from resolvers.errors import ErrorCode, InputError
from resolvers.mutations.transaction import Change, Payload
from resolvers.transitions.effects import leave_queues
from resolvers.transitions.guards import check_queue_choice
from resolvers.transitions.preconditions import build_queue_query

AT_ONCE = 100  # entries whose tasks are looked up together


async def the_queue(change: Change) -> Document:
    """The company's queue that the input names, or its default one."""
    id_ = change.asked.get("queue")
    found = await change.tx.read_own("queue", build_queue_query(id_))
    if error := check_queue_choice(found, id_):
        raise error
    return found[0]


async def next_task(change: Change) -> Payload:
    """Give a worker the task that has waited longest. It leaves every queue, so that no other worker gets it."""
    if not change.asked["worker"].strip():
        raise InputError(ErrorCode.VALIDATION_ERROR, "A worker has a name.", field="worker")
    queue = await the_queue(change)
    gone, task = await _first_waiting(change, queue)
    if gone:
        update = {"$pull": {"entries": {"task": {"$in": gone}}}, "$set": {"last_update": change.now}}
        await change.tx.update("queue", {"_id": queue["_id"]}, update)
    if task is None:
        return {"task": None}
    await leave_queues(change.tx, task["_id"], change.now)
    alive = {"last_worker": change.asked["worker"], "last_worker_report": change.now, "last_update": change.now}
    await change.write(task, alive)
    return {"task": task["_id"]}


async def _first_waiting(change: Change, queue: Document) -> tuple[list[Any], Document | None]:
    """The first task of a queue that waits indeed, and those before it, which don't."""
    entries = [entry for entry in queue.get("entries") or () if isinstance(entry, dict)]
    ids = list(dict.fromkeys(entry["task"] for entry in entries if isinstance(entry.get("task"), str)))
    for start in range(0, len(ids), AT_ONCE):
        query = {"_id": {"$in": ids[start : start + AT_ONCE]}, "status": QUEUED}
        found = await change.tx.read_own("task", query, {"project": 1})
        waiting = {task["_id"]: task for task in found}
        for place, id_ in enumerate(ids[start : start + AT_ONCE], start):
            if id_ in waiting:
                return ids[:place], waiting[id_]
    return ids, None
