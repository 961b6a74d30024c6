"""The series of the tasks of a page, and single points of them, by one command for all tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.documents.block import SERIES
from models.metrics.blocks import is_readable, read_series
from models.types import Document, Query, SeriesName
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from resolvers.execution.context import Context
from resolvers.execution.selection import Selection
from resolvers.fields.points import SeriesWindow, build_series, find_point_at_best

MIN_POINTS, MAX_POINTS = 10, 10_000
DEFAULT_METHOD = "minmax_lttb"

BlocksBySeries = dict[SeriesName, list[Document]]


async def load_series(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    """For each task its series, by metric and variant; raises InputError and LimitError for a wrong maxPoints."""
    window = _parse_window(arguments)
    names = {name: arguments[name] for name in ("metric", "variant") if arguments[name] is not None}
    query = {name: {"$in": list(values)} for name, values in names.items()}

    async def load(tasks: list[str]) -> list[list[Document]]:
        blocks = await _read_blocks(context, tasks, query)
        return [_build_all_series(blocks[task], window) for task in tasks]

    ids = [document["_id"] for document in documents]
    return await context.load_batched(("series", *map(str, names.items()), window), load, ids)


def _parse_window(arguments: Mapping[str, Any]) -> SeriesWindow:
    max_points = arguments["max_points"]
    if max_points is None:
        max_points = MAX_POINTS
    message = f"maxPoints must be from {MIN_POINTS} to {MAX_POINTS}."
    if max_points < MIN_POINTS:
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field="maxPoints")
    if max_points > MAX_POINTS:
        raise limit_exceeded(message, field="maxPoints", maximum=MAX_POINTS, actual=max_points)
    method = arguments["method"] or DEFAULT_METHOD
    return SeriesWindow(arguments["iteration_from"], arguments["iteration_to"], max_points, method)


def _build_all_series(blocks: BlocksBySeries, window: SeriesWindow) -> list[Document]:
    return [
        {"metric": metric, "variant": variant, **build_series(read_series(blocks[metric, variant]), window)}
        for metric, variant in sorted(blocks)
    ]


async def load_metric_at(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _selection: Selection
) -> list[list[Document]]:
    """For each task the point of one metric where another is best, or none."""
    series, best_series = [
        (argument["metric"], argument["variant"]) for argument in (arguments["of"], arguments["best"])
    ]
    goal = arguments["best"]["goal"]
    query = {"$or": [{"metric": metric, "variant": variant} for metric, variant in (series, best_series)]}

    async def load(tasks: list[str]) -> list[list[Document]]:
        blocks = await _read_blocks(context, tasks, query)
        points = []
        for task in tasks:
            of, best = (read_series(blocks[task].get(name, [])) for name in (series, best_series))
            point = find_point_at_best(of, best, goal)
            points.append([point] if point else [])
        return points

    ids = [document["_id"] for document in documents]
    return await context.load_batched(("metric_at", series, best_series, goal), load, ids)


async def _read_blocks(context: Context, tasks: Sequence[str], query: Query) -> dict[str, BlocksBySeries]:
    """The blocks of each task that match, without those that can't be read."""
    blocks: dict[str, BlocksBySeries] = {task: {} for task in tasks}
    for block in await context.reader.read_all(SERIES, {"task": {"$in": list(tasks)}, **query}, {}):
        if is_readable(block) and type(block["task"]) is str:
            blocks[block["task"]].setdefault((block["metric"], block["variant"]), []).append(block)
    return blocks
