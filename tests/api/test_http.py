"""GraphQL over HTTP: accepted requests, refusals, and secrets that no answer contains."""

import asyncio
import gzip
import json
import logging
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NewType
from urllib.parse import quote

import httpx
import pymongo
import pytest
import strawberry
from pydantic import SecretStr, ValidationError
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult

from api.accepts import Accept
from api.answers import JSON_TYPE, RESPONSE_TYPE, Answer
from api.app import MIN_COMPRESSED, build_middleware
from api.errors import RefusedError
from api.graphql import READS, READS_AND_WRITES, GraphQLView, respond
from api.requests import MAX_JSON_NESTING, MAX_URL_QUERY, HttpRequest, choose_json_type, parse_strict_json
from api.settings import CLEARML_COMPANY, Settings
from resolvers.errors import ErrorCode
from resolvers.schema import Schema
from resolvers.validation.limits import Limits
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.servers import HTTP, Server, serve, standalone, wait_until

CANARY = "canary-5f3a"
UNREACHABLE = f"mongodb://me:{CANARY}@127.0.0.1:1/?serverSelectionTimeoutMS=50"
SETTINGS = Settings(mongodb_uri=SecretStr(UNREACHABLE), allowed_origins=("http://front.example:3000",))
POST = {"content-type": JSON_TYPE}
DATABASE_ERRORS = {
    "away": ServerSelectionTimeoutError(f"{UNREACHABLE}: connection refused"),
    "gone": AutoReconnect(f"{UNREACHABLE}: connection closed"),
    "slow to answer": NetworkTimeout(f"{UNREACHABLE}: timed out"),
    "slower than its memory": OperationFailure(f"Read timestamp is too old on {UNREACHABLE}", 239),
    "slow": ExecutionTimeout(f"operation exceeded time limit on {UNREACHABLE}", 50),
}


# -- a small schema beside the tests ----------------------------------------------------------------


class Sent:
    """The calls that the resolvers of the small schema saw."""

    def __init__(self) -> None:
        self.mutations = 0
        self.started = asyncio.Semaphore(0)
        self.cancelled = False


def unreadable(_value: Any) -> Any:
    raise RuntimeError(CANARY)


Picky = NewType("Picky", str)
Info = strawberry.Info[Sent, None]


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "you") -> str:
        return f"hello {name}"

    @strawberry.field
    def text(self, size: int) -> str:
        return "x" * size

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError(CANARY)

    @strawberry.field
    def broken_for_good(self) -> str:
        raise RuntimeError(CANARY)

    @strawberry.field
    def unserializable(self) -> Picky | None:
        return Picky(CANARY)

    @strawberry.field
    def unreadable(self, value: Picky) -> str:
        return value

    @strawberry.field
    def not_text(self) -> str:
        return f"{CANARY} \ud800"

    @strawberry.field
    def failing(self, how: str) -> str | None:
        raise DATABASE_ERRORS[how]

    @strawberry.field
    async def endless(self, info: Info) -> str:
        info.context.started.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            info.context.cancelled = True
            raise
        return ""


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self, info: Info) -> bool:
        info.context.mutations += 1
        return True


PICKY = strawberry.scalar(name="Picky", parse_value=unreadable, serialize=unreadable)


SMALL = Schema(
    limits=Limits(characters=1_000_000, tokens=1_000_000),  # so that the parser meets deep documents
    usual_sizes={},
    introspection=True,
    query=Query,
    mutation=Mutation,
    config=StrawberryConfig(scalar_map={Picky: PICKY}),
)


def small_app(sent: Sent, settings: Settings) -> Starlette:
    """An application with the small schema and the middleware of the real one."""

    def new_context(request: Request) -> Any:
        if "x-broken" in request.headers:
            raise RuntimeError(CANARY)
        return sent

    return Starlette(
        routes=[Route("/graphql", GraphQLView(SMALL, new_context, settings))], middleware=build_middleware(settings)
    )


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def small(sent: Sent) -> Starlette:
    return small_app(sent, SETTINGS)


@pytest.fixture
async def http(small: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(small), base_url="http://localhost") as http:
        yield http


def assert_one_shape(response: httpx.Response, code: str = "BAD_REQUEST") -> str:
    """The message of the one error in an answer that has the shape of all errors."""
    body = response.json()
    assert body.keys() == {"errors"}
    [error] = body["errors"]
    assert error.keys() - {"locations"} == {"message", "extensions"}
    assert error["extensions"]["code"] == code
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    message: str = error["message"]
    assert code != "BAD_REQUEST" or message.endswith(".")
    return message


