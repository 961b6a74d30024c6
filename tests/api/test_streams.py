"""Subscriptions over WebSockets and events: allowed clients, the form of messages, and the ends of streams."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import task
from tests.support.live import PROTOCOL, SOON, listen, open_events, open_socket, wait_for_groups
from tests.support.paths import DATA
from tests.support.servers import replica_set, restore, serve, standalone

pytestmark = pytest.mark.slow

Database = AsyncDatabase[dict[str, Any]]
QUERY = "subscription { taskChanged { id kind resumeToken } }"
INIT = '{"type": "connection_init"}'


@pytest.fixture
async def address(app: Starlette, database: Database) -> AsyncIterator[str]:  # noqa: ARG001 - to be empty
    async with listen(app) as host_and_port:
        yield host_and_port


async def read_close_code(address: str, *messages: str | bytes, **options: Any) -> int:
    """The code with which a socket is closed after these messages."""
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], **options) as connection:
        for message in messages:
            await connection.send(message)
        with pytest.raises(ConnectionClosed) as closing:  # noqa: PT012 - what comes before it is not of interest
            while True:
                await asyncio.wait_for(connection.recv(), SOON)
    assert closing.value.rcvd
    return closing.value.rcvd.code


def subscribe(id_: Any = "1", query: Any = QUERY, **more: Any) -> str:
    return json.dumps({"id": id_, "type": "subscribe", "payload": {"query": query, **more}})


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (("no JSON",), 4400),
        (("[]",), 4400),
        (("null",), 4400),
        (('"text"',), 4400),
        (("{}",), 4400),
        (('{"type": "what"}',), 4400),
        (('{"type": 1}',), 4400),
        ((b"\x00\x01",), 4400),
        (('{"type": "connection_init", "payload": []}',), 4400),
        (('{"type": "ping", "payload": []}',), 4400),
        (('{"type": "pong", "payload": "x"}',), 4400),
        ((json.dumps({"type": "x" * 500}),), 4400),
        ((INIT, '{"type": "next", "id": "1", "payload": {}}'), 4400),
        ((INIT, '{"type": "complete", "id": 1}'), 4400),
        (('{"type": "connection_init", "type": "ping"}',), 4400),
        ((INIT, "[" * 2000 + "]" * 2000), 4400),
        ((INIT, '{"type": "subscribe", "id": "1"}'), 4400),
        ((INIT, '{"type": "subscribe", "id": "1", "payload": []}'), 4400),
        ((INIT, '{"type": "subscribe", "payload": {"query": "{ __typename }"}}'), 4400),
        ((INIT, '{"type": "subscribe", "id": "1", "payload": {}}'), 4400),
        ((INIT, subscribe(1)), 4400),
        ((INIT, subscribe(None)), 4400),
        ((INIT, '{"type": "complete"}'), 4400),
        ((subscribe(),), 4401),
        ((INIT, INIT), 4429),
        ((INIT, '{"type": "connection_init", "payload": null}'), 4429),
        ((INIT, subscribe(), subscribe()), 4409),
        ((INIT, subscribe("i" * 500), subscribe("i" * 500)), 4409),
        ((INIT, subscribe("ü" * 60), subscribe("ü" * 60)), 4409),
    ],
)
async def test_a_message_that_breaks_the_protocol_closes_the_socket(
    address: str, messages: tuple[str, ...], code: int
) -> None:
    assert await read_close_code(address, *messages) == code


@pytest.mark.parametrize(
    "payload",
    [
        {"query": None},
        {"query": 1},
        {"query": ""},
        {"query": QUERY, "variables": []},
        {"query": QUERY, "variables": "x"},
        {"query": QUERY, "operationName": 1},
        {"query": QUERY, "operationName": "none"},
        {"query": QUERY, "extensions": [1]},
    ],
)
async def test_a_malformed_request_is_refused_and_the_socket_stays_open(address: str, payload: dict[str, Any]) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
        await connection.send(INIT)
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        await connection.send('{"type": "ping"}')
        messages = [json.loads(await asyncio.wait_for(connection.recv(), SOON)) for _ in range(3)]
    assert {message["type"] for message in messages} == {"connection_ack", "error", "pong"}
    [refusal] = [message for message in messages if message["type"] == "error"]
    assert refusal["payload"][0]["extensions"]["code"] == "BAD_REQUEST"


async def read_answers(address: str, *messages: str) -> list[dict[str, Any]]:
    """Read the messages of a socket after these, up to the end of an operation."""
    received = []
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
        for message in messages:
            await connection.send(message)
        while not received or received[-1]["type"] not in {"complete", "error"}:
            received.append(json.loads(await asyncio.wait_for(connection.recv(), SOON)))
    return received


async def test_null_counts_as_absent_wherever_the_protocol_allows_it(address: str) -> None:
    nulls = {"variables": None, "operationName": None, "extensions": None}
    received = await read_answers(
        address,
        '{"type": "connection_init", "payload": null}',
        '{"type": "ping", "payload": null}',
        '{"type": "pong", "payload": null}',
        subscribe(query="{ __typename }", **nulls),
    )
    assert received == [
        {"type": "connection_ack"},
        {"type": "pong"},
        {"id": "1", "type": "next", "payload": {"data": {"__typename": "Query"}}},
        {"id": "1", "type": "complete"},
    ]


async def test_an_id_can_be_used_again_once_its_operation_is_over(address: str) -> None:
    """Client or server ended it; the end of an unknown operation is allowed."""
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
        await connection.send(INIT)
        assert json.loads(await connection.recv()) == {"type": "connection_ack"}
        await connection.send('{"type": "complete", "id": "unknown"}')
        for _ in range(3):
            await connection.send(subscribe())
            await connection.send('{"type": "complete", "id": "1"}')
        for _ in range(3):
            await connection.send(subscribe(query="{ __typename }"))
            answer, end = [json.loads(await asyncio.wait_for(connection.recv(), SOON)) for _ in range(2)]
            assert answer["payload"] == {"data": {"__typename": "Query"}}
            assert end == {"id": "1", "type": "complete"}


@pytest.mark.parametrize(
    "query",
    ["{ tasks(first: 7) { nodes { id } } }", 'mutation { taskPing(input: {task: "none"}) { __typename } }'],
)
async def test_a_socket_reports_the_cost_of_an_operation(address: str, query: str) -> None:
    """As over HTTP."""
    request = {"query": query, "extensions": {"cost": True}}
    async with httpx.AsyncClient() as http:
        by_http = (await http.post(f"http://{address}/graphql", json=request)).json()
    [_, answer, _] = await read_answers(address, INIT, subscribe(**request))
    assert answer["payload"] == by_http
    assert by_http["extensions"]["cost"]["requested"] > 0


async def test_the_first_result_of_a_subscription_reports_its_cost(
    app: Starlette, address: str, database: Database
) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
        await connection.send(INIT)
        assert json.loads(await connection.recv()) == {"type": "connection_ack"}
        await connection.send(subscribe(extensions={"cost": True}))
        await wait_for_groups(app)
        await database["task"].insert_many([task(_id="first"), task(_id="second")])
        first, second = [json.loads(await asyncio.wait_for(connection.recv(), SOON))["payload"] for _ in range(2)]
    assert first["extensions"]["cost"]["requested"] > 0
    assert "extensions" not in second


async def test_nobody_speaks_the_old_protocol(address: str) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=["graphql-ws"]) as connection:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closing:
            await asyncio.wait_for(connection.recv(), SOON)
    assert closing.value.rcvd
    assert closing.value.rcvd.code == 4406


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"origin": "http://{address}"}, True),
        ({"origin": "http://elsewhere.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"host": "elsewhere.example"}, False),
    ],
)
async def test_pages_of_other_origins_stay_outside(address: str, headers: dict[str, str], is_let_in: bool) -> None:
    """Over either way; an unknown name does not get around it."""
    headers = {name: value.format(address=address) for name, value in headers.items()}
    host, port = address.split(":")
    try:
        async with connect(
            f"ws://{headers.get('host', address)}/graphql",
            host=host,
            port=int(port),
            subprotocols=[PROTOCOL],
            origin=headers.get("origin"),  # type: ignore[arg-type]
        ) as connection:
            await connection.send(INIT)
            await connection.recv()
        was_let_in = True
    except InvalidStatus:
        was_let_in = False
    assert was_let_in is is_let_in
    accept = {"accept": "text/event-stream", **headers}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"http://{address}/graphql", json={"query": "{ __typename }"}, headers=accept)
    assert (answer.status_code == 200) is is_let_in
    assert is_let_in or answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


async def test_a_socket_answers_queries_and_mutations_as_well(address: str, client: Client) -> None:
    async with open_socket(address) as live:
        operation = await live.subscribe('mutation { taskCreate(input: {name: "by socket", type: TESTING}) { id } }')
        created = await operation.next()
        assert (await operation.message())["type"] == "complete"
        operation = await live.subscribe("query ($id: ID!) { task(id: $id) { name } }", id=created["id"])
        assert await operation.next() == {"name": "by socket"}
    assert (await client.data("{ tasks { totalCount } }"))["tasks"]["totalCount"] == 1


async def test_events_answer_queries_as_well_and_get_does_not_mutate(address: str) -> None:
    async with open_events(address, "{ __typename }") as stream:
        assert [event async for event in stream] == [("next", {"data": {"__typename": "Query"}}), ("complete", None)]
    async with httpx.AsyncClient(headers={"accept": "text/event-stream"}) as http:
        query = 'mutation { taskPing(input: {task: "x"}) { __typename } }'
        answer = await http.get(f"http://{address}/graphql", params={"query": query})
    assert '"code":"BAD_REQUEST"' in answer.text
    assert answer.text.endswith("event: complete\ndata:\n\n")


async def test_the_refusal_of_a_subscription_by_plain_http_names_the_transports(client: Client) -> None:
    error = await client.error(QUERY)
    assert error["code"] == "BAD_REQUEST"
    assert "text/event-stream" in error["message"]


async def test_a_socket_has_a_hundred_operations_at_most(address: str) -> None:
    async with open_socket(address) as live:
        for _ in range(100):
            await live.subscribe(QUERY)
        one_more = await live.subscribe(QUERY)
        assert (await one_more.error())["limit"] == "operations"
        again = await live.subscribe("{ __typename }")
        assert (await again.error())["code"] == "LIMIT_EXCEEDED"


async def test_a_server_has_so_many_subscriptions_at_most(app: Starlette, beside: Any, database: Database) -> None:  # noqa: ARG001
    """Those that end make room for others."""
    limited_app = beside(max_subscriptions=2).http._transport.app  # type: ignore[attr-defined]
    async with listen(limited_app) as address, open_socket(address) as live:
        first = await live.subscribe(QUERY)
        second = await live.subscribe(QUERY)
        assert await first.silent(0.1)
        third = await live.subscribe(QUERY)
        assert (await third.error())["limit"] == "subscriptions"
        await second.complete()
        while True:
            again = await live.subscribe(QUERY)
            if await again.silent(0.1):
                break


# -- how it ends -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_mongod(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with replica_set(tmp_path_factory.mktemp("live")) as uri:
        yield uri


async def test_a_server_that_stops_ends_all_subscriptions(other_mongod: str) -> None:
    """A socket gets the code to connect again, and a stream of events just ends: `complete` would mean the end."""
    with serve(mongodb_uri=other_mongod) as server:
        address = server.address.removeprefix("http://").removesuffix("/graphql")
        async with open_socket(address) as live, open_events(address, QUERY) as stream:
            await live.subscribe(QUERY)
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            status, stderr = await asyncio.to_thread(server.stop, signal.SIGTERM)
            assert [event async for event in stream] == []
            with pytest.raises(ConnectionClosed) as closing:
                await live.connection.recv()
            assert closing.value.rcvd
            assert closing.value.rcvd.code == 1012
    assert (status, stderr) == (0, "")
    assert time.monotonic() - begun < SOON


MISUSE: list[tuple[str | bytes, ...]] = [
    ("no JSON",),
    ('{"type": "' + "x" * 500 + '"}',),
    ('{"type": {"a": 1}}',),
    (b"\x00\xff",),
    (subscribe(),),
    (INIT, INIT),
    (INIT, subscribe(), subscribe()),
    (INIT, subscribe("i" * 500), subscribe("i" * 500)),
    (INIT, *[subscribe(str(number)) for number in range(50)], subscribe("7")),
    (INIT, *[subscribe(str(number), "{ tasks { totalCount } }") for number in range(50)], "no JSON"),
]


async def test_misuse_of_the_protocol_writes_nothing_to_the_log(other_mongod: str) -> None:
    """The client waits for the socket to be closed, or has left before."""
    with serve(mongodb_uri=other_mongod) as server:
        address = server.address.removeprefix("http://").removesuffix("/graphql")
        for messages in MISUSE:
            assert await read_close_code(address, *messages) >= 4400
            async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
                for message in messages:
                    await connection.send(message)
                connection.transport.abort()
        async with open_socket(address) as live:
            assert await (await live.subscribe("{ __typename }")).next() == "Query"
        assert server.stop() == (0, "")


async def test_a_standalone_server_refuses_subscriptions_with_advice(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri:
        restore(uri, DATA / "clearml-backend")
        with serve(mongodb_uri=uri) as server:
            address = server.address.removeprefix("http://").removesuffix("/graphql")
            async with open_socket(address) as live:
                subscription = await live.subscribe(QUERY)
                assert (await subscription.error())["code"] == "REPLICA_SET_REQUIRED"


async def test_a_database_that_was_away_leaves_no_gap_in_the_events(
    app: Starlette, address: str, database: Database, commands: Commands
) -> None:
    """Killed cursors are what a subscriber sees of a primary that steps down: nothing."""
    async with open_socket(address) as live:
        subscription = await live.subscribe(QUERY)
        await wait_for_groups(app)
        for number in range(5):
            await database["task"].insert_one(task(_id=f"before {number}"))
            assert (await subscription.next())["id"] == f"before {number}"
            commands.seen.clear()
            await database.client.admin.command("killAllSessions", [])
            async with asyncio.timeout(SOON):
                while not is_opened_again(commands):  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.01)
            await database["task"].insert_one(task(_id=f"after {number}"))
            assert (await subscription.next())["id"] == f"after {number}"


def is_opened_again(commands: Commands) -> bool:
    """Return whether one of the commands opened the change stream, which covers the whole database."""
    return any(command.get("aggregate") == 1 for command in commands.seen)
