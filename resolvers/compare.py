"""Tasks side by side: what differs from a baseline."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import strawberry

from models.reading import Document
from resolvers.arguments import given
from resolvers.context import Context
from resolvers.errors import ErrorCode, InputError, LimitError
from resolvers.pieces import FIELDS, Piece, pieces
from resolvers.planned import Plan, Report, answers
from resolvers.selection import Tree

MAX_TASKS = 50
SECTIONS = ("hyperparams", "configuration", "script", "requirements", "last_metrics")


class Comparison(Plan):
    """Every piece that one of the tasks has, or only those that are not alike."""

    def __init__(self, ids: Sequence[str], baseline: str | None, *, only_differences: bool) -> None:
        self.ids = list(dict.fromkeys([*([] if baseline is None else [baseline]), *ids]))  # the baseline first
        self._beside = None if baseline in ids else baseline
        self._only_differences = only_differences

    async def answer(self, context: Context, tree: Tree, _report: Report) -> Any:
        found = await context.documents("task", self.ids, dict.fromkeys(FIELDS, 1))
        for id_, task in zip(self.ids, found, strict=True):
            if task is None:
                field = "baseline" if id_ == self._beside else "ids"
                raise InputError(ErrorCode.INVALID_TASK_ID, f"There is no task {id_!r}.", field=field, task=id_)
        # parsing takes time, in which others are to be answered
        taken = await asyncio.to_thread(lambda: [pieces(task) for task in found if task])
        return (await answers(context, tree, [self._compared(taken)]))[0]

    def _compared(self, tasks: Sequence[dict[Piece, str]]) -> Document:
        every = sorted(
            {piece for task in tasks for piece in task}, key=lambda piece: (SECTIONS.index(piece[0]), piece[1])
        )
        items = [_item(piece, [task.get(piece) for task in tasks]) for piece in every]
        changes = [Counter(item["values"][place]["change"] for item in items) for place in range(len(tasks))]
        return {
            "baseline": self.ids[0],
            "tasks": [
                {"task": id_, **{name: counted[name] for name in ("added", "removed", "changed")}}
                for id_, counted in zip(self.ids, changes, strict=True)
            ],
            "items": [item for item in items if not (self._only_differences and _is_alike(item))],
        }


def _place(piece: Piece) -> tuple[int, tuple[str, ...]]:
    return SECTIONS.index(piece.section), piece.path


def _item(piece: Piece, values: Sequence[str | None]) -> Document:
    compared = [{"value": value, "change": _change(values[0], value)} for value in values]
    return {"section": piece.section, "path": list(piece.path), "values": compared}


def _change(baseline: str | None, value: str | None) -> str:
    if value == baseline:
        return "same"
    return "added" if baseline is None else "removed" if value is None else "changed"


def _is_alike(item: Document) -> bool:
    return all(value["change"] == "same" for value in item["values"])


def compare_tasks() -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:  # noqa: ARG001 - given by Strawberry
        asked = given(arguments)
        if not asked["ids"]:
            raise InputError(ErrorCode.VALIDATION_ERROR, "ids names at least one task.", field="ids")
        comparison = Comparison(
            asked["ids"], asked.get("baseline"), only_differences=asked.get("only_differences") is not False
        )
        if (actual := len(comparison.ids)) > MAX_TASKS:
            message = f"At most {MAX_TASKS} tasks are compared."
            raise LimitError(ErrorCode.LIMIT_EXCEEDED, message, field="ids", maximum=MAX_TASKS, actual=actual)
        return comparison

    return resolve
