"""Single documents by their ids."""

from collections.abc import Callable
from typing import Any

import strawberry

from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection, build_projection


class SingleDocument(Plan):
    """A document by its id; null when the viewer can see none."""

    def __init__(self, collection: str, id_: str) -> None:
        self._collection = collection
        self._id = id_

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        [document] = await context.load_documents(self._collection, [self._id], build_projection([selection]))
        if document is None:
            return None
        [answer] = await build_answers(context, selection, [document])
        return answer


def build_document_resolver(collection: str) -> Callable[..., Plan]:
    def resolve(id: strawberry.ID) -> Plan:  # noqa: A002 - the argument's public name
        return SingleDocument(collection, id)

    return resolve
