"""From settings to an open database: one of taskql is prepared, one of another program is left as it is."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from pydantic import SecretStr

from api.embedded_mongodb import run_embedded_mongodb
from api.settings import Settings
from models.store.database import Database, connect
from models.store.waits import mend_waits
from schema.spec import FieldSpec, Spec

log = logging.getLogger("taskql")


@contextmanager
def with_mongodb(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with a MongoDB address: their own, or that of an embedded server; raises MongodError."""
    if settings.mongodb_uri:
        yield settings
        return
    with run_embedded_mongodb(settings.data_dir.expanduser().absolute()) as uri:
        yield settings.model_copy(update={"mongodb_uri": SecretStr(uri)})


def connect_to_database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """Connect to the database of settings with a MongoDB address; raises DatabaseError."""
    assert settings.mongodb_uri
    return connect(settings.mongodb_uri.get_secret_value(), settings.mongodb_database)


@asynccontextmanager
async def open_database(settings: Settings, spec: Spec) -> AsyncIterator[Database]:
    """Connect, then prepare a database of taskql, and log the missing indexes of another; raises DatabaseError."""
    mend_waits()  # clients that leave cancel their requests
    async with connect_to_database(settings) as database:
        if await database.is_ours():
            for failure in await database.prepare(settings.company, settings.user):
                log.warning("index not created: %s", failure)
        else:
            await _log_missing_indexes(database, spec)
        yield database


async def _log_missing_indexes(database: Database, spec: Spec) -> None:
    paths = _list_indexed_paths(spec)
    missing = set(await database.find_unindexed("task", paths.values()))
    names = [name for name, path in paths.items() if path in missing]
    if names:
        log.warning(
            "another program set up this database, and taskql leaves it as it is; filters without an index here: %s. "
            "`taskql init` creates indexes and the default queue.",
            ", ".join(names),
        )


def _list_indexed_paths(spec: Spec) -> dict[str, str]:
    """Return the stored path whose index serves a filter, for each filter that HOCON says has one."""
    fields = spec.get_object("task_filter").fields
    return {field.graphql_name: _find_indexed_path(field) for field in fields if field.is_indexed}


def _find_indexed_path(field: FieldSpec) -> str:
    if field.filter_operator == "text":
        return "$text"
    return field.stored_paths[0] if field.stored_paths else field.name
