"""What is stored around a task, as far as a move depends on it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models import layout
from models.status import PUBLISHED
from models.types import Document, Query, Viewer

DEFAULT = "default"

Look = Callable[[str, Query, Mapping[str, Any]], Awaitable[list[Document]]]


@dataclass(frozen=True, slots=True)
class Around:
    """What is stored around a task, as far as a move depends on it.

    `model` is the last one that the task made; `queues` are those that the `queue` asked for may mean, each with those
    tasks that it `holds` among the ones asked about.
    """

    children: int = 0
    published_children: int = 0
    ready_models: int = 0
    model: Document | None = None
    queue: str | None = None
    queues: Sequence[Document] = ()


CHILDREN, MODELS, QUEUES = "children", "models", "queues"
DEPENDS: Mapping[str, frozenset[str]] = {
    "publish": frozenset({MODELS}), "enqueue": frozenset({QUEUES}), "reset": frozenset({CHILDREN, MODELS}),
    "delete": frozenset({CHILDREN, MODELS}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Looks around the tasks of a page, one command for each kind of thing; `find` and `tally` show what is visible."""

    viewer: Viewer
    find: Look
    tally: Look

    async def around(self, tasks: Sequence[Document], moves: Collection[str], queue: str | None = None) -> list[Around]:
        """For each of the tasks. Without a queue the company's default ones are meant."""
        kinds = {kind for move in moves for kind in DEPENDS.get(move, ())}
        children = await self._children(tasks) if CHILDREN in kinds else {}
        models = await self._models(tasks) if MODELS in kinds else _Models(Counter(), {})
        queues = await self._queues(tasks, queue) if QUEUES in kinds else []
        return [
            Around(
                sum(children.get(task["_id"], {}).values()), children.get(task["_id"], {}).get(True, 0),
                models.ready(task, self.viewer.company), models.last(task), queue, queues,
            )
            for task in tasks
        ]  # fmt: skip

    async def _children(self, tasks: Sequence[Document]) -> Mapping[str, Mapping[bool, int]]:
        """Parent → whether they are published → how many."""
        query = {"company": self.viewer.company, "parent": {"$in": _ids(tasks)}}
        by = {"parent": "$parent", "published": {"$eq": ["$status", PUBLISHED]}}
        found: dict[str, dict[bool, int]] = {}
        for row in await self.tally("task", query, by):
            if isinstance(row.get("parent"), str):
                found.setdefault(row["parent"], {})[row["published"]] = row["count"]
        return found

    async def _models(self, tasks: Sequence[Document]) -> "_Models":
        named = sorted({model for task in tasks for model in output_models(task)})
        query = {"$or": [{"task": {"$in": _ids(tasks)}, "ready": True}, {"_id": {"$in": named}}]}
        by = {
            "task": "$task", "company": "$company", "ready": {"$eq": ["$ready", True]},
            "model": {"$cond": [{"$in": ["$_id", {"$literal": named}]}, "$_id", None]},
        }  # fmt: skip
        by_task: Counter[str] = Counter()
        by_id: dict[str, Document] = {}
        for row in await self.tally("model", query, by):
            if row["model"] is not None:
                by_id[row["model"]] = row
            if row["ready"] and row["company"] == self.viewer.company and isinstance(row.get("task"), str):
                by_task[row["task"]] += row["count"]
        return _Models(by_task, by_id)

    async def _queues(self, tasks: Sequence[Document], queue: str | None) -> list[Document]:
        held = {"$setIntersection": ["$entries.task", {"$literal": _ids(tasks)}]}
        holds = {"$cond": [{"$isArray": ["$entries.task"]}, held, []]}
        return await self.find(
            "queue", {"company": self.viewer.company, **meant_queue(queue)}, {"_id": 1, "holds": holds}
        )


class _Models(NamedTuple):
    """How many ready models name which task, and the models that tasks name, by id."""

    by_task: Counter[str]
    by_id: Mapping[str, Document]

    def ready(self, task: Document, company: str) -> int:
        named = [self.by_id[id_] for id_ in set(output_models(task)) if id_ in self.by_id]
        others = [model for model in named if model["ready"] and model["company"] == company]
        elsewhere = [model for model in others if model.get("task") != task["_id"]]
        return self.by_task[task["_id"]] + len(elsewhere)

    def last(self, task: Document) -> Document | None:
        made = output_models(task)
        return self.by_id.get(made[-1]) if made else None


def output_models(task: Document) -> list[str]:
    """The ids of the models that the task made, in order."""
    items = layout.read_model_items(layout.read_path(task, "models.output"), layout.read_path(task, "output.model"))
    return [item["model"] for item in items if isinstance(item.get("model"), str) and item["model"]]


def meant_queue(asked: str | None) -> Query:
    return {"system_tags": DEFAULT} if asked is None else {"_id": asked}


def _ids(tasks: Sequence[Document]) -> list[Any]:
    return [task["_id"] for task in tasks]
