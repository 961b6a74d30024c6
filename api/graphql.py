"""GraphQL over HTTP: one request in, one answer out. Knows nothing of tasks.

`respond` has never heard of a server; `GraphQLView` is its translation to ASGI.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, NamedTuple, Protocol

import orjson
from graphql import GraphQLError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from api.accepts import accept_of
from api.errors import RefusedError, shown
from api.requests import (
    EVENTS_TYPE,
    JSON_TYPE,
    RESPONSE_TYPE,
    Asked,
    HttpRequest,
    PersistedQueryError,
    accepted,
    check_method,
    prefers_events,
    read_body,
    read_request,
)
from api.streams import Bodies, events, refuse_foreign
from api.working import AtOnce, while_connected
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.schema import Schema
from resolvers.subscriptions.registry import SubscriptionEnd, SubscriptionRegistry

READS = {OperationType.QUERY}
ALL = {OperationType.QUERY, OperationType.MUTATION}
Execute = Callable[[Asked, set[OperationType]], Awaitable[ExecutionResult]]


class SubscriptionError(Exception):
    """The operation is a subscription, which has no one answer, and its client takes events."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked


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
    max_subscriptions: int
    allowed_origins: tuple[str, ...]


async def respond(request: HttpRequest, execute: Execute) -> Answer:
    """The answer to GET (queries only) and POST, by the GraphQL-over-HTTP draft as graphql-http's audits read it."""
    media_type = JSON_TYPE
    try:
        check_method(request.method)
        media_type = accepted(request.accept)
        with one_operation(request.method):
            result = await execute(await read_request(request), READS if request.method == "GET" else ALL)
    except PersistedQueryError as refusal:
        # some clients send the document only after an error in an answer of status 200
        result = PreExecutionError(None, [GraphQLError(str(refusal), original_error=refusal)])
    except RefusedError as refusal:
        return _refused(refusal, media_type)
    return _answered(result, media_type)


@contextmanager
def one_operation(method: str, only: str = "") -> Iterator[None]:
    """Raises RefusedError, which says what `only` is served, unless there is one operation of a kind that may be."""
    try:
        yield
    except InvalidOperationTypeError:
        raise (RefusedError(400, only) if only else _not_by(method)) from None
    except CannotGetOperationTypeError:
        message = "operationName must name an operation of the document; without it the document must have exactly one."
        raise RefusedError(400, message) from None


def _not_by(method: str) -> RefusedError:
    if method == "GET":
        return RefusedError(405, "GET only reads; send this operation by POST.", allow="POST")
    message = "Subscriptions go over a WebSocket (graphql-transport-ws), or as events (Accept: text/event-stream)."
    return RefusedError(400, message)


def _answered(result: ExecutionResult, media_type: str) -> Answer:
    body = _body(result)
    return _answer(200 if "data" in body else _status(body["errors"], media_type), {}, body, media_type)


def _body(result: ExecutionResult) -> dict[str, Any]:
    errors = result.errors or []
    body: dict[str, Any] = {"errors": [shown(error) for error in errors]} if errors else {}
    is_refused = isinstance(result, PreExecutionError)
    was_executed = result.data is not None or any(error.path for error in errors)
    if was_executed and not is_refused:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return body


def _status(errors: list[dict[str, Any]], media_type: str) -> int:
    """The status of a request of which nothing was executed."""
    if any(error["extensions"]["code"] == ErrorCode.INTERNAL_ERROR.name for error in errors):
        return 500
    return 400 if media_type == RESPONSE_TYPE else 200


def _refused(refusal: RefusedError, media_type: str) -> Answer:
    return _answer(refusal.status, refusal.headers, {"errors": [shown(refusal)]}, media_type)


