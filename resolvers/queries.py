"""Get and list: the plans behind the fields of Query."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import strawberry

from models.reading import Document
from resolvers.arguments import given
from resolvers.context import Context
from resolvers.errors import ErrorCode
from resolvers.filters import filters_of
from resolvers.paging import Order, Page, cursor, fingerprint, order_of, page_of, parts, position
from resolvers.planned import Plan, Report, answers, or_null, together
from resolvers.selection import Selected, Tree, projection
from resolvers.subprojects import Asked, query_of
from schema.spec import Spec


class _Fetched(NamedTuple):
    documents: list[Document]
    total: int | None
    seal: bytes
    has_more: bool


class One(Plan):
    """A document by its id, null when the viewer can't see one."""

    def __init__(self, collection: str, id_: str) -> None:
        self._collection = collection
        self._id = id_

    async def answer(self, context: Context, tree: Tree, _report: Report) -> Any:
        [found] = await context.documents(self._collection, [self._id], projection([tree]))
        return (await answers(context, tree, [found]))[0] if found else None


class Listing(Plan):
    """A page of a filtered and ordered list, as a connection."""

    def __init__(self, collection: str, asked: Asked, order: Order, page: Page) -> None:
        self._collection = collection
        self._query, self._identity = asked
        self._order = order
        self._page = page

    async def answer(self, context: Context, tree: Tree, report: Report) -> Any:
        seal = fingerprint((context.viewer.company, self._collection, self._identity), self._order)
        at = position(self._page.cursor, self._order, seal) if self._page.cursor is not None else None
        documents, total = await together(self._documents(context, tree, at), self._total(context, tree, report))
        shown = documents[: self._page.limit]
        if self._page.backward:
            shown.reverse()
        page = _Fetched(shown, total, seal, has_more=len(documents) > len(shown))
        return {
            selected.key: await self._part(selected, page, context) if selected.face else tree.of.graphql_name
            for selected in tree.fields
        }

    async def _documents(self, context: Context, tree: Tree, at: Any) -> list[Document]:
        if not tree.selects("edges", "nodes", "page_info"):
            return []
        wants_more = any(info.selects("has_next_page", "has_previous_page") for info in tree.below("page_info"))
        order = self._order.reversed() if self._page.backward else self._order
        return await context.reader.list(
            self._collection,
            parts(self._query, order, at),
            skip=self._page.skip,
            limit=self._page.limit + wants_more,
            projection=self._projection(tree),
        )

    def _projection(self, tree: Tree) -> dict[str, int]:
        items = [*tree.below("nodes"), *(node for edge in tree.below("edges") for node in edge.below("node"))]
        has_cursor = any(edge.selects("cursor") for edge in tree.below("edges")) or any(
            info.selects("start_cursor", "end_cursor") for info in tree.below("page_info")
        )
        return projection(items, *(self._order.paths if has_cursor else ()))

    async def _total(self, context: Context, tree: Tree, report: Report) -> int | None:
        if not tree.selects("total_count"):
            return None
        work = context.reader.count(self._collection, self._query)
        total: int | None = await or_null(work, {ErrorCode.TIMEOUT}, tree, "total_count", report)
        return total

    async def _part(self, selected: Selected, page: "_Fetched", context: Context) -> Any:
        name, tree = selected.face.name if selected.face else None, selected.tree
        if name == "total_count":
            return page.total
        if name == "nodes" and tree:
            return await answers(context, tree, page.documents)
        if name == "edges" and tree:
            return await self._edges(tree, page, context)
        if name == "page_info" and tree:
            values = self._page_info(page)
            return {part.key: values[part.face.name]() if part.face else tree.of.graphql_name for part in tree.fields}
        raise LookupError(f"a connection has no part {name}")

    async def _edges(self, tree: Tree, page: "_Fetched", context: Context) -> list[dict[str, Any]]:
        edges: list[dict[str, Any]] = [{} for _ in page.documents]
        for part in tree.fields:
            if part.tree:
                column: Iterable[Any] = await answers(context, part.tree, page.documents)
            elif part.face:
                column = (cursor(document, self._order, page.seal) for document in page.documents)
            else:
                column = itertools.repeat(tree.of.graphql_name)
            for edge, value in zip(edges, column, strict=False):
                edge[part.key] = value
        return edges

    def _page_info(self, page: "_Fetched") -> dict[str, Callable[[], Any]]:
        is_behind = self._page.cursor is not None or self._page.skip > 0
        ahead, behind = (is_behind, page.has_more) if self._page.backward else (page.has_more, is_behind)
        documents = page.documents
        return {
            "has_next_page": lambda: ahead,
            "has_previous_page": lambda: behind,
            "start_cursor": lambda: cursor(documents[0], self._order, page.seal) if documents else None,
            "end_cursor": lambda: cursor(documents[-1], self._order, page.seal) if documents else None,
        }


# -- resolvers -------------------------------------------------------------------------------------


def one(collection: str) -> Callable[..., Plan]:
    def resolve(id: strawberry.ID) -> Plan:  # noqa: A002 - the argument's public name
        return One(collection, id)

    return resolve


def many(spec: Spec, collection: str, default_order: Sequence[Mapping[str, Any]]) -> Callable[..., Awaitable[Plan]]:
    """A list of a collection's documents, by its `<collection>_filter` and `<collection>_order`."""
    filters, sortable = filters_of(spec, collection), spec.object(collection).sortable

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        asked = given(arguments)
        filter_ = asked.get("filter") or {}
        asked_order = asked.get("order_by") or default_order
        order = order_of(sortable, asked_order, searches=bool(filter_.get("search_text")))
        page = page_of(asked, info.context.max_page)
        return Listing(collection, await query_of(filter_, filters, info.context.reader), order, page)

    return resolve
