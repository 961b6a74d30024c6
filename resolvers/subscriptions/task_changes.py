"""The events of `taskChanged`: tasks that a filter finds, or finds no more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo.errors import PyMongoError

from models.documents.transition import TRANSITIONS
from models.store.change_stream import CHANGED, DELETED, Batch, Change
from models.types import Document, Query
from resolvers.criteria.filters import Filters, filters_of, join_conditions
from resolvers.criteria.subprojects import query_of
from resolvers.errors import ErrorCode, coded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.subscriptions.resume_token import Mark, mark_of
from resolvers.subscriptions.sources import Event, Feed, Round, round_of
from schema.spec import Spec

LEFT = "left"


class Tasks(Feed):
    """Tasks that a filter finds, and those that it finds no more."""

    def __init__(
        self, filter_: Mapping[str, Any], filters: Filters, names: Mapping[str, str], mark: Mark | None
    ) -> None:
        self._filter = filter_
        self._filters = filters
        self._names = names
        self._ids = {id_ for id_ in filter_.get("id") or () if not id_.startswith("-")}
        self.mark = mark

    async def begin(self, context: Context) -> None:
        """Raises what forbids the filter, some of which only MongoDB knows."""
        query = (await query_of(self._filter, self._filters, context.reader)).query
        await context.reader.all("task", join_conditions(query, {"_id": {"$in": []}}), {"_id": 1})

    def concerns(self, batch: Batch) -> bool:
        return bool(self._asked(batch))

    def _asked(self, batch: Batch) -> set[str]:
        return self._ids & batch.tasks.keys() if self._ids else set(batch.tasks)

    async def round(self, context: Context, batch: Batch) -> Round:
        asked = self._asked(batch)
        there = [id_ for id_ in asked if batch.tasks[id_].kind != DELETED]
        query = (await query_of(self._filter, self._filters, context.reader)).query  # there may be new sub-projects
        fitting = await _fitting(context, query, there) if there else set()
        return round_of(batch.after, batch.upto, [self._event(id_, batch.tasks[id_], id_ in fitting) for id_ in asked])

    def _event(self, id_: str, change: Change, is_fitting: bool) -> Event:
        if is_fitting or change.kind == DELETED:
            return Event(id_, change, is_fitting)
        return Event(id_, replace(change, kind=LEFT), is_news=False)

    def together(self, earlier: Event, later: Event) -> Event:
        change: Change = earlier.what.then(later.what)
        # who was not told yet that it was created needs not be told that it is gone
        return Event(later.key, change, later.is_news)

    async def documents(self, context: Context, told: Round) -> list[Document]:
        return [
            {
                "kind": event.what.kind, "id": key, "task": None if event.what.kind == DELETED else key,
                "fields": self._fields(event.what),
                "moves": [step for step in event.what.steps if context.viewer.can_read(TRANSITIONS, step)],
                "resume_token": Mark(told.after, told.upto, None if key == told.last else str(key)).text,
            }
            for key, event in told.events.items()
        ]  # fmt: skip

    def _fields(self, change: Change) -> list[str]:
        return [
            self._names[field] for field in change.fields if field in self._names and change.kind in {CHANGED, LEFT}
        ]


async def _fitting(context: Context, query: Query, ids: Sequence[str]) -> set[str]:
    """Those of these tasks that a filter finds. It does not find a task whose text its patterns can't be tried on."""
    try:
        found = await context.reader.all("task", join_conditions(query, {"_id": {"$in": ids}}), {"_id": 1})
    except PyMongoError as error:
        known = coded(error)
        if known is None or known.code is not ErrorCode.INVALID_REGEX_ERROR:
            raise
        if len(ids) == 1:
            return set()
        half = len(ids) // 2
        return await _fitting(context, query, ids[:half]) | await _fitting(context, query, ids[half:])
    return {document["_id"] for document in found}


def task_changed(spec: Spec) -> Any:
    filters = filters_of(spec, "task")
    names: dict[str, str] = {}
    for name, output_field in spec.get_object("task").output_fields.items():
        for path in (output_field.stored_paths or (output_field.name,)) if not output_field.related else ():
            names.setdefault(path.partition(".")[0], name)

    async def resolve(filter: Any = None, resume_after: str | None = None) -> Tasks:  # noqa: A002 - the public name
        return Tasks(
            read_arguments(filter) or {}, filters, names, None if resume_after is None else mark_of(resume_after)
        )

    return resolve
