"""Lists of documents by filter and order: a page of one as a connection, or all of it in batches."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import strawberry

from models.types import Document, Segment
from resolvers.criteria.cursors import read_cursor_values
from resolvers.criteria.list_query import ListQuery, read_list_query
from resolvers.criteria.operators import read_filter_type
from resolvers.criteria.ordering import CursorValues, Order, build_index_segments, build_sorted_segment, parse_order
from resolvers.criteria.pages import DEFAULT_PAGE, Page, refuse_deep_page
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection, build_projection
from resolvers.fields.connections import ConnectionPage
from schema.spec import Spec


class Listing(Plan):
    """A filtered and ordered list, and the page of it that is requested."""

    def __init__(self, collection: str, list_query: ListQuery, order: Order, page: Page) -> None:
        self.collection = collection
        self._query, self._identity, self.pattern_fields = list_query
        self._order = order
        self._page = page

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        list_identity = (context.viewer.company, self.collection, self._identity)
        page = ConnectionPage(selection, self._page, self._order, list_identity)

        def read() -> Awaitable[list[Document]]:
            return context.reader.read_list(
                self.collection,
                self._build_segments(context, page.read_order, page.start),
                skip=self._page.skip,
                limit=page.read_limit,
                projection=page.projection,
            )

        def count() -> Awaitable[int]:
            return context.reader.count(self.collection, self._query)

        return await page.answer(context, read, count, report)

    async def read_batches(self, context: Context, selection: Selection) -> AsyncIterator[list[dict[str, Any]]]:
        """The answers for all documents of the list, in order.

        Documents are read a page at a time. A batch has as many as a query's cost takes a page of default size to have.
        """
        start: CursorValues | None = None
        projection = build_projection([selection], *self._order.paths)
        has_more = True
        while has_more:
            segments = self._build_segments(context, self._order, start)
            documents = await context.reader.read_list(
                self.collection, segments, skip=0, limit=self._page.limit, projection=projection
            )
            for first in range(0, len(documents), DEFAULT_PAGE):
                yield await build_answers(context, selection, documents[first : first + DEFAULT_PAGE])
                context.forget_documents()
            has_more = len(documents) == self._page.limit
            if has_more:
                start = read_cursor_values(documents[-1], self._order)

    def _build_segments(self, context: Context, order: Order, start: CursorValues | None) -> list[Segment]:
        if self.is_served(context):
            return build_index_segments(self._query, order, start)
        return [build_sorted_segment(self._query, order, start)]

    def is_served(self, context: Context) -> bool:
        """Whether an index has the documents of the list in its order."""
        sort = self._order.sort
        return bool(sort) and context.reader.is_served(self.collection, self._query, sort)

    def refuse_deep_page(self, context: Context) -> None:
        """Raises LimitError for a page by number that starts too far in."""
        refuse_deep_page(self._page, context.row_limits, is_served=self.is_served(context))


def build_list_resolver(
    spec: Spec, collection: str, default_order: Sequence[Mapping[str, Any]]
) -> Callable[..., Awaitable[Plan]]:
    """The resolver of a collection's list, with its `<collection>_filter` and `<collection>_order`."""
    filter_type = read_filter_type(spec, collection)

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        plain = read_arguments(arguments)
        filter_ = filter_type.parse(plain.get("filter") or {})
        has_search = bool(filter_.find_value("search_text"))
        order = parse_order(filter_type.sort_fields, plain.get("order_by") or default_order, has_search=has_search)
        page = info.context.read_page(plain)
        list_query = await read_list_query(filter_, filter_type, info.context.reader)
        listing = Listing(collection, list_query, order, page)
        listing.refuse_deep_page(info.context)
        return listing

    return resolve
