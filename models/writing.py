"""Writing, with tenants apart: nothing changes but what the viewer's own company has, and all of it or nothing.

What must not be half done is done within one transaction. Nothing else writes while the server runs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pymongo
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from models.reading import TOLERANT, Document, Query, Viewer

TRANSITIONS, KEYS = "taskql_transition", "taskql_key"  # ours: ClearML uses neither name
KEYS_LIVE = timedelta(hours=24)
HELD_NAME = "taskql_name"  # in tasks, projects and queues: the name that nothing else may have while it is there
BUILDING = 600  # seconds; to build an index reads all tasks that another program has stored
Result = TypeVar("Result")
Update = Mapping[str, Any]


class StandaloneError(Exception):
    """The MongoDB is no replica set; the message says how to make it one."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The only way to change stored documents; `max_time_ms` bounds a whole transaction."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    max_time_ms: int
    prepared: set[str]  # the databases of this process that have the indexes of our own collections

    async def transact(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """All that `work` does, or nothing. It may be called several times, when others write at the same time."""

        async def attempt(session: AsyncClientSession) -> Result:
            return await work(Transaction(self.viewer, self.database, session))

        await self._prepare()
        with pymongo.timeout(self.max_time_ms / 1000 + 1):
            async with self.database.client.start_session() as session:
                return await session.with_transaction(
                    attempt, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
                )

    async def look(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """What only looks needs no transaction, and no replica set."""
        with pymongo.timeout(self.max_time_ms / 1000 + 1):
            return await work(Transaction(self.viewer, self.database, None))

    async def _prepare(self) -> None:
        """The indexes of our own collections, once; raises StandaloneError where there are no transactions."""
        if self.database.name in self.prepared:
            return
        with pymongo.timeout(self.max_time_ms / 1000 + 1):
            hello = await self.database.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise StandaloneError(
                "Changes need transactions, and this MongoDB is a standalone server: start it with --replSet rs0 and "
                "run rs.initiate() in it once. Its data stays as it is."
            )
        with pymongo.timeout(BUILDING):
            await self.database[KEYS].create_index("at", expireAfterSeconds=int(KEYS_LIVE.total_seconds()))
            await self.database[TRANSITIONS].create_index([("company", 1), ("task", 1), ("number", 1)], unique=True)
            for collection in ("task", "project", "queue"):
                await self.database[collection].create_index(
                    [("company", 1), (HELD_NAME, 1)],
                    unique=True,
                    partialFilterExpression={HELD_NAME: {"$exists": True}},
                )
        self.prepared.add(self.database.name)

    async def touch_project(self, project: Any, now: Any) -> None:
        """Its last update becomes now. This alone happens outside the transaction: many tasks share a project."""
        if isinstance(project, str) and project:
            with pymongo.timeout(self.max_time_ms / 1000 + 1):
                await self.database["project"].update_one(
                    {"_id": project, "company": self.viewer.company}, {"$max": {"last_update": now}}
                )


@dataclass(frozen=True, slots=True)
class Transaction:
    """Reads what the viewer may see, writes what is their company's."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    session: AsyncClientSession | None

    async def visible(
        self, collection: str, query: Query, projection: Mapping[str, int] | None = None
    ) -> list[Document]:
        found = {"$and": [{"company": {"$in": [self.viewer.company, ""]}}, query]}
        return await self._collection(collection).find(found, projection, session=self.session).to_list()

    async def own(self, collection: str, query: Query, projection: Mapping[str, int] | None = None) -> list[Document]:
        return await self._collection(collection).find(self._own(query), projection, session=self.session).to_list()

    async def last(self, collection: str, query: Query, by: str) -> Document | None:
        return await self._collection(collection).find_one(self._own(query), sort=[(by, -1)], session=self.session)

    async def insert(self, collection: str, document: Document) -> None:
        """Raises DuplicateKeyError, which ends the transaction."""
        own = document | {"company": self.viewer.company}
        await self._collection(collection).insert_one(own, session=self.session)

    async def update(self, collection: str, query: Query, update: Update | Sequence[Update]) -> Document | None:
        """The one document of ours that matches as it is afterwards; None when there is none."""
        return await self._collection(collection).find_one_and_update(
            self._own(query), update, return_document=ReturnDocument.AFTER, session=self.session
        )

    async def update_all(self, collection: str, query: Query, update: Update) -> int:
        """How many matched."""
        found = await self._collection(collection).update_many(self._own(query), update, session=self.session)
        return found.matched_count

    async def delete(self, collection: str, query: Query) -> int:
        found = await self._collection(collection).delete_many(self._own(query), session=self.session)
        return found.deleted_count

    def _own(self, query: Query) -> Query:
        return {"$and": [{"company": self.viewer.company}, query]}

    def _collection(self, name: str) -> AsyncCollection[Document]:
        return self.database[name].with_options(codec_options=TOLERANT)
