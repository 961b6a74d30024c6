"""A mutation for many tasks, each in its own transaction: a refused one does not stop the others."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import strawberry

from resolvers.errors import ApiError, ErrorCode, find_api_error, limit_exceeded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.mutations.idempotency import IdempotencyKey, read_idempotency_key
from resolvers.mutations.transaction import Payload, Work, perform

MAX_IDS = 100
# an error of one task with such a code would be an error of every task
COMMON = {ErrorCode.REPLICA_SET_REQUIRED, ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.IDEMPOTENCY_KEY_REUSED}


class BatchPlan(Plan):
    """Performs the mutation `single` for each of some ids; the answer has a result for each."""

    def __init__(self, name: str, single: str, work: Work, arguments: Mapping[str, Any]) -> None:
        self._name = name
        self._single = single
        self._work = work
        self._arguments = arguments

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        ids = list(dict.fromkeys(self._arguments["ids"]))
        if len(ids) > MAX_IDS:
            message = f"ids names {len(ids)} tasks; the maximum is {MAX_IDS}. Send several requests."
            raise limit_exceeded(message, limit="ids", maximum=MAX_IDS, actual=len(ids))
        key = read_idempotency_key(context.viewer, self._name, self._arguments)
        common = {name: value for name, value in self._arguments.items() if name not in {"ids", "idempotency_key"}}
        items = [{**common, "task": id_} for id_ in ids]
        results = await perform_each(context, self._single, self._work, items, key, report)
        context.forget_documents()
        return (await build_answers(context, selection, [{"results": results}]))[0]


def build_batch(name: str, single: str, work: Work) -> Callable[..., Plan]:
    """Build the resolver of a mutation for many tasks."""

    def resolve(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
        return BatchPlan(name, single, work, read_arguments(input))

    return resolve


async def perform_each(
    context: Context,
    name: str,
    work: Work,
    items: Iterable[Mapping[str, Any]],
    key: IdempotencyKey | None,
    report: ReportError,
) -> list[Payload]:
    """Perform a mutation for each item, whose `task` is an id; returns a result for each."""
    results = []
    for item in items:
        id_ = item["task"]
        try:
            payload = await perform(context, name, work, item, key.derive(id_) if key else None)
        except Exception as error:  # noqa: BLE001 - after any error the other items are performed
            results.append(_build_failure(id_, error, report))
        else:
            results.append({**payload, "id": id_, "succeeded": True})
    return results


def _build_failure(id_: str, error: Exception, report: ReportError) -> Payload:
    api_error = find_api_error(error)
    if api_error is None:
        report(error, "results")
        details = {"code": ErrorCode.INTERNAL_ERROR.name, "message": "A fault of the server.", "details": {}}
        return {"id": id_, "succeeded": False, "error": details, "task": id_}
    if api_error.code in COMMON:
        raise error
    task = None if api_error.code == ErrorCode.INVALID_TASK_ID else id_
    return {"id": id_, "succeeded": False, "error": describe_error(api_error), "task": task}


def describe_error(error: ApiError) -> Payload:
    """Describe an error within a payload; errors outside one have the same parts."""
    details = {name: value for name, value in error.extensions.items() if name != "code"}
    return {"code": error.code.name, "message": str(error), "details": details}
