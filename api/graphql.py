"""GraphQL over HTTP: one request in, one answer out. Knows nothing of tasks.

`respond` has never heard of a server; `GraphQLView` is its translation to ASGI.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Protocol

from graphql import GraphQLError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from api.accepts import read_accept
from api.answers import EVENTS_TYPE, JSON_TYPE, RESPONSE_TYPE, Answer, answer_refusal, build_answer
from api.concurrency import RequestSlots, run_while_connected
from api.errors import RefusedError, format_error
from api.requests import (
    GraphQLRequest,
    HttpRequest,
    PersistedQueryError,
    check_method,
    choose_json_type,
    prefers_events,
    read_body,
    read_graphql_request,
)
from api.streams import ResultBodies, encode_events, refuse_foreign_origin
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.schema import Schema
from resolvers.subscriptions.registry import SubscriptionEnd, SubscriptionRegistry

OperationTypes = set[OperationType]
Execute = Callable[[GraphQLRequest, OperationTypes], Awaitable[ExecutionResult]]

READS: OperationTypes = {OperationType.QUERY}
READS_AND_WRITES: OperationTypes = {OperationType.QUERY, OperationType.MUTATION}


class RequestLimits(Protocol):
    """Maximum size, time and number of requests; the settings have them."""

    max_body_bytes: int
    max_body_seconds: float
    max_requests: int
    max_subscriptions: int
    allowed_origins: tuple[str, ...]


# -- a request and its answer ----------------------------------------------------------------------


async def respond(request: HttpRequest, execute: Execute) -> Answer:
    """Answer GET (queries only) and POST, by the GraphQL-over-HTTP draft as graphql-http's audits read it."""
    media_type = JSON_TYPE
    try:
        check_method(request.method)
        media_type = choose_json_type(request.accept)
        with refuse_operation(_make_type_refusal(request.method)):
            result = await execute(await read_graphql_request(request), get_allowed_operations(request.method))
    except PersistedQueryError as refusal:
        # some clients send the document only after an error in an answer of status 200
        result = _make_refused_result(refusal)
    except RefusedError as refusal:
        return answer_refusal(refusal, media_type)
    body = _build_body(result)
    status = 200 if "data" in body else _choose_error_status(body["errors"], media_type)
    return build_answer(status, body, media_type)


def get_allowed_operations(method: str) -> OperationTypes:
    return READS if method == "GET" else READS_AND_WRITES


@contextmanager
def refuse_operation(type_refusal: RefusedError) -> Iterator[None]:
    """Raise this refusal for an operation of a type that is not allowed, and one for a document without the operation.

    Both are RefusedError, in place of Strawberry's errors.
    """
    try:
        yield
    except InvalidOperationTypeError:
        raise type_refusal from None
    except CannotGetOperationTypeError:
        message = "operationName must name an operation of the document; without it the document must have exactly one."
        raise RefusedError(400, message) from None


def _make_type_refusal(method: str) -> RefusedError:
    if method == "GET":
        return RefusedError(405, "GET only reads; send this operation by POST.", allow="POST")
    message = "Subscriptions go over a WebSocket (graphql-transport-ws), or as events (Accept: text/event-stream)."
    return RefusedError(400, message)


def _make_refused_result(refusal: RefusedError) -> ExecutionResult:
    return PreExecutionError(None, [GraphQLError(str(refusal), original_error=refusal)])


def _build_body(result: ExecutionResult) -> dict[str, Any]:
    errors = result.errors or []
    body: dict[str, Any] = {"errors": [format_error(error) for error in errors]} if errors else {}
    is_refused = isinstance(result, PreExecutionError)
    was_executed = result.data is not None or any(error.path for error in errors)
    if was_executed and not is_refused:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return body


def _choose_error_status(errors: list[dict[str, Any]], media_type: str) -> int:
    """Return the status for a request that was not executed."""
    if any(error["extensions"]["code"] == ErrorCode.INTERNAL_ERROR.name for error in errors):
        return 500
    return 400 if media_type == RESPONSE_TYPE else 200


# -- over ASGI -------------------------------------------------------------------------------------


