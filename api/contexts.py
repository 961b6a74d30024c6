"""The context of a request or an export, made from the settings and the open database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.settings import Settings
from models.store.database import Database
from models.types import Viewer
from resolvers.criteria.pages import RowLimits
from resolvers.execution.context import Context
from resolvers.queries.export import ExportContext
from resolvers.root import RELATED_FIELDS
from schema.spec import Spec


def build_viewer(settings: Settings) -> Viewer:
    return Viewer(user=settings.user, company=settings.company, role="admin")


def build_context(database: Database, settings: Settings, spec: Spec) -> Context:
    viewer = build_viewer(settings)
    return Context(
        viewer,
        database.create_reader(viewer, settings.max_time_ms, settings.max_commands),
        database.create_writer(viewer, settings.max_time_ms),
        database.changes,
        spec,
        settings.max_page,
        settings.rules,
        settings.storages,
        RowLimits(settings.max_rows, settings.max_rows_sorted),
        related_fields=RELATED_FIELDS,
    )


@asynccontextmanager
async def open_export_context(database: Database, settings: Settings, spec: Spec) -> AsyncIterator[ExportContext]:
    """Yield the context of one export, which reads a snapshot: later changes of other clients are not in it."""
    viewer = build_viewer(settings)
    async with database.open_snapshot(viewer, settings.max_time_ms, settings.max_commands) as reader:
        yield ExportContext(
            viewer,
            reader,
            database.create_writer(viewer, settings.max_time_ms),
            database.changes,
            spec,
            settings.max_page,
            settings.rules,
            settings.storages,
            related_fields=RELATED_FIELDS,
        )
