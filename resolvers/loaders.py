"""Fields that are not stored in their document: each is loaded for all the documents of a page at once."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from models.reading import Document, Query
from models.series import SERIES, columns
from resolvers.context import Context
from resolvers.curves import shown
from resolvers.errors import ErrorCode, LimitError
from schema import derive
from schema.spec import EnumSpec, Spec

# (context, arguments, ids, projection) → for each id the documents that the field shows
Loader = Callable[[Context, Mapping[str, Any], Sequence[str], Mapping[str, int]], Awaitable[list[list[Document]]]]
MIN_POINTS, MAX_POINTS = 10, 10_000
UNKNOWN = derive.UNKNOWN.lower()  # stands for every status that has no name here
ARCHIVED: Mapping[bool | None, Query] = {
    None: {}, True: {"system_tags": "archived"}, False: {"system_tags": {"$ne": "archived"}},
}  # fmt: skip


async def _subprojects(
    context: Context, arguments: Mapping[str, Any], ids: Sequence[str], projection: Mapping[str, int]
) -> list[list[Document]]:
    limit = arguments["page"].limit

    async def load(parents: list[str]) -> list[list[Document]]:
        found: dict[Any, list[Document]] = defaultdict(list)
        for document in await context.reader.first_of_each(
            "project", "parent", parents, sort={"name": 1, "_id": 1}, limit=limit, projection=projection
        ):
            found[document["parent"]].append(document)
        return [found[parent] for parent in parents]

    return await context.batched(("subprojects", limit, frozenset(projection)), load, ids)


async def _task_counts(
    context: Context, arguments: Mapping[str, Any], ids: Sequence[str], _projection: Mapping[str, int]
) -> list[list[Document]]:
    is_deep, archived = bool(arguments["include_subprojects"]), arguments["archived"]

    async def load(projects: list[str]) -> list[list[Document]]:
        holders = await _holders(context, projects) if is_deep else {project: {project} for project in projects}
        query = {"project": {"$in": list(holders)}, **ARCHIVED[archived]}
        counts: dict[str, Counter[str | None]] = {project: Counter() for project in projects}
        for group in await context.reader.tally("task", query, ["project", "status"]):
            for project in _texts([group.get("project")]):
                for holder in holders.get(project, ()):
                    counts[holder][_named(context.spec, group.get("status"))] += group["count"]
        return [[_shown(context.spec, counts[project])] for project in projects]

    return await context.batched(("task_counts", is_deep, archived), load, ids)


async def _holders(context: Context, projects: Sequence[str]) -> dict[str, set[str]]:
    """Each of these projects and each one inside them → those of these projects that its tasks count for."""
    wanted = set(projects)
    holders = {project: {project} for project in projects}
    for document in await context.reader.all("project", {"path": {"$in": list(projects)}}, {"path": 1}):
        for project in _texts([document["_id"]]):
            holders.setdefault(project, set()).update(wanted & _texts(document["path"]))
    return holders


def _texts(values: Any) -> set[str]:
    """Those of a stored list that can be ids."""
    return {value for value in values if type(value) is str} if isinstance(values, list) else set()


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


async def _series(
    context: Context, arguments: Mapping[str, Any], ids: Sequence[str], _projection: Mapping[str, int]
) -> list[list[Document]]:
    most = MAX_POINTS if arguments["max_points"] is None else arguments["max_points"]
    if not MIN_POINTS <= most <= MAX_POINTS:
        message = f"maxPoints is from {MIN_POINTS} to {MAX_POINTS}."
        raise LimitError(ErrorCode.LIMIT_EXCEEDED, message, field="maxPoints", maximum=MAX_POINTS, actual=most)
    names = {name: arguments[name] for name in ("metric", "variant") if arguments[name] is not None}
    window = (arguments["iteration_from"], arguments["iteration_to"], most, arguments["method"] or "minmax_lttb")

    async def load(tasks: list[str]) -> list[list[Document]]:
        query = {"task": {"$in": tasks}, **{name: {"$in": list(values)} for name, values in names.items()}}
        curves: dict[str, dict[tuple[str, str], list[Document]]] = {task: {} for task in tasks}
        for block in await context.reader.all(SERIES, query, {}):
            curves[block["task"]].setdefault((block["metric"], block["variant"]), []).append(block)
        return [[_curve(pair, blocks, window) for pair, blocks in sorted(curves[task].items())] for task in tasks]

    return await context.batched(("series", *map(str, names.items()), window), load, ids)


def _curve(pair: tuple[str, str], blocks: Sequence[Document], window: tuple[Any, Any, int, str]) -> Document:
    return {"metric": pair[0], "variant": pair[1], **shown(columns(blocks), *window)}


LOADERS: Mapping[str, Loader] = {"subprojects": _subprojects, "task_counts": _task_counts, "series": _series}