# -- media types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON_TYPE),
        ("", JSON_TYPE),
        ("*/*", JSON_TYPE),
        ("application/*", JSON_TYPE),
        (JSON_TYPE, JSON_TYPE),
        (RESPONSE_TYPE, RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}; charset=utf-8, {JSON_TYPE};q=0.9", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE};q=0.5, {JSON_TYPE};q=0.9", JSON_TYPE),
        (f"{JSON_TYPE}, {RESPONSE_TYPE}", RESPONSE_TYPE),
        (f"{RESPONSE_TYPE}, */*", RESPONSE_TYPE),
        (f"{JSON_TYPE}, */*;q=0.1", JSON_TYPE),
        (f"*/*, {JSON_TYPE};q=0", RESPONSE_TYPE),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON_TYPE),
        ("APPLICATION/GraphQL-Response+JSON", RESPONSE_TYPE),
    ],
)
def test_the_chosen_media_type_is_the_one_that_the_client_ranks_highest(accept: str | None, expected: str) -> None:
    assert choose_json_type(Accept(accept or "")) == expected


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", "image/*", "nonsense", f"{JSON_TYPE};q=0"])
async def test_an_accept_that_allows_neither_media_type_is_406(http: httpx.AsyncClient, accept: str) -> None:
    response = await http.post("/graphql", json={"query": "{ hello }"}, headers={"accept": accept})
    assert response.status_code == 406
    assert_one_shape(response)


@pytest.mark.parametrize("media_type", [JSON_TYPE, RESPONSE_TYPE])
async def test_the_answer_has_the_media_type_that_was_asked_for(http: httpx.AsyncClient, media_type: str) -> None:
    response = await http.post("/graphql", json={"query": "{ hello }"}, headers={"accept": media_type})
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "hello you"}})


# -- statuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{", {}, "PARSE_FAILED"),
        ("{ nothing }", {}, "VALIDATION_FAILED"),
        ("query ($name: String!) { hello(name: $name) }", {}, "VALIDATION_FAILED"),
        ("query ($name: String!) { hello(name: $name) }", {"name": {"a": 1}}, "VALIDATION_FAILED"),
    ],
)
async def test_a_document_that_cannot_run_has_no_data(
    http: httpx.AsyncClient, query: str, variables: dict[str, Any], code: str
) -> None:
    request = {"query": query, "variables": variables}
    as_response = await http.post("/graphql", json=request, headers={"accept": RESPONSE_TYPE})
    as_json = await http.post("/graphql", json=request, headers={"accept": JSON_TYPE})
    assert (as_response.status_code, as_json.status_code) == (400, 200)
    assert_one_shape(as_response, code)
    assert_one_shape(as_json, code)


@pytest.mark.parametrize("media_type", [JSON_TYPE, RESPONSE_TYPE])
async def test_an_error_beside_data_is_200(http: httpx.AsyncClient, media_type: str) -> None:
    response = await http.post("/graphql", json={"query": "{ hello broken }"}, headers={"accept": media_type})
    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "hello you", "broken": None}
    assert response.json()["errors"][0]["path"] == ["broken"]


@pytest.mark.parametrize("media_type", [JSON_TYPE, RESPONSE_TYPE])
@pytest.mark.parametrize("name", [None, "C", ""])
async def test_an_undetermined_operation_is_an_error_and_nothing_runs(
    http: httpx.AsyncClient, sent: Sent, media_type: str, name: str | None
) -> None:
    request = {"query": "mutation A { change } mutation B { change }", "operationName": name}
    response = await http.post("/graphql", json=request, headers={"accept": media_type})
    assert response.status_code == 400
    assert_one_shape(response)
    assert sent.mutations == 0


async def test_an_undetermined_operation_does_not_reach_the_database(client: Client, commands: Commands) -> None:
    request = {"query": "query A { tasks { totalCount } } query B { tasks { totalCount } }"}
    assert_one_shape(await client.http.post("/graphql", json=request))
    assert commands.seen == []


async def test_the_named_operation_of_several_runs_alone(http: httpx.AsyncClient, sent: Sent) -> None:
    request = {"query": "mutation A { change } query B { hello }", "operationName": "B"}
    response = await http.post("/graphql", json=request)
    assert response.json() == {"data": {"hello": "hello you"}}
    assert sent.mutations == 0


# -- methods ----------------------------------------------------------------------------------------


async def test_get_reads(http: httpx.AsyncClient) -> None:
    params = {"query": "query Q($n: String) { hello(name: $n) }", "variables": '{"n": "η"}', "operationName": "Q"}
    assert (await http.get("/graphql", params=params)).json() == {"data": {"hello": "hello η"}}


@pytest.mark.parametrize("media_type", [JSON_TYPE, RESPONSE_TYPE])
async def test_get_never_mutates(http: httpx.AsyncClient, sent: Sent, media_type: str) -> None:
    params = {"query": "query A { hello } mutation B { change }", "operationName": "B"}
    response = await http.get("/graphql", params=params, headers={"accept": media_type})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert_one_shape(response)
    assert sent.mutations == 0


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE"])
async def test_other_methods_are_405(http: httpx.AsyncClient, sent: Sent, method: str) -> None:
    response = await http.request(method, "/graphql", json={"query": "mutation { change }"})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    assert sent.mutations == 0


# -- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
    ],
)
async def test_a_content_type_that_a_form_could_send_is_415(
    http: httpx.AsyncClient, sent: Sent, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await http.post("/graphql", content=b'{"query": "mutation { change }"}', headers=headers)
    assert response.status_code == 415
    assert_one_shape(response)
    assert sent.mutations == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON ; Charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_in_utf_8_is_taken(http: httpx.AsyncClient, content_type: str) -> None:
    body = '{"query": "{ hello(name: \\"η\\") }"}'.encode()
    response = await http.post("/graphql", content=body, headers={"content-type": content_type})
    assert response.json() == {"data": {"hello": "hello η"}}


async def test_members_that_graphql_does_not_know_are_ignored(http: httpx.AsyncClient) -> None:
    request = {"query": "{ hello }", "extensions": {"a": 1}, "documentId": "x", "id": 7}
    assert (await http.post("/graphql", json=request)).json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'"{ hello }"',
        b"null",
        b"{}",
        b'{"query": ""}',
        b'{"query": null}',
        b'{"query": 7}',
        b'{"query": ["{ hello }"]}',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "variables": "{}"}',
        b'{"query": "{ hello }", "operationName": {}}',
        b'{"query": "{ hello }", "extensions": 0}',
        b'{"documentId": "sha256:7f56e67dd21ab3f30d1ff8b7bed08893f0a0db86449836189b361dd1e56ddb4b"}',
        b'{"query": "{ hello }", "variables": {"a": NaN}}',
        b'{"query": "{ hello }", "variables": {"a": 1e999}}',
        b'{"query": "{ hello }"} {}',
    ],
)
async def test_a_malformed_request_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post("/graphql", content=body, headers=POST)
    assert response.status_code == 400
    assert_one_shape(response)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_the_refusal_of_nan_and_infinity_says_to_send_null(http: httpx.AsyncClient, number: str) -> None:
    for space in ("", " "):
        body = '{"query": "{ hello }", "variables": {"a": [1,' + space + number + "]}}"
        response = await http.post("/graphql", content=body, headers=POST)
        assert response.status_code == 400
        assert assert_one_shape(response) == f"The body is not JSON: it has no {number}; send null instead."


async def test_a_batch_is_refused_in_clear_words(http: httpx.AsyncClient, sent: Sent) -> None:
    response = await http.post("/graphql", json=[{"query": "mutation { change }"}] * 2)
    assert response.status_code == 400
    assert assert_one_shape(response) == "Batches are not served; send each request by itself."
    assert sent.mutations == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "{ hello }", "query": "mutation { change }"}',
        b'{"query": "mutation { change }", "variables": {"a": {"b": 1, "b": 2}}}',
        b'{"query": "mutation { change }", "variab\\u006ces": {}, "variables": {}}',
    ],
)
async def test_a_key_that_is_given_twice_is_400(http: httpx.AsyncClient, sent: Sent, body: bytes) -> None:
    response = await http.post("/graphql", content=body, headers=POST)
    assert response.status_code == 400
    assert "given twice" in assert_one_shape(response)
    assert sent.mutations == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "{ hello(name: \\"\xff\\") }"}',
        b'{"query": "{ hello(name: \\"\xed\xa0\x80\\") }"}',
        b'{"query": "{ hello(name: \\"\\ud800\\") }"}',
        b'\xef\xbb\xbf{"query": "{ hello }"}',
        '{"query": "{ hello }"}'.encode("utf-16"),
        b'{"query": "{ hello }\x00"}',
    ],
    ids=["invalid UTF-8", "surrogate in UTF-8", "lone surrogate", "byte order mark", "UTF-16", "raw NUL"],
)
async def test_text_that_is_not_clean_utf_8_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post("/graphql", content=body, headers=POST)
    assert response.status_code == 400
    assert_one_shape(response)


async def test_nul_is_a_character_of_a_string_and_not_of_a_document(http: httpx.AsyncClient) -> None:
    request = {"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": "a\0b"}}
    assert (await http.post("/graphql", json=request)).json() == {"data": {"hello": "hello a\0b"}}
    response = await http.post("/graphql", json={"query": "{ hello\0 }"}, headers={"accept": RESPONSE_TYPE})
    assert response.status_code == 400
    assert_one_shape(response, "PARSE_FAILED")


async def test_a_surrogate_pair_is_one_character(http: httpx.AsyncClient) -> None:
    body = b'{"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": "\\ud83c\\udfc3"}}'
    assert (await http.post("/graphql", content=body, headers=POST)).json() == {"data": {"hello": "hello 🏃"}}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_is_at_most_512_levels_deep(opening: str, closing: str) -> None:
    def nested(levels: int) -> bytes:
        return (opening * levels + ("1" if closing == "}" else "") + closing * levels).encode()

    assert MAX_JSON_NESTING == 512
    parse_strict_json(nested(512), "The body")
    for levels in (513, 1000, 100_000):
        with pytest.raises(RefusedError) as refused:
            parse_strict_json(nested(levels), "The body")
        assert refused.value.status == 400


async def test_100_000_levels_are_400_wherever_they_stand(http: httpx.AsyncClient) -> None:
    deep = "[" * 100_000
    for body in (
        deep,
        deep + "]" * 100_000,
        f'{{"query": "{{ hello }}", "variables": {{"a": {deep}{"]" * 100_000}}}}}',
    ):
        response = await http.post("/graphql", content=body, headers=POST)
        assert response.status_code == 400
        assert_one_shape(response)
    response = await http.post("/graphql", json={"query": "{a" * 100_000}, headers={"accept": RESPONSE_TYPE})
    assert response.status_code == 400
    assert_one_shape(response, "PARSE_FAILED")


# -- sizes ------------------------------------------------------------------------------------------


async def test_a_body_has_at_most_as_many_bytes_as_the_setting_says(sent: Sent) -> None:
    limit = 2000
    limited = Settings(mongodb_uri=SecretStr(UNREACHABLE), max_body_bytes=limit)
    app = small_app(sent, limited)
    request = b'{"query": "{ hello }"}'

    async def in_parts(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 700):
            yield body[start : start + 700]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        for content in (bytes, in_parts):
            fits = await http.post("/graphql", content=content(request.ljust(limit)), headers=POST)
            too_long = await http.post("/graphql", content=content(request.ljust(limit + 1)), headers=POST)
            assert fits.json() == {"data": {"hello": "hello you"}}
            assert (too_long.status_code, too_long.headers["connection"]) == (413, "close")
            assert assert_one_shape(too_long, "LIMIT_EXCEEDED") == "A request has a maximum of 2000 bytes."


async def test_an_address_has_at_most_8192_bytes_behind_its_question_mark(http: httpx.AsyncClient) -> None:
    assert MAX_URL_QUERY == 8192
    query = "query=" + quote("{ hello }")
    fits = await http.get("/graphql?" + query.ljust(8192, "+"))
    too_long = await http.get("/graphql?" + query.ljust(8193, "+"))
    assert fits.json() == {"data": {"hello": "hello you"}}
    assert too_long.status_code == 414
    assert_one_shape(too_long, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "query", ["query=%ff", "query={hello}&query={hello}", "query={hello}&variables={", "", "query="]
)
async def test_an_address_with_two_readings_or_none_is_400(http: httpx.AsyncClient, query: str) -> None:
    response = await http.get(f"/graphql?{query}")
    assert response.status_code == 400
    assert_one_shape(response)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-gzip"])
async def test_a_compressed_body_is_415_and_is_not_even_read(encoding: str) -> None:
    async def read() -> bytes:
        raise AssertionError("read")

    headers = {**POST, "content-encoding": encoding}
    answer = await respond(HttpRequest("POST", b"", headers, read), never)
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")


async def test_a_gzip_bomb_is_415(http: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b" " * 100_000_000, 1)
    response = await http.post("/graphql", content=bomb, headers={**POST, "content-encoding": "gzip"})
    assert response.status_code == 415
    assert_one_shape(response)


async def never(*_: object) -> ExecutionResult:
    raise AssertionError("executed")


async def test_the_core_needs_no_server() -> None:
    async def body() -> bytes:
        return b'{"query": "{ a }"}'

    seen = []

    async def execute(request: object, allowed: object) -> ExecutionResult:
        seen.append((request, allowed))
        return ExecutionResult({"a": 1}, None)

    expected = Answer(200, {"content-type": f"{JSON_TYPE}; charset=utf-8"}, b'{"data":{"a":1}}')
    assert await respond(HttpRequest("POST", b"", POST, body), execute) == expected
    assert await respond(HttpRequest("GET", b"query=%7B+a+%7D", {}, never), execute) == expected
    assert seen == [(("{ a }", None, None, None), READS_AND_WRITES), (("{ a }", None, None, None), READS)]


# -- one shape of errors, and nothing in it ---------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/graphql/x", 404), ("POST", "/healthz", 405), ("DELETE", "/readyz", 405)],
)
async def test_errors_outside_graphql_have_the_same_shape(client: Client, method: str, path: str, status: int) -> None:
    response = await client.http.request(method, path)
    assert response.status_code == status
    assert_one_shape(response)
    if status == 405:
        assert "GET" in response.headers["allow"]


@pytest.mark.parametrize(
    "request_body",
    [
        {"query": '{ unreadable(value: "a") }'},
        {"query": "query ($v: Picky!) { unreadable(value: $v) }", "variables": {"v": "a"}},
        {"query": 'query ($v: Picky! = "a") { unreadable(value: $v) }'},
    ],
    ids=["literal", "variable", "default"],
)
async def test_a_value_that_its_scalar_fails_to_read_is_the_clients_mistake_and_has_a_place(
    http: httpx.AsyncClient, request_body: dict[str, Any]
) -> None:
    """Failed before: INTERNAL_ERROR with status 500, and a traceback in the log."""
    response = await http.post("/graphql", json=request_body, headers={"accept": RESPONSE_TYPE})
    assert response.status_code == 400
    assert_one_shape(response, "VALIDATION_FAILED")
    [error] = response.json()["errors"]
    assert error["locations"]
    assert CANARY not in response.text


@pytest.mark.parametrize(
    ("request_body", "headers", "status"),
    [
        ({"query": "{ broken }"}, {}, 200),
        ({"query": "{ brokenForGood }"}, {}, 200),
        ({"query": "{ unserializable }"}, {}, 200),
        ({"query": "{ hello }"}, {"x-broken": "yes"}, 500),
        ({"query": "{ notText }"}, {}, 500),
    ],
    ids=["resolver", "non-null", "serializer", "context", "answer"],
)
@pytest.mark.parametrize("media_type", [JSON_TYPE, RESPONSE_TYPE])
async def test_a_fault_is_a_number_that_finds_it_in_the_log(
    http: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    media_type: str,
    request_body: dict[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await http.post("/graphql", json=request_body, headers={"accept": media_type, **headers})
    assert response.status_code == status
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_ERROR"}
    number = re.fullmatch(r"Internal error ([0-9a-f]{32})\.", error["message"])
    assert number
    [record] = [record for record in caplog.records if number[1] in record.getMessage()]
    assert record.exc_info
    assert [entry for entry in caplog.records if entry is not record and entry.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("how", DATABASE_ERRORS)
async def test_an_answer_hides_the_address_of_a_database_that_fails(http: httpx.AsyncClient, how: str) -> None:
    response = await http.post("/graphql", json={"query": f'{{ failing(how: "{how}") }}'})
    assert CANARY not in response.text
    assert "127.0.0.1" not in response.text
    expected = "TIMEOUT" if how.startswith("slow") else "DATABASE_UNAVAILABLE"
    assert response.json()["errors"][0]["extensions"] == {"code": expected}


async def test_a_mistake_of_a_client_writes_nothing_into_the_log(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for query in ("{", "{ nothing }", 'query A { hello } query B { hello(name: "\\r\\nERROR forged") }'):
            await http.post("/graphql", json={"query": query, "operationName": "A\r\nERROR forged"})
    assert caplog.records == []


# -- compression ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "encoding"), [(MIN_COMPRESSED - 100, None), (MIN_COMPRESSED, "gzip"), (500_000, "gzip")]
)
async def test_answers_are_compressed_from_a_packet_on(
    http: httpx.AsyncClient, size: int, encoding: str | None
) -> None:
    request = {"query": f"{{ text(size: {size}) }}"}
    response = await http.post("/graphql", json=request, headers={"accept-encoding": "gzip"})
    plain = await http.post("/graphql", json=request, headers={"accept-encoding": "identity"})
    assert response.headers.get("content-encoding") == encoding
    assert "content-encoding" not in plain.headers
    assert response.json() == plain.json() == {"data": {"text": "x" * size}}


# -- hosts and origins ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000", "LOCALHOST:80"])
async def test_it_answers_to_the_names_of_this_machine(http: httpx.AsyncClient, host: str) -> None:
    response = await http.post("/graphql", json={"query": "{ hello }"}, headers={"host": host})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "www.localhost", "10.0.0.1", "", "a b"],
)
async def test_a_foreign_host_is_400(http: httpx.AsyncClient, sent: Sent, host: str) -> None:
    response = await http.post("/graphql", json={"query": "mutation { change }"}, headers={"host": host})
    assert response.status_code == 400
    assert "TASKQL_ALLOWED_HOSTS" in assert_one_shape(response)
    assert sent.mutations == 0


FRONT = "http://front.example:3000"


def preflight(origin: str, *headers: str, method: str = "POST", **more: str) -> dict[str, str]:
    """The headers of a browser that asks whether a page of this origin may send these headers."""
    preflight_headers = {"origin": origin, "access-control-request-method": method, **more}
    return preflight_headers | ({"access-control-request-headers": ",".join(headers)} if headers else {})


@pytest.mark.parametrize("path", ["/graphql", "/export"])
@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("content-type",),
        ("apollographql-client-name", "apollographql-client-version", "content-type"),
        ("authorization",),
        ("baggage", "sentry-trace", "traceparent", "tracestate"),
        ("x-request-id", "X-Odd_Name.1", "!#$%&'*+-.^_`|~"),
        tuple(f"x-{number}" for number in range(300)),
    ],
    ids=lambda headers: f"{len(headers)} headers",
)
async def test_a_page_of_an_allowed_origin_may_send_any_header(
    http: httpx.AsyncClient, client: Client, path: str, headers: tuple[str, ...]
) -> None:
    for asks in (http, client.http):
        refused = await asks.options(path, headers=preflight("http://front.example:3001", *headers))
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        assert "TASKQL_ALLOWED_ORIGINS" in assert_one_shape(refused)
    allowed = await http.options(path, headers=preflight(FRONT, *headers))
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == FRONT
    assert allowed.headers.get("access-control-allow-headers", "") == ",".join(headers)
    assert "access-control-allow-credentials" not in allowed.headers
    assert "Origin" in allowed.headers["vary"]


async def test_a_page_from_the_internet_may_ask_a_server_of_this_machine_if_its_origin_is_allowed(
    http: httpx.AsyncClient,
) -> None:
    """Chromium asks so before a public page may speak to a private address."""
    private = {"access-control-request-private-network": "true"}
    allowed = await http.options("/graphql", headers=preflight(FRONT, **private))
    refused = await http.options("/graphql", headers=preflight("http://elsewhere.example", **private))
    assert (allowed.status_code, allowed.headers["access-control-allow-private-network"]) == (200, "true")
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)


async def test_a_page_of_an_allowed_origin_uses_no_other_method(http: httpx.AsyncClient) -> None:
    response = await http.options("/graphql", headers=preflight(FRONT, method="DELETE"))
    assert response.status_code == 400


async def test_a_page_of_an_allowed_origin_reads_the_exposed_headers(http: httpx.AsyncClient) -> None:
    response = await http.put("/graphql", headers={"origin": FRONT})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert {"retry-after", "content-disposition", "allow", "accept-post"} <= set(exposed)


@pytest.mark.parametrize("origin", ["http://front.example", "https://front.example:3000", "null", "http://localhost"])
async def test_another_origin_gets_no_leave_to_read(http: httpx.AsyncClient, origin: str) -> None:
    for query, headers in (("{ hello }", {}), ("{ broken }", {}), ("{ hello }", {"x-broken": "yes"})):
        request = {"query": query}
        response = await http.post("/graphql", json=request, headers={"origin": origin, **headers})
        assert "access-control-allow-origin" not in response.headers
        mine = {"origin": "http://front.example:3000"}
        response = await http.post("/graphql", json=request, headers={**mine, **headers})
        assert response.headers["access-control-allow-origin"] == mine["origin"]
        assert "set-cookie" not in response.headers


def test_lists_of_hosts_and_origins_are_read_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQL_ALLOWED_HOSTS", "Data.example.org, *.example.net,[::1]")
    monkeypatch.setenv("TASKQL_ALLOWED_ORIGINS", "")
    read = Settings(allowed_origins="https://a.example.org,http://localhost:3000,")  # type: ignore[arg-type]
    assert read.allowed_hosts == ("data.example.org", "*.example.net", "[::1]")
    assert read.allowed_origins == ("https://a.example.org", "http://localhost:3000")
    assert Settings().allowed_origins == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_hosts": "localhost:8000"},
        {"allowed_hosts": "http://localhost"},
        {"allowed_hosts": "*"},
        {"allowed_hosts": "a.*.org"},
        {"allowed_hosts": "::1"},
        {"allowed_origins": "*"},
        {"allowed_origins": "null"},
        {"allowed_origins": "example.org"},
        {"allowed_origins": "https://example.org/"},
        {"allowed_origins": "https://*.example.org"},
    ],
)
def test_hosts_and_origins_that_match_nothing_or_everything_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is not a"):
        Settings(**wrong)


# -- clients that are slow, or leave ----------------------------------------------------------------


async def test_a_client_that_leaves_cancels_the_work_and_gets_no_answer(small: Starlette, sent: Sent) -> None:
    messages: list[Any] = []
    parts = [{"type": "http.request", "body": b'{"query": "{ endless }"}', "more_body": False}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await sent.started.acquire()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
    await asyncio.wait_for(small(scope, receive, send), 5)
    assert sent.cancelled
    assert messages == []


async def test_no_more_requests_are_worked_on_at_once_than_the_setting_says(sent: Sent) -> None:
    app = small_app(sent, Settings(mongodb_uri=SecretStr(UNREACHABLE), max_requests=2))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:

        async def ask(query: str, **headers: str) -> httpx.Response:
            return await http.post("/graphql", json={"query": query}, headers=headers)

        for _ in range(3):  # what is over no longer counts, faults included
            assert (await ask("{ hello }", **{"x-broken": "yes"})).status_code == 500
            assert (await ask("{ hello }")).status_code == 200
        working = [asyncio.ensure_future(ask("{ endless }")) for _ in range(2)]
        for _ in working:
            await sent.started.acquire()
        refused = await ask("mutation { change }")
        for work in working:
            work.cancel()
        await asyncio.wait(working)
        assert (await ask("{ hello }")).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert_one_shape(refused, "LIMIT_EXCEEDED")
    assert sent.mutations == 0


async def test_a_client_that_leaves_in_its_own_request_is_let_go(small: Starlette) -> None:
    messages: list[Any] = []
    parts: Iterator[Any] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        messages.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
    await small(scope, receive, send)
    assert messages == []


@pytest.fixture(scope="module")
def patient(mongodb_uri: str) -> Iterator[Server]:
    """A served taskql that waits long for its database and only two seconds for a request."""
    settings = {"mongodb_database": "taskql_http", "max_time_ms": 60_000, "max_body_seconds": 2}
    with serve(mongodb_uri=mongodb_uri, **settings) as server:
        yield server


def speak(server: Server, *parts: bytes, pause: float = 0) -> socket.socket:
    """A connection on which these bytes were sent, with a pause behind each."""
    url = httpx.URL(server.address)
    assert url.port
    connection = socket.create_connection((url.host, url.port), timeout=60)
    for chunk in parts:
        connection.sendall(chunk)
        time.sleep(pause)
    return connection


def head(size: int) -> bytes:
    lines = ["POST /graphql HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.slow
def test_clients_that_leave_end_their_commands_in_the_database(patient: Server, mongodb_uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        slow = {"company": CLEARML_COMPANY, "name": "a" * 20 + "!"}
        client["taskql_http"]["task"].insert_many({"_id": f"{number}", **slow} for number in range(20_000))

        def running() -> int:
            operations = client.admin.aggregate([{"$currentOp": {}}, {"$match": {"ns": "taskql_http.task"}}])
            return sum("(a+)+" in str(operation["command"]) for operation in operations)

        body = json.dumps({"query": '{ tasks(filter: {name: "(a+)+$"}) { totalCount } }'}).encode()
        connections = [speak(patient, head(len(body)), body) for _ in range(20)]
        assert wait_until(lambda: running() == 20, 30)
        for connection in connections:
            connection.close()
        assert wait_until(lambda: running() == 0, 30)
        client.drop_database("taskql_http")
    assert patient.data("{ tasks { totalCount } }") == {"tasks": {"totalCount": 0}}


@pytest.mark.slow
def test_clients_that_leave_while_the_database_comes_and_goes_do_not_keep_it_away(tmp_path: Path) -> None:
    request = {"query": '{ a: tasks { nodes { id } totalCount } b: tasks { totalCount } task(id: "x") { id } }'}
    body = json.dumps(request).encode()
    over = threading.Event()

    def come_and_leave(_person: int) -> None:
        while not over.is_set():
            speak(server, head(len(body)), body, pause=random.random() * 0.7).close()

    def is_answered() -> bool:
        return "errors" not in HTTP.post(server.address, json=request).json()

    with ThreadPoolExecutor(60) as people, ExitStack() as until_the_end:
        until_the_end.callback(over.set)
        with standalone(tmp_path) as uri:
            server = until_the_end.enter_context(serve(mongodb_uri=uri, max_time_ms=1000))
            until_the_end.callback(server.process.kill)  # one that is stuck would not stop by itself
            leaving = people.map(come_and_leave, range(60))
            assert is_answered()
        for _ in range(2):
            time.sleep(1)
            shutil.rmtree(tmp_path / "db")
            with standalone(tmp_path):
                assert wait_until(is_answered, 60)
        over.set()
        assert list(leaving) == [None] * 60
        assert server.stop() == (0, "")


def refused(connection: socket.socket) -> tuple[bytes, dict[str, Any]]:
    """The first line and the one error of an answer behind which the connection ends."""
    received = b"".join(iter(lambda: connection.recv(10_000), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    [error] = json.loads(body)["errors"]
    return head.partition(b"\r\n")[0], error["extensions"]


@pytest.mark.slow
def test_a_head_without_end_is_431_and_the_connection_ends(patient: Server) -> None:
    line = b"X: " + b"a" * 20_000 + b"\r\n"
    query = b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\n"
    with speak(patient, query, line, line, line, b"\r\n", pause=0.1) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
    with speak(patient, query, line, line, line, line, pause=0.1) as connection:
        expected = (b"HTTP/1.1 431 Request Header Fields Too Large", {"code": "LIMIT_EXCEEDED"})
        assert refused(connection) == expected


@pytest.mark.slow
def test_bytes_that_are_not_http_are_400(patient: Server) -> None:
    with speak(patient, b"{ tasks { totalCount } }\r\n\r\n") as connection:
        assert refused(connection) == (b"HTTP/1.1 400 Bad Request", {"code": "BAD_REQUEST"})


@pytest.mark.slow
def test_a_body_that_comes_slowly_but_in_time_is_answered(patient: Server) -> None:
    body = b'{"query": "{ __typename }"}'
    with speak(
        patient, head(len(body)), *(body[start : start + 7] for start in range(0, len(body), 7)), pause=0.1
    ) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_body_that_does_not_come_in_time_is_408_and_the_connection_ends(patient: Server) -> None:
    started = time.monotonic()
    with speak(patient, head(1000), b'{"query":') as connection:
        assert refused(connection) == (b"HTTP/1.1 408 Request Timeout", {"code": "BAD_REQUEST"})
    assert 2 <= time.monotonic() - started < 20


@pytest.mark.slow
def test_a_real_client_can_read_why_its_body_was_refused(patient: Server) -> None:
    response = HTTP.post(patient.address, content=b" " * 5_000_000, headers=POST)
    assert response.status_code == 413
    assert_one_shape(response, ErrorCode.LIMIT_EXCEEDED.name)
