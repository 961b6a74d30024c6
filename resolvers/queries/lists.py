"""Lists: a page of documents by filter and order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import strawberry

from models.types import Document, Part
from resolvers.criteria.cursors import fingerprint, place, position
from resolvers.criteria.filters import filters_of
from resolvers.criteria.ordering import Order, Place, order_of, parts, whole
from resolvers.criteria.pages import DEFAULT_PAGE, Page, refuse_deep
from resolvers.criteria.subprojects import Asked, query_of
from resolvers.errors import ErrorCode
from resolvers.execution.arguments import given
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, Report, answers, or_null, together
from resolvers.execution.selection import Tree, projection
from resolvers.fields.connections import connection, fields, limit, wants_documents
from schema.spec import Spec


class Listing(Plan):
    """A page of a filtered and ordered list, as a connection."""

    def __init__(self, collection: str, asked: Asked, order: Order, page: Page) -> None:
        self.collection = collection
        self._query, self._identity, self.patterned = asked
        self._order = order
        self._page = page

    async def answer(self, context: Context, tree: Tree, report: Report) -> Any:
        seal = fingerprint((context.viewer.company, self.collection, self._identity), self._order)
        at = position(self._page.cursor, self._order, seal) if self._page.cursor is not None else None
        documents, total = await together(self._documents(context, tree, at), self._total(context, tree, report))
        found = connection(tree, self._page, self._order, seal, documents, total)
        return (await answers(context, tree, [found]))[0]

    async def batches(self, context: Context, tree: Tree) -> AsyncIterator[list[dict[str, Any]]]:
        """What the tree selects of each document, to the end of the list. Documents are read a page at a time and
        answered as many at once as the cost of a query takes a page to have.
        """
        at: Place | None = None
        wanted, is_more = projection([tree], *self._order.paths), True
        while is_more:
            stretch = self._parts(context, self._order, at)
            found = await context.reader.list(
                self.collection, stretch, skip=0, limit=self._page.limit, projection=wanted
            )
            for start in range(0, len(found), DEFAULT_PAGE):
                yield await answers(context, tree, found[start : start + DEFAULT_PAGE])
                context.forget()
            is_more = len(found) == self._page.limit
            at = place(found[-1], self._order) if is_more else None

    async def _documents(self, context: Context, tree: Tree, at: Any) -> list[Document]:
        if not wants_documents(tree):
            return []
        order = self._order.reversed() if self._page.backward else self._order
        return await context.reader.list(
            self.collection,
            self._parts(context, order, at),
            skip=self._page.skip,
            limit=limit(tree, self._page),
            projection=fields(tree, self._order),
        )

    def _parts(self, context: Context, order: Order, at: Place | None) -> list[Part]:
        is_served = self.is_served(context)
        return parts(self._query, order, at) if is_served else [whole(self._query, order, at)]

    def is_served(self, context: Context) -> bool:
        """Whether an index has the list in its order."""
        sort = self._order.sort
        return bool(sort) and context.reader.is_served(self.collection, self._query, sort)

    def refuse_deep(self, context: Context) -> None:
        """Raises LimitError for a page by number that starts too far in."""
        refuse_deep(self._page, context.rows, is_served=self.is_served(context))

    async def _total(self, context: Context, tree: Tree, report: Report) -> int | None:
        if not tree.selects("total_count"):
            return None
        work = context.reader.count(self.collection, self._query)
        total: int | None = await or_null(work, {ErrorCode.TIMEOUT}, tree, "total_count", report)
        return total


def many(spec: Spec, collection: str, default_order: Sequence[Mapping[str, Any]]) -> Callable[..., Awaitable[Plan]]:
    """A list of a collection's documents, by its `<collection>_filter` and `<collection>_order`."""
    filters, sortable = filters_of(spec, collection), spec.object(collection).sortable

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        asked = given(arguments)
        filter_ = asked.get("filter") or {}
        asked_order = asked.get("order_by") or default_order
        order = order_of(sortable, asked_order, searches=bool(filter_.get("search_text")))
        page = info.context.page(asked)
        listing = Listing(collection, await query_of(filter_, filters, info.context.reader), order, page)
        listing.refuse_deep(info.context)
        return listing

    return resolve
