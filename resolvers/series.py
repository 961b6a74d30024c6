"""The curves of the tasks of a page: one command, whatever they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.reading import Document
from models.series import SERIES, columns
from resolvers.context import Context
from resolvers.curves import shown
from resolvers.errors import ErrorCode, LimitError
from resolvers.selection import Tree

MIN_POINTS, MAX_POINTS = 10, 10_000
USUAL_METHOD = "minmax_lttb"

Curves = list[Document]


async def series(
    context: Context, arguments: Mapping[str, Any], documents: Sequence[Document], _tree: Tree
) -> list[Curves]:
    """For each task its curves, by metric and variant; raises LimitError for more points than are shown."""
    most = MAX_POINTS if arguments["max_points"] is None else arguments["max_points"]
    if not MIN_POINTS <= most <= MAX_POINTS:
        message = f"maxPoints is from {MIN_POINTS} to {MAX_POINTS}."
        raise LimitError(ErrorCode.LIMIT_EXCEEDED, message, field="maxPoints", maximum=MAX_POINTS, actual=most)
    names = {name: arguments[name] for name in ("metric", "variant") if arguments[name] is not None}
    window = (arguments["iteration_from"], arguments["iteration_to"], most, arguments["method"] or USUAL_METHOD)

    async def load(tasks: list[str]) -> list[Curves]:
        query = {"task": {"$in": tasks}, **{name: {"$in": list(values)} for name, values in names.items()}}
        curves: dict[str, dict[tuple[str, str], list[Document]]] = {task: {} for task in tasks}
        for block in await context.reader.all(SERIES, query, {}):
            curves[block["task"]].setdefault((block["metric"], block["variant"]), []).append(block)
        return [[_curve(pair, blocks, window) for pair, blocks in sorted(curves[task].items())] for task in tasks]

    ids = [document["_id"] for document in documents]
    return await context.batched(("series", *map(str, names.items()), window), load, ids)


def _curve(pair: tuple[str, str], blocks: Sequence[Document], window: tuple[Any, Any, int, str]) -> Document:
    return {"metric": pair[0], "variant": pair[1], **shown(columns(blocks), *window)}