def translate_request(request: Request, limits: RequestLimits) -> HttpRequest:
    """Return the request as GraphQL needs it."""

    async def read() -> bytes:
        announced = request.headers.get("content-length")
        return await read_body(request.stream(), announced, limits.max_body_bytes, limits.max_body_seconds)

    accept = read_accept(request.headers)
    return HttpRequest(request.method, request.scope["query_string"], request.headers, read, accept)


class EventsNeededError(Exception):
    """The operation is a subscription, which has no single answer, and its client takes events."""

    def __init__(self, request: GraphQLRequest) -> None:
        super().__init__()
        self.request = request


class GraphQLView:
    """The ASGI application at /graphql."""

    def __init__(
        self,
        schema: Schema,
        create_context: Callable[[HTTPConnection], Context],
        limits: RequestLimits,
    ) -> None:
        self._schema = schema
        self._create_context = create_context
        self._limits = limits
        self._subscriptions = SubscriptionRegistry(limits.max_subscriptions)
        self.slots = RequestSlots(limits.max_requests)
        self.stopping = asyncio.Event()  # ends the streams that have no end of their own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        http_request = translate_request(request, self._limits)
        answer = self._answer_with_events if prefers_events(http_request.accept) else self._answer_with_json
        try:
            response = await answer(request, http_request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer_with_json(self, request: Request, http_request: HttpRequest) -> Response:
        """Answer with JSON; with events a subscription of a client that takes them as well."""
        takes_events = http_request.accept.allows_by_name(EVENTS_TYPE)

        async def execute(graphql_request: GraphQLRequest, allowed: OperationTypes) -> ExecutionResult:
            query, name = graphql_request.query, graphql_request.operation_name
            if takes_events and self._schema.is_subscription(query, name):
                refuse_foreign_origin(request.headers, self._limits.allowed_origins)
                raise EventsNeededError(graphql_request)
            work = self._execute(graphql_request, allowed, self._create_context(request))
            return await run_while_connected(request.receive, work)

        try:
            answer = await respond(http_request, execute)
        except EventsNeededError as needed:
            return self._stream_events(request, needed.request)
        return answer.to_response()

    async def _answer_with_events(self, request: Request, http_request: HttpRequest) -> Response:
        try:
            check_method(http_request.method)
            refuse_foreign_origin(request.headers, self._limits.allowed_origins)
            return self._stream_events(request, await read_graphql_request(http_request))
        except RefusedError as refusal:
            return answer_refusal(refusal).to_response()

    def _stream_events(self, request: Request, graphql_request: GraphQLRequest) -> Response:
        bodies = self.stream(graphql_request, self._create_context(request), get_allowed_operations(request.method))
        headers = {"content-type": f"{EVENTS_TYPE}; charset=utf-8", "x-accel-buffering": "no"}
        return StreamingResponse(encode_events(bodies, self.stopping), headers=headers)

    async def stream(
        self, request: GraphQLRequest, context: Context, allowed: OperationTypes = READS_AND_WRITES
    ) -> ResultBodies:
        """Yield the results of a subscription, or the one of another operation."""
        subscribed = self._schema.prepare_subscription(
            request.query, request.variables or {}, request.operation_name, context, request.extensions
        )
        if isinstance(subscribed, list):
            yield _build_body(PreExecutionError(None, subscribed))
        elif subscribed is None:
            yield _build_body(await self._execute_single(request, context, allowed))
        else:
            extensions = subscribed.extensions
            async with aclosing(self._subscriptions.subscribe(subscribed)) as results:
                async for result in results:
                    result_class = PreExecutionError if isinstance(result, SubscriptionEnd) else ExecutionResult
                    yield _build_body(result_class(result.data, result.errors, extensions))
                    extensions = {}

    async def _execute_single(
        self, request: GraphQLRequest, context: Context, allowed: OperationTypes
    ) -> ExecutionResult:
        try:
            with refuse_operation(_make_type_refusal("GET" if allowed == READS else "POST")):
                return await self._execute(request, allowed, context)
        except RefusedError as refusal:
            return _make_refused_result(refusal)

    async def _execute(self, request: GraphQLRequest, allowed: OperationTypes, context: Context) -> ExecutionResult:
        with self.slots.occupy():
            return await self._schema.execute(
                request.query,
                variable_values=request.variables,
                operation_name=request.operation_name,
                context_value=context,
                allowed_operation_types=allowed,
                operation_extensions=request.extensions,
            )
