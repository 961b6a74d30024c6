"""The events of `taskChanged`: a task that matches the filter has changed, or no longer matches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo.errors import PyMongoError

from models.documents.transition import TRANSITIONS
from models.store.change_stream import CHANGED, DELETED, ChangeBatch, DocumentChange
from models.types import Document, Query
from resolvers.criteria.filter_nodes import AllOf
from resolvers.criteria.filters import join_conditions
from resolvers.criteria.list_query import read_list_query
from resolvers.criteria.operators import FilterType, read_filter_type
from resolvers.errors import ErrorCode, find_api_error
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.subscriptions.resume_token import ResumeToken, read_resume_token
from resolvers.subscriptions.sources import Event, EventBatch, EventSource, build_event_batch
from schema.spec import Spec

LEFT = "left"  # the filter


class TaskEventSource(EventSource):
    """The changes of tasks that match a filter."""

    def __init__(
        self,
        filter_: AllOf,
        filter_type: FilterType,
        graphql_names: Mapping[str, str],
        resume_token: ResumeToken | None,
    ) -> None:
        self._filter = filter_
        self._filter_type = filter_type
        self._graphql_names = graphql_names
        self._ids = {id_ for id_ in filter_.find_value("id") or () if not id_.startswith("-")}
        self.resume_token = resume_token

    async def start(self, context: Context) -> None:
        """Raise what forbids the filter, which for regular expressions only MongoDB knows."""
        query = join_conditions(await self._build_query(context), {"_id": {"$in": []}})
        await context.reader.read_all("task", query, {"_id": 1})

    async def _build_query(self, context: Context) -> Query:
        """The query for the filter with the subprojects that there are now."""
        return (await read_list_query(self._filter, self._filter_type, context.reader)).query

    def is_affected_by(self, changes: ChangeBatch) -> bool:
        return bool(self._select_ids(changes))

    def _select_ids(self, changes: ChangeBatch) -> set[str]:
        return self._ids & changes.tasks.keys() if self._ids else set(changes.tasks)

    async def build_events(self, context: Context, changes: ChangeBatch) -> EventBatch:
        ids = self._select_ids(changes)
        existing = [id_ for id_ in ids if changes.tasks[id_].kind != DELETED]
        query = await self._build_query(context)
        matching = await _find_matching(context, query, existing) if existing else set()
        events = [_build_event(id_, changes.tasks[id_], is_matching=id_ in matching) for id_ in ids]
        return build_event_batch(changes.after, changes.until, events)

    def merge_events(self, earlier: Event, later: Event) -> Event:
        # a client that has not got the creation of a task does not get its removal either
        change: DocumentChange = earlier.content.merge(later.content)
        return Event(later.key, change, later.is_removal)

    async def load_documents(self, context: Context, event_batch: EventBatch) -> list[Document]:
        return [self._build_document(context, event_batch, event) for event in event_batch.events.values()]

    def _build_document(self, context: Context, event_batch: EventBatch, event: Event) -> Document:
        id_, change = str(event.key), event.content
        token_id = None if event.key == event_batch.last_key else id_
        return {
            "kind": change.kind,
            "id": id_,
            "task": None if change.kind == DELETED else id_,
            "fields": self._name_fields(change),
            "moves": [move for move in change.transitions if context.viewer.can_read(TRANSITIONS, move)],
            "resume_token": ResumeToken(event_batch.after, event_batch.until, token_id).write(),
        }

    def _name_fields(self, change: DocumentChange) -> list[str]:
        """The GraphQL names of the fields that were written."""
        if change.kind not in {CHANGED, LEFT}:
            return []
        return [self._graphql_names[field] for field in change.fields if field in self._graphql_names]


def _build_event(id_: str, change: DocumentChange, *, is_matching: bool) -> Event:
    if is_matching:
        return Event(id_, change)
    if change.kind != DELETED:
        change = replace(change, kind=LEFT)
    return Event(id_, change, is_removal=True)


async def _find_matching(context: Context, query: Query, ids: Sequence[str]) -> set[str]:
    """The ids of the tasks that match. A task with a text on which a regular expression fails doesn't match."""
    try:
        tasks = await context.reader.read_all("task", join_conditions(query, {"_id": {"$in": ids}}), {"_id": 1})
    except PyMongoError as error:
        api_error = find_api_error(error)
        if api_error is None or api_error.code is not ErrorCode.INVALID_REGEX_ERROR:
            raise
        if len(ids) == 1:
            return set()
        half = len(ids) // 2
        return await _find_matching(context, query, ids[:half]) | await _find_matching(context, query, ids[half:])
    return {task["_id"] for task in tasks}


def build_task_changed_resolver(spec: Spec) -> Any:
    filter_type = read_filter_type(spec, "task")
    graphql_names = _name_stored_fields(spec)

    async def resolve(filter: Any = None, resume_after: str | None = None) -> TaskEventSource:  # noqa: A002 - the public name
        resume_token = None if resume_after is None else read_resume_token(resume_after)
        filter_ = filter_type.parse(read_arguments(filter) or {})
        return TaskEventSource(filter_, filter_type, graphql_names, resume_token)

    return resolve


def _name_stored_fields(spec: Spec) -> dict[str, str]:
    """Each stored field of a task with the GraphQL name of the first output field that shows it."""
    names: dict[str, str] = {}
    for name, output_field in spec.get_object("task").output_fields.items():
        if output_field.related:
            continue
        for path in output_field.stored_paths or (output_field.name,):
            names.setdefault(path.partition(".")[0], name)
    return names
