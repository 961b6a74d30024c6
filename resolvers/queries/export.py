"""A list as a whole: the query that shows a page of it, taken for all of it, batch by batch."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from resolvers.criteria.pages import PAGING, Page
from resolvers.errors import ErrorCode, InputError
from resolvers.execution.context import AnyPlan, Context
from resolvers.execution.selection import Selection
from resolvers.queries.lists import Listing

ONE_LIST = (
    "An export is one list of tasks, projects, queues, models or users, with `nodes` and nothing beside it: "
    "{ tasks(filter: {…}) { nodes { id name } } }."
)


class ExportContext(Context):
    """Plans are not carried out here, but taken."""

    taken: tuple[AnyPlan, Selection] | None = None

    async def execute_plan(self, plan: AnyPlan, selection: Selection, _report: Any) -> Any:
        self.taken = plan, selection

    def read_page(self, asked: Mapping[str, Any]) -> Page:
        """As many as a page may have; raises InputError for any that is asked for."""
        if wrong := [name for field, name in PAGING.items() if asked.get(field) is not None]:
            message = f"An export has no pages; leave out {', '.join(wrong)}."
            raise InputError(ErrorCode.VALIDATION_ERROR, message, field=wrong[0])
        return Page(self.max_page)


class Export(NamedTuple):
    """All of a list: of which collection, what is selected of each document, and the answers, many at a time."""

    collection: str
    selection: Selection
    batches: AsyncIterator[list[dict[str, Any]]]


def exported(context: ExportContext, data: Mapping[str, Any]) -> Export:
    """What was executed in this context, to this answer; raises InputError unless it is one list."""
    plan, selection = context.taken or (None, None)
    if isinstance(plan, Listing) and selection and len(data) == len(selection.fields) == 1:
        for nodes in selection.find_below("nodes"):
            return Export(plan.collection, nodes, plan.batches(context, nodes))
    raise InputError(ErrorCode.VALIDATION_ERROR, ONE_LIST)
