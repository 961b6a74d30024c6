"""Streams of answers: subscriptions, over a WebSocket (graphql-transport-ws) or as server-sent events (SSE)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import Any, cast

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.websocket_origin import is_same_origin, normalize_origin
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message, SubscribeMessage

from api.errors import RefusedError, format_error
from api.requests import GraphQLRequest, build_graphql_request, parse_strict_json
from resolvers.errors import limit_exceeded
from resolvers.execution.context import Context

MAX_OPERATIONS = 100  # on one socket
INIT_TIMEOUT = timedelta(seconds=10)  # for the first message of a client
KEEP_ALIVE = 15.0  # seconds; proxies cut off a connection that is silent longer
MAX_CLOSE_REASON = 123  # bytes that a close frame holds beside its code

COMPLETE_EVENT = b"event: complete\ndata:\n\n"
KEEP_ALIVE_COMMENT = b":\n\n"

ResultBody = Mapping[str, Any]  # the JSON of a result, as over HTTP; without `data` nothing was executed
ResultBodies = AsyncGenerator[ResultBody, None]
Stream = Callable[[GraphQLRequest, Context], ResultBodies]


# -- WebSockets ------------------------------------------------------------------------------------


class _SocketAdapter(ASGIWebSocketAdapter):
    """A socket that either side may have closed."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect):
            await super().close(code, reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore"))


class _SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """Speaks graphql-transport-ws, and answers operations itself: Strawberry drops extensions and our error shape."""

    async def handle_message(self, message: Message) -> None:
        if not _is_well_formed(message):
            await self.handle_invalid_message("The message is not a message of graphql-transport-ws.")
            return
        # the protocol allows a payload that is null, for which the base is not ready
        has_null = message.get("payload", message) is None
        await super().handle_message(cast(Message, {**message, "payload": {}}) if has_null else message)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        id_ = message["id"]
        if not self.connection_acknowledged:
            await self.websocket.close(4401, "Unauthorized")
        elif id_ in self.operations:
            await self.websocket.close(4409, f"Subscriber for {id_} already exists")
        elif len(self.operations) >= MAX_OPERATIONS:
            text = f"One socket has a maximum of {MAX_OPERATIONS} operations at once."
            error = limit_exceeded(text, limit="operations", maximum=MAX_OPERATIONS)
            await self.websocket.send_json({"id": id_, "type": "error", "payload": [format_error(error)]})
        else:
            self._start_operation(id_, message["payload"])

    def _start_operation(self, id_: str, payload: Mapping[str, Any]) -> None:
        query, variables, name = payload.get("query", ""), payload.get("variables"), payload.get("operationName")
        operation = Operation(self, id_, query, variables, name)
        operation.task = asyncio.create_task(self._answer(operation, payload))
        self.operations[id_] = operation

    async def _answer(self, operation: Operation[Context, None], payload: Mapping[str, Any]) -> None:
        """Send the operation's results and its end: an error where a result has no data."""
        async with aclosing(self._stream_bodies(payload)) as bodies:
            async for body in bodies:
                if "data" not in body:
                    await operation.send_operation_message(
                        {"id": operation.id, "type": "error", "payload": body["errors"]}
                    )
                    return
                await operation.send_operation_message({"id": operation.id, "type": "next", "payload": cast(Any, body)})
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _stream_bodies(self, payload: Mapping[str, Any]) -> ResultBodies:
        try:
            request = build_graphql_request(payload)
            async with aclosing(cast(WebSocketView, self.view).stream(request, self.context.renew())) as bodies:
                async for body in bodies:
                    yield body
        except Exception as error:  # noqa: BLE001 - a refusal, or a fault, which format_error logs
            yield {"errors": [format_error(error)]}


class WebSocketView(GraphQL[Context, None]):
    """The ASGI application for WebSockets at /graphql."""

    graphql_transport_ws_handler_class = _SocketHandler
    websocket_adapter_class = _SocketAdapter

    def __init__(
        self,
        stream: Stream,
        create_context: Callable[[HTTPConnection], Context],
        allowed_origins: Sequence[str],
    ) -> None:
        super().__init__(
            cast(BaseSchema, None),  # the stream has its own
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=None,
            allowed_origins=allowed_origins,
        )
        self.stream = stream
        self._create_context = create_context

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:  # noqa: ARG002
        return self._create_context(request)

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> dict[str, Any]:
        """Parse a message of the protocol; raises JSONDecodeError, which closes the socket with 4400."""
        encoded = data.encode() if isinstance(data, str) else data
        try:
            return cast(dict[str, Any], parse_strict_json(encoded, "The message"))
        except RefusedError as refusal:
            raise JSONDecodeError(str(refusal), "", 0) from None


def _is_well_formed(message: Any) -> bool:
    """Return whether the id is text and the payload an object: with a query in subscribe, optional elsewhere."""
    if not isinstance(message, dict) or not isinstance(message.get("id", ""), str):
        return False
    payload = message.get("payload")
    if message.get("type") == "subscribe":
        return isinstance(payload, dict) and not payload.keys().isdisjoint({"query", "extensions"})
    return isinstance(payload, dict | None)


# -- events ----------------------------------------------------------------------------------------


def refuse_foreign_origin(headers: Mapping[str, str], allowed_origins: Sequence[str]) -> None:
    """Raises RefusedError for a page of an origin that may not subscribe."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed_origins or is_same_origin(origin, headers.get("host")):
        return
    if normalize_origin(origin) not in map(normalize_origin, allowed_origins):
        raise RefusedError(403, "This origin is not allowed. Add it to TASKQL_ALLOWED_ORIGINS.")


async def encode_events(bodies: ResultBodies, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the results as server-sent events, as graphql-sse's distinct connections mode has them.

    When the server stops, the stream ends without `complete`: after `complete` a client would not connect again.
    """
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    next_body: asyncio.Future[ResultBody] | None = None
    try:
        while not stopped.done():
            next_body = next_body or asyncio.ensure_future(anext(bodies))
            both: set[asyncio.Future[Any]] = {next_body, stopped}
            done, _ = await asyncio.wait(both, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if next_body in done:
                try:
                    body = next_body.result()
                except StopAsyncIteration:
                    yield COMPLETE_EVENT
                    return
                next_body = None
                yield b"event: next\ndata: " + orjson.dumps(body) + b"\n\n"
            elif not done:
                yield KEEP_ALIVE_COMMENT
    finally:
        stopped.cancel()
        if next_body:
            next_body.cancel()
            with suppress(BaseException):
                await next_body
        await bodies.aclose()
