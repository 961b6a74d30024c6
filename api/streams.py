"""Answers that come one after the other: subscriptions, over a WebSocket (graphql-transport-ws) or as events (SSE)."""

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

from api.errors import RefusedError, shown
from api.requests import Asked, asked_for, strict_json
from resolvers.errors import limit_exceeded
from resolvers.execution.context import Context

MAX_OPERATIONS = 100  # on one socket
GREETING = timedelta(seconds=10)  # in which a client has to begin
KEEP_ALIVE = 15.0  # seconds; proxies cut off what is silent for long

MAX_REASON = 123  # bytes: as many as a close frame holds beside its code

Body = Mapping[str, Any]  # an answer as JSON, as over HTTP: without `data` nothing was executed
Bodies = AsyncGenerator[Body, None]
Stream = Callable[[Asked, Context], Bodies]


# -- WebSockets ------------------------------------------------------------------------------------


class _Socket(ASGIWebSocketAdapter):
    """A socket that either side may have closed."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect):
            await super().close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))


class _Handler(BaseGraphQLTransportWSHandler[Context, None]):
    """graphql-transport-ws. Operations are answered here: Strawberry drops their extensions and our errors' shape."""

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
            said = f"One socket has at most {MAX_OPERATIONS} operations at once."
            error = limit_exceeded(said, limit="operations", maximum=MAX_OPERATIONS)
            await self.websocket.send_json({"id": id_, "type": "error", "payload": [shown(error)]})
        else:
            payload = message["payload"]
            operation = Operation(
                self, id_, payload.get("query", ""), payload.get("variables"), payload.get("operationName")
            )
            operation.task = asyncio.create_task(self._answer(operation, payload))
            self.operations[id_] = operation

    async def _answer(self, operation: Operation[Context, None], payload: Body) -> None:
        """Send the operation's results and its end: an error where a result has no data."""
        async with aclosing(self._bodies(payload)) as bodies:
            async for body in bodies:
                if "data" not in body:
                    await operation.send_operation_message(
                        {"id": operation.id, "type": "error", "payload": body["errors"]}
                    )
                    return
                await operation.send_operation_message({"id": operation.id, "type": "next", "payload": cast(Any, body)})
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _bodies(self, payload: Body) -> Bodies:
        try:
            asked = asked_for(payload)
            async with aclosing(cast(Sockets, self.view).stream(asked, self.context.renew())) as bodies:
                async for body in bodies:
                    yield body
        except Exception as error:  # noqa: BLE001 - a refusal, or a fault, which is logged there
            yield {"errors": [shown(error)]}


class Sockets(GraphQL[Context, None]):
    """The ASGI application behind WebSockets at /graphql."""

    graphql_transport_ws_handler_class = _Handler
    websocket_adapter_class = _Socket

    def __init__(
        self, stream: Stream, new_context: Callable[[HTTPConnection], Context], allowed_origins: Sequence[str]
    ) -> None:  # fmt: skip
        super().__init__(
            cast(BaseSchema, None),  # the stream has its own
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=GREETING,
            max_subscriptions_per_connection=None,
            allowed_origins=allowed_origins,
        )
        self.stream = stream
        self._new_context = new_context

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:  # noqa: ARG002
        return self._new_context(request)

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> dict[str, Any]:
        """A message of the protocol; raises JSONDecodeError, which closes the socket with 4400."""
        text = data.encode() if isinstance(data, str) else data
        try:
            return cast(dict[str, Any], strict_json(text, "The message"))
        except RefusedError as refusal:
            raise JSONDecodeError(str(refusal), "", 0) from None


def _is_well_formed(message: Any) -> bool:
    """Whether the id is text, and the payload an object: null where nothing needs it, with a query where it asks."""
    if not isinstance(message, dict) or not isinstance(message.get("id", ""), str):
        return False
    payload = message.get("payload")
    if message.get("type") == "subscribe":
        return isinstance(payload, dict) and not payload.keys().isdisjoint({"query", "extensions"})
    return isinstance(payload, dict | None)


# -- events ----------------------------------------------------------------------------------------


def refuse_foreign(headers: Mapping[str, str], allowed_origins: Sequence[str]) -> None:
    """Raises RefusedError for a page of an origin that may not subscribe."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed_origins or is_same_origin(origin, headers.get("host")):
        return
    if normalize_origin(origin) not in map(normalize_origin, allowed_origins):
        raise RefusedError(403, "This origin is not allowed. Add it to TASKQL_ALLOWED_ORIGINS.")


async def events(bodies: Bodies, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """The answers as server-sent events, as graphql-sse's distinct connections mode has them.

    When the server stops, the stream just ends: a client that would not come back at `complete` will then.
    """
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[Body] | None = None
    try:
        while not stopped.done():
            following = following or asyncio.ensure_future(anext(bodies))
            both: set[asyncio.Future[Any]] = {following, stopped}
            done, _ = await asyncio.wait(both, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if following in done:
                try:
                    body = following.result()
                except StopAsyncIteration:
                    yield b"event: complete\ndata:\n\n"
                    return
                following = None
                yield b"event: next\ndata: " + orjson.dumps(body) + b"\n\n"
            elif not done:
                yield b":\n\n"
    finally:
        stopped.cancel()
        if following:
            following.cancel()
            with suppress(BaseException):
                await following
        await bodies.aclose()
