"""Writing, with tenants apart: nothing changes but what the viewer's own company has, and all of it or nothing.

What must not be half done is done within one transaction. Nothing else writes while the server runs.
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
from models.store.reader import MAX_BATCH, Hint, build_tally_pipeline
from models.types import Document, Query, Viewer

log = logging.getLogger("taskql.writing")

IDEMPOTENCY_KEYS = "taskql_key"  # a name that ClearML does not use
IDEMPOTENCY_KEY_LIFETIME = timedelta(hours=24)
HELD_NAME = "taskql_name"  # in tasks, projects and queues: the name that nothing else may have while it is there
INDEX_BUILD_SECONDS = 600  # seconds; to build an index reads all tasks that another program has stored
Result = TypeVar("Result")
Update = Mapping[str, Any]


class StandaloneError(Exception):
    """The MongoDB is no replica set; the message says how to make it one."""


@dataclass(slots=True)
class WriterState:
    """What all writers of a process share."""

    line: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_prepared: bool = False


@dataclass(frozen=True, slots=True)
class Writer:
    """The only way to change stored documents; `max_time_ms` bounds a whole transaction."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    max_time_ms: int
    common: WriterState
    indexes: Indexes

    async def transact(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """All that `work` does, or nothing. It may be called several times, when others write at the same time."""
        await self._prepare()
        return await self._unhinted_if_refused(lambda hints: self._transact(work, hints))

    async def run_without_transaction(self, work: Callable[["Transaction"], Awaitable[Result]]) -> Result:
        """What only looks needs no transaction, and no replica set."""

        async def attempt(hints: "Hints") -> Result:
            with pymongo.timeout(self._seconds):
                return await work(Transaction(self.viewer, self.database, None, hints))

        return await self._unhinted_if_refused(attempt)

    async def _unhinted_if_refused(self, attempt: Callable[["Hints"], Awaitable[Result]]) -> Result:
        """Again, without hints, when MongoDB refuses one: an index is gone meanwhile. Nothing was done then."""
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
            async with AsyncExitStack() as line, self.database.client.start_session() as session:
                attempts = count()

                async def attempt(session: AsyncClientSession) -> Result:
                    if next(attempts) == 1:
                        # Who met another writer waits for its turn: fifty that try again at random take seconds.
                        # What was begun is only a word until the first command.
                        await line.enter_async_context(self.common.line)
                    return await work(Transaction(self.viewer, self.database, session, hints))

                return await session.with_transaction(
                    attempt, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
                )

    async def touch_project(self, project: Any, now: Any) -> None:
        """Its last update becomes now. This alone happens outside the transaction: many tasks share a project.

        What belongs to it is done by then, so a failure here is none of the mutation's.
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
        """The indexes of our own collections, once; raises StandaloneError where there are no transactions."""
        if self.common.is_prepared:
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
        self.common.is_prepared = True

    @property
    def _seconds(self) -> float:
        """A second more than the server has for a command: for one that does not answer at all."""
        return self.max_time_ms / 1000 + 1


@dataclass(slots=True)
class Hints:
    """The hints that the commands of a transaction get, and the last one: collection and index."""

    indexes: Indexes
    last: tuple[str, str] | None = None

    def hint(self, collection: str, query: Query, sort: Sort | None = None) -> Hint:
        name = self.indexes.hint(collection, query, sort)
        if name is None:
            return {}
        self.last = collection, name
        return {"hint": name}


@dataclass(frozen=True, slots=True)
class Transaction:
    """Reads what the viewer may see, writes what is their company's."""

    viewer: Viewer
    database: AsyncDatabase[Document]
    session: AsyncClientSession | None
    hints: Hints

    async def read_visible(
        self, collection: str, query: Query, projection: Mapping[str, Any] | None = None
    ) -> list[Document]:
        return await self._found(collection, self.viewer.narrow_to_readable(collection, query), projection)

    async def tally(self, collection: str, query: Query, by: Mapping[str, Any]) -> list[Document]:
        """How many visible documents have which values of these expressions."""
        visible = self.viewer.narrow_to_readable(collection, query)
        hint = self.hints.hint(collection, visible)
        cursor = await self._collection(collection).aggregate(
            build_tally_pipeline(visible, by), session=self.session, **hint
        )
        return await cursor.to_list()

    async def read_own(
        self, collection: str, query: Query, projection: Mapping[str, int] | None = None
    ) -> list[Document]:
        return await self._found(collection, self.viewer.narrow_to_writable(query), projection)

    async def read_last(self, collection: str, query: Query, by: str) -> Document | None:
        own = self.viewer.narrow_to_writable(query)
        hint = self.hints.hint(collection, own, {by: -1})
        return await self._collection(collection).find_one(own, sort=[(by, -1)], session=self.session, **hint)

    async def insert(self, collection: str, document: Document) -> None:
        """Raises DuplicateKeyError, which ends the transaction."""
        await self._collection(collection).insert_one(self.viewer.claim(document), session=self.session)

    async def update(self, collection: str, query: Query, update: Update | Sequence[Update]) -> Document | None:
        """The one document of ours that matches as it is afterwards; None when there is none."""
        own = self.viewer.narrow_to_writable(query)
        hint = self.hints.hint(collection, own)
        return await self._collection(collection).find_one_and_update(
            own, update, return_document=ReturnDocument.AFTER, session=self.session, **hint
        )

    async def update_all(self, collection: str, query: Query, update: Update) -> int:
        """How many matched."""
        own = self.viewer.narrow_to_writable(query)
        hint = self.hints.hint(collection, own)
        found = await self._collection(collection).update_many(own, update, session=self.session, **hint)
        return found.matched_count

    async def insert_all(self, collection: str, documents: Sequence[Document]) -> None:
        """One command for all; raises BulkWriteError, which ends the transaction."""
        if documents:
            own = [self.viewer.claim(document) for document in documents]
            await self._collection(collection).insert_many(own, session=self.session)

    async def update_each(self, collection: str, updates: Sequence[tuple[Any, Update]]) -> None:
        """An update for each of some ids, by one command."""
        own = [self._own_update(collection, id_, update) for id_, update in updates]
        if own:
            await self._collection(collection).bulk_write(own, session=self.session)

    def _own_update(self, collection: str, id_: Any, update: Update) -> UpdateOne:
        own = self.viewer.narrow_to_writable({"_id": id_})
        return UpdateOne(own, update, **self.hints.hint(collection, own))

    async def delete(self, collection: str, query: Query) -> int:
        own = self.viewer.narrow_to_writable(query)
        hint = self.hints.hint(collection, own)
        found = await self._collection(collection).delete_many(own, session=self.session, **hint)
        return found.deleted_count

    async def _found(self, collection: str, query: Query, projection: Mapping[str, Any] | None) -> list[Document]:
        hint = self.hints.hint(collection, query)
        cursor = self._collection(collection).find(
            query, projection, session=self.session, batch_size=MAX_BATCH, **hint
        )
        return await cursor.to_list()

    def _collection(self, name: str) -> AsyncCollection[Document]:
        return self.database[name].with_options(codec_options=TOLERANT)
