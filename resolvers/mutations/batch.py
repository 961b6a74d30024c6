"""A mutation for many tasks: each in a transaction of its own, so that one that is refused stops no other."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import strawberry

from resolvers.errors import ErrorCode, coded, limit_exceeded
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.mutations.idempotency import Key, key_of
from resolvers.mutations.transaction import Payload, Work, perform

MAX_IDS = 100
# what is true of all of them when it is of one
COMMON = {ErrorCode.REPLICA_SET_REQUIRED, ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.IDEMPOTENCY_KEY_REUSED}


class Many(Plan):
    """The mutation `single` for each of some ids, and what became of each."""

    def __init__(self, name: str, single: str, work: Work, asked: Mapping[str, Any]) -> None:
        self._name = name
        self._single = single
        self._work = work
        self._asked = asked

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        ids = list(dict.fromkeys(self._asked["ids"]))
        if len(ids) > MAX_IDS:
            message = f"ids names {len(ids)} tasks; the maximum is {MAX_IDS}. Send several requests."
            raise limit_exceeded(message, limit="ids", maximum=MAX_IDS, actual=len(ids))
        key = key_of(context.viewer, self._name, self._asked)
        others = {name: value for name, value in self._asked.items() if name not in {"ids", "idempotency_key"}}
        asked = [{**others, "task": id_} for id_ in ids]
        results = await each(context, self._single, self._work, asked, key, report)
        context.forget_documents()
        return (await build_answers(context, selection, [{"results": results}]))[0]


async def each(
    context: Context, name: str, work: Work, asked: Iterable[Mapping[str, Any]], key: Key | None, report: ReportError
) -> list[Payload]:
    """Do what is asked of each `task` by itself; what became of each."""
    results = []
    for one in asked:
        id_ = one["task"]
        try:
            done = await perform(context, name, work, one, key.part(id_) if key else None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others have their turn
            results.append(_failure(id_, error, report))
        else:
            results.append({**done, "id": id_, "succeeded": True})
    return results


def _failure(id_: str, error: Exception, report: ReportError) -> Payload:
    known = coded(error)
    if known and known.code in COMMON:
        raise error
    if known is None:
        report(error, "results")
        found = {"code": ErrorCode.INTERNAL_ERROR.name, "message": "A fault of the server.", "details": {}}
    else:
        details = {name: value for name, value in known.extensions.items() if name != "code"}
        found = {"code": known.code.name, "message": str(known), "details": details}
    is_there = known is None or known.code != ErrorCode.INVALID_TASK_ID
    return {"id": id_, "succeeded": False, "error": found, "task": id_ if is_there else None}


def many(name: str, single: str, work: Work) -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
        return Many(name, single, work, read_arguments(input))

    return resolve
