"""Clients of subscriptions: over a WebSocket in graphql-transport-ws, and over server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
import uvicorn
from graphql import ExecutionResult
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from models.store.change_stream import ChangeBatch
from models.store.database import Database
from models.store.shared_change_stream import Listener, SharedChangeStream
from models.types import Viewer
from resolvers.execution.context import Context
from resolvers.root import RELATED_FIELDS, build_schema
from resolvers.subscriptions.fan_out import SubscriberGroup
from resolvers.subscriptions.registry import SubscriptionRegistry
from resolvers.subscriptions.request import SubscriptionRequest
from schema.load import load
from tests.support.factories import COMPANY

PROTOCOL = "graphql-transport-ws"
SOON = 30.0  # seconds; a machine that is busy with other things takes its time


@asynccontextmanager
async def listen(app: Starlette) -> AsyncIterator[str]:
    """The application, whose database is open already, on a free port: its host and port."""
    config = uvicorn.Config(app, port=0, ws="websockets-sansio", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
        await wait_for_no_group(app)
    finally:
        app.state.stopping.set()
        server.should_exit = True
        await serving
        app.state.stopping.clear()


async def wait_for_groups(app: Starlette, groups: int = 1) -> None:
    """Wait until so many groups of subscribers listen, and have read the present state."""
    changes: SharedChangeStream = app.state.database.changes

    def is_ready() -> bool:
        return len(changes._listeners) >= groups and all(group.ready.done() for group in list_groups(changes))

    await _wait_until(is_ready)


async def wait_for_no_group(app: Starlette) -> None:
    """Wait until nobody listens any more: a group ends a little after its last subscriber has left."""
    await _wait_until(lambda: not app.state.database.changes._listeners)


async def _wait_until(is_met: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not is_met():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


def list_groups(changes: SharedChangeStream) -> list[SubscriberGroup]:
    """The groups of subscribers that listen."""
    owners = [getattr(listener.deliver, "__self__", None) for listener in changes._listeners]
    return [owner for owner in owners if isinstance(owner, SubscriberGroup)]


@asynccontextmanager
async def wait_for_delivery(app: Starlette, id_: str) -> AsyncIterator[None]:
    """At its end all that changed in it, up to a change of this task, is delivered to every subscriber."""
    changes: SharedChangeStream = app.state.database.changes
    seen = asyncio.Event()

    def look(batch: ChangeBatch) -> None:
        if id_ in batch.tasks:
            seen.set()

    async with changes.listen(Listener(look, lambda _: None)), asyncio.timeout(SOON):
        yield
        await seen.wait()
        groups = list_groups(changes)
        while any(group._inbox or group._delivering for group in groups):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


Take = Callable[..., AsyncGenerator[ExecutionResult, None]]


def make_taker(database: Database, max_time_ms: int = 60_000) -> Take:
    """The results of a subscription, read when the test is ready for them."""
    viewer = Viewer(user="somebody", company=COMPANY, role="admin")
    schema, subscriptions = build_schema(load()), SubscriptionRegistry(10)

    def taken(query: str, **variables: Any) -> AsyncGenerator[ExecutionResult, None]:
        reader, writer = database.create_reader(viewer, max_time_ms), database.create_writer(viewer)
        context = Context(viewer, reader, writer, database.changes, load(), 500, related_fields=RELATED_FIELDS)
        subscribed = schema.prepare_subscription(query, variables, None, context)
        assert isinstance(subscribed, SubscriptionRequest)
        return subscriptions.subscribe(subscribed)

    return taken


class Socket:
    """A greeted socket; each subscription on it has its own messages."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._numbers = count(1)
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self.connection:
            message = json.loads(text)
            if "id" in message:
                self._queues[message["id"]].put_nowait(message)

    async def subscribe(self, query: str, **variables: Any) -> "Subscription":
        id_ = str(next(self._numbers))
        self._queues[id_] = asyncio.Queue()
        payload = {"query": query, "variables": variables}
        await self.connection.send(json.dumps({"id": id_, "type": "subscribe", "payload": payload}))
        return Subscription(self, id_, self._queues[id_])


class Subscription:
    def __init__(self, socket: Socket, id_: str, messages: asyncio.Queue[dict[str, Any]]) -> None:
        self._socket = socket
        self._id = id_
        self.messages = messages

    async def message(self, seconds: float = SOON) -> dict[str, Any]:
        return await asyncio.wait_for(self.messages.get(), seconds)

    async def next(self, seconds: float = SOON) -> Any:
        """The one field of the next event."""
        message = await self.message(seconds)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        [value] = message["payload"]["data"].values()
        return value

    async def error(self) -> dict[str, Any]:
        """The one error that refused it, its message beside its extensions."""
        message = await self.message()
        assert message["type"] == "error", message
        [error] = message["payload"]
        return {"message": error["message"], **error["extensions"]}

    async def silent(self, seconds: float = 0.4) -> bool:
        """Return whether nothing is delivered for a while."""
        try:
            await asyncio.wait_for(self.messages.get(), seconds)
        except TimeoutError:
            return True
        return False

    async def complete(self) -> None:
        await self._socket.connection.send(json.dumps({"id": self._id, "type": "complete"}))


@asynccontextmanager
async def open_socket(address: str, **options: Any) -> AsyncIterator[Socket]:
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], max_size=None, **options) as connection:
        await connection.send('{"type": "connection_init"}')
        assert json.loads(await connection.recv()) == {"type": "connection_ack"}
        opened = Socket(connection)
        try:
            yield opened
        finally:
            opened.reading.cancel()


@asynccontextmanager
async def open_events(address: str, query: str, **variables: Any) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Yield the names and data of the events of an event stream."""
    request = {"query": query, "variables": variables}
    accept = {"accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(timeout=SOON) as http,
        http.stream("POST", f"http://{address}/graphql", json=request, headers=accept) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _parse_events(response.aiter_lines())


async def _parse_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            yield name, json.loads(data) if data else None
