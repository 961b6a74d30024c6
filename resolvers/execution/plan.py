"""Execution by plan: a resolver says what is wanted, the selection's tree says what of it, and the answer is final.

graphql-core resolves and completes field by field. Below a field that returns a Plan it does neither: the plan gets the
tree of the selection and answers with plain JSON, so a list costs one command and one pass over its rows.
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
from resolvers.execution.selection import Selected, Tree, projection, read
from resolvers.execution.serializer import Pending, PendingRelations
from schema.spec import ListOf

Report = Callable[[Exception, str], None]


class Plan(ABC):
    """What a resolver returns for a derived type. `patterned` are arguments that only the database can read."""

    patterned: Collection[str] = ()

    @abstractmethod
    async def answer(self, context: Context, tree: Tree, report: Report) -> Any:
        """The field's value, shaped by the tree; `report` notes an error at one key and lets the rest stand."""


class PlannedExecution(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which hands plans their tree."""

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
        tree = read(self, context.spec, context.max_page, type_, details)
        return _naming(plan.patterned, context.carry_out(plan, tree, report))


async def _naming(patterned: Collection[str], work: Awaitable[Any]) -> Any:
    """What comes of the work; a regular expression that the database refuses is named, if there is only one field."""
    try:
        return await work
    except PyMongoError as error:
        known = coded(error)
        if known is None or known.code is not ErrorCode.INVALID_REGEX_ERROR or len(patterned) != 1:
            raise
        raise InputError(known.code, str(known), field=next(iter(patterned))) from error


async def or_null(work: Awaitable[Any], codes: Collection[ErrorCode], tree: Tree, name: str, report: Report) -> Any:
    """What comes of the work for a field; when it fails with such a code null, and an error wherever it is selected."""
    try:
        return await work
    except Exception as error:
        known = coded(error)
        if known is None or known.code not in codes:
            raise
        for selected in tree.fields:
            if selected.face and selected.face.name == name:
                report(known, selected.key)
        return None


async def together(*parts: Awaitable[Any]) -> list[Any]:
    """All of them, or the first error once all have ended."""
    found = await asyncio.gather(*parts, return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


async def answers(context: Context, tree: Tree, documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The documents shaped by the tree, with what they refer to and what is loaded for them: all of a page at once."""
    pending: PendingRelations = {}
    shaped = _shape_all(context, tree, documents, pending)
    await together(*(_fill(context, part) for part in pending.values()))
    return shaped


async def large_answer(context: Context, tree: Tree, document: Document) -> dict[str, Any]:
    """One large document as `answers` shapes it, in a thread: others are answered meanwhile."""
    pending: PendingRelations = {}
    [shaped] = await asyncio.to_thread(_shape_all, context, tree, [document], pending)
    await together(*(_fill(context, part) for part in pending.values()))
    return shaped


def _shape_all(
    context: Context, tree: Tree, documents: Sequence[Document], pending: PendingRelations
) -> list[dict[str, Any]]:
    shape = context.shaping.shape(tree)
    return [shape(document, document, pending) for document in documents]


async def _fill(context: Context, pending: Pending) -> None:
    selected, slots = pending
    assert selected.face
    assert selected.tree
    roots = {slot.id: slot.root for slot in slots}
    found = (
        _loaded(context, selected, list(roots.values()))
        if selected.face.loader
        else _related(context, selected.tree, list(roots))
    )
    by_id = dict(zip(roots, await found, strict=True))
    for slot in slots:
        slot.target[slot.key] = by_id[slot.id]


async def _related(context: Context, tree: Tree, ids: Sequence[str]) -> list[Any]:
    """A reference to a document that is gone, or not the viewer's, is its id with the rest null."""
    fields = projection([tree])
    found: Sequence[Document | None] = [None] * len(ids)
    if fields.keys() != {"_id"}:
        assert tree.of.collection
        found = await context.documents(tree.of.collection, ids, fields)
    return await answers(context, tree, [document or {"_id": id_} for document, id_ in zip(found, ids, strict=True)])


async def _loaded(context: Context, selected: Selected, documents: Sequence[Document]) -> list[Any]:
    """For each document the one that its field's loader finds, or the list of them."""
    face, tree = selected.face, selected.tree
    assert face
    assert face.loader
    assert tree
    rows = await context.related[face.loader](context, selected.arguments, documents, tree)
    shaped = iter(await answers(context, tree, [document for row in rows for document in row]))
    values = [list(islice(shaped, len(row))) for row in rows]
    return values if isinstance(face.type, ListOf) else [next(iter(row), None) for row in values]
