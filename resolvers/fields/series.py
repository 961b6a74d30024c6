"""The curves of the tasks of a page, and points of them: one command, whatever they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.documents.block import SERIES
from models.metrics.blocks import columns, is_readable
from models.types import Document, Query, SeriesName
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from resolvers.fields.points import at_best, shown

MIN_POINTS, MAX_POINTS = 10, 10_000
USUAL_METHOD = "minmax_lttb"

Curves = list[Document]


async def series(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[Curves]:
    """For each task its curves, by metric and variant; raises InputError and LimitError for a wrong maxPoints."""
    most = MAX_POINTS if arguments["max_points"] is None else arguments["max_points"]
    message = f"maxPoints is from {MIN_POINTS} to {MAX_POINTS}."
    if most < MIN_POINTS:
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field="maxPoints")
    if most > MAX_POINTS:
        raise limit_exceeded(message, field="maxPoints", maximum=MAX_POINTS, actual=most)
    names = {name: arguments[name] for name in ("metric", "variant") if arguments[name] is not None}
    window = (arguments["iteration_from"], arguments["iteration_to"], most, arguments["method"] or USUAL_METHOD)

    async def load(tasks: list[str]) -> list[Curves]:
        curves = await _blocks(context, tasks, {name: {"$in": list(values)} for name, values in names.items()})
        return [[_curve(pair, blocks, window) for pair, blocks in sorted(curves[task].items())] for task in tasks]

    ids = [document["_id"] for document in documents]
    return await context.load_batched(("series", *map(str, names.items()), window), load, ids)


async def metric_at(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[Curves]:
    """For each task the point of one metric where another is best, or none."""
    of, best = arguments["of"], arguments["best"]
    pairs = [(ref["metric"], ref["variant"]) for ref in (of, best)]
    goal = best["goal"]

    async def load(tasks: list[str]) -> list[Curves]:
        query = {"$or": [{"metric": metric, "variant": variant} for metric, variant in pairs]}
        curves = await _blocks(context, tasks, query)
        ofs, bests = ([columns(curves[task].get(pair, [])) for task in tasks] for pair in pairs)
        points = [at_best(*both, goal) for both in zip(ofs, bests, strict=True)]
        return [[point] if point else [] for point in points]

    ids = [document["_id"] for document in documents]
    return await context.load_batched(("metric_at", *pairs, goal), load, ids)


async def _blocks(
    context: Context, tasks: Sequence[str], query: Query
) -> Mapping[str, dict[SeriesName, list[Document]]]:
    """Of each task the blocks of the curves that match; an odd one hides no other."""
    curves: dict[str, dict[SeriesName, list[Document]]] = {task: {} for task in tasks}
    for block in await context.reader.read_all(SERIES, {"task": {"$in": list(tasks)}, **query}, {}):
        if is_readable(block) and type(block["task"]) is str:
            curves[block["task"]].setdefault((block["metric"], block["variant"]), []).append(block)
    return curves


def _curve(pair: SeriesName, blocks: Sequence[Document], window: tuple[Any, Any, int, str]) -> Document:
    return {"metric": pair[0], "variant": pair[1], **shown(columns(blocks), *window)}
