"""The models that a task made: what becomes of them."""

from typing import Any

from models import layout
from models.types import Document, Query
from resolvers.mutations.transaction import Change
from resolvers.transitions.preconditions import output_models


async def forget_models(change: Change, task: Document, mark: str | None) -> tuple[int, int]:
    """Delete the task's models that are not ready, but those that another task starts from.

    Ready models name the mark in its place; without a mark, as those that another task needs, they name no task at all.
    Answers how many were deleted, and how many were marked.
    """
    drafts = await change.tx.own("model", {"$and": [_made_by(task), {"ready": {"$ne": True}}]}, {"_id": 1})
    ids = [draft["_id"] for draft in drafts]
    needed = await _inputs_of_others(change, task, ids)
    deleted = await change.tx.delete("model", {"_id": {"$in": [id_ for id_ in ids if id_ not in needed]}})
    await change.tx.update_all("model", {"_id": {"$in": sorted(needed)}, "task": task["_id"]}, {"$unset": {"task": ""}})
    update: dict[str, Any] = {"$set": {"task": mark}} if mark else {"$unset": {"task": ""}}
    marked = await change.tx.update_all("model", {"task": task["_id"], "ready": True}, update)
    return deleted, marked if mark else 0


async def _inputs_of_others(change: Change, task: Document, models: list[Any]) -> set[Any]:
    if not models:
        return set()
    used = {"$or": [{"models.input.model": {"$in": models}}, {"execution.model": {"$in": models}}]}
    others = await change.tx.visible(
        "task", {"$and": [{"_id": {"$ne": task["_id"]}}, used]}, {"models.input.model": 1, "execution.model": 1}
    )
    inputs = {model for other in others for model in _input_models(other)}
    return inputs & set(models)


def _input_models(task: Document) -> list[str]:
    items = layout.read_model_items(layout.read_path(task, "models.input"), layout.read_path(task, "execution.model"))
    return [item["model"] for item in items if isinstance(item.get("model"), str)]


def _made_by(task: Document) -> Query:
    return {"$or": [{"task": task["_id"]}, {"_id": {"$in": output_models(task)}}]}
