"""Tasks side by side, each compared with a baseline."""

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
from resolvers.queries.comparison_values import (
    STORED_PATHS,
    ComparisonValue,
    ValuePath,
    collect_values,
)
from resolvers.texts.budget import Budget, OverdueError

MAX_TASKS = 50
SECTIONS = ("hyperparams", "configuration", "script", "requirements", "last_metrics")


class Comparison(Plan):
    """Every value that one of the tasks has, or only those that differ from the baseline's."""

    def __init__(self, ids: Sequence[str], baseline: str | None, *, only_differences: bool) -> None:
        compared_ids = [*ids] if baseline is None else [baseline, *ids]
        self.ids = list(dict.fromkeys(compared_ids))  # the baseline first
        self._added_baseline = None if baseline in ids else baseline
        self._only_differences = only_differences

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        tasks = []
        documents = await context.load_documents("task", self.ids, dict.fromkeys(STORED_PATHS, 1))
        for id_, document in zip(self.ids, documents, strict=True):
            if document is None:
                raise not_found("task", id_, field="baseline" if id_ == self._added_baseline else "ids")
            tasks.append(document)
        compared = await self._compare_in_time(tasks, context.reader.max_time_ms)
        return await build_large_answer(context, selection, compared)

    async def _compare_in_time(self, tasks: Sequence[Document], max_time_ms: int) -> Document:
        """Compare in a thread, so that other requests are answered; it ends with the time, and with the request."""
        budget = Budget(max_time_ms / 1000)
        try:
            return await asyncio.to_thread(self._compare, tasks, budget)
        except OverdueError as error:
            message = f"Comparing took longer than {max_time_ms} ms; compare fewer tasks."
            raise ServiceError(ErrorCode.TIMEOUT, message, field="ids") from error
        finally:
            budget.stop()

    def _compare(self, tasks: Sequence[Document], budget: Budget) -> Document:
        values_of_tasks = collect_values(tasks, budget)
        # a path is spelled as the first task that has it spells it
        spellings = {path: value.path for values in reversed(values_of_tasks) for path, value in values.items()}
        items = []
        changes = [Counter[str]() for _ in tasks]
        for path in sorted(spellings, key=_rank_path):
            budget.check_time()
            values = _compare_values([values.get(path) for values in values_of_tasks])
            for counts, value in zip(changes, values, strict=True):
                counts[value["change"]] += 1
            if not self._only_differences or any(value["change"] != "same" for value in values):
                items.append({"section": path.section, "path": list(spellings[path]), "values": values})
        return {
            "baseline": self.ids[0],
            "tasks": [_count_changes(id_, counts) for id_, counts in zip(self.ids, changes, strict=True)],
            "items": items,
        }


def _rank_path(path: ValuePath) -> tuple[int, tuple[str, ...]]:
    return SECTIONS.index(path.section), path.path


def _compare_values(values: Sequence[ComparisonValue | None]) -> list[Document]:
    """The value of each task beside its change from the baseline, which is the first of them."""
    baseline = values[0]
    return [{"value": value and value.text, "change": _name_change(baseline, value)} for value in values]


def _name_change(baseline: ComparisonValue | None, value: ComparisonValue | None) -> str:
    if baseline is None:
        return "same" if value is None else "added"
    if value is None:
        return "removed"
    return "same" if value.key == baseline.key else "changed"


def _count_changes(id_: str, counts: Counter[str]) -> Document:
    return {"task": id_, **{name: counts[name] for name in ("added", "removed", "changed")}}


def build_comparison_resolver() -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], **arguments: Any) -> Plan:  # noqa: ARG001 - given by Strawberry
        plain = read_arguments(arguments)
        if not plain["ids"]:
            raise InputError(ErrorCode.VALIDATION_ERROR, "ids must name at least one task.", field="ids")
        only_differences = plain.get("only_differences") is not False
        comparison = Comparison(plain["ids"], plain.get("baseline"), only_differences=only_differences)
        if (actual := len(comparison.ids)) > MAX_TASKS:
            message = f"ids and baseline name {actual} tasks; the maximum is {MAX_TASKS}."
            raise limit_exceeded(message, field="ids", maximum=MAX_TASKS, actual=actual)
        return comparison

    return resolve
