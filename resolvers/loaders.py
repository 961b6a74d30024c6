"""Fields that are not stored in their document: each is loaded for all the documents of a page at once."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from models.history import TRANSITIONS
from models.reading import Document, Part, Query
from models.status import MOVES
from models.stored import now
from resolvers.connections import connection, fields, limit, wants_documents
from resolvers.context import Context
from resolvers.guards import Around, Situation, Surveyor, refuse_public
from resolvers.paging import Order, Page, fingerprint, order_of, position, whole
from resolvers.selection import Tree, projection
from resolvers.series import metric_at, series
from resolvers.subprojects import within
from schema import derive
from schema.spec import EnumSpec, Spec

# (context, arguments, documents, tree) → for each document those that the field shows
Loader = Callable[[Context, Mapping[str, Any], Sequence[Document], Tree], Awaitable[list[list[Document]]]]
UNKNOWN = derive.UNKNOWN.lower()  # stands for every status that has no name here
ARCHIVED: Mapping[bool | None, Query] = {
    None: {}, True: {"system_tags": "archived"}, False: {"system_tags": {"$ne": "archived"}},
}  # fmt: skip


# -- what belongs to each of them ------------------------------------------------------------------


async def _subprojects(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], tree: Tree
) -> list[list[Document]]:
    part, page = Part({}, {"name": 1, "_id": 1}), arguments["page"]
    return await _first_of_each(context, ("project", "parent"), _ids(documents), part, page.limit, projection([tree]))


async def _children(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], tree: Tree
) -> list[list[Document]]:
    order = order_of(context.spec.object("task").sortable, [{"field": "last_update", "direction": "desc"}])
    return await _connections(context, ("task", "parent"), order, arguments["page"], _ids(documents), tree)


async def _transitions(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], tree: Tree
) -> list[list[Document]]:
    """Their ids are made of numbers, so that they are in the order of time."""
    order = Order((), id_ascending=True)
    return await _connections(context, (TRANSITIONS, "task"), order, arguments["page"], _ids(documents), tree)


async def _connections(
    context: Context, of: tuple[str, str], order: Order, page: Page, ids: Sequence[str], tree: Tree
) -> list[list[Document]]:
    """For each id the connection of what names it at a path of a collection."""
    seals = [fingerprint((context.viewer.company, *of, id_), order) for id_ in ids]
    at = None
    for seal in seals if page.cursor is not None else ():
        at = position(page.cursor or "", order, seal)  # a cursor belongs to one list, so there is one id at most
    rows: list[list[Document]] = [[]] * len(ids)
    if wants_documents(tree):
        part = whole({}, order, at)
        rows = await _first_of_each(context, of, ids, part, limit(tree, page), fields(tree, order))
    totals: list[int | None] = [None] * len(ids)
    if tree.selects("total_count"):
        totals = [*await _totals(context, of, ids)]
    return [
        [connection(tree, page, order, seal, documents, total)]
        for seal, documents, total in zip(seals, rows, totals, strict=True)
    ]


async def _first_of_each(
    context: Context, of: tuple[str, str], ids: Sequence[str], part: Part, limit: int, fields: Mapping[str, int]
) -> list[list[Document]]:
    collection, path = of

    async def load(ids: list[str]) -> list[list[Document]]:
        found: dict[Any, list[Document]] = defaultdict(list)
        for document in await context.reader.first_of_each(
            collection, path, ids, part=part, limit=limit, projection=fields
        ):
            found[document[path]].append(document)
        return [found[id_] for id_ in ids]

    return await context.batched((*of, repr(part), limit, frozenset(fields)), load, ids)


async def _totals(context: Context, of: tuple[str, str], ids: Sequence[str]) -> list[int]:
    collection, path = of

    async def load(ids: list[str]) -> list[int]:
        rows = await context.reader.tally(collection, {path: {"$in": ids}}, {path: f"${path}"})
        totals = {row[path]: row["count"] for row in rows if isinstance(row[path], str)}
        return [totals.get(id_, 0) for id_ in ids]

    return await context.batched((*of, "total"), load, ids)


# -- what may be done with a task ------------------------------------------------------------------


async def _available_transitions(
    context: Context, _arguments: Mapping[str, Any], documents: Sequence[Document], _tree: Tree
) -> list[list[Document]]:
    surveyor = Surveyor(context.viewer, context.reader.all, context.reader.tally)

    async def load(tasks: list[Document]) -> list[list[Document]]:
        around, at = await surveyor.around(tasks, MOVES), now()
        return [_available(context, task, found, at) for task, found in zip(tasks, around, strict=True)]

    return await context.batched("available_transitions", load, documents)


def _available(context: Context, task: Document, around: Around, now: datetime) -> list[Document]:
    is_public, found = refuse_public(task, context.viewer), []
    for name, mutation in context.spec.mutations.items():
        if (move := name.removeprefix("task_")) in MOVES:
            at = Situation(move, task, around, context.rules, now)
            refusals = at.refusals()
            reasons = [str(is_public)] if is_public else [str(refusal.error) for refusal in refusals]
            found.append({
                "mutation": mutation.graphql_name, "target": at.target, "allowed": not reasons, "reasons": reasons,
                "requires_force": bool(reasons) and not is_public and all(refusal.by_force for refusal in refusals),
            })  # fmt: skip
    return found


# -- how many tasks --------------------------------------------------------------------------------


async def _task_counts(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _tree: Tree
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

    return await context.batched(("task_counts", is_deep, archived), load, _ids(documents))


async def _holders(context: Context, projects: Sequence[str]) -> dict[str, set[str]]:
    """Each of these projects and each one inside them → those of these projects that its tasks count for."""
    holders = {project: {project} for project in projects}
    for project, inside in (await within(projects, context.reader)).items():
        for inner in inside:
            holders.setdefault(inner, set()).add(project)
    return holders


def _ids(documents: Sequence[Document]) -> list[str]:
    return [document["_id"] for document in documents]


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


LOADERS: Mapping[str, Loader] = {
    "subprojects": _subprojects, "task_counts": _task_counts, "children": _children, "transitions": _transitions,
    "available_transitions": _available_transitions, "series": series, "metric_at": metric_at,
}  # fmt: skip
