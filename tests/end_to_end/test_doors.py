"""One GraphQL, several doors: the same wrong request gets the same errors by POST, GET, events and a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from websockets.asyncio.client import connect

from tests.support.live import PROTOCOL, SOON, listen

pytestmark = pytest.mark.slow

Body = dict[str, Any]
GRAPHQL_JSON = "application/graphql-response+json"
EVENTS = "text/event-stream"
FIRST = "query ($first: Int) { tasks(first: $first) { totalCount } }"
DEEP = "{ children { nodes " * 6 + "{ id }" + "} }" * 6
WRONG = {
    "a broken document": ({"query": "{ tasks "}, "PARSE_FAILED"),
    "a broken document of several lines": ({"query": "query A {\n  tasks(first: ) { totalCount }\n}"}, "PARSE_FAILED"),
    "a number that is none": ({"query": "{ tasks(first: 01) { totalCount } }"}, "PARSE_FAILED"),
    "an empty selection set": ({"query": "{ tasks { } }"}, "PARSE_FAILED"),
    "an empty operation": ({"query": "query {}"}, "PARSE_FAILED"),
    "a field that does not exist": ({"query": "{ tasks { nothing } }"}, "VALIDATION_FAILED"),
    "two errors": ({"query": "{ nothing tasks { nowhere } }"}, "VALIDATION_FAILED"),
    "a literal of the wrong type": ({"query": '{ tasks(first: "x") { totalCount } }'}, "VALIDATION_FAILED"),
    "an unused fragment": ({"query": "{ __typename } fragment F on Task { id }"}, "VALIDATION_FAILED"),
    "a variable of the wrong type": ({"query": FIRST, "variables": {"first": "x"}}, "VALIDATION_FAILED"),
    "a variable that is too large": ({"query": FIRST, "variables": {"first": 2**40}}, "VALIDATION_FAILED"),
    "a variable that lacks a value": (
        {"query": "query ($id: ID!) { task(id: $id) { id } }", "variables": {}},
        "VALIDATION_FAILED",
    ),
    "a page that is too long": ({"query": FIRST, "variables": {"first": 100_000}}, "LIMIT_EXCEEDED"),
    "too deep a selection": ({"query": f"{{ tasks {{ nodes {DEEP} }} }}"}, "LIMIT_EXCEEDED"),
    "too many aliases": (
        {"query": "{" + " ".join(f"a{n}: __typename" for n in range(200)) + "}"},
        "LIMIT_EXCEEDED",
    ),
    "an unknown operation name": ({"query": "query A { __typename }", "operationName": "B"}, "BAD_REQUEST"),
    "several operations and no name": ({"query": "query A { __typename } query B { __typename }"}, "BAD_REQUEST"),
    "no operation": ({"query": "fragment F on Task { id }"}, None),
    "an empty document": ({"query": "# nothing"}, "PARSE_FAILED"),
    "variables that are no object": ({"query": "{ __typename }", "variables": [1]}, "BAD_REQUEST"),
    "extensions that are no object": ({"query": "{ __typename }", "extensions": "x"}, "BAD_REQUEST"),
    "a bad cursor": ({"query": '{ tasks(first: 1, after: "x") { totalCount } }'}, "BAD_CURSOR"),
    "a bad regular expression": ({"query": '{ tasks(filter: {name: "("}) { totalCount } }'}, "INVALID_REGEX_ERROR"),
}


@pytest.fixture
async def address(app: Starlette, database: AsyncDatabase[Body]) -> AsyncIterator[str]:  # noqa: ARG001 - to be empty
    async with listen(app) as found:
        yield found


async def by_post(address: str, asked: Body, accept: str = "application/json") -> Body:
    async with httpx.AsyncClient(timeout=SOON) as http:
        answer = await http.post(f"http://{address}/graphql", json=asked, headers={"accept": accept})
    body: Body = answer.json()
    return body


async def by_get(address: str, asked: Body) -> Body:
    parameters = {name: value if isinstance(value, str) else json.dumps(value) for name, value in asked.items()}
    if isinstance(asked.get("extensions"), str):
        parameters["extensions"] = json.dumps(asked["extensions"])
    async with httpx.AsyncClient(timeout=SOON) as http:
        body: Body = (await http.get(f"http://{address}/graphql", params=parameters)).json()
    return body


async def by_events(address: str, asked: Body) -> Body:
    """The only event, or the answer that takes its place."""
    async with httpx.AsyncClient(timeout=SOON) as http:
        answer = await http.post(f"http://{address}/graphql", json=asked, headers={"accept": EVENTS})
    if not answer.headers["content-type"].startswith(EVENTS):
        refused: Body = answer.json()
        return refused
    head, end, rest = answer.text.partition("event: complete\ndata:\n\n")
    assert head.startswith("event: next\ndata: ")
    assert end
    assert not rest
    body: Body = json.loads(head.removeprefix("event: next\ndata: "))
    return body


async def by_socket(address: str, asked: Body) -> Body:
    """The one message that answers: an error, or a result and its end where the operation was executed."""
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as connection:
        await connection.send('{"type": "connection_init"}')
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": asked}))
        await connection.send('{"type": "ping"}')
        said = [json.loads(await asyncio.wait_for(connection.recv(), SOON)) for _ in range(3)]
        answer = next(message for message in said if message.get("id") == "1")
        if answer["type"] == "next":
            said.append(json.loads(await asyncio.wait_for(connection.recv(), SOON)))
            assert {"id": "1", "type": "complete"} in said
            body: Body = answer["payload"]
            return body
    assert answer["type"] == "error"
    return {"errors": answer["payload"]}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_request_gets_the_same_answer_by_every_door(address: str, name: str) -> None:
    """The same messages, codes, locations and paths; and no data where nothing was executed."""
    asked, code = WRONG[name]
    expected = await by_post(address, asked)
    assert code is None or {error["extensions"]["code"] for error in expected["errors"]} == {code}
    assert await by_post(address, asked, GRAPHQL_JSON) == expected
    assert await by_get(address, asked) == expected
    assert await by_events(address, asked) == expected
    assert await by_socket(address, asked) == expected


@pytest.mark.parametrize("name", [name for name, (_, code) in WRONG.items() if code == "PARSE_FAILED"])
async def test_a_syntax_error_says_where_it_is(address: str, name: str) -> None:
    [error] = (await by_socket(address, WRONG[name][0]))["errors"]
    [location] = error["locations"]
    assert location["line"] >= 1
    assert location["column"] >= 1


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("{ tasks { } }", 11),
        ("query {}", 8),
        ("{}", 2),
        ("{ tasks { nodes { } } }", 19),
        ("subscription {}", 15),
        ("mutation {}", 11),
        ("{ __typename ... on Query {} }", 28),
        ("{ __typename } fragment F on Task { }", 37),
    ],
)
async def test_an_empty_selection_set_is_a_syntax_error(address: str, query: str, column: int) -> None:
    """So the GraphQL specification of September 2025 has it: `SelectionSet : { Selection+ }`."""
    [error] = (await by_post(address, {"query": query}))["errors"]
    assert error["extensions"] == {"code": "PARSE_FAILED"}
    assert error["locations"] == [{"line": 1, "column": column}]


# -- documents by their hash ------------------------------------------------------------------------

APOLLO: dict[str, Any] = {
    "operationName": "Q",
    "variables": {},
    "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}},
}
FALL_BACK = {
    "message": "PersistedQueryNotSupported",
    "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
}


async def test_a_hash_is_answered_so_that_its_client_sends_the_document(address: str) -> None:
    """As Apollo's link asks, with a hash of any shape and whatever stands beside it, through every door."""
    odd: list[Any] = [{}, {"version": 2}, "hash", 0, True, []]
    asks = [APOLLO, APOLLO | {"query": ""}, APOLLO | {"query": None}]
    asks += [{"extensions": {"persistedQuery": hash_, "cost": True}} for hash_ in odd]
    for asked in asks:
        by_ways = [by_post(address, asked), by_post(address, asked, GRAPHQL_JSON), by_events(address, asked)]
        if "query" not in asked:
            by_ways.append(by_get(address, asked))
        assert await asyncio.gather(*by_ways, by_socket(address, asked)) == [{"errors": [FALL_BACK]}] * (
            len(by_ways) + 1
        )


async def test_a_client_of_any_kind_sees_the_error_about_a_hash(address: str) -> None:
    """Those that expect application/json look into no answer but one of status 200."""
    async with httpx.AsyncClient(timeout=SOON) as http:
        for path, accept, status in (
            ("graphql", "application/json", 200),
            ("graphql", GRAPHQL_JSON, 400),
            ("export", "*/*", 400),
        ):
            answer = await http.post(f"http://{address}/{path}", json=APOLLO, headers={"accept": accept})
            assert (answer.status_code, answer.json()) == (status, {"errors": [FALL_BACK]})


async def test_a_document_beside_its_hash_is_answered(address: str) -> None:
    asked = APOLLO | {"query": "query Q { __typename }"}
    by_ways = (by_post(address, asked), by_get(address, asked), by_events(address, asked), by_socket(address, asked))
    assert await asyncio.gather(*by_ways) == [{"data": {"__typename": "Query"}}] * 4


async def test_no_document_and_no_hash_is_a_bad_request(address: str) -> None:
    for asked in ({"extensions": {}}, {"extensions": {"persistedQuery": None}}, {"extensions": {"other": 1}}):
        body = await by_post(address, asked)
        assert body["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
