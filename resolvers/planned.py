"""Execution by plan: a resolver says what is wanted, the selection's tree says what of it, and the answer is final.

graphql-core resolves and completes field by field. Below a field that returns a Plan it does neither: the plan gets the
tree of the selection and answers with plain JSON, so a list costs one command and one pass over its rows.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.reading import Document
from resolvers.context import Context
from resolvers.selection import Tree, projection, read
from resolvers.shaping import Pending, PendingRelations

Report = Callable[[Exception, str], None]


class Plan(ABC):
    """What a resolver returns for a derived type."""

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
        return _to_its_end(plan.answer(context, read(self, context.spec, type_, details), report))


async def _to_its_end(answer: Coroutine[Any, Any, Any]) -> Any:
    """Await it; when that is cancelled (a sibling failed, the client left) the work still ends by itself.

    A cancelled wait for an absent server can leave the driver's lock taken for ever, and commands are bounded anyway.
    """
    working = asyncio.ensure_future(answer)
    working.add_done_callback(_retrieve)
    return await asyncio.shield(working)


def _retrieve(done: asyncio.Future[Any]) -> None:
    """Take an error that nobody is left to hear; asyncio would log it."""
    if not done.cancelled():
        done.exception()


async def together(*parts: Awaitable[Any]) -> list[Any]:
    """All of them, or the first error once all have ended; none is cancelled."""
    found = await asyncio.gather(*parts, return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


async def answers(context: Context, tree: Tree, documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The documents shaped by the tree, with the documents they refer to: one look-up for each selected relation."""
    shape = context.shaping.shape(tree)
    pending: PendingRelations = {}
    shaped = [shape(document, document, pending) for document in documents]
    await together(*(_fill(context, relation) for relation in pending.values()))
    return shaped


async def _fill(context: Context, pending: Pending) -> None:
    """A reference to a document that is gone, or not the viewer's, is its id with the rest null."""
    tree, slots = pending.selected.tree, pending.slots
    assert tree
    ids = list(dict.fromkeys(slot.id for slot in slots))
    fields = projection([tree])
    found: Sequence[Document | None] = [None] * len(ids)
    if fields.keys() != {"_id"}:
        assert tree.of.collection
        found = await context.documents(tree.of.collection, ids, fields)
    documents = [document or {"_id": id_} for document, id_ in zip(found, ids, strict=True)]
    by_id = dict(zip(ids, await answers(context, tree, documents), strict=True))
    for slot in slots:
        slot.target[slot.key] = by_id[slot.id]
