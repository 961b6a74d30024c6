"""What the server tells of itself."""

from collections.abc import Callable, Mapping
from typing import Any

from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers, read_or_null
from resolvers.execution.selection import Selection

AWAY = {ErrorCode.TIMEOUT, ErrorCode.DATABASE_UNAVAILABLE}


class ServerInfo(Plan):
    """What was known at the start, and the database only when it is selected."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known

    async def answer(self, context: Context, selection: Selection, report: ReportError) -> Any:
        mongodb = None
        if selection.has_field("mongodb"):
            mongodb = await read_or_null(context.reader.read_server(), AWAY, selection, "mongodb", report)
        [answer] = await build_answers(context, selection, [{**self._known, "mongodb": mongodb}])
        return answer


def server_info(about: Mapping[str, Any], schema_hash: Callable[[], str]) -> Callable[..., Plan]:
    def resolve() -> Plan:
        return ServerInfo({**about, "schema_hash": schema_hash()})

    return resolve
