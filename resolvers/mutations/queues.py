"""Queues: which one is meant, and who leaves them."""

from models.reading import Document
from resolvers.guards import meant_queue, refuse_queues
from resolvers.mutations.change import Change


async def the_queue(change: Change) -> Document:
    """The company's queue that the input names, or its default one."""
    id_ = change.asked.get("queue")
    found = await change.tx.own("queue", meant_queue(id_))
    if refusal := refuse_queues(found, id_):
        raise refusal
    return found[0]


async def leave_queues(change: Change, task: str) -> int:
    """Take a task out of every queue; how many it was in."""
    update = {"$pull": {"entries": {"task": task}}, "$set": {"last_update": change.now}}
    return await change.tx.update_all("queue", {"entries.task": task}, update)
