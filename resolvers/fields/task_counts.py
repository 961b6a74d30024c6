"""How many tasks each project of a page has, by status."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from models.types import Document, Query
from resolvers.criteria.subprojects import read_subprojects
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from schema import derive
from schema.spec import EnumSpec, Spec

UNKNOWN = derive.UNKNOWN.lower()  # stands for every status that has no name here
ARCHIVED: Mapping[bool | None, Query] = {
    None: {}, True: {"system_tags": "archived"}, False: {"system_tags": {"$ne": "archived"}},
}  # fmt: skip


async def task_counts(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    is_deep, archived = bool(arguments["include_subprojects"]), arguments["archived"]

    async def load(projects: list[str]) -> list[list[Document]]:
        holders = await _holders(context, projects) if is_deep else {project: {project} for project in projects}
        query = {"project": {"$in": list(holders)}, **ARCHIVED[archived]}
        counts: dict[str, Counter[str | None]] = {project: Counter() for project in projects}
        for group in await context.reader.tally("task", query, {"project": "$project", "status": "$status"}):
            project = group.get("project")
            for holder in holders.get(project, ()) if type(project) is str else ():
                counts[holder][_named(context.spec, group.get("status"))] += group["count"]
        return [[_shown(context.spec, counts[project])] for project in projects]

    return await context.load_batched(
        ("task_counts", is_deep, archived), load, [document["_id"] for document in documents]
    )


async def _holders(context: Context, projects: Sequence[str]) -> dict[str, set[str]]:
    """Each of these projects and each one inside them → those of these projects that its tasks count for."""
    holders = {project: {project} for project in projects}
    for project, inside in (await read_subprojects(projects, context.reader)).items():
        for inner in inside:
            holders.setdefault(inner, set()).add(project)
    return holders


def _statuses(spec: Spec) -> list[str]:
    statuses = spec.definitions["task_status_enum"]
    assert isinstance(statuses, EnumSpec)
    return [status.name for status in statuses.values]


def _named(spec: Spec, status: Any) -> str | None:
    if type(status) is not str:
        return None
    return status if status in _statuses(spec) else UNKNOWN


def _shown(spec: Spec, counts: Counter[str | None]) -> Document:
    order = dict.fromkeys([*_statuses(spec), UNKNOWN, None])
    by_status = [{"status": status, "count": counts[status]} for status in order if counts[status]]
    return {"total": counts.total(), "by_status": by_status}
