"""Placeholders: the default queue and the projects of imported sessions, inserted because a task needs them.

When the source's own document of that name is imported later, it replaces the placeholder.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pymongo.asynchronous.database import AsyncDatabase

# collection of the placeholder → collections and paths that hold its id
REFERENCES: Mapping[str, Sequence[tuple[str, str]]] = {
    "project": (("task", "project"), ("model", "project"), ("project", "parent")),
    "queue": (("task", "execution.queue"),),
}
DEFAULT = "default"  # name and system tag of the queue of tasks that are enqueued without a queue


def build_placeholder_id(collection: str, company: str, name: str) -> str:
    """Build the id of a placeholder, the same on every server."""
    return uuid5(NAMESPACE_URL, f"taskql:{collection}:{company}:{name}").hex


async def replace_placeholders(database: AsyncDatabase[dict[str, Any]], company: str) -> None:
    """Put imported documents in the place of their placeholders. A second call changes nothing."""
    for collection, replacements in (
        ("project", await _find_projects(database, company)),
        ("queue", await _find_default_queue(database, company)),
    ):
        for old_id, new_id in (await _select_used(database, collection, replacements)).items():
            await _move_references(database, collection, old_id, new_id)
            await database[collection].delete_one({"_id": old_id})


async def _find_projects(database: AsyncDatabase[dict[str, Any]], company: str) -> dict[str, str]:
    """Find the projects that are not placeholders: placeholder's id → project's id."""
    cursor = database["project"].find({"company": company}, {"name": 1}, sort=[("created", -1), ("_id", -1)])
    replacements = {}
    async for project in cursor:
        if not isinstance(project.get("name"), str):
            continue
        old_id = build_placeholder_id("project", company, project["name"])
        if project["_id"] != old_id:
            replacements[old_id] = project["_id"]
    return replacements


async def _find_default_queue(database: AsyncDatabase[dict[str, Any]], company: str) -> dict[str, str]:
    old_id = build_placeholder_id("queue", company, DEFAULT)
    query = {"company": company, "system_tags": DEFAULT, "_id": {"$ne": old_id}}
    queue = await database["queue"].find_one(query, {"_id": 1}, sort=[("created", 1), ("_id", 1)])
    return {old_id: queue["_id"]} if queue else {}


async def _select_used(
    database: AsyncDatabase[dict[str, Any]], collection: str, replacements: Mapping[str, str]
) -> dict[str, str]:
    """Select the placeholders that are stored, or that a document still refers to."""
    is_placeholder = {"$in": list(replacements)}
    used = set(await database[collection].distinct("_id", {"_id": is_placeholder}))
    for holder, path in REFERENCES[collection]:
        used |= set(await database[holder].distinct(path, {path: is_placeholder}))
    return {old_id: new_id for old_id, new_id in replacements.items() if old_id in used}


async def _move_references(database: AsyncDatabase[dict[str, Any]], collection: str, old_id: str, new_id: str) -> None:
    for holder, path in REFERENCES[collection]:
        await database[holder].update_many({path: old_id}, {"$set": {path: new_id}})
    if collection == "project":
        await database["project"].update_many(
            {"path": old_id}, {"$set": {"path.$[ancestor]": new_id}}, array_filters=[{"ancestor": old_id}]
        )
        return
    queue = await database["queue"].find_one({"_id": old_id}, {"entries": 1})
    if queue and queue.get("entries"):
        await database["queue"].update_one({"_id": new_id}, {"$addToSet": {"entries": {"$each": queue["entries"]}}})
