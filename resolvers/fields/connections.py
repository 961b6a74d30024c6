"""One page of a list as a connection: the documents to read for it, and the answer that is built from them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from models.types import Document
from resolvers.criteria.cursors import read_cursor, sign_list, write_cursor
from resolvers.criteria.ordering import Order
from resolvers.criteria.pages import Page
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.execution.plan import ReportError, build_answers, gather_all, read_or_null
from resolvers.execution.selection import Selection, build_projection

ReadDocuments = Callable[[], Awaitable[Sequence[Document]]]
CountDocuments = Callable[[], Awaitable[int]]


class ConnectionPage:
    """A page of one list. It says which documents to read, and builds the connection from them."""

    def __init__(self, selection: Selection, page: Page, order: Order, list_identity: object) -> None:
        """`list_identity` tells the list from all others. Raises InputError for a cursor of another list."""
        self._selection = selection
        self._page = page
        self._order = order
        self._signature = sign_list(list_identity, order)
        self._has_cursors = _selects_cursors(selection)
        self.start = None if page.cursor is None else read_cursor(page.cursor, order, self._signature)

    @property
    def needs_documents(self) -> bool:
        return self._selection.has_field("edges", "nodes", "page_info")

    @property
    def needs_total(self) -> bool:
        return self._selection.has_field("total_count")

    @property
    def read_order(self) -> Order:
        """A backward page is read from the end of the list."""
        return self._order.reverse() if self._page.is_backward else self._order

    @property
    def read_limit(self) -> int:
        """One more document than the page shows where the selection asks whether there are more."""
        page_infos = self._selection.find_below("page_info")
        return self._page.limit + any(info.has_field("has_next_page", "has_previous_page") for info in page_infos)

    @property
    def projection(self) -> dict[str, int]:
        nodes = [*self._selection.find_below("nodes")]
        for edge in self._selection.find_below("edges"):
            nodes += edge.find_below("node")
        return build_projection(nodes, *(self._order.paths if self._has_cursors else ()))

    async def answer(self, context: Context, read: ReadDocuments, count: CountDocuments, report: ReportError) -> Any:
        """Read the documents and count the list at the same time, each only if it is selected."""
        documents, total = await gather_all(self._read(read), self._count(count, report))
        [answer] = await build_answers(context, self._selection, [self.build(documents, total)])
        return answer

    async def _read(self, read: ReadDocuments) -> Sequence[Document]:
        return await read() if self.needs_documents else []

    async def _count(self, count: CountDocuments, report: ReportError) -> int | None:
        """The number of documents; null, with an error in the answer, where counting takes too long."""
        if not self.needs_total:
            return None
        total: int | None = await read_or_null(count(), {ErrorCode.TIMEOUT}, self._selection, "total_count", report)
        return total

    def build(self, documents: Sequence[Document], total: int | None) -> Document:
        """The connection; `documents` are those that were read, in the read order and up to the read limit."""
        nodes = list(documents[: self._page.limit])
        if self._page.is_backward:
            nodes.reverse()
        cursors: list[str | None] = [None] * len(nodes)
        if self._has_cursors:
            cursors = [write_cursor(node, self._order, self._signature) for node in nodes]
        return {
            "edges": [{"cursor": text, "node": node} for text, node in zip(cursors, nodes, strict=True)],
            "nodes": nodes,
            "page_info": self._build_page_info(cursors, has_more=len(documents) > len(nodes)),
            "total_count": total,
        }

    def _build_page_info(self, cursors: Sequence[str | None], *, has_more: bool) -> Document:
        has_next, has_previous = has_more, self._page.cursor is not None or self._page.skip > 0
        if self._page.is_backward:
            has_next, has_previous = has_previous, has_next
        return {
            "has_next_page": has_next,
            "has_previous_page": has_previous,
            "start_cursor": cursors[0] if cursors else None,
            "end_cursor": cursors[-1] if cursors else None,
        }


def _selects_cursors(selection: Selection) -> bool:
    return any(edge.has_field("cursor") for edge in selection.find_below("edges")) or any(
        info.has_field("start_cursor", "end_cursor") for info in selection.find_below("page_info")
    )
