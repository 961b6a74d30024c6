"""Fields that show the documents that refer to each document of a page."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.documents.transition import TRANSITIONS
from models.types import Document, Segment
from resolvers.criteria.ordering import Order, build_sorted_segment, parse_order
from resolvers.criteria.pages import Page
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection, build_projection
from resolvers.fields.connections import ConnectionPage


class BackReference(NamedTuple):
    """The path at which the documents of a collection hold the id of the document they refer to: not inside a list."""

    collection: str
    path: str


async def load_subprojects(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    by_name = Segment({}, {"name": 1, "_id": 1})
    limit, projection = arguments["page"].limit, build_projection([selection])
    parent = BackReference("project", "parent")
    return await _read_first_of_each(context, parent, _collect_ids(documents), by_name, limit, projection)


async def load_children(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    order = parse_order(context.spec.get_object("task").sort_fields, [{"field": "last_update", "direction": "desc"}])
    parent = BackReference("task", "parent")
    return await _load_connections(context, parent, order, arguments["page"], _collect_ids(documents), selection)


async def load_transitions(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], selection: Selection
) -> list[list[Document]]:
    by_time = Order((), is_id_ascending=True)  # an id ends with a number that grows
    task = BackReference(TRANSITIONS, "task")
    return await _load_connections(context, task, by_time, arguments["page"], _collect_ids(documents), selection)


async def _load_connections(
    context: Context, reference: BackReference, order: Order, page: Page, ids: Sequence[str], selection: Selection
) -> list[list[Document]]:
    """For each id the connection of the documents that refer to it."""
    if not ids:
        return []
    pages = [ConnectionPage(selection, page, order, (context.viewer.company, *reference, id_)) for id_ in ids]
    rows: Sequence[list[Document]] = [[]] * len(ids)
    totals: Sequence[int | None] = [None] * len(ids)
    first_page = pages[0]  # stands for all, which differ by their cursors; with a cursor there is only one page
    if first_page.needs_documents:
        segment = build_sorted_segment({}, first_page.read_order, first_page.start)
        limit, projection = first_page.read_limit, first_page.projection
        rows = await _read_first_of_each(context, reference, ids, segment, limit, projection)
    if first_page.needs_total:
        totals = await _count_references(context, reference, ids)
    return [[page.build(documents, total)] for page, documents, total in zip(pages, rows, totals, strict=True)]


async def _read_first_of_each(
    context: Context,
    reference: BackReference,
    ids: Sequence[str],
    segment: Segment,
    limit: int,
    projection: Mapping[str, int],
) -> list[list[Document]]:
    """For each id the first documents of the segment that refer to it."""

    async def load(ids: list[str]) -> list[list[Document]]:
        by_id: dict[Any, list[Document]] = {id_: [] for id_ in ids}
        for document in await context.reader.read_first_of_each(
            *reference, ids, segment=segment, limit=limit, projection=projection
        ):
            by_id[document[reference.path]].append(document)
        return [by_id[id_] for id_ in ids]

    return await context.load_batched((*reference, repr(segment), limit, frozenset(projection)), load, ids)


async def _count_references(context: Context, reference: BackReference, ids: Sequence[str]) -> list[int]:
    """For each id the number of documents that refer to it."""
    collection, path = reference

    async def load(ids: list[str]) -> list[int]:
        rows = await context.reader.tally(collection, {path: {"$in": ids}}, {path: f"${path}"})
        totals = {row[path]: row["count"] for row in rows if isinstance(row[path], str)}
        return [totals.get(id_, 0) for id_ in ids]

    return await context.load_batched((*reference, "total"), load, ids)


def _collect_ids(documents: Sequence[Document]) -> list[str]:
    return [document["_id"] for document in documents]
