"""Which metrics tasks have reported: their names, in pages. Keys are hashes, so the names are those in the values."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from models.types import Document, Query
from resolvers.criteria.filters import read_filter_type
from resolvers.criteria.list_query import ListQuery, read_list_query
from resolvers.criteria.ordering import Order, build_sorted_segment
from resolvers.criteria.pages import Page, refuse_deep_page
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError
from resolvers.execution.selection import Selection
from resolvers.fields.connections import ConnectionPage
from schema.spec import Spec

BY_NAME = Order((), is_id_ascending=True)  # an id is a metric and a variant
TOTAL = "total"


def _items(value: Any) -> Query:
    """The entries of a map; of anything else none."""
    return {"$cond": [{"$eq": [{"$type": value}, "object"]}, {"$objectToArray": value}, []]}


_NAMES = {"$map": {"input": _items("$$item.v"), "as": "kept", "in": {
    "metric": "$$kept.v.metric", "variant": "$$kept.v.variant",
}}}  # fmt: skip
_ALL_NAMES = {"$reduce": {
    "input": {"$map": {"input": _items("$last_metrics"), "as": "item", "in": _NAMES}},
    "initialValue": [], "in": {"$setUnion": ["$$value", "$$this"]},
}}  # fmt: skip
_ARE_TEXTS = {"$and": [{"$eq": [{"$type": f"$$pair.{name}"}, "string"]} for name in ("metric", "variant")]}
STAGES: list[Query] = [
    {"$project": {"pair": {"$filter": {"input": _ALL_NAMES, "as": "pair", "cond": _ARE_TEXTS}}}},
    {"$unwind": "$pair"},
    {"$group": {"_id": {"metric": "$pair.metric", "variant": "$pair.variant"}, "task_count": {"$sum": 1}}},
]


class MetricNames(Plan):
    """A page of the names that the tasks of a query have."""

    def __init__(self, list_query: ListQuery, page: Page) -> None:
        self._query, self._identity, self.patterned = list_query
        self._page = page

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        page = ConnectionPage(selection, self._page, BY_NAME, (context.viewer.company, "metric_names", self._identity))

        async def read() -> list[Document]:
            segment = build_sorted_segment({}, page.read_order, page.start)
            stages = [*STAGES, {"$match": segment.query}, {"$sort": segment.sort}, {"$skip": self._page.skip}]
            rows = await context.reader.group("task", self._query, stages, limit=page.read_limit)
            return [row | row["_id"] for row in rows]

        async def count() -> int:
            rows = await context.reader.group("task", self._query, [*STAGES, {"$count": TOTAL}], limit=1)
            return rows[0][TOTAL] if rows else 0

        return await page.answer(context, read, count, report)


def metric_names(spec: Spec) -> Callable[..., Awaitable[Plan]]:
    filter_type = read_filter_type(spec, "task")

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        asked = read_arguments(arguments)
        page = info.context.read_page(asked)
        refuse_deep_page(page, info.context.rows, is_served=False)
        filter_ = filter_type.parse(asked.get("filter") or {})
        return MetricNames(await read_list_query(filter_, filter_type, info.context.reader), page)

    return resolve
