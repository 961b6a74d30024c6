"""Answers that come one after the other: subscriptions, over a WebSocket (graphql-transport-ws) or as events (SSE)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import Any, cast

import orjson
from graphql import GraphQLError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http.websocket_origin import is_same_origin, normalize_origin
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from api.errors import RefusedError, shown
from api.requests import Asked, asked_for, strict_json
from resolvers.context import Context
from resolvers.errors import ErrorCode, LimitError

MAX_OPERATIONS = 100  # on one socket
GREETING = timedelta(seconds=10)  # in which a client has to begin
KEEP_ALIVE = 15.0  # seconds; proxies cut off what is silent for long

Results = AsyncGenerator[ExecutionResult, None]
Stream = Callable[[Asked, Context], Results]


# -- WebSockets ------------------------------------------------------------------------------------


class _Streamed:
    """What Strawberry's handler wants of a schema: `stream`, with errors in our shape."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def stream(
        self, query: str, *, variable_values: dict[str, Any] | None, operation_name: str | None,
        context_value: Context, root_value: None,
    ) -> Results:  # fmt: skip
        del root_value
        given = {"query": query, "variables": variable_values, "operationName": operation_name}
        return self._shaped(given, context_value)

    async def _shaped(self, given: Mapping[str, Any], context: Context) -> Results:
        try:
            asked = asked_for(given)
        except RefusedError as refusal:
            yield PreExecutionError(None, [_shaped(refusal)])
            return
        async with aclosing(self._stream(asked, context.anew())) as results:
            async for result in results:
                errors = [_shaped(error) for error in result.errors or ()]
                yield type(result)(result.data, errors or None, result.extensions)


def _shaped(error: Exception) -> GraphQLError:
    said = shown(error)
    nodes = error.nodes if isinstance(error, GraphQLError) else None
    return GraphQLError(said["message"], nodes, path=said.get("path"), extensions=said["extensions"])


class _Handler(BaseGraphQLTransportWSHandler[Context, None]):
    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if len(self.operations) >= MAX_OPERATIONS and message["id"] not in self.operations:
            error = LimitError(
                ErrorCode.LIMIT_EXCEEDED, f"One socket has at most {MAX_OPERATIONS} operations at once.",
                limit="operations", maximum=MAX_OPERATIONS,
            )  # fmt: skip
            await self.send_message({"id": message["id"], "type": "error", "payload": [_shaped(error).formatted]})
            return
        await super().handle_subscribe(message)


class Sockets(GraphQL[Context, None]):
    """The ASGI application behind WebSockets at /graphql."""

    graphql_transport_ws_handler_class = _Handler

    def __init__(
        self, stream: Stream, new_context: Callable[[HTTPConnection], Context], allowed_origins: Sequence[str]
    ) -> None:  # fmt: skip
        super().__init__(
            cast(BaseSchema, _Streamed(stream)),
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=GREETING,
            max_subscriptions_per_connection=None,
            allowed_origins=allowed_origins,
        )
        self._new_context = new_context

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:  # noqa: ARG002
        return self._new_context(request)

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> dict[str, Any]:
        """A message of the protocol; raises JSONDecodeError, which closes the socket with 4400."""
        text = data.encode() if isinstance(data, str) else data
        try:
            message = strict_json(text, "The message")
        except RefusedError as refusal:
            raise JSONDecodeError(str(refusal), "", 0) from None
        if not isinstance(message, dict) or not isinstance(message.get("id", ""), str):
            raise JSONDecodeError("The message is no message of graphql-transport-ws.", "", 0)
        if message.get("type") == "subscribe" and not isinstance(message.get("payload"), dict):
            raise JSONDecodeError("The message has no payload.", "", 0)
        return message


# -- events ----------------------------------------------------------------------------------------


def refuse_foreign(headers: Mapping[str, str], allowed_origins: Sequence[str]) -> None:
    """Raises RefusedError for a page of an origin that may not subscribe."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed_origins or is_same_origin(origin, headers.get("host")):
        return
    if normalize_origin(origin) not in map(normalize_origin, allowed_origins):
        raise RefusedError(403, "TASKQL_ALLOWED_ORIGINS does not have this origin.")


async def events(
    results: Results, body: Callable[[ExecutionResult], Any], stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """The results as server-sent events, as graphql-sse's distinct connections mode has them.

    When the server stops, the stream just ends: a client that would not come back at `complete` will then.
    """
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[ExecutionResult] | None = None
    try:
        while not stopped.done():
            following = following or asyncio.ensure_future(anext(results))
            both: set[asyncio.Future[Any]] = {following, stopped}
            done, _ = await asyncio.wait(both, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if following in done:
                try:
                    result = following.result()
                except StopAsyncIteration:
                    yield b"event: complete\ndata:\n\n"
                    return
                following = None
                yield b"event: next\ndata: " + orjson.dumps(body(result)) + b"\n\n"
            elif not done:
                yield b":\n\n"
    finally:
        stopped.cancel()
        if following:
            following.cancel()
            with suppress(BaseException):
                await following
        await results.aclose()
