"""The database: connect to it, and prepare one that is empty or set up by taskql."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pymongo
from beanie import Document, init_beanie
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, DuplicateKeyError, OperationFailure, PyMongoError

from models.dates import now
from models.documents.block import SERIES, Block
from models.documents.company import Company
from models.documents.model import Model
from models.documents.project import Project
from models.documents.queue import Queue
from models.documents.task import Task
from models.documents.transition import TRANSITIONS, Transition
from models.documents.user import User
from models.store.indexes import Indexes
from models.store.placeholders import DEFAULT, build_placeholder_id, replace_placeholders
from models.store.reader import Reader
from models.store.shared_change_stream import SharedChangeStream
from models.store.turns import COMMANDS, Turns
from models.store.writer import IDEMPOTENCY_KEYS, Writer, WriterState
from models.types import Viewer

log = logging.getLogger("taskql.db")

DOCUMENTS: Mapping[str, type[Document]] = {
    "task": Task,
    "project": Project,
    "queue": Queue,
    "model": Model,
    "user": User,
    "company": Company,
    TRANSITIONS: Transition,
}
OWN_DOCUMENTS: Mapping[str, type[Document]] = {SERIES: Block}  # in collections that ClearML does not have
OWNERSHIP = "taskql"  # the collection that only a database of taskql has
CLIENT_OPTIONS: Mapping[str, Any] = {
    "appname": "taskql",
    "serverSelectionTimeoutMS": 5000,
    "connectTimeoutMS": 5000,
    "w": "majority",
    "retryWrites": True,
}


class DatabaseError(Exception):
    """The database can't be used; the message says what to do."""


class Database:
    """A connected database, to which the Beanie documents are bound."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.database = database
        self.changes = SharedChangeStream(database)
        self.indexes = Indexes(database, [*DOCUMENTS, *OWN_DOCUMENTS, IDEMPOTENCY_KEYS])
        self._writer_state = WriterState()

    def create_reader(self, viewer: Viewer, max_time_ms: int = 5000, commands: int = COMMANDS) -> Reader:
        """Create the reader of one request, which runs so many commands at once."""
        return Reader(viewer, self.database, max_time_ms, indexes=self.indexes, turns=Turns(commands))

    @asynccontextmanager
    async def open_snapshot(
        self, viewer: Viewer, max_time_ms: int = 5000, commands: int = COMMANDS
    ) -> AsyncIterator[Reader]:
        """Create a reader of the data at one time; on a standalone server, which has no snapshots, of changing data."""
        reader = self.create_reader(viewer, max_time_ms, commands)
        if (await reader.read_server())["topology"] == "standalone":
            yield reader
            return
        async with self.database.client.start_session(snapshot=True) as session:
            yield replace(reader, snapshot=session)

    def create_writer(self, viewer: Viewer, max_time_ms: int = 5000) -> Writer:
        return Writer(viewer, self.database, max_time_ms, self._writer_state, self.indexes)

    async def ping(self) -> None:
        """Raises PyMongoError unless the server answers within two seconds."""
        with pymongo.timeout(2):
            await self.database.client.admin.command("ping")

    async def is_ours(self) -> bool:
        """Whether taskql set the database up, or may do so because it is empty."""
        names = await self.database.list_collection_names()
        return OWNERSHIP in names or not names

    async def prepare(self, company: str, user: str) -> list[str]:
        """Create missing indexes and the default queue, and the acting user in an empty database.

        Returns a line for each index that can't be created.
        """
        if not await self.database.list_collection_names():
            await self._ensure_user(company, user)
        await self.database[OWNERSHIP].update_one({"_id": "prepared"}, {"$setOnInsert": {"at": now()}}, upsert=True)
        await self._ensure_default_queue(company)
        failures = []
        for document in (*DOCUMENTS.values(), *OWN_DOCUMENTS.values()):
            failures += await self._build_indexes(document)
        await self.indexes.read()
        return failures

    async def replace_placeholders(self, company: str) -> None:
        await replace_placeholders(self.database, company)

    async def find_unindexed(self, collection: str, fields: Iterable[str]) -> list[str]:
        """Find the fields that lead no index of the collection, alone or after the company."""
        leading = {"_id"}
        for index in (await self.database[collection].index_information()).values():
            keys = [name for name, _ in index["key"]]
            if "_fts" in keys:
                leading.add("$text")
            else:
                leading.update(keys[:2] if keys[:1] == ["company"] else keys[:1])
        return [field for field in fields if field not in leading]

    async def _build_indexes(self, document: type[Document]) -> list[str]:
        failures = []
        collection = document.get_pymongo_collection()
        indexes = (await collection.index_information()).values()
        has_text_index = any("_fts" in dict(index["key"]) for index in indexes)
        for index in document.get_settings().indexes:
            if has_text_index and "_fts" in index.index.document["key"]:
                continue  # a collection has one text index at most, and any serves
            try:
                await collection.create_indexes([index.index])
            except OperationFailure as error:
                failures.append(f"{collection.name}.{index.index.document['name']}: {error}")
        return failures

    async def _ensure_user(self, company: str, user: str) -> None:
        document = {"company": company, "name": user, "created": now()}
        with suppress(DuplicateKeyError):  # another process was first
            await self.database["user"].update_one({"_id": user}, {"$setOnInsert": document}, upsert=True)

    async def _ensure_default_queue(self, company: str) -> None:
        id_ = build_placeholder_id("queue", company, DEFAULT)
        queue = Queue(_id=id_, company=company, name=DEFAULT, system_tags=[DEFAULT])
        query = {"company": company, "system_tags": {"$in": [DEFAULT]}}
        document = queue.model_dump(by_alias=True, exclude={"company", "revision_id"})
        with suppress(DuplicateKeyError):  # another process was first
            await self.database["queue"].update_one(query, {"$setOnInsert": document}, upsert=True)


@asynccontextmanager
async def connect(uri: str, name: str) -> AsyncIterator[Database]:
    """Connect to a database; writes nothing. Raises DatabaseError."""
    try:
        defaults = {name: value for name, value in CLIENT_OPTIONS.items() if f"{name}=" not in uri}
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, **defaults)
    except (ConfigurationError, ValueError, OSError) as error:  # OSError: a certificate that can't be read
        raise DatabaseError(f"TASKQL_MONGODB_URI is not a usable MongoDB address: {error}") from error
    try:
        database = await _bind(client[name])
    except OperationFailure as error:
        await client.close()
        reason = (error.details or {}).get("errmsg", error)
        raise DatabaseError(
            f"MongoDB refuses: {reason}. Give a user and a password in TASKQL_MONGODB_URI that may read this database."
        ) from error
    except PyMongoError as error:
        await client.close()
        reason = str(error).partition(" (configured")[0]
        raise DatabaseError(
            f"MongoDB does not answer: {reason}. Start it, or correct its address (TASKQL_MONGODB_URI); without an "
            "address taskql starts an embedded MongoDB."
        ) from error
    try:
        yield database
    finally:
        await client.close()


async def _bind(database: AsyncDatabase[dict[str, Any]]) -> Database:
    """Bind the Beanie documents to a database that answers, and read its indexes."""
    documents = [*DOCUMENTS.values(), *OWN_DOCUMENTS.values()]
    await init_beanie(database=database, document_models=documents, skip_indexes=True)
    bound = Database(database)
    await bound.ping()
    await bound.indexes.read()
    return bound
