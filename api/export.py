"""A query as a stream of CSV or JSON lines: a whole list, never more of it in memory than a batch."""

import csv
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
import strawberry
from pymongo.errors import PyMongoError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from api.accepts import read_accept
from api.answers import answer_failures, answer_refusal
from api.concurrency import RequestSlots, run_while_connected
from api.errors import RefusedError, mask_fault
from api.graphql import READS, RequestLimits, refuse_operation, translate_request
from api.requests import GraphQLRequest, check_method, read_graphql_request
from resolvers.errors import find_api_error
from resolvers.execution.selection import LoadedField, ObjectField, Selection
from resolvers.queries.export import Export, ExportContext, find_export
from schema.spec import ListOf

log = logging.getLogger("taskql")

ColumnPath = tuple[str, ...]
Row = dict[str, Any]
RowsToBytes = Callable[[Iterable[Row]], bytes]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets take wide ones as well


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


# -- from a query to bytes -------------------------------------------------------------------------


class ExportFile(NamedTuple):
    """The name of an export, and its bytes; the first of them are read already."""

    name: str
    chunks: AsyncIterator[bytes]


async def open_export(
    schema: strawberry.Schema, request: GraphQLRequest, context: ExportContext, format_: Format
) -> ExportFile:
    """Execute the query and read the first batch of its list; raises RefusedError and NotExportedError."""
    with refuse_operation(RefusedError(400, "Only a query can be exported.")):
        result = await schema.execute(
            request.query,
            variable_values=request.variables,
            operation_name=request.operation_name,
            context_value=context,
            allowed_operation_types=READS,
        )
    if result.errors:
        raise NotExportedError(result.errors)
    try:
        export = find_export(context, result.data or {})
        chunks = write_chunks(export, format_)
        first = await anext(chunks)
    except Exception as error:
        raise NotExportedError([error]) from error
    return ExportFile(f"{export.collection}s.{format_}", _prepend(first, chunks))


async def _prepend(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def write_chunks(export: Export, format_: Format) -> AsyncIterator[bytes]:
    """Yield the head with the first batch, then a chunk for each further batch."""
    head, write_rows = WRITERS[format_](export.selection)
    batches = aiter(export.batches)
    yield head + write_rows(await anext(batches, []))
    async for batch in batches:
        yield write_rows(batch)


def prepare_jsonl(_selection: Selection) -> tuple[bytes, RowsToBytes]:
    """Return no head, and the writer of the lines."""

    def write_rows(rows: Iterable[Row]) -> bytes:
        return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    return b"", write_rows


def prepare_csv(selection: Selection) -> tuple[bytes, RowsToBytes]:
    """Return a line with the names of the columns, and the writer of the lines below it."""
    paths = list(iter_columns(selection))

    def write_rows(rows: Iterable[Row]) -> bytes:
        return _write_csv([write_cell(row, path) for path in paths] for row in rows)

    return _write_csv([map(".".join, paths)]), write_rows


WRITERS: dict[Format, Callable[[Selection], tuple[bytes, RowsToBytes]]] = {
    Format.CSV: prepare_csv,
    Format.JSONL: prepare_jsonl,
}


def _write_csv(lines: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def iter_columns(selection: Selection, parent: ColumnPath = ()) -> Iterator[ColumnPath]:
    """Yield the path of each plain value and each list: each is a column."""
    for field in selection.fields:
        path = (*parent, field.key)
        if isinstance(field, ObjectField | LoadedField) and not isinstance(field.output_field.type, ListOf):
            yield from iter_columns(field.selection, path)
        else:
            yield path


def write_cell(row: Row, path: ColumnPath) -> str:
    """Write a value as text; a text that a spreadsheet would take for a formula gets an apostrophe."""
    value: Any = row
    for key in path:
        value = value[key] if value is not None else None
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return orjson.dumps(value).decode()


# -- over HTTP -------------------------------------------------------------------------------------


class ExportView:
    """The ASGI application at /export; an export occupies a slot among the requests that are worked on at once."""

    def __init__(
        self,
        schema: strawberry.Schema,
        create_context: Callable[[Request], AbstractAsyncContextManager[ExportContext]],
        limits: RequestLimits,
        slots: RequestSlots,
    ) -> None:
        self._schema = schema
        self._create_context = create_context
        self._limits = limits
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            check_method(request.method)
            format_ = choose_format(request)
            http_request = translate_request(request, self._limits)
            graphql_request = await read_graphql_request(http_request, url_parameters=["format"])
            with self._slots.occupy():
                await run_while_connected(receive, self._send(request, graphql_request, format_, send))
        except ClientDisconnect:
            return
        except RefusedError as refusal:
            await answer_refusal(refusal).to_response()(scope, receive, send)
        except NotExportedError as error:
            await answer_failures(error.errors).to_response()(scope, receive, send)
        except PyMongoError as error:
            await answer_failures([error]).to_response()(scope, receive, send)

    async def _send(self, request: Request, graphql_request: GraphQLRequest, format_: Format, send: Send) -> None:
        async with self._create_context(request) as context:
            name, chunks = await open_export(self._schema, graphql_request, context, format_)
            headers = [
                (b"content-type", f"{format_.media_type}; charset=utf-8".encode()),
                (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except Exception as error:  # noqa: BLE001 - after any error the client must not take this for the whole
                log.error("an export ended early: %s", find_api_error(error) or mask_fault(error))  # noqa: TRY400 - mask_fault logs the rest
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def choose_format(request: Request) -> Format:
    """Return the format in the address, else the one that the client ranks highest; raises RefusedError."""
    name = request.query_params.get("format")
    if name is not None:
        if name not in list(Format):
            raise RefusedError(400, f"format must be {' or '.join(Format)}.")
        return Format(name)
    formats = {format_.media_type: format_ for format_ in Format}
    media_type = read_accept(request.headers).choose(*formats)
    if media_type is None:
        raise RefusedError(406, f"Exports are {' or '.join(formats)}; the Accept header allows neither.")
    return formats[media_type]
