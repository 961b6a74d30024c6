"""Execution by plan: a resolver returns a Plan, the plan reads what the selection needs, and its answer is final.

graphql-core resolves and completes field by field. Below a field that returns a Plan it does neither: the plan gets the
selection and answers with plain JSON, so a list costs one command and one pass over its rows.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import Path
from pymongo.errors import PyMongoError
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.types import Document
from resolvers.errors import ErrorCode, InputError, find_api_error
from resolvers.execution.context import Context
from resolvers.execution.selection import (
    LoadedField,
    RelatedField,
    RelationField,
    Selection,
    build_projection,
    read_selection,
)
from resolvers.execution.serializer import JsonObject, Pending, Slot
from schema.spec import ListOf

ReportError = Callable[[Exception, str], None]


class Plan(ABC):
    """The work of a field with a derived type. Only the database can read the patterns of `pattern_fields`."""

    pattern_fields: Collection[str] = ()

    @abstractmethod
    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        """The field's value, serialized by the selection; `report` adds an error at one key and lets the rest stand."""


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
            return self._answer_plan(result, return_type, field_details_list, path)
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def _answer_plan(
        self, plan: Plan, return_type: GraphQLOutputType, field_details: Any, path: Path
    ) -> Awaitable[Any]:
        context: Context = self.context_value
        nullable_type = getattr(return_type, "of_type", return_type)

        def report(error: Exception, key: str) -> None:
            self.handle_field_error(error, nullable_type, field_details, path.add_key(key, None))

        selection = read_selection(self, context.spec, context.max_page, return_type, field_details)
        return _name_pattern(plan.pattern_fields, context.execute_plan(plan, selection, report))


async def _name_pattern(pattern_fields: Collection[str], work: Awaitable[Any]) -> Any:
    """Await the work; an error about a regular expression names the argument if there is only one."""
    try:
        return await work
    except PyMongoError as error:
        api_error = find_api_error(error)
        if api_error is None or api_error.code is not ErrorCode.INVALID_REGEX_ERROR or len(pattern_fields) != 1:
            raise
        raise InputError(api_error.code, str(api_error), field=next(iter(pattern_fields))) from error


async def read_or_null(
    work: Awaitable[Any], codes: Collection[ErrorCode], selection: Selection, name: str, report: ReportError
) -> Any:
    """Await the work for a field; an error with one of the codes gives null, and is reported wherever the field is."""
    try:
        return await work
    except Exception as error:
        api_error = find_api_error(error)
        if api_error is None or api_error.code not in codes:
            raise
        for field in selection.fields:
            if field.name == name:
                report(api_error, field.key)
        return None


async def gather_all(*work: Awaitable[Any]) -> list[Any]:
    """The results of all work; raises the first error once all work has ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# -- answers ---------------------------------------------------------------------------------------


async def build_answers(context: Context, selection: Selection, documents: Sequence[Document]) -> list[JsonObject]:
    """Serialize documents by the selection, with their relations and related fields, for all of a page at once."""
    pending: Pending = {}
    answers = _serialize_all(context, selection, documents, pending)
    await _fill_all(context, pending)
    return answers


async def build_large_answer(context: Context, selection: Selection, document: Document) -> JsonObject:
    """Serialize one large document as `build_answers` does, in a thread, so that other requests are answered."""
    pending: Pending = {}
    [answer] = await asyncio.to_thread(_serialize_all, context, selection, [document], pending)
    await _fill_all(context, pending)
    return answer


def _serialize_all(
    context: Context, selection: Selection, documents: Sequence[Document], pending: Pending
) -> list[JsonObject]:
    serialize = context.serializer.build(selection)
    return [serialize(document, document, pending) for document in documents]


async def _fill_all(context: Context, pending: Pending) -> None:
    await gather_all(*(_fill_slots(context, field, slots) for field, slots in pending.items()))


async def _fill_slots(context: Context, field: LoadedField, slots: Sequence[Slot]) -> None:
    roots = {slot.id: slot.root for slot in slots}
    match field:
        case RelationField():
            answers = await _answer_relation(context, field, list(roots))
        case RelatedField():
            answers = await _answer_related_field(context, field, list(roots.values()))
    by_id = dict(zip(roots, answers, strict=True))
    for slot in slots:
        slot.target[slot.key] = by_id[slot.id]


async def _answer_relation(context: Context, field: RelationField, ids: Sequence[str]) -> list[JsonObject]:
    """The documents with these ids; one that is gone, or not the viewer's, is its id with the rest null."""
    projection = build_projection([field.selection])
    documents: Sequence[Document | None] = [None] * len(ids)
    if projection.keys() != {"_id"}:
        documents = await context.load_documents(field.collection, ids, projection)
    rows = [document or {"_id": id_} for document, id_ in zip(documents, ids, strict=True)]
    return await build_answers(context, field.selection, rows)


async def _answer_related_field(context: Context, field: RelatedField, documents: Sequence[Document]) -> list[Any]:
    """For each document the list that its related field shows, or the one item of it."""
    load = context.related_fields[field.related_name]
    rows_of_each = await load(context, field.arguments, documents, field.selection)
    answers = iter(await build_answers(context, field.selection, [row for rows in rows_of_each for row in rows]))
    lists = [[next(answers) for _ in rows] for rows in rows_of_each]
    return lists if isinstance(field.output_field.type, ListOf) else [next(iter(items), None) for items in lists]
