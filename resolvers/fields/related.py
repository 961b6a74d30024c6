"""Related documents: for each document of a page, those that name it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from models.documents.transition import TRANSITIONS
from models.types import Document, Segment
from resolvers.criteria.ordering import Order, build_sorted_segment, parse_order
from resolvers.criteria.pages import Page
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection, build_projection
from resolvers.fields.connections import ConnectionPage


async def subprojects(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    part, page = Segment({}, {"name": 1, "_id": 1}), arguments["page"]
    return await _first_of_each(
        context, ("project", "parent"), _ids(documents), part, page.limit, build_projection([selection])
    )


async def children(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    order = parse_order(context.spec.get_object("task").sort_fields, [{"field": "last_update", "direction": "desc"}])
    return await _connections(context, ("task", "parent"), order, arguments["page"], _ids(documents), selection)


async def transitions(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    """Their ids are made of numbers, so that they are in the order of time."""
    order = Order((), is_id_ascending=True)
    return await _connections(context, (TRANSITIONS, "task"), order, arguments["page"], _ids(documents), selection)


async def _connections(
    context: Context, of: tuple[str, str], order: Order, page: Page, ids: Sequence[str], selection: Selection
) -> list[list[Document]]:
    """For each id the connection of what names it at a path of a collection."""
    if not ids:
        return []
    pages = [ConnectionPage(selection, page, order, (context.viewer.company, *of, id_)) for id_ in ids]
    rows: Sequence[list[Document]] = [[]] * len(ids)
    totals: Sequence[int | None] = [None] * len(ids)
    first_page = pages[0]  # a cursor belongs to one list, so that all pages start there only if there is one
    if first_page.needs_documents:
        segment = build_sorted_segment({}, first_page.read_order, first_page.start)
        rows = await _first_of_each(context, of, ids, segment, first_page.read_limit, first_page.projection)
    if first_page.needs_total:
        totals = await _totals(context, of, ids)
    return [[page.build(documents, total)] for page, documents, total in zip(pages, rows, totals, strict=True)]


async def _first_of_each(
    context: Context, of: tuple[str, str], ids: Sequence[str], part: Segment, limit: int, fields: Mapping[str, int]
) -> list[list[Document]]:
    collection, path = of

    async def load(ids: list[str]) -> list[list[Document]]:
        found: dict[Any, list[Document]] = defaultdict(list)
        for document in await context.reader.read_first_of_each(
            collection, path, ids, part=part, limit=limit, projection=fields
        ):
            found[document[path]].append(document)
        return [found[id_] for id_ in ids]

    return await context.load_batched((*of, repr(part), limit, frozenset(fields)), load, ids)


async def _totals(context: Context, of: tuple[str, str], ids: Sequence[str]) -> list[int]:
    collection, path = of

    async def load(ids: list[str]) -> list[int]:
        rows = await context.reader.tally(collection, {path: {"$in": ids}}, {path: f"${path}"})
        totals = {row[path]: row["count"] for row in rows if isinstance(row[path], str)}
        return [totals.get(id_, 0) for id_ in ids]

    return await context.load_batched((*of, "total"), load, ids)


def _ids(documents: Sequence[Document]) -> list[str]:
    return [document["_id"] for document in documents]