def _answer(status: int, headers: dict[str, str], body: dict[str, Any], media_type: str) -> Answer:
    return Answer(status, {"content-type": f"{media_type}; charset=utf-8", **headers}, orjson.dumps(body))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def received(request: Request, limits: RequestLimits) -> HttpRequest:
    """The request as GraphQL needs it."""

    async def body() -> bytes:
        announced = request.headers.get("content-length")
        return await read_body(request.stream(), announced, limits.max_body_bytes, limits.max_body_seconds)

    return HttpRequest(request.method, request.scope["query_string"], request.headers, body, accept_of(request.headers))


class GraphQLView:
    """The ASGI application at /graphql."""

    def __init__(
        self, schema: Schema, new_context: Callable[[HTTPConnection], Context], limits: RequestLimits
    ) -> None:  # fmt: skip
        self._schema = schema
        self._new_context = new_context
        self._limits = limits
        self._subscriptions = SubscriptionRegistry(limits.max_subscriptions)
        self.at_once = AtOnce(limits.max_requests)
        self.stopping = asyncio.Event()  # what goes on without end has to end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        http = received(request, self._limits)
        answer = self._streamed if prefers_events(http.accept) else self._answered
        try:
            response = await answer(request, http)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def stream(self, asked: Asked, context: Context, allowed: set[OperationType] = ALL) -> Bodies:
        """The answers to a subscription, or the one to another operation."""
        subscribed = self._schema.subscribed(
            asked.query, asked.variables or {}, asked.operation_name, context, asked.extensions
        )
        if isinstance(subscribed, list):
            yield _body(PreExecutionError(None, subscribed))
        elif subscribed is None:
            yield _body(await self._alone(asked, context, allowed))
        else:
            extensions = subscribed.extensions
            async with aclosing(self._subscriptions.subscribe(subscribed)) as results:
                async for result in results:
                    kind = PreExecutionError if isinstance(result, SubscriptionEnd) else ExecutionResult
                    yield _body(kind(result.data, result.errors, extensions))
                    extensions = {}

    async def _alone(self, asked: Asked, context: Context, allowed: set[OperationType]) -> ExecutionResult:
        try:
            with one_operation("GET" if allowed == READS else "POST"):
                return await self._execute(asked, allowed, context)
        except RefusedError as refusal:
            return PreExecutionError(None, [GraphQLError(str(refusal), original_error=refusal)])

    async def _answered(self, request: Request, http: HttpRequest) -> Response:
        takes_events = http.accept.names(EVENTS_TYPE)

        async def execute(asked: Asked, allowed: set[OperationType]) -> ExecutionResult:
            if takes_events and self._schema.is_subscription(asked.query, asked.operation_name):
                refuse_foreign(request.headers, self._limits.allowed_origins)
                raise SubscriptionError(asked)
            work = self._execute(asked, allowed, self._new_context(request))
            return await while_connected(request.receive, work)

        try:
            return _response(await respond(http, execute))
        except SubscriptionError as found:
            return self._events(request, found.asked)

    async def _streamed(self, request: Request, http: HttpRequest) -> Response:
        try:
            check_method(http.method)
            refuse_foreign(request.headers, self._limits.allowed_origins)
            return self._events(request, await read_request(http))
        except RefusedError as refusal:
            return _response(_refused(refusal, JSON_TYPE))

    def _events(self, request: Request, asked: Asked) -> Response:
        bodies = self.stream(asked, self._new_context(request), READS if request.method == "GET" else ALL)
        content_type = {"content-type": f"{EVENTS_TYPE}; charset=utf-8", "x-accel-buffering": "no"}
        return StreamingResponse(events(bodies, self.stopping), headers=content_type)

    async def _execute(self, asked: Asked, allowed: set[OperationType], context: Context) -> ExecutionResult:
        with self.at_once.one_more():
            return await self._schema.execute(
                asked.query,
                variable_values=asked.variables,
                operation_name=asked.operation_name,
                context_value=context,
                allowed_operation_types=allowed,
                operation_extensions=asked.extensions,
            )
