"""The mutation with which a worker takes its next task from a queue."""

from typing import Any

from models.status import QUEUED
from models.types import Document
from resolvers.errors import ErrorCode, InputError
from resolvers.mutations.transaction import MutationCall, Payload
from resolvers.transitions.effects import leave_queues
from resolvers.transitions.guards import check_queue_choice
from resolvers.transitions.preconditions import build_queue_query

BATCH_SIZE = 100  # entries whose tasks are read by one command


async def take_next_task(call: MutationCall) -> Payload:
    """Give a worker the task that has waited longest. The task leaves every queue, so no other worker takes it."""
    worker = call.arguments["worker"]
    if not worker.strip():
        raise InputError(ErrorCode.VALIDATION_ERROR, "worker must not be empty.", field="worker")
    queue = await _read_queue(call)
    stale_ids, task = await _find_first_waiting(call, queue)
    if stale_ids:
        update = {"$pull": {"entries": {"task": {"$in": stale_ids}}}, "$set": {"last_update": call.now}}
        await call.tx.update("queue", {"_id": queue["_id"]}, update)
    if task is None:
        return {"task": None}
    await leave_queues(call.tx, task["_id"], call.now)
    heartbeat = {"last_worker": worker, "last_worker_report": call.now, "last_update": call.now}
    await call.write_task(task, heartbeat)
    return {"task": task["_id"]}


async def _read_queue(call: MutationCall) -> Document:
    """Read the company's queue that the input names, or its default one; raises ApiError when there is not one."""
    id_ = call.arguments.get("queue")
    queues = await call.tx.read_own("queue", build_queue_query(id_))
    if error := check_queue_choice(queues, id_):
        raise error
    return queues[0]


async def _find_first_waiting(call: MutationCall, queue: Document) -> tuple[list[Any], Document | None]:
    """Find the first entry whose task is QUEUED; returns the ids of the stale entries before it, and the task."""
    entries = [entry for entry in queue.get("entries") or () if isinstance(entry, dict)]
    ids = list(dict.fromkeys(entry["task"] for entry in entries if isinstance(entry.get("task"), str)))
    for start in range(0, len(ids), BATCH_SIZE):
        batch = ids[start : start + BATCH_SIZE]
        tasks = await call.tx.read_own("task", {"_id": {"$in": batch}, "status": QUEUED}, {"project": 1})
        waiting = {task["_id"]: task for task in tasks}
        for number, id_ in enumerate(batch, start):
            if id_ in waiting:
                return ids[:number], waiting[id_]
    return ids, None
