"""An export: a query for a page of a list, executed for all of the list in batches."""

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
    """A context that notes the plan of a query instead of executing it."""

    noted_plan: tuple[AnyPlan, Selection] | None = None

    async def execute_plan(self, plan: AnyPlan, selection: Selection, _report: Any) -> Any:
        self.noted_plan = plan, selection

    def read_page(self, arguments: Mapping[str, Any]) -> Page:
        """The largest page, the size in which an export reads; raises InputError for arguments of a page."""
        if refused := [name for field, name in PAGING.items() if arguments.get(field) is not None]:
            message = f"An export has no pages; leave out {', '.join(refused)}."
            raise InputError(ErrorCode.VALIDATION_ERROR, message, field=refused[0])
        return Page(self.max_page)


class Export(NamedTuple):
    """All documents of a list: their collection, the selection of each of them, and the answers in batches."""

    collection: str
    selection: Selection
    batches: AsyncIterator[list[dict[str, Any]]]


def find_export(context: ExportContext, data: Mapping[str, Any]) -> Export:
    """The export that the context has noted; raises InputError unless `data` is the answer of one list."""
    plan, selection = context.noted_plan or (None, None)
    if isinstance(plan, Listing) and selection and len(data) == len(selection.fields) == 1:
        for nodes in selection.find_below("nodes"):
            return Export(plan.collection, nodes, plan.read_batches(context, nodes))
    raise InputError(ErrorCode.VALIDATION_ERROR, ONE_LIST)
