"""Tasks side by side: what differs from a baseline."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import strawberry

from models.types import Document
from resolvers.errors import ErrorCode, InputError, ServiceError, limit_exceeded, not_found
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_large_answer
from resolvers.execution.selection import Selection
from resolvers.queries.pieces import FIELDS, Piece, Pieces, Place, pieces
from resolvers.texts.budget import Budget, OverdueError

MAX_TASKS = 50
SECTIONS = ("hyperparams", "configuration", "script", "requirements", "last_metrics")


class Comparison(Plan):
    """Every piece that one of the tasks has, or only those that are not alike."""

    def __init__(self, ids: Sequence[str], baseline: str | None, *, only_differences: bool) -> None:
        self.ids = list(dict.fromkeys([*([] if baseline is None else [baseline]), *ids]))  # the baseline first
        self._beside = None if baseline in ids else baseline
        self._only_differences = only_differences

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        found = await context.load_documents("task", self.ids, dict.fromkeys(FIELDS, 1))
        for id_, task in zip(self.ids, found, strict=True):
            if task is None:
                field = "baseline" if id_ == self._beside else "ids"
                raise not_found("task", id_, field=field)
        compared = await self._compare_in_time([task for task in found if task], context.reader.max_time_ms)
        return await build_large_answer(context, selection, compared)

    async def _compare_in_time(self, tasks: Sequence[Document], max_time_ms: int) -> Document:
        """Compares in a thread, in which others are answered; it ends with the time, and with the request."""
        budget = Budget(max_time_ms / 1000)
        try:
            return await asyncio.to_thread(self._compare, tasks, budget)
        except OverdueError as error:
            message = f"Comparing took longer than {max_time_ms} ms; compare fewer tasks."
            raise ServiceError(ErrorCode.TIMEOUT, message, field="ids") from error
        finally:
            budget.stop()

    def _compare(self, tasks: Sequence[Document], budget: Budget) -> Document:
        taken = pieces(tasks, budget)
        places = {place: piece.path for of_task in reversed(taken) for place, piece in of_task.items()}
        items, changes = [], [Counter[str]() for _ in taken]
        for place in sorted(places, key=_rank):
            budget.check_time()
            values = _values(place, taken)
            for counted, value in zip(changes, values, strict=True):
                counted[value["change"]] += 1
            if not self._only_differences or any(value["change"] != "same" for value in values):
                items.append({"section": place.section, "path": list(places[place]), "values": values})
        return {
            "baseline": self.ids[0],
            "tasks": [
                {"task": id_, **{name: counted[name] for name in ("added", "removed", "changed")}}
                for id_, counted in zip(self.ids, changes, strict=True)
            ],
            "items": items,
        }


def _rank(place: Place) -> tuple[int, tuple[str, ...]]:
    return SECTIONS.index(place.section), place.path


def _values(place: Place, taken: Sequence[Pieces]) -> list[Document]:
    found = [of_task.get(place) for of_task in taken]
    return [{"value": piece and piece.shown, "change": _change(found[0], piece)} for piece in found]


def _change(baseline: Piece | None, piece: Piece | None) -> str:
    if baseline is None:
        return "same" if piece is None else "added"
    if piece is None:
        return "removed"
    return "same" if piece.key == baseline.key else "changed"


def compare_tasks() -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:  # noqa: ARG001 - given by Strawberry
        asked = read_arguments(arguments)
        if not asked["ids"]:
            raise InputError(ErrorCode.VALIDATION_ERROR, "ids names at least one task.", field="ids")
        comparison = Comparison(
            asked["ids"], asked.get("baseline"), only_differences=asked.get("only_differences") is not False
        )
        if (actual := len(comparison.ids)) > MAX_TASKS:
            message = f"ids and baseline name {actual} tasks; the maximum is {MAX_TASKS}."
            raise limit_exceeded(message, field="ids", maximum=MAX_TASKS, actual=actual)
        return comparison

    return resolve
