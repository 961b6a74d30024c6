"""Execution by plan: a resolver returns a Plan, the plan reads what the selection needs, and its answer is final.

graphql-core resolves and completes field by field. Below a field that returns a Plan it does neither: the plan gets the
selection of the selection and answers with plain JSON, so a list costs one command and one pass over its rows.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import Any

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import Path
from pymongo.errors import PyMongoError
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.types import Document
from resolvers.errors import ErrorCode, InputError, coded
from resolvers.execution.context import Context
from resolvers.execution.selection import Selected, Selection, build_projection, read
from resolvers.execution.serializer import Pending, PendingRelations
from schema.spec import ListOf

ReportError = Callable[[Exception, str], None]


class Plan(ABC):
    """What a resolver returns for a derived type. `patterned` are arguments that only the database can read."""

    patterned: Collection[str] = ()

    @abstractmethod
    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        """The field's value, shaped by the selection; `report` notes an error at one key and lets the rest stand."""


class PlannedExecution(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which hands plans their selection."""

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: Any,
        info: GraphQLResolveInfo[Context],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, Plan):
            return self._answer(result, return_type, field_details_list, path)
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def _answer(self, plan: Plan, type_: GraphQLOutputType, details: Any, path: Path) -> Awaitable[Any]:
        context: Context = self.context_value

        def report(error: Exception, key: str) -> None:
            self.handle_field_error(error, type_of_part, details, path.add_key(key, None))

        type_of_part = getattr(type_, "of_type", type_)
        selection = read(self, context.spec, context.max_page, type_, details)
        return _naming(plan.patterned, context.execute_plan(plan, selection, report))


async def _naming(patterned: Collection[str], work: Awaitable[Any]) -> Any:
    """What comes of the work; a regular expression that the database refuses is named, if there is only one field."""
    try:
        return await work
    except PyMongoError as error:
        known = coded(error)
        if known is None or known.code is not ErrorCode.INVALID_REGEX_ERROR or len(patterned) != 1:
            raise
        raise InputError(known.code, str(known), field=next(iter(patterned))) from error


async def read_or_null(
    work: Awaitable[Any], codes: Collection[ErrorCode], selection: Selection, name: str, report: ReportError
) -> Any:
    """What comes of the work for a field; when it fails with such a code null, and an error wherever it is selected."""
    try:
        return await work
    except Exception as error:
        known = coded(error)
        if known is None or known.code not in codes:
            raise
        for selected in selection.fields:
            if selected.output_field and selected.output_field.name == name:
                report(known, selected.key)
        return None


async def gather_all(*parts: Awaitable[Any]) -> list[Any]:
    """All of them, or the first error once all have ended."""
    found = await asyncio.gather(*parts, return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


async def build_answers(context: Context, selection: Selection, documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Serialize documents by the selection, with their relations and related fields, for all of a page at once."""
    pending: PendingRelations = {}
    shaped = _shape_all(context, selection, documents, pending)
    await gather_all(*(_fill(context, part) for part in pending.values()))
    return shaped


async def build_large_answer(context: Context, selection: Selection, document: Document) -> dict[str, Any]:
    """One large document as `answers` shapes it, in a thread: others are answered meanwhile."""
    pending: PendingRelations = {}
    [shaped] = await asyncio.to_thread(_shape_all, context, selection, [document], pending)
    await gather_all(*(_fill(context, part) for part in pending.values()))
    return shaped


def _shape_all(
    context: Context, selection: Selection, documents: Sequence[Document], pending: PendingRelations
) -> list[dict[str, Any]]:
    shape = context.serializer.build(selection)
    return [shape(document, document, pending) for document in documents]


async def _fill(context: Context, pending: Pending) -> None:
    selected, slots = pending
    assert selected.output_field
    assert selected.selection
    roots = {slot.id: slot.root for slot in slots}
    found = (
        _loaded(context, selected, list(roots.values()))
        if selected.output_field.related
        else _related(context, selected.selection, list(roots))
    )
    by_id = dict(zip(roots, await found, strict=True))
    for slot in slots:
        slot.target[slot.key] = by_id[slot.id]


async def _related(context: Context, selection: Selection, ids: Sequence[str]) -> list[Any]:
    """A reference to a document that is gone, or not the viewer's, is its id with the rest null."""
    fields = build_projection([selection])
    found: Sequence[Document | None] = [None] * len(ids)
    if fields.keys() != {"_id"}:
        assert selection.of.collection
        found = await context.load_documents(selection.of.collection, ids, fields)
    return await build_answers(
        context, selection, [document or {"_id": id_} for document, id_ in zip(found, ids, strict=True)]
    )


async def _loaded(context: Context, selected: Selected, documents: Sequence[Document]) -> list[Any]:
    """For each document the one that its field's loader finds, or the list of them."""
    output_field, selection = selected.output_field, selected.selection
    assert output_field
    assert output_field.related
    assert selection
    rows = await context.related_fields[output_field.related](context, selected.arguments, documents, selection)
    shaped = iter(await build_answers(context, selection, [document for row in rows for document in row]))
    values = [list(islice(shaped, len(row))) for row in rows]
    return values if isinstance(output_field.type, ListOf) else [next(iter(row), None) for row in values]
