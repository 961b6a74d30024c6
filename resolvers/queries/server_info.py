"""The field `serverInfo`."""

from collections.abc import Callable, Mapping
from typing import Any

from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers, read_or_null
from resolvers.execution.selection import Selection

AWAY = {ErrorCode.TIMEOUT, ErrorCode.DATABASE_UNAVAILABLE}


class ServerInfo(Plan):
    """Facts that are known at the start, and the database server, which is read only if it is selected."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        mongodb = None
        if selection.has_field("mongodb"):
            mongodb = await read_or_null(context.reader.read_server(), AWAY, selection, "mongodb", report)
        [answer] = await build_answers(context, selection, [{**self._facts, "mongodb": mongodb}])
        return answer


def build_server_info_resolver(facts: Mapping[str, Any], schema_hash: Callable[[], str]) -> Callable[..., Plan]:
    def resolve() -> Plan:
        return ServerInfo({**facts, "schema_hash": schema_hash()})

    return resolve
