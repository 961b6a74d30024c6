"""The answer that a client gets by its Accept and Accept-Encoding; all routes share one matcher."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from starlette.datastructures import Headers

from api.accepts import Accept, is_gzip_allowed
from api.answers import EVENTS_TYPE, JSON_TYPE, RESPONSE_TYPE
from tests.support.client import Client
from tests.support.live import listen

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
QUERY = "{ __typename }"
SUBSCRIPTION = "subscription { taskChanged { id kind } }"


# -- the matcher ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "weight", "is_named"),
    [
        ("text/html", 1, True),
        ("TEXT/HTML", 1, True),
        ("text/html;q=0.5", 0.5, True),
        ("text/html ; Q = 0.5", 0.5, True),
        ("text/html;q=.5", 0.5, True),
        ('text/html;q="0.5"', 0.5, True),
        ("text/html;charset=utf-8;q=0.5", 0.5, True),
        ("text/html;q=0.5;level=1", 0.5, True),
        ("text/html;q=7", 1, True),
        ("text/html;q=0", 0, True),
        ("text/html;q=0.000", 0, True),
        ("text/*;q=0.5", 0.5, False),
        ("*/*;q=0.5", 0.5, False),
        ("*;q=0.5", 0.5, False),
        ("application/*", 0, False),
        ("nonsense", 0, False),
        # the most specific range decides, wherever it stands
        ("*/*, text/*;q=0.5, text/html;q=0.2", 0.2, True),
        ("text/html;q=0.2, text/*;q=0.5, */*", 0.2, True),
        ("text/*;q=0.3, */*", 0.3, False),
        ("text/html, text/html;charset=utf-8;q=0.3", 0.3, True),
        ("text/html;q=0.4, text/html;level=1", 0.4, True),
        ("text/html;level=1;q=0.9, */*;q=0.1", 0.9, True),
        # a range that can't be read is ignored, alone it is as no header
        ("text/html;q=abc", 1, False),
        ("text/html;q=abc, */*;q=0.1", 0.1, False),
        ("text/html;q=", 1, False),
        ("text/html;q=-1", 1, False),
        ("text/html;q=nan", 1, False),
        ("text/html;q=1e9", 1, False),
        ("", 1, False),
        (" , ,, ", 1, False),
        # commas and semicolons in quotes belong to the value
        ('application/json;profile="a, text/html;q=0.1", text/html;q=0.7', 0.7, True),
        ('text/html;title="\\", */*;q=0;";q=0.7', 0.7, True),
        ('*/*;q=0.3, text/html;title="never closed', 1, True),
    ],
)
def test_a_header_ranks_a_media_type(header: str, weight: float, is_named: bool) -> None:
    assert Accept(header).rank("text/html") == (weight, is_named)


def test_several_lines_are_one_list() -> None:
    apart = Accept("application/json;q=0.5", "text/html")
    assert apart.prefers("text/html", JSON_TYPE)
    assert not Accept("application/json;q=0.5").prefers("text/html", JSON_TYPE)


def test_a_header_has_a_hundred_ranges_at_most() -> None:
    """Further ones are ignored."""
    others = "image/png, " * 99
    assert Accept(f"{others} text/html;q=0.7").rank("text/html").weight == 0.7
    assert Accept(f"{others} image/png, text/html;q=0.7").rank("text/html").weight == 0


@pytest.mark.parametrize("piece", [",", "a,", '"', '"\\', ";", "a;q=1,", "a/b;c=", '",', "*/*,"])
def test_a_long_header_is_read_in_linear_time(piece: str) -> None:
    start = time.process_time()
    Accept(piece * (100_000 // len(piece))).rank(JSON_TYPE)
    assert time.process_time() - start < 1


# -- every door -------------------------------------------------------------------------------------

DOORS = ["graphql", "export", "page"]
EITHER = {
    "graphql": (RESPONSE_TYPE, JSON_TYPE),
    "export": ("application/jsonl", "text/csv"),
    "page": ("text/html", JSON_TYPE),
}  # the kind that is sent only to who asks for it, and the usual one


async def sent(client: Client, door: str, *accept: str) -> str:
    """The media type of the answer to these lines of Accept."""
    path = "/export" if door == "export" else "/graphql"
    query = "{ tasks { nodes { id } } }"
    lines = [("accept", line) for line in accept]
    client.http.headers.pop("accept", None)
    response = await client.http.get(path, params={"query": query}, headers=lines)
    assert response.status_code == 200, response.text
    return response.headers["content-type"].partition(";")[0]


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_reads_the_header_in_the_same_way(client: Client, door: str) -> None:
    special, usual = EITHER[door]
    for accept, expected in (
        ((), usual),
        (("",), usual),
        (("*/*",), usual),
        ((special,), special),
        ((f"{special};q=0.5", f"{usual};q=0.4"), special),
        ((f"{special};q=0.4", usual), usual),
        ((f"{usual};q=0.4", special), special),
        ((f"{special}, */*",), special),
        ((f"*/*;q=0.9, {special};q=0.8",), usual),
        ((f"{special};q=0, */*",), usual),
        ((f"{usual};q=abc",), usual),
        ((f"{special};q=abc",), usual),
        ((f"{special};q=abc, {usual};q=0.1",), usual),
        ((f"{usual};q=abc, {special};q=0.1",), special),
        ((f"{special.upper()};Q=0.9,{usual};q=0.89",), special),
    ):
        assert await sent(client, door, *accept) == expected, accept


@pytest.mark.parametrize("door", ["graphql", "export"])
async def test_a_header_that_allows_no_kind_is_406(client: Client, door: str) -> None:
    path = "/export" if door == "export" else "/graphql"
    for accept in ("image/png", "*/*;q=0", "text/html;q=abc, image/*", "nonsense"):
        response = await client.http.get(
            path, params={"query": "{ tasks { nodes { id } } }"}, headers={"accept": accept}
        )
        assert response.status_code == 406
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


# -- events -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json, text/event-stream;q=0.1", JSON_TYPE),
        (URQL, RESPONSE_TYPE),
        ("text/event-stream, application/json", JSON_TYPE),
        ("text/event-stream;q=0.9, application/graphql-response+json", RESPONSE_TYPE),
        ("text/event-stream, */*;q=1, application/json;q=1", JSON_TYPE),
        ("*/*", JSON_TYPE),
        ("text/event-stream;q=0, */*", JSON_TYPE),
        ("text/event-stream;q=abc, application/json;q=0.1", JSON_TYPE),
        ("text/event-stream", EVENTS_TYPE),
        ("TEXT/EVENT-STREAM;q=0.3", EVENTS_TYPE),
        ("text/event-stream, application/json;q=0.9", EVENTS_TYPE),
        ("text/event-stream, */*;q=0.1", EVENTS_TYPE),
        ("text/event-stream, multipart/mixed", EVENTS_TYPE),
        ("text/event-stream;q=0.5, application/json;q=0", EVENTS_TYPE),
    ],
)
async def test_a_query_is_sent_as_events_only_where_they_rank_above_json(
    client: Client, accept: str, expected: str
) -> None:
    for method, arguments in (("POST", {"json": {"query": QUERY}}), ("GET", {"params": {"query": QUERY}})):
        response = await client.http.request(method, "/graphql", headers={"accept": accept}, **arguments)  # type: ignore[arg-type]
        assert response.headers["content-type"].partition(";")[0] == expected
        text = response.text
        body = json.loads(text.partition("data: ")[2].partition("\n")[0] if expected == EVENTS_TYPE else text)
        assert body == {"data": {"__typename": "Query"}}


async def test_a_mutation_and_an_error_go_the_way_of_a_query(client: Client) -> None:
    created = 'mutation { queueCreate(input: {name: "a"}) { queue { name } } }'
    for query in (created, "{ nothing }", "{", "query A { __typename } query B { __typename }"):
        response = await client.http.post("/graphql", json={"query": query}, headers={"accept": URQL})
        assert response.headers["content-type"].partition(";")[0] == RESPONSE_TYPE


@pytest.fixture
async def address(app: Starlette, database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[str]:  # noqa: ARG001 - to be empty
    async with listen(app) as host_and_port:
        yield host_and_port


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "application/json, text/event-stream;q=0.1", URQL, "*/*, text/event-stream;q=0.1"]
)
async def test_a_subscription_is_sent_as_events_to_clients_that_accept_them(address: str, accept: str) -> None:
    request = {"query": "query Q { __typename } " + SUBSCRIPTION.replace("on {", "on S {"), "operationName": "S"}
    headers = {"accept": accept}
    async with (
        httpx.AsyncClient() as http,
        http.stream("POST", f"http://{address}/graphql", json=request, headers=headers) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream;q=0, */*"])
async def test_a_subscription_is_refused_in_json_to_clients_that_accept_no_events(address: str, accept: str) -> None:
    async with httpx.AsyncClient() as http:
        response = await http.post(
            f"http://{address}/graphql", json={"query": SUBSCRIPTION}, headers={"accept": accept}
        )
    assert response.status_code == 400
    assert "text/event-stream" in response.json()["errors"][0]["message"]


async def test_a_page_of_another_origin_gets_no_events_that_it_ranks_lower(address: str) -> None:
    headers = {"accept": URQL, "origin": "http://elsewhere.example"}
    async with httpx.AsyncClient() as http:
        response = await http.post(f"http://{address}/graphql", json={"query": SUBSCRIPTION}, headers=headers)
    assert response.status_code == 403


# -- compression ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "is_allowed"),
    [
        (["gzip"], True),
        (["GZIP"], True),
        (["x-gzip"], True),
        (["gzip;q=0.1"], True),
        (["br, gzip;q=0.5, *;q=0"], True),
        (["*"], True),
        (["br", "gzip"], True),
        (["gzip, deflate, br, zstd"], True),
        (["identity;q=0.5, gzip"], True),
        (["identity, gzip"], True),
        (["identity;q=0.5, gzip;q=0.5"], True),
        (["gzip;q=0"], False),
        (["gzip; q=0.000"], False),
        (["gzip;q=0, *"], False),
        (["*;q=0"], False),
        (["identity"], False),
        (["identity, gzip;q=0.5"], False),
        (["not-gzip"], False),
        (["gzipped"], False),
        (["br"], False),
        ([""], False),
        ([], False),
    ],
)
def test_an_answer_is_compressed_only_for_clients_that_allow_gzip(lines: list[str], is_allowed: bool) -> None:
    assert is_gzip_allowed(Headers(raw=[(b"accept-encoding", line.encode()) for line in lines])) is is_allowed


@pytest.mark.parametrize(("coding", "expected"), [("gzip;q=0", None), ("br, gzip", "gzip"), ("*;q=0", None)])
async def test_a_long_answer_is_compressed_as_its_client_allows(
    client: Client, coding: str, expected: str | None
) -> None:
    query = "{ __schema { types { name fields { name } } } }"
    response = await client.http.post("/graphql", json={"query": query}, headers={"accept-encoding": coding})
    assert response.headers.get("content-encoding") == expected
    assert "Accept-Encoding" in response.headers["vary"]
    assert response.json()["data"]
