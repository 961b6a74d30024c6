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


def stand_in(collection: str, company: str, name: str) -> str:
    """The id of a stand-in; the same wherever and whenever it is made."""
    return uuid5(NAMESPACE_URL, f"taskql:{collection}:{company}:{name}").hex


async def replace_stand_ins(database: AsyncDatabase[dict[str, Any]], company: str) -> None:
    """Put the documents that were imported in place of their stand-ins. Doing it again changes nothing."""
    for collection in REFERENCES:
        for old, new in await _replaced(database, collection, company):
            await _move(database, collection, old, new)
            await database[collection].delete_one({"_id": old})


async def _replaced(database: AsyncDatabase[dict[str, Any]], collection: str, company: str) -> list[tuple[str, str]]:
    found = database[collection].find({"company": company}, {"name": 1}, sort=[("created", 1), ("_id", 1)])
    own: dict[str, str] = {}
    others: dict[str, str] = {}
    async for document in found:
        name = document.get("name")
        if isinstance(name, str):
            kind = own if document["_id"] == stand_in(collection, company, name) else others
            kind.setdefault(name, document["_id"])
    return [(old, others[name]) for name, old in own.items() if name in others]


async def _move(database: AsyncDatabase[dict[str, Any]], collection: str, old: str, new: str) -> None:
    for holder, path in REFERENCES[collection]:
        await database[holder].update_many({path: old}, {"$set": {path: new}})
    if collection == "project":
        filters = [{"ancestor": old}]
        await database["project"].update_many({"path": old}, {"$set": {"path.$[ancestor]": new}}, array_filters=filters)
        return
    queue = await database["queue"].find_one({"_id": old}, {"entries": 1})
    if queue and queue.get("entries"):
        await database["queue"].update_one({"_id": new}, {"$push": {"entries": {"$each": queue["entries"]}}})
