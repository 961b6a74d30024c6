"""The database of the tests: its name, what is in it, and how it is emptied."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

NAME = "taskql_tests"


async def found_by(database: AsyncDatabase[dict[str, Any]], *stages: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What these stages find in each collection that has some, in one command: most tests fill few of them."""

    def asked(name: str) -> list[dict[str, Any]]:
        return [*stages, {"$project": {"_id": 0, "name": {"$literal": name}, "document": "$$ROOT"}}]

    first, *others = sorted(await database.list_collection_names())
    unions = [{"$unionWith": {"coll": name, "pipeline": asked(name)}} for name in others]
    found: dict[str, list[dict[str, Any]]] = {}
    async for row in await database[first].aggregate([*asked(first), *unions]):
        found.setdefault(row["name"], []).append(row["document"])
    return found


async def empty(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Delete all documents."""
    for name in await found_by(database, {"$limit": 1}, {"$replaceWith": {}}):  # not all that is stored can be read
        await database[name].delete_many({})
