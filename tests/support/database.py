"""The database of the tests: its name, its documents, and their deletion."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

Document = dict[str, Any]

NAME = "taskql_tests"


async def aggregate(database: AsyncDatabase[Document], *stages: Document) -> dict[str, list[Document]]:
    """Run these stages on every collection, in one command, since most tests fill few; leaves out empty results."""

    def build_pipeline(name: str) -> list[Document]:
        return [*stages, {"$project": {"_id": 0, "name": {"$literal": name}, "document": "$$ROOT"}}]

    first, *further = sorted(await database.list_collection_names())
    unions = [{"$unionWith": {"coll": name, "pipeline": build_pipeline(name)}} for name in further]
    documents: dict[str, list[Document]] = {}
    async for row in await database[first].aggregate([*build_pipeline(first), *unions]):
        documents.setdefault(row["name"], []).append(row["document"])
    return documents


async def delete_all(database: AsyncDatabase[Document]) -> None:
    """Delete all documents."""
    for name in await aggregate(database, {"$limit": 1}, {"$replaceWith": {}}):  # some stored values can't be read
        await database[name].delete_many({})
