"""The database: connect, tell whose it is, prepare it when it is ours."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
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
from models.imports.placeholders import DEFAULT, build_placeholder_id, replace_placeholders
from models.store.indexes import Indexes
from models.store.reader import Reader
from models.store.shared_change_stream import SharedChangeStream
from models.store.turns import COMMANDS, Turns
from models.store.writer import IDEMPOTENCY_KEYS, Writer, WriterState
from models.types import Viewer

log = logging.getLogger("taskql.db")

DOCUMENTS: Mapping[str, type[Document]] = {
    "task": Task, "project": Project, "queue": Queue, "model": Model, "user": User, "company": Company,
    TRANSITIONS: Transition,
}  # fmt: skip
OWN: Mapping[str, type[Document]] = {SERIES: Block}  # collections that ClearML does not know
MARK = "taskql"  # a collection that ClearML doesn't know: the database is ours where it exists
OPTIONS: Mapping[str, Any] = {
    "appname": "taskql", "serverSelectionTimeoutMS": 5000, "connectTimeoutMS": 5000, "w": "majority",
    "retryWrites": True,
}  # fmt: skip


class DatabaseError(Exception):
    """The database can't be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """A connected database with its Beanie documents bound."""

    database: AsyncDatabase[dict[str, Any]]
    writing: WriterState = field(default_factory=WriterState)
    changes: SharedChangeStream = field(init=False)
    indexes: Indexes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", SharedChangeStream(self.database))
        object.__setattr__(self, "indexes", Indexes(self.database, [*DOCUMENTS, *OWN, IDEMPOTENCY_KEYS]))

    def create_reader(self, viewer: Viewer, max_time_ms: int = 5000, commands: int = COMMANDS) -> Reader:
        """A reader for one request, which has so many commands at once."""
        return Reader(viewer, self.database, max_time_ms, indexes=self.indexes, turns=Turns(commands))

    @asynccontextmanager
    async def open_snapshot(
        self, viewer: Viewer, max_time_ms: int = 5000, commands: int = COMMANDS
    ) -> AsyncIterator[Reader]:
        """A reader to whom nothing changes from its first look on; a standalone server can't keep still."""
        reader = self.create_reader(viewer, max_time_ms, commands)
        if (await reader.read_server())["topology"] == "standalone":
            yield reader
            return
        async with self.database.client.start_session(snapshot=True) as session:
            yield replace(reader, snapshot=session)

    def create_writer(self, viewer: Viewer, max_time_ms: int = 5000) -> Writer:
        return Writer(viewer, self.database, max_time_ms, self.writing, self.indexes)

    async def ping(self) -> None:
        """Raises PyMongoError unless the server answers within two seconds."""
        with pymongo.timeout(2):
            await self.database.client.admin.command("ping")

    async def is_ours(self) -> bool:
        """Whether taskql set it up, or may, because it is empty."""
        names = await self.database.list_collection_names()
        return MARK in names or not names

    async def prepare(self, company: str, user: str) -> list[str]:
        """Create indexes and the default queue where they are missing, and the acting user in an empty database.

        Answers which indexes could not be created.
        """
        if not await self.database.list_collection_names():
            await self._ensure_user(company, user)
        await self.database[MARK].update_one({"_id": "prepared"}, {"$setOnInsert": {"at": now()}}, upsert=True)
        await self._ensure_default_queue(company)
        failures = [
            failure
            for document in (*DOCUMENTS.values(), *OWN.values())
            for failure in await self._build_indexes(document)
        ]
        await self.indexes.read()
        return failures

    async def replace_placeholders(self, company: str) -> None:
        """What imported documents entail for those that taskql had made in their place."""
        await replace_placeholders(self.database, company)

    async def find_unindexed(self, collection: str, fields: Iterable[str]) -> list[str]:
        """Those of the fields that no index of the collection leads to (alone, or behind the company)."""
        served = {"_id"}
        for index in (await self.database[collection].index_information()).values():
            keys = [name for name, _ in index["key"]]
            served |= {"$text"} if "_fts" in keys else {*keys[:1], *(keys[1:2] if keys[:1] == ["company"] else [])}
        return [field for field in fields if field not in served]

    async def _build_indexes(self, document: type[Document]) -> list[str]:
        failed = []
        collection = document.get_pymongo_collection()
        has_text = any("_fts" in dict(found["key"]) for found in (await collection.index_information()).values())
        for index in document.get_settings().indexes:
            if has_text and "_fts" in index.index.document["key"]:
                continue  # a collection has one text index at most, and any serves
            try:
                await collection.create_indexes([index.index])
            except OperationFailure as error:
                failed.append(f"{collection.name}.{index.index.document['name']}: {error}")
        return failed

    async def _ensure_user(self, company: str, user: str) -> None:
        document = {"company": company, "name": user, "created": now()}
        with suppress(DuplicateKeyError):  # another process was first
            await self.database["user"].update_one({"_id": user}, {"$setOnInsert": document}, upsert=True)

    async def _ensure_default_queue(self, company: str) -> None:
        queue = Queue(
            _id=build_placeholder_id("queue", company, DEFAULT), company=company, name=DEFAULT, system_tags=[DEFAULT]
        )
        default = {"company": company, "system_tags": {"$in": [DEFAULT]}}
        document = queue.model_dump(by_alias=True, exclude={"company", "revision_id"})
        with suppress(DuplicateKeyError):  # another process was first
            await self.database["queue"].update_one(default, {"$setOnInsert": document}, upsert=True)


@asynccontextmanager
async def connect(uri: str, name: str) -> AsyncIterator[Database]:
    """A connected Database; raises DatabaseError when there is none to connect to. Writes nothing."""
    try:
        defaults = {name: value for name, value in OPTIONS.items() if f"{name}=" not in uri}
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, **defaults)
    except (ConfigurationError, ValueError, OSError) as error:  # OSError: a certificate that can't be read
        raise DatabaseError(f"TASKQL_MONGODB_URI is no usable MongoDB address: {error}") from error
    try:
        database = client[name]
        await init_beanie(database=database, document_models=[*DOCUMENTS.values(), *OWN.values()], skip_indexes=True)
        found = Database(database)
        await found.ping()
        await found.indexes.read()
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
        yield found
    finally:
        await client.close()
