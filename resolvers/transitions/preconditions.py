"""Preconditions: what is stored around a task and decides about a move, such as its children, models and queues."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.status import PUBLISHED
from models.types import Document, Query, Viewer
from resolvers.transitions.output_models import list_output_models

CHILDREN, MODELS, QUEUES = "children", "models", "queues"
DEFAULT = "default"

FindVisible = Callable[[str, Query, Mapping[str, Any]], Awaitable[list[Document]]]


class Lookup(NamedTuple):
    """How the preconditions of a viewer's tasks are read; `find` and `tally` see visible documents only."""

    viewer: Viewer
    find: FindVisible
    tally: FindVisible


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What is stored around one task; counts are of documents of the viewer's company.

    `queues` are those with the id `queue_id`, or without an id the default ones; each `holds` the ids of the tasks of
    the page that are queued in it.
    """

    children: int = 0
    published_children: int = 0
    ready_models: int = 0
    last_model: Document | None = None
    queue_id: str | None = None
    queues: Sequence[Document] = ()


async def read_preconditions(
    lookup: Lookup, tasks: Sequence[Document], needs: Collection[str], queue_id: str | None = None
) -> list[Preconditions]:
    """Read the preconditions of each task of a page, by one command for each kind that is needed."""
    children = await _count_children(lookup, tasks) if CHILDREN in needs else {}
    models = await _read_models(lookup, tasks) if MODELS in needs else _OutputModels(Counter(), {})
    queues = await _read_queues(lookup, tasks, queue_id) if QUEUES in needs else []
    preconditions = []
    for task in tasks:
        counts = children.get(task["_id"], {})
        preconditions.append(
            Preconditions(
                children=sum(counts.values()),
                published_children=counts.get(True, 0),
                ready_models=models.count_ready(task, lookup.viewer),
                last_model=models.get_last(task),
                queue_id=queue_id,
                queues=queues,
            )
        )
    return preconditions


async def _count_children(lookup: Lookup, tasks: Sequence[Document]) -> Mapping[str, Mapping[bool, int]]:
    """Parent → whether its children are published → their number."""
    query = lookup.viewer.narrow_to_writable({"parent": {"$in": _list_ids(tasks)}})
    keys = {"parent": "$parent", "published": {"$eq": ["$status", PUBLISHED]}}
    counts: dict[str, dict[bool, int]] = {}
    for row in await lookup.tally("task", query, keys):
        if isinstance(row.get("parent"), str):
            counts.setdefault(row["parent"], {})[row["published"]] = row["count"]
    return counts


class _OutputModels(NamedTuple):
    """How many ready models name which task, and the models that tasks name, by id."""

    ready_by_task: Counter[str]
    by_id: Mapping[str, Document]

    def count_ready(self, task: Document, viewer: Viewer) -> int:
        """Count the viewer's own ready models that name the task or that the task names, each once."""
        count = self.ready_by_task[task["_id"]]
        for id_ in set(list_output_models(task)):
            model = self.by_id.get(id_)
            if model and model["ready"] and viewer.can_write(model) and model.get("task") != task["_id"]:
                count += 1
        return count

    def get_last(self, task: Document) -> Document | None:
        models = list_output_models(task)
        return self.by_id.get(models[-1]) if models else None


async def _read_models(lookup: Lookup, tasks: Sequence[Document]) -> _OutputModels:
    named = sorted({model for task in tasks for model in list_output_models(task)})
    query = {"$or": [{"task": {"$in": _list_ids(tasks)}, "ready": True}, {"_id": {"$in": named}}]}
    keys = {
        "task": "$task",
        "company": "$company",
        "ready": {"$eq": ["$ready", True]},
        "model": {"$cond": [{"$in": ["$_id", {"$literal": named}]}, "$_id", None]},
    }
    ready_by_task: Counter[str] = Counter()
    by_id: dict[str, Document] = {}
    for row in await lookup.tally("model", query, keys):
        if row["model"] is not None:
            by_id[row["model"]] = row
        if row["ready"] and lookup.viewer.can_write(row) and isinstance(row.get("task"), str):
            ready_by_task[row["task"]] += row["count"]
    return _OutputModels(ready_by_task, by_id)


async def _read_queues(lookup: Lookup, tasks: Sequence[Document], queue_id: str | None) -> list[Document]:
    intersection = {"$setIntersection": ["$entries.task", {"$literal": _list_ids(tasks)}]}
    holds = {"$cond": [{"$isArray": ["$entries.task"]}, intersection, []]}
    query = lookup.viewer.narrow_to_writable(build_queue_query(queue_id))
    return await lookup.find("queue", query, {"_id": 1, "holds": holds})


def build_queue_query(queue_id: str | None) -> Query:
    return {"system_tags": DEFAULT} if queue_id is None else {"_id": queue_id}


def _list_ids(tasks: Sequence[Document]) -> list[Any]:
    return [task["_id"] for task in tasks]
