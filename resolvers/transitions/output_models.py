"""The output models of a task: the models that it made, in order."""

from typing import Any

from models.layout import read_model_items, read_path
from models.store.writer import Transaction
from models.types import Document, Query


def list_output_models(task: Document) -> list[str]:
    """List the ids of the models that the task made, in order."""
    items = read_model_items(read_path(task, "models.output"), read_path(task, "output.model"))
    return [item["model"] for item in items if isinstance(item.get("model"), str) and item["model"]]


async def forget_models(tx: Transaction, task: Document, mark: str | None) -> tuple[int, int]:
    """Delete the task's models that are not ready, except the input models of other tasks.

    Ready models store the mark in place of the task's id. Without a mark they name no task, like the models that other
    tasks need. Returns the number of models deleted, and of models marked.
    """
    drafts = await tx.read_own("model", {"$and": [_build_query(task), {"ready": {"$ne": True}}]}, {"_id": 1})
    ids = [draft["_id"] for draft in drafts]
    needed = await _find_needed(tx, task, ids)
    deleted = await tx.delete("model", {"_id": {"$in": [id_ for id_ in ids if id_ not in needed]}})
    await tx.update_all("model", {"_id": {"$in": sorted(needed)}, "task": task["_id"]}, {"$unset": {"task": ""}})
    update: dict[str, Any] = {"$set": {"task": mark}} if mark else {"$unset": {"task": ""}}
    ready = await tx.update_all("model", {"task": task["_id"], "ready": True}, update)
    return deleted, ready if mark else 0


def _build_query(task: Document) -> Query:
    return {"$or": [{"task": task["_id"]}, {"_id": {"$in": list_output_models(task)}}]}


async def _find_needed(tx: Transaction, task: Document, models: list[Any]) -> set[Any]:
    """Find the models that are input models of other tasks."""
    if not models:
        return set()
    uses_model = {"$or": [{"models.input.model": {"$in": models}}, {"execution.model": {"$in": models}}]}
    query = {"$and": [{"_id": {"$ne": task["_id"]}}, uses_model]}
    users = await tx.read_visible("task", query, {"models.input.model": 1, "execution.model": 1})
    needed = {model for user in users for model in _list_input_models(user)}
    return needed & set(models)


def _list_input_models(task: Document) -> list[str]:
    items = read_model_items(read_path(task, "models.input"), read_path(task, "execution.model"))
    return [item["model"] for item in items if isinstance(item.get("model"), str)]
