"""Queues: which one is meant, and who leaves them."""

from models.reading import Document
from resolvers.errors import ConflictError, ErrorCode, InputError
from resolvers.mutations.change import Change

DEFAULT = "default"


async def the_queue(change: Change) -> Document:
    """The company's queue that the input names, or its default one."""
    id_ = change.asked.get("queue")
    if id_ is not None:
        if found := await change.tx.own("queue", {"_id": id_}):
            return found[0]
        raise InputError(ErrorCode.INVALID_QUEUE_ID, f"There is no queue {id_!r}.", field="queue", queue=id_)
    found = await change.tx.own("queue", {"system_tags": DEFAULT})
    if not found:
        raise ConflictError(ErrorCode.NO_DEFAULT_QUEUE, "There is no default queue; name one.", field="queue")
    if len(found) > 1:
        queues = sorted(str(queue["_id"]) for queue in found)
        message = "There are several default queues; name one."
        raise ConflictError(ErrorCode.MULTIPLE_DEFAULT_QUEUES, message, field="queue", queues=queues)
    return found[0]


async def leave_queues(change: Change, task: str) -> int:
    """Take a task out of every queue; how many it was in."""
    update = {"$pull": {"entries": {"task": task}}, "$set": {"last_update": change.now}}
    return await change.tx.update_all("queue", {"entries.task": task}, update)
