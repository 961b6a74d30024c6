"""The number of tasks of each project of a page, by status."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from models.types import Document, Query
from resolvers.criteria.subprojects import read_subprojects
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from schema import derive
from schema.spec import EnumSpec, Spec

UNKNOWN = derive.UNKNOWN.lower()  # stands for every text that isn't a status
ARCHIVED: Mapping[bool | None, Query] = {
    None: {},
    True: {"system_tags": "archived"},
    False: {"system_tags": {"$ne": "archived"}},
}


async def load_task_counts(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    has_subprojects, archived = bool(arguments["include_subprojects"]), arguments["archived"]
    statuses = _list_statuses(context.spec)

    async def load(projects: list[str]) -> list[list[Document]]:
        counting = {project: {project} for project in projects}
        if has_subprojects:
            counting = await _find_counting_projects(context, projects)
        query = {"project": {"$in": list(counting)}, **ARCHIVED[archived]}
        counts: dict[str, Counter[str | None]] = {project: Counter() for project in projects}
        for row in await context.reader.tally("task", query, {"project": "$project", "status": "$status"}):
            if type(row.get("project")) is str:
                status = _name_status(row.get("status"), statuses)
                for project in counting.get(row["project"], ()):
                    counts[project][status] += row["count"]
        return [[_build_counts(counts[project], statuses)] for project in projects]

    ids = [document["_id"] for document in documents]
    return await context.load_batched(("task_counts", has_subprojects, archived), load, ids)


async def _find_counting_projects(context: Context, projects: Sequence[str]) -> dict[str, set[str]]:
    """For each of these projects and of their subprojects, those of the former that count its tasks."""
    counting = {project: {project} for project in projects}
    for project, subprojects in (await read_subprojects(projects, context.reader)).items():
        for subproject in subprojects:
            counting.setdefault(subproject, set()).add(project)
    return counting


def _list_statuses(spec: Spec) -> list[str]:
    statuses = spec.definitions["task_status_enum"]
    assert isinstance(statuses, EnumSpec)
    return [status.name for status in statuses.values]


def _name_status(stored: Any, statuses: Sequence[str]) -> str | None:
    if type(stored) is not str:
        return None
    return stored if stored in statuses else UNKNOWN


def _build_counts(counts: Counter[str | None], statuses: Sequence[str]) -> Document:
    by_status = [
        {"status": status, "count": counts[status]}
        for status in dict.fromkeys([*statuses, UNKNOWN, None])
        if counts[status]
    ]
    return {"total": counts.total(), "by_status": by_status}
