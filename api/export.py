"""A query as a stream of CSV or JSON lines: all of a list, never more of it in memory than a batch."""

import csv
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
import strawberry
from pymongo.errors import PyMongoError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.accepts import accept_of
from api.errors import RefusedError, masked, shown
from api.graphql import READS, RequestLimits, one_operation, received
from api.requests import JSON_TYPE, Asked, check_method, read_request
from api.settings import Settings
from api.working import AtOnce, while_connected
from models.store.database import Database
from models.types import Viewer
from resolvers.errors import find_api_error
from resolvers.execution.selection import LoadedField, ObjectField, Selection
from resolvers.queries.export import Export, ExportContext, exported
from resolvers.root import RELATED_FIELDS
from schema.spec import ListOf, Spec

log = logging.getLogger("taskql")

Way = tuple[str, ...]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets take wide ones as well
SERVER_ERRORS = {"INTERNAL_ERROR": 500, "TIMEOUT": 503, "DATABASE_UNAVAILABLE": 503}


class Format(StrEnum):
    """Each format with its media type."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def media_type(self) -> str:
        return {Format.CSV: "text/csv", Format.JSONL: "application/jsonl"}[self]


class NotExportedError(Exception):
    """Nothing was exported, because of these errors."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__(*errors)
        self.errors = errors


@asynccontextmanager
async def export_context(
    database: Database, viewer: Viewer, settings: Settings, spec: Spec
) -> AsyncIterator[ExportContext]:
    """The context of one export; what others change meanwhile is not in it."""
    async with database.open_snapshot(viewer, settings.max_time_ms, settings.max_commands) as reader:
        writer = database.create_writer(viewer, settings.max_time_ms)
        yield ExportContext(
            viewer,
            reader,
            writer,
            database.changes,
            spec,
            settings.max_page,
            settings.rules,
            settings.storages,
            related_fields=RELATED_FIELDS,
        )


# -- from a query to bytes -------------------------------------------------------------------------


class Exported(NamedTuple):
    """An export with the bytes that it comes to; the first of them are there already."""

    name: str
    parts: AsyncIterator[bytes]


async def export(schema: strawberry.Schema, asked: Asked, context: ExportContext, form: Format) -> Exported:
    """The list that is asked for, once its beginning has been read; raises RefusedError and NotExportedError."""
    with one_operation("POST", "Only a query can be exported."):
        result = await schema.execute(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            context_value=context,
            allowed_operation_types=READS,
        )
    if result.errors:
        raise NotExportedError(result.errors)
    try:
        found = exported(context, result.data or {})
        parts = written(found, form)
        first = await anext(parts)
    except Exception as error:
        raise NotExportedError([error]) from error
    return Exported(f"{found.collection}s.{form}", _behind(first, parts))


async def _behind(first: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in parts:
        yield part


async def written(export: Export, form: Format) -> AsyncIterator[bytes]:
    """The head with the first batch, then the others."""
    head, write = WRITERS[form](export.selection)
    batches = aiter(export.batches)
    yield head + write(await anext(batches, []))
    async for batch in batches:
        yield write(batch)


Write = Callable[[Iterable[dict[str, Any]]], bytes]


def as_jsonl(_selection: Selection) -> tuple[bytes, Write]:
    return b"", lambda rows: b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def as_csv(selection: Selection) -> tuple[bytes, Write]:
    """A line of names, and what writes the lines below it."""
    paths = list(columns(selection))
    return _lines([map(".".join, paths)]), lambda rows: _lines([cell(row, path) for path in paths] for row in rows)


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


WRITERS: dict[Format, Callable[[Selection], tuple[bytes, Write]]] = {Format.CSV: as_csv, Format.JSONL: as_jsonl}


# -- cells -----------------------------------------------------------------------------------------


def columns(selection: Selection, at: Way = ()) -> Iterator[Way]:
    """The ways to all plain values and lists: each is a column."""
    for field in selection.fields:
        way = (*at, field.key)
        if isinstance(field, ObjectField | LoadedField) and not isinstance(field.output_field.type, ListOf):
            yield from columns(field.selection, way)
        else:
            yield way


def cell(row: dict[str, Any], path: Way) -> str:
    """The text of a value. A text that a spreadsheet would take for a formula gets an apostrophe."""
    value: Any = row
    for key in path:
        value = value[key] if value is not None else None
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return orjson.dumps(value).decode()


# -- over HTTP -------------------------------------------------------------------------------------


class ExportView:
    """The ASGI application at /export; its exports are among the requests that are worked on at once."""

    def __init__(
        self, schema: strawberry.Schema, new_context: Callable[[Request], AbstractAsyncContextManager[ExportContext]],
        limits: RequestLimits, at_once: AtOnce,
    ) -> None:  # fmt: skip
        self._schema = schema
        self._new_context = new_context
        self._limits = limits
        self._at_once = at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            check_method(request.method)
            form = wanted(request)
            asked = await read_request(received(request, self._limits), ["format"])
            with self._at_once.one_more():
                await while_connected(receive, self._send(request, asked, form, send))
        except ClientDisconnect:
            return
        except RefusedError as refusal:
            await _refused([refusal], refusal.status, **refusal.headers)(scope, receive, send)
        except NotExportedError as error:
            await _refused(error.errors)(scope, receive, send)
        except PyMongoError as error:
            await _refused([error])(scope, receive, send)

    async def _send(self, request: Request, asked: Asked, form: Format, send: Send) -> None:
        async with self._new_context(request) as context:
            name, parts = await export(self._schema, asked, context, form)
            headers = {
                "content-type": f"{form.media_type}; charset=utf-8",
                "content-disposition": f'attachment; filename="{name}"',
            }
            raw = [(key.encode(), value.encode()) for key, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            try:
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except Exception as error:  # noqa: BLE001 - whatever it is, the client must not take this for all
                log.error("an export ended early: %s", find_api_error(error) or masked(error))  # noqa: TRY400 - masked logs the rest
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def wanted(request: Request) -> Format:
    """The format that the address names, else the one that the client likes best; raises RefusedError."""
    if (named := request.query_params.get("format")) is not None:
        if named not in list(Format):
            raise RefusedError(400, f"format is {' or '.join(Format)}.")
        return Format(named)
    kinds = {form.media_type: form for form in Format}
    if (kind := accept_of(request.headers).best(*kinds)) is None:
        raise RefusedError(406, f"Exports are {' or '.join(kinds)}; the Accept header allows neither.")
    return kinds[kind]


def _refused(errors: Sequence[Exception], status: int | None = None, **headers: str) -> Response:
    told = [shown(error) for error in errors]
    of_server = [SERVER_ERRORS[code] for error in told if (code := error["extensions"]["code"]) in SERVER_ERRORS]
    headers["content-type"] = f"{JSON_TYPE}; charset=utf-8"
    return Response(orjson.dumps({"errors": told}), status or max(of_server, default=400), headers)
