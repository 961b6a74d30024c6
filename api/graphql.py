"""GraphQL over HTTP: one request in, one answer out. Knows nothing of tasks.

`respond` has never heard of a server; `GraphQLView` is its translation to ASGI.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

import orjson
import strawberry
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.errors import RefusedError, shown
from api.requests import JSON_TYPE, RESPONSE_TYPE, Asked, HttpRequest, accepted, check_method, read_body, read_request
from api.working import AtOnce, while_connected
from resolvers.context import Context
from resolvers.errors import ErrorCode

READS = {OperationType.QUERY}
ALL = {OperationType.QUERY, OperationType.MUTATION}
Execute = Callable[[Asked, set[OperationType]], Awaitable[ExecutionResult]]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class RequestLimits(Protocol):
    """How large, how slow and how many requests may be; the settings are such."""

    max_body_bytes: int
    max_body_seconds: float
    max_requests: int


async def respond(request: HttpRequest, execute: Execute) -> Answer:
    """The answer to GET (queries only) and POST, by the GraphQL-over-HTTP draft as graphql-http's audits read it."""
    media_type = JSON_TYPE
    try:
        check_method(request.method)
        media_type = accepted(request.headers.get("accept"))
        with one_operation(request.method):
            result = await execute(await read_request(request), READS if request.method == "GET" else ALL)
    except RefusedError as refusal:
        return _refused(refusal, media_type)
    return _answered(result, media_type)


@contextmanager
def one_operation(method: str) -> Iterator[None]:
    """Raises RefusedError unless the document has one operation to execute, and of a kind that may be."""
    try:
        yield
    except InvalidOperationTypeError:
        raise _not_by(method) from None
    except CannotGetOperationTypeError:
        message = "The document has no operation of that name, or several and none was named."
        raise RefusedError(400, message) from None


def _not_by(method: str) -> RefusedError:
    if method == "GET":
        return RefusedError(405, "GET only reads; send this operation by POST.", allow="POST")
    return RefusedError(400, "An operation of this kind is not served here.")


def _answered(result: ExecutionResult, media_type: str) -> Answer:
    errors = result.errors or []
    body: dict[str, Any] = {"errors": [shown(error) for error in errors]} if errors else {}
    was_executed = result.data is not None or any(error.path for error in errors)
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return _answer(200 if was_executed else _status(body["errors"], media_type), {}, body, media_type)


def _status(errors: list[dict[str, Any]], media_type: str) -> int:
    """The status of a request of which nothing was executed."""
    if any(error["extensions"]["code"] == ErrorCode.INTERNAL_ERROR.name for error in errors):
        return 500
    return 400 if media_type == RESPONSE_TYPE else 200


def _refused(refusal: RefusedError, media_type: str) -> Answer:
    return _answer(refusal.status, refusal.headers, {"errors": [shown(refusal)]}, media_type)


def _answer(status: int, headers: dict[str, str], body: dict[str, Any], media_type: str) -> Answer:
    return Answer(status, {"content-type": f"{media_type}; charset=utf-8", **headers}, orjson.dumps(body))


def received(request: Request, limits: RequestLimits) -> HttpRequest:
    """The request as GraphQL needs it."""

    async def body() -> bytes:
        announced = request.headers.get("content-length")
        return await read_body(request.stream(), announced, limits.max_body_bytes, limits.max_body_seconds)

    return HttpRequest(request.method, request.scope["query_string"], request.headers, body)


class GraphQLView:
    """The ASGI application at /graphql."""

    def __init__(
        self, schema: strawberry.Schema, new_context: Callable[[Request], Context], limits: RequestLimits
    ) -> None:  # fmt: skip
        self._schema = schema
        self._new_context = new_context
        self._limits = limits
        self.at_once = AtOnce(limits.max_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            status, headers, content = await respond(received(request, self._limits), partial(self._execute, request))
        except ClientDisconnect:
            return
        await Response(content, status, headers)(scope, receive, send)

    async def _execute(self, request: Request, asked: Asked, allowed: set[OperationType]) -> ExecutionResult:
        with self.at_once.one_more():
            work = self._schema.execute(
                asked.query,
                variable_values=asked.variables,
                operation_name=asked.operation_name,
                context_value=self._new_context(request),
                allowed_operation_types=allowed,
                operation_extensions=asked.extensions,
            )
            return await while_connected(request.receive, work)
