"""The names of the metrics that tasks have reported, in pages.

Keys of `last_metrics` are hashes, so the names are read from its values.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from models.types import Document, Query
from resolvers.criteria.list_query import ListQuery, read_list_query
from resolvers.criteria.operators import read_filter_type
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


def _write_entries(value: str) -> Query:
    """The expression for the entries of a map; none of any other value."""
    return {"$cond": [{"$eq": [{"$type": value}, "object"]}, {"$objectToArray": value}, []]}


NAMES_OF_METRIC: Query = {
    "$map": {
        "input": _write_entries("$$item.v"),
        "as": "event",
        "in": {"metric": "$$event.v.metric", "variant": "$$event.v.variant"},
    }
}
NAMES_OF_TASK: Query = {
    "$reduce": {
        "input": {"$map": {"input": _write_entries("$last_metrics"), "as": "item", "in": NAMES_OF_METRIC}},
        "initialValue": [],
        "in": {"$setUnion": ["$$value", "$$this"]},
    }
}
ARE_TEXTS: Query = {
    "$and": [
        {"$eq": [{"$type": "$$names.metric"}, "string"]},
        {"$eq": [{"$type": "$$names.variant"}, "string"]},
    ]
}
STAGES: list[Query] = [
    {"$project": {"names": {"$filter": {"input": NAMES_OF_TASK, "as": "names", "cond": ARE_TEXTS}}}},
    {"$unwind": "$names"},
    {"$group": {"_id": {"metric": "$names.metric", "variant": "$names.variant"}, "task_count": {"$sum": 1}}},
]


class MetricNames(Plan):
    """The metric names of the tasks of a query, and the page of them that is requested."""

    def __init__(self, list_query: ListQuery, page: Page) -> None:
        self._query, self._identity, self.pattern_fields = list_query
        self._page = page

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        list_identity = (context.viewer.company, "metric_names", self._identity)
        page = ConnectionPage(selection, self._page, BY_NAME, list_identity)

        async def read() -> list[Document]:
            segment = build_sorted_segment({}, page.read_order, page.start)
            stages = [*STAGES, {"$match": segment.query}, {"$sort": segment.sort}, {"$skip": self._page.skip}]
            rows = await context.reader.group("task", self._query, stages, limit=page.read_limit)
            return [row | row["_id"] for row in rows]

        async def count() -> int:
            rows = await context.reader.group("task", self._query, [*STAGES, {"$count": TOTAL}], limit=1)
            return rows[0][TOTAL] if rows else 0

        return await page.answer(context, read, count, report)


def build_metric_names_resolver(spec: Spec) -> Callable[..., Awaitable[Plan]]:
    filter_type = read_filter_type(spec, "task")

    async def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:
        plain = read_arguments(arguments)
        page = info.context.read_page(plain)
        refuse_deep_page(page, info.context.row_limits, is_served=False)
        filter_ = filter_type.parse(plain.get("filter") or {})
        return MetricNames(await read_list_query(filter_, filter_type, info.context.reader), page)

    return resolve
