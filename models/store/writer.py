"""Writing for one viewer: only documents of the viewer's company change, all of a mutation's or none.

Writes that belong together are one transaction. Nothing else writes while the server runs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import pymongo
from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from models.codecs import TOLERANT
from models.documents.block import SERIES, Block
from models.documents.transition import TRANSITIONS, Transition
from models.store.indexes import Indexes, Sort, is_bad_hint
from models.store.reader import MAX_BATCH, HintArgument, build_tally_pipeline
from models.types import Document, Query, Viewer

log = logging.getLogger("taskql.writing")

IDEMPOTENCY_KEYS = "taskql_key"  # a collection that ClearML does not have
IDEMPOTENCY_KEY_LIFETIME = timedelta(hours=24)
HELD_NAME = "taskql_name"  # of tasks, projects and queues: a unique name
INDEX_BUILD_SECONDS = 600  # building an index reads all tasks that another program has stored
Result = TypeVar("Result")
Update = Mapping[str, Any]


class StandaloneError(Exception):
    """The MongoDB is not a replica set; the message says how to make it one."""


@dataclass(slots=True)
class WriterState:
    """The state that all writers of a process share."""

    retry_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_prepared: bool = False


@dataclass(frozen=True, slots=True)
class Writer:
    """The only way to change stored documents; `max_time_ms` bounds a whole transaction."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    max_time_ms: int
    state: WriterState
    indexes: Indexes

    async def transact(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """Run work in a transaction: it runs again, from its beginning, after a conflict with another writer."""
        await self._prepare()
        return await self._retry_without_hints(lambda hints: self._transact(work, hints))

    async def run_without_transaction(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """Run work that only reads; it needs no replica set."""

        async def attempt(hints: "Hints") -> Result:
            with pymongo.timeout(self._seconds):
                return await work(Transaction(self.viewer, self.database, None, hints))

        return await self._retry_without_hints(attempt)

    async def _retry_without_hints(self, attempt: Callable[["Hints"], Awaitable[Result]]) -> Result:
        """Attempt again, without hints, after MongoDB refused one: its index was dropped, and nothing was written."""
        hints = Hints(self.indexes)
        try:
            return await attempt(hints)
        except OperationFailure as error:
            if hints.last is None or not is_bad_hint(error):
                raise
        await self.indexes.refuse(*hints.last)
        return await attempt(Hints(Indexes()))

    async def _transact(self, work: Callable[["Transaction"], Awaitable[Result]], hints: "Hints") -> Result:
        with pymongo.timeout(self._seconds):
            async with AsyncExitStack() as stack, self.database.client.start_session() as session:
                attempts = count()

                async def attempt(session: AsyncClientSession) -> Result:
                    if next(attempts) == 1:
                        # After a conflict writers take turns: fifty that retry at random take seconds. MongoDB knows
                        # nothing of the new transaction before its first command, so it does not expire meanwhile.
                        await stack.enter_async_context(self.state.retry_lock)
                    return await work(Transaction(self.viewer, self.database, session, hints))

                return await session.with_transaction(
                    attempt, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
                )

    async def touch_project(self, project: Any, now: Any) -> None:
        """Set the last update of a project, outside the transaction: many tasks share a project.

        The mutation has succeeded by then, so a failure is only logged.
        """
        if not isinstance(project, str) or not project:
            return
        try:
            with pymongo.timeout(self._seconds):
                await self.database["project"].update_one(
                    self.viewer.narrow_to_writable({"_id": project}), {"$max": {"last_update": now}}
                )
        except PyMongoError as error:
            log.warning("the last update of the project %s was not set: %s", project, error)

    async def _prepare(self) -> None:
        """Build the indexes of our own collections, once. Raises StandaloneError where there are no transactions."""
        if self.state.is_prepared:
            return
        with pymongo.timeout(self._seconds):
            hello = await self.database.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise StandaloneError(
                "Changes need transactions, and this MongoDB is a standalone server: start it with --replSet rs0 and "
                "run rs.initiate() in it once. Its data stays as it is."
            )
        with pymongo.timeout(INDEX_BUILD_SECONDS):
            await self.database[IDEMPOTENCY_KEYS].create_index(
                "at", expireAfterSeconds=int(IDEMPOTENCY_KEY_LIFETIME.total_seconds())
            )
            await self.database[TRANSITIONS].create_indexes(Transition.Settings.indexes)
            await self.database[SERIES].create_indexes(Block.Settings.indexes)
            for collection in ("task", "project", "queue"):
                await self.database[collection].create_index(
                    [("company", 1), (HELD_NAME, 1)],
                    unique=True,
                    partialFilterExpression={HELD_NAME: {"$exists": True}},
                )
        await self.indexes.read()
        self.state.is_prepared = True

    @property
    def _seconds(self) -> float:
        """The time of a transaction: a second more than the server has, for one that never answers."""
        return self.max_time_ms / 1000 + 1


@dataclass(slots=True)
class Hints:
    """Finds the hints for the commands of a transaction, and remembers the collection and index of the last one."""

    indexes: Indexes
    last: tuple[str, str] | None = None

    def find(self, collection: str, query: Query, sort: Sort | None = None) -> HintArgument:
        name = self.indexes.find_hint(collection, query, sort)
        if name is None:
            return {}
        self.last = collection, name
        return {"hint": name}


@dataclass(frozen=True, slots=True)
class Transaction:
    """Reads the documents that the viewer may read, writes those of the viewer's company."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    session: AsyncClientSession | None
    hints: Hints

    async def read_visible(
        self, collection: str, query: Query, projection: Mapping[str, Any] | None = None
    ) -> list[Document]:
        return await self._find(collection, self.viewer.narrow_to_readable(collection, query), projection)

    async def tally(self, collection: str, query: Query, keys: Mapping[str, Any]) -> list[Document]:
        """Count the matches by the values of some expressions: a document with the values and `count` for each."""
        readable = self.viewer.narrow_to_readable(collection, query)
        hint = self.hints.find(collection, readable)
        cursor = await self._get_collection(collection).aggregate(
            build_tally_pipeline(readable, keys), session=self.session, **hint
        )
        return await cursor.to_list()

    async def read_own(
        self, collection: str, query: Query, projection: Mapping[str, int] | None = None
    ) -> list[Document]:
        return await self._find(collection, self.viewer.narrow_to_writable(query), projection)

    async def read_last(self, collection: str, query: Query, field: str) -> Document | None:
        """Read the match with the greatest value of a field."""
        own_query = self.viewer.narrow_to_writable(query)
        hint = self.hints.find(collection, own_query, {field: -1})
        return await self._get_collection(collection).find_one(
            own_query, sort=[(field, -1)], session=self.session, **hint
        )

    async def insert(self, collection: str, document: Document) -> None:
        """Raises DuplicateKeyError, which ends the transaction."""
        await self._get_collection(collection).insert_one(self.viewer.claim(document), session=self.session)

    async def update(self, collection: str, query: Query, update: Update | Sequence[Update]) -> Document | None:
        """Update one match and read it afterwards; None without a match."""
        own_query = self.viewer.narrow_to_writable(query)
        hint = self.hints.find(collection, own_query)
        return await self._get_collection(collection).find_one_and_update(
            own_query, update, return_document=ReturnDocument.AFTER, session=self.session, **hint
        )

    async def update_all(self, collection: str, query: Query, update: Update) -> int:
        """Update all matches; returns their number."""
        own_query = self.viewer.narrow_to_writable(query)
        hint = self.hints.find(collection, own_query)
        result = await self._get_collection(collection).update_many(own_query, update, session=self.session, **hint)
        return result.matched_count

    async def insert_all(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert by one command. Raises BulkWriteError, which ends the transaction."""
        if documents:
            claimed = [self.viewer.claim(document) for document in documents]
            await self._get_collection(collection).insert_many(claimed, session=self.session)

    async def update_each(self, collection: str, updates: Sequence[tuple[Any, Update]]) -> None:
        """Update documents by their ids, by one command."""
        if updates:
            commands = [self._build_update(collection, id_, update) for id_, update in updates]
            await self._get_collection(collection).bulk_write(commands, session=self.session)

    def _build_update(self, collection: str, id_: Any, update: Update) -> UpdateOne:
        own_query = self.viewer.narrow_to_writable({"_id": id_})
        return UpdateOne(own_query, update, **self.hints.find(collection, own_query))

    async def delete(self, collection: str, query: Query) -> int:
        """Delete all matches; returns their number."""
        own_query = self.viewer.narrow_to_writable(query)
        hint = self.hints.find(collection, own_query)
        result = await self._get_collection(collection).delete_many(own_query, session=self.session, **hint)
        return result.deleted_count

    async def _find(self, collection: str, query: Query, projection: Mapping[str, Any] | None) -> list[Document]:
        hint = self.hints.find(collection, query)
        cursor = self._get_collection(collection).find(
            query, projection, session=self.session, batch_size=MAX_BATCH, **hint
        )
        return await cursor.to_list()

    def _get_collection(self, name: str) -> AsyncCollection[Document]:
        return self.database[name].with_options(codec_options=TOLERANT)
