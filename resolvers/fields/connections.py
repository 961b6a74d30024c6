"""A page of a list as a connection: what to read for it, and the document that is shaped into the answer."""

from collections.abc import Sequence

from models.types import Document
from resolvers.criteria.cursors import cursor
from resolvers.criteria.ordering import Order
from resolvers.criteria.pages import Page
from resolvers.execution.selection import Tree, projection

CURSORS = ("start_cursor", "end_cursor")


def wants_documents(tree: Tree) -> bool:
    return tree.selects("edges", "nodes", "page_info")


def limit(tree: Tree, page: Page) -> int:
    """How many to read: one more than the page has, where it matters whether there is more."""
    wants_more = any(info.selects("has_next_page", "has_previous_page") for info in tree.below("page_info"))
    return page.limit + wants_more


def fields(tree: Tree, order: Order) -> dict[str, int]:
    """The projection of the documents that are listed."""
    items = [*tree.below("nodes"), *(node for edge in tree.below("edges") for node in edge.below("node"))]
    return projection(items, *(order.paths if _has_cursor(tree) else ()))


def connection(
    tree: Tree, page: Page, order: Order, seal: bytes, documents: Sequence[Document], total: int | None
) -> Document:
    """The connection; `documents` are those read, up to the limit, from the back when the page is backward."""
    shown = list(documents[: page.limit])
    if page.backward:
        shown.reverse()
    cursors = [cursor(document, order, seal) for document in shown] if _has_cursor(tree) else [None] * len(shown)
    has_more, is_behind = len(documents) > len(shown), page.cursor is not None or page.skip > 0
    ahead, behind = (is_behind, has_more) if page.backward else (has_more, is_behind)
    return {
        "edges": [{"cursor": at, "node": document} for at, document in zip(cursors, shown, strict=True)],
        "nodes": shown,
        "page_info": {
            "has_next_page": ahead, "has_previous_page": behind,
            "start_cursor": next(iter(cursors), None), "end_cursor": next(reversed(cursors), None),
        },
        "total_count": total,
    }  # fmt: skip


def _has_cursor(tree: Tree) -> bool:
    return any(edge.selects("cursor") for edge in tree.below("edges")) or any(
        info.selects(*CURSORS) for info in tree.below("page_info")
    )
