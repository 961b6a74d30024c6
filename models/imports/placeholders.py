"""Documents that taskql makes because something needs them: the default queue, the projects of imported sessions.

When the source's own document of that name is imported later, it takes the stand-in's place.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pymongo.asynchronous.database import AsyncDatabase

# collection of the stand-in → where its id stands elsewhere
REFERENCES: Mapping[str, Sequence[tuple[str, str]]] = {
    "project": (("task", "project"), ("model", "project"), ("project", "parent")),
    "queue": (("task", "execution.queue"),),
}


DEFAULT = "default"  # name and system tag of the queue that takes what is enqueued without naming one


def build_placeholder_id(collection: str, company: str, name: str) -> str:
    """The id of a stand-in; the same wherever and whenever it is made."""
    return uuid5(NAMESPACE_URL, f"taskql:{collection}:{company}:{name}").hex


async def replace_placeholders(database: AsyncDatabase[dict[str, Any]], company: str) -> None:
    """Put the documents that were imported in place of their stand-ins. Doing it again changes nothing."""
    for collection, replaced in (
        ("project", await _projects(database, company)),
        ("queue", await _default_queue(database, company)),
    ):
        for old, new in (await _in_use(database, collection, replaced)).items():
            await _move(database, collection, old, new)
            await database[collection].delete_one({"_id": old})


async def _projects(database: AsyncDatabase[dict[str, Any]], company: str) -> dict[str, str]:
    """Stand-in → project, for every project that is none."""
    found = database["project"].find({"company": company}, {"name": 1}, sort=[("created", -1), ("_id", -1)])
    pairs = [
        (build_placeholder_id("project", company, document["name"]), document["_id"])
        async for document in found
        if isinstance(document.get("name"), str)
    ]
    return {old: new for old, new in pairs if old != new}


async def _default_queue(database: AsyncDatabase[dict[str, Any]], company: str) -> dict[str, str]:
    old = build_placeholder_id("queue", company, DEFAULT)
    default = {"company": company, "system_tags": DEFAULT, "_id": {"$ne": old}}
    new = await database["queue"].find_one(default, {"_id": 1}, sort=[("created", 1), ("_id", 1)])
    return {old: new["_id"]} if new else {}


async def _in_use(
    database: AsyncDatabase[dict[str, Any]], collection: str, replaced: Mapping[str, str]
) -> dict[str, str]:
    """Those that are stored, or that anything still refers to."""
    known = {"$in": list(replaced)}
    used = set(await database[collection].distinct("_id", {"_id": known}))
    for holder, path in REFERENCES[collection]:
        used |= set(await database[holder].distinct(path, {path: known}))
    return {old: new for old, new in replaced.items() if old in used}


async def _move(database: AsyncDatabase[dict[str, Any]], collection: str, old: str, new: str) -> None:
    for holder, path in REFERENCES[collection]:
        await database[holder].update_many({path: old}, {"$set": {path: new}})
    if collection == "project":
        filters = [{"ancestor": old}]
        await database["project"].update_many({"path": old}, {"$set": {"path.$[ancestor]": new}}, array_filters=filters)
        return
    queue = await database["queue"].find_one({"_id": old}, {"entries": 1})
    if queue and queue.get("entries"):
        await database["queue"].update_one({"_id": new}, {"$addToSet": {"entries": {"$each": queue["entries"]}}})
