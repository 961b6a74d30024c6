"""From settings to an open database: ours is prepared, somebody else's is left as it is."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import SecretStr

from api.embedded_mongodb import run_embedded_mongodb
from api.settings import Settings
from models.store.database import Database, connect
from models.store.waits import mend_waits
from schema.spec import FieldSpec, Spec

log = logging.getLogger("taskql")


@contextmanager
def with_mongodb(settings: Settings) -> Iterator[Settings]:
    """The settings with a MongoDB address: the given one, or that of an embedded server; raises MongodError."""
    if settings.mongodb_uri:
        yield settings
        return
    with run_embedded_mongodb(settings.data_dir.expanduser().absolute()) as uri:
        yield settings.model_copy(update={"mongodb_uri": SecretStr(uri)})


@asynccontextmanager
async def open_database(settings: Settings, spec: Spec) -> AsyncIterator[Database]:
    """The connected database; raises DatabaseError. Logs what a foreign one lacks."""
    assert settings.mongodb_uri
    mend_waits()  # clients that leave cancel their requests
    async with connect(settings.mongodb_uri.get_secret_value(), settings.mongodb_database) as database:
        if await database.is_ours():
            for failure in await database.prepare(settings.company, settings.user):
                log.warning("index not created: %s", failure)
        else:
            await _say_what_lacks(database, spec)
        yield database


async def _say_what_lacks(database: Database, spec: Spec) -> None:
    indexed = {
        field.graphql_name: _find_indexed_path(field)
        for field in spec.get_object("task_filter").fields
        if field.is_indexed
    }
    missing = set(await database.find_unindexed("task", indexed.values()))
    names = [name for name, path in indexed.items() if path in missing]
    if names:
        log.warning(
            "this database was set up by another program and is left as it is; filters without an index here: %s. "
            "`taskql init` creates indexes and the default queue.", ", ".join(names)
        )  # fmt: skip


def _find_indexed_path(field: FieldSpec) -> str:
    """The stored path whose index serves a filter."""
    if field.filter_kind == "text":
        return "$text"
    return field.stored_paths[0] if field.stored_paths else field.name
