"""Whatever comes in: an error with a code, whole, and never a fault of ours."""

import base64
import json
import logging
import random
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import strawberry
from bson import Code, MaxKey, MinKey, Regex, decode, encode
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from starlette.routing import Route

from api.graphql import GraphQLView
from api.settings import Settings
from models.store.reader import Reader
from models.types import Viewer
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.root import RELATED_FIELDS, build_schema
from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import COMPANY, DAY, OTHER_COMPANY, PUBLIC, Document, hyperparams, task
from tests.support.servers import HTTP, standalone, wait_until
from tests.support.servers import serve as taskql

pytestmark = pytest.mark.slow

Database = AsyncDatabase[Document]
JSON = {"content-type": "application/json"}
RESPONSE_TYPE = "application/graphql-response+json"
LR = {"section": "Args", "name": "lr"}
LIST = """
query List($filter: TaskFilter, $orderBy: [TaskOrder!], $first: Int, $after: String, $last: Int, $before: String,
           $page: Int, $pageSize: Int) {
  tasks(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before,
        page: $page, pageSize: $pageSize) {
    nodes { id } totalCount pageInfo { endCursor }
  }
}"""


async def refused(client: Client, query: str, **variables: Any) -> str:
    """The code of an answer that is nothing but an error."""
    response = await client.http.post("/graphql", json={"query": query, "variables": variables})
    answer = response.json()
    assert response.status_code == 200
    assert not [value for value in (answer.get("data") or {}).values() if value is not None], answer
    return checked(answer)


def checked(answer: dict[str, Any]) -> str:
    assert answer.keys() <= {"data", "errors"}
    for error in answer["errors"]:
        assert error.keys() <= {"message", "locations", "path", "extensions"}
        assert error["message"]
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes <= {code.name for code in ErrorCode} - {"INTERNAL_ERROR"}, answer
    [code] = codes
    found: str = code
    return found


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"page": 0, "pageSize": 5, "first": 5}, "VALIDATION_ERROR"),
        ({"page": 0, "pageSize": 5, "after": "x"}, "VALIDATION_ERROR"),
        ({"pageSize": 5, "last": 5}, "VALIDATION_ERROR"),
        ({"pageSize": 5, "before": "x"}, "VALIDATION_ERROR"),
        ({"page": 0, "first": 5}, "VALIDATION_ERROR"),
        ({"first": 5, "last": 5}, "VALIDATION_ERROR"),
        ({"first": 5, "before": "x"}, "VALIDATION_ERROR"),
        ({"last": 5, "after": "x"}, "VALIDATION_ERROR"),
        ({"after": "x", "before": "x"}, "VALIDATION_ERROR"),
        ({"page": 0}, "MISSING_REQUIRED_FIELDS"),
        ({"page": 3, "pageSize": None}, "MISSING_REQUIRED_FIELDS"),
        ({"page": -1, "pageSize": 5}, "VALIDATION_ERROR"),
        ({"page": -(2**31), "pageSize": 5}, "VALIDATION_ERROR"),
        *(({name: size}, "VALIDATION_ERROR") for name in ("first", "last", "pageSize") for size in (0, -1, -(2**31))),
        *(({name: size}, "LIMIT_EXCEEDED") for name in ("first", "last", "pageSize") for size in (501, 2**31 - 1)),
        ({"orderBy": [{}]}, "VALIDATION_ERROR"),
        ({"orderBy": [{"direction": "DESC"}]}, "VALIDATION_ERROR"),
        ({"orderBy": [{"field": "NAME"}, {"field": None}]}, "VALIDATION_ERROR"),
        ({"filter": {"status": ["UNKNOWN"]}}, "VALIDATION_ERROR"),
        ({"filter": {"status": ["CREATED", "UNKNOWN"]}}, "VALIDATION_ERROR"),
        ({"filter": {"_any_": {"pattern": "x"}}}, "VALIDATION_ERROR"),
        ({"filter": {"_any_": {"pattern": "x", "fields": None}}}, "VALIDATION_ERROR"),
        ({"filter": {"_all_": {"fields": ["name"]}}}, "VALIDATION_ERROR"),
        ({"filter": {"_all_": {}}}, "VALIDATION_ERROR"),
    ],
    ids=json.dumps,
)
async def test_arguments_that_can_not_be_together_or_lie_outside_their_range(
    client: Client, database: Database, arguments: dict[str, Any], code: str
) -> None:
    await database.task.insert_one(task())
    assert await refused(client, LIST, **arguments) == code


async def test_a_size_over_the_limit_says_the_limit(client: Client) -> None:
    for name in ("first", "last", "pageSize"):
        error = await client.error(f"{{ tasks({name}: 501) {{ nodes {{ id }} }} }}")
        assert (error["code"], error["field"], error["maximum"]) == ("LIMIT_EXCEEDED", name, 500)


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "script.nothing",
        "script",
        "created",
        "lastIteration",
        "execution",
        "hyperparams",
        "project.name",
        "project",
        "script.entry_point",
        "status_reason",
        "_id",
        "",
        ".",
        "name.",
        ".name",
        "$where",
        "name\0",
        "runtime",
        "Name",
        "name ",
        "lastMetrics.value",
        "script.requirements",
        "company.id",
        "x" * 10_000,
        "execution.model_labels",
    ],
)
@pytest.mark.parametrize("block", ["_any_", "_all_"])
async def test_a_pattern_on_what_is_no_text_of_a_task(client: Client, path: str, block: str) -> None:
    for fields in ([path], ["name", path]):
        assert await refused(client, LIST, filter={block: {"pattern": "x", "fields": fields}}) == "INVALID_FIELDS"
    error = await client.error(LIST, filter={block: {"pattern": "x", "fields": [path]}})
    assert error["field"] == block


BAD_PATTERNS = [
    "(",
    ")",
    "[",
    "a{2,1}",
    "*",
    "+a",
    "?",
    "\\",
    "(?<n>a",
    "(?P<n>a)(?P<n>b)",
    "(?z)",
    "[b-a]",
    r"\p{Nothing}",
    "(?<=a+)b",
    "a{70000}",
    "[[:nothing:]]",
    r"\1(",
    "(?(1)a|b|c)",
    "(" * 250,
    "a\0b",
    "\0",
]


@pytest.mark.parametrize("pattern", BAD_PATTERNS)
async def test_what_is_no_regular_expression(client: Client, database: Database, pattern: str) -> None:
    await database.task.insert_one(task(name="abc"))
    filters: list[dict[str, Any]] = [
        {"name": pattern},
        *({block: {"pattern": pattern, "fields": ["name", "comment"]}} for block in ("_any_", "_all_")),
        {"hyperparams": [LR | {"matches": pattern}]},
    ]
    for filter_ in filters:
        error = await client.error("query($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }", f={"not": filter_})
        assert (error["code"], error["field"]) == ("INVALID_REGEX_ERROR", next(iter(filter_)))
        assert await refused(client, LIST, filter=filter_) == "INVALID_REGEX_ERROR"
        assert await refused(client, LIST, filter=filter_, orderBy=[{"field": "ID"}]) == "INVALID_REGEX_ERROR"
        query = "query($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }"
        assert await refused(client, query, filter=filter_) == "INVALID_REGEX_ERROR"


async def test_a_pattern_has_at_most_256_characters(client: Client) -> None:
    for length, extra in ((256, ""), (256, "é")):
        pattern = (extra or "a") * length
        assert (await client.data(LIST, filter={"name": pattern}))["tasks"]["totalCount"] == 0
    for filter_ in (
        {"name": "a" * 257},
        {"_any_": {"pattern": "a" * 257, "fields": ["name"]}},
        {"name": "é" * 100_000},
        {"hyperparams": [LR | {"matches": "a" * 257}]},
    ):
        assert await refused(client, LIST, filter=filter_) == "LIMIT_EXCEEDED"
    error = await client.error(LIST, filter={"name": "a" * 257})
    assert (error["limit"], error["maximum"], error["actual"]) == ("pattern", 256, 257)


async def test_a_pattern_that_runs_away_ends(client: Client, database: Database) -> None:
    await database.task.insert_one(task(hyperparams=hyperparams(("Args", "lr", "a" * 40 + "!"))))
    assert await refused(client, LIST, filter={"hyperparams": [LR | {"matches": "^(a+)+$"}]}) == "INVALID_REGEX_ERROR"


IMPOSSIBLE: list[tuple[Document, str, str]] = [
    ({"or": []}, "FIELDS_VALUE_ERROR", "or"),
    ({"not": {"and": [{"or": []}]}}, "FIELDS_VALUE_ERROR", "or"),
    ({"not": {"searchText": "x"}}, "FIELDS_VALUE_ERROR", "searchText"),
    ({"or": [{"searchText": "x"}, {}]}, "FIELDS_VALUE_ERROR", "searchText"),
    ({"and": [{"searchText": "x"}], "searchText": "x"}, "FIELDS_VALUE_ERROR", "searchText"),
    *(
        ({"hyperparams": [{"section": section, "name": name, "eq": "x"}]}, "FIELDS_VALUE_ERROR", "hyperparams")
        for section, name in (("", "lr"), (" ", "lr"), ("Args", ""), ("Args", "\t"), ("Args", "a\0b"), ("\0", "lr"))
    ),
    ({"or": [{"statusChanged": ["soon"]}]}, "FIELDS_VALUE_ERROR", "statusChanged"),
    ({"not": {"_any_": {"pattern": "x", "fields": ["nothing"]}}}, "INVALID_FIELDS", "_any_"),
]


@pytest.mark.parametrize(("filter_", "code", "field"), IMPOSSIBLE)
async def test_a_filter_that_can_not_be_is_refused_by_name(
    client: Client, filter_: Document, code: str, field: str
) -> None:
    error = await client.error(LIST, filter=filter_)
    assert (error["code"], error["field"]) == (code, field)


async def test_filters_are_at_most_16_deep_within_each_other(client: Client) -> None:
    deep: Document = {"name": "x", "tags": ["y"]}
    for _ in range(16):
        deep = {"not": deep, "tags": ["y"]}
    assert (await client.data(LIST, filter=deep))["tasks"]["totalCount"] == 0
    error = await client.error(LIST, filter={"and": [deep]})
    assert (error["code"], error["limit"], error["maximum"], error["actual"]) == (
        "LIMIT_EXCEEDED",
        "filterDepth",
        16,
        17,
    )


METRIC = {"metric": "m", "variant": "v"}
TOO_MUCH: list[tuple[Document, str]] = [
    ({"or": [{}] * 501}, "conditions"),
    ({"or": [{}] * 100_000}, "conditions"),
    ({"metrics": [METRIC | {"gt": 1}] * 10_000}, "conditions"),
    ({"hyperparams": [LR | {"gt": 1}] * 10_000}, "conditions"),
    ({"isSet": ["ID"] * 501}, "conditions"),
    ({"statusChanged": [">1"] * 501}, "conditions"),
    ({"id": ["x"] * 60_000}, "values"),
    ({"and": [{"tags": ["x"] * 1001}]}, "values"),
    ({"searchText": "word " * 201}, "search"),
]


@pytest.mark.parametrize(("filter_", "limit"), TOO_MUCH)
async def test_a_filter_that_is_too_much_never_reaches_the_database(
    client: Client, commands: Commands, filter_: Document, limit: str
) -> None:
    error = await client.error(LIST, filter=filter_)
    assert (error["code"], error["limit"]) == ("LIMIT_EXCEEDED", limit)
    assert error["actual"] > error["maximum"]
    assert commands.seen == []


async def test_the_largest_filter_that_is_taken_is_answered(client: Client) -> None:
    hyperparams = [LR | {"gt": number, "matches": "x"} for number in range(80)]
    for filter_ in (
        {"or": [{}] * 499},
        {"hyperparams": hyperparams},
        {"id": [f"{number}" for number in range(1_000)]},
    ):
        assert (await client.data(LIST, filter=filter_))["tasks"]["totalCount"] == 0


async def test_an_order_has_at_most_8_keys(client: Client) -> None:
    keys = [{"metric": {"metric": f"{number}", "variant": "v"}} for number in range(9)]
    assert (await client.data(LIST, orderBy=[*keys[:8], *keys[:8]][:8]))["tasks"]["totalCount"] == 0
    for more in (keys, keys * 1000):
        error = await client.error(LIST, orderBy=more)
        assert (error["code"], error["limit"], error["maximum"]) == ("LIMIT_EXCEEDED", "orderKeys", 8)


@pytest.mark.parametrize(
    "filter_",
    [
        {"created": {"gt": "2026-01-01"}},
        {"created": "2026-01-01T00:00:00Z"},
        {"created": {"eq": None}},
        {"isSet": ["NOTHING"]},
        {"metrics": [{"metric": "m"}]},
        {"metrics": [{"metric": "m", "variant": "v", "eq": "1"}]},
        {"metrics": [{"metric": "m", "variant": "v", "stat": "MEAN"}]},
        {"hyperparams": [{"name": "lr"}]},
        {"hyperparams": [{"section": "Args", "name": "lr", "gt": "0.1"}]},
        {"or": {"or": [5]}},
        {"not": []},
        {"metrics": [{"metric": "m", "variant": "v", "gt": "NaN"}]},
        {"includeSubprojects": "yes"},
    ],
)
async def test_a_filter_of_the_wrong_type_never_reaches_the_database(
    client: Client, commands: Commands, filter_: Document
) -> None:
    assert await refused(client, LIST, filter=filter_) == "VALIDATION_FAILED"
    assert commands.seen == []


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({}, "VALIDATION_ERROR"),
        ({"direction": "DESC"}, "VALIDATION_ERROR"),
        ({"field": None}, "VALIDATION_ERROR"),
        ({"textScore": False}, "VALIDATION_ERROR"),
        ({"field": "NAME", "textScore": True}, "VALIDATION_ERROR"),
        ({"field": "NAME", "metric": {"metric": "m", "variant": "v"}}, "VALIDATION_ERROR"),
        ({"metric": {"metric": "m", "variant": "v"}, "hyperparam": {"section": "a", "name": "b"}}, "VALIDATION_ERROR"),
        ({"textScore": True}, "FIELDS_VALUE_ERROR"),
        ({"hyperparam": {"section": " ", "name": "b"}}, "FIELDS_VALUE_ERROR"),
    ],
)
async def test_an_order_names_one_thing_that_can_order(client: Client, item: Document, code: str) -> None:
    error = await client.error(LIST, orderBy=[item])
    assert (error["code"], error["field"]) == (code, "orderBy")


@pytest.mark.parametrize(
    "text", ["", "yesterday", ">=", "=2026-01-01", "!=2026-01-01", "2026-02-30", "9" * 400, "\0", "1e9"]
)
async def test_what_is_no_date(client: Client, text: str) -> None:
    assert await refused(client, LIST, filter={"statusChanged": [text]}) == "FIELDS_VALUE_ERROR"
    error = await client.error(LIST, filter={"statusChanged": ["2026-01-01", text]})
    assert error["field"] == "statusChanged"


@pytest.mark.parametrize(
    "filter_",
    [
        *({name: ["\0"]} for name in ("id", "user", "project", "type", "tags", "systemTags")),
        {"parent": "\0"},
        {"searchText": "\0"},
        {"searchText": '"'},
        {"searchText": "-" * 1000},
        {"searchText": "a " * 500},
        {"searchText": '"a" "b" -"c" -d'},
        {"id": ["$ne"]},
        {"parent": "$ne"},
        {"tags": ["x" * 100_000]},
        {"id": [str(number) for number in range(1_000)]},
        {"name": "a" * 256},
        {"name": "(a|b)*" * 40},
        {"name": r"\x00"},
        {"name": "(" * 100 + ")" * 100},
        {"name": "\U0001f600"},
        {"name": "$"},
        {"name": r"\d{1,999}"},
        {"statusChanged": ["2026-01-01"] * 500},
        {"_any_": {"pattern": "x", "fields": ["name"] * 1000}},
    ],
    ids=lambda filter_: json.dumps(filter_)[:40],
)
async def test_strange_but_possible_filters_are_answered(
    client: Client, database: Database, filter_: dict[str, Any]
) -> None:
    await database.task.insert_one(task(name="plain"))
    data = await client.data(LIST, filter=filter_)
    assert data["tasks"]["totalCount"] == len(data["tasks"]["nodes"])


# -- cursors ---------------------------------------------------------------------------------------


async def cursor_of(client: Client, **arguments: Any) -> str:
    found: str = (await client.data(LIST, first=1, **arguments))["tasks"]["pageInfo"]["endCursor"]
    return found


def packed(document: Any) -> str:
    return base64.urlsafe_b64encode(document if isinstance(document, bytes) else encode(document)).decode().rstrip("=")


def unpacked(cursor: str) -> dict[str, Any]:
    return decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        " ",
        "x",
        "garbage",
        "====",
        "a" * 100_000,
        "é",
        "\0",
        "null",
        "0",
        "-1",
        "{}",
        "%00",
        packed({}),
        packed({"s": b"", "v": []}),
        packed({"s": b"", "v": [], "i": ""}),
        packed({"s": None, "v": None, "i": None}),
        packed(b""),
        packed(b"\0" * 100),
        packed(b"\x05\0\0\0\0"),
        packed(b"\xff\xff\xff\x7f\0"),
        packed(b"nothing that means something"),
        packed({"s": {"$ne": ""}, "v": [{"$gt": ""}], "i": {"$gt": ""}}),
        base64.b64encode(b'{"id": "x"}').decode(),
    ],
)
@pytest.mark.parametrize("name", ["after", "before"])
async def test_what_is_no_cursor(client: Client, database: Database, cursor: str, name: str) -> None:
    await database.task.insert_one(task())
    assert await refused(client, LIST, **{name: cursor}) == "BAD_CURSOR"


async def test_a_cursor_that_is_cut_off_anywhere(client: Client, database: Database) -> None:
    await database.task.insert_one(task())
    cursor = await cursor_of(client)
    for end in range(len(cursor)):
        assert await refused(client, LIST, after=cursor[:end]) == "BAD_CURSOR"


async def test_a_damaged_cursor_is_refused_or_means_another_place_but_is_no_fault(
    client: Client, database: Database
) -> None:
    """What comes after any place is an end of the list."""
    await database.task.insert_many([task(), task(name=None)])
    order_by = [{"field": "NAME"}, {"field": "ACTIVE_DURATION"}, {"field": "CREATED", "direction": "DESC"}]
    raw = encode(unpacked(await cursor_of(client, orderBy=order_by)))
    whole = (await client.data(LIST, orderBy=order_by))["tasks"]["nodes"]
    for at in range(len(raw)):
        for bit in (1 << random.Random(at).randrange(8), 0xFF):
            damaged = packed(raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :])
            answer = await client.answer(LIST, after=damaged, orderBy=order_by)
            if "errors" in answer:
                assert checked(answer) == "BAD_CURSOR"
            else:
                found = answer["data"]["tasks"]
                assert (found["nodes"], found["totalCount"]) == (whole[len(whole) - len(found["nodes"]) :], 2)


@pytest.mark.parametrize(
    "change",
    [
        {"i": {"$gt": ""}},
        {"i": []},
        {"i": ["x"]},
        {"i": Regex("a")},
        {"v": {"$gt": ""}},
        {"v": {"x": 1}},
        {"v": "x"},
        {"v": 5},
        {"v": None},
        {"v": []},
        {"v": ["a", "b"]},
        {"v": [5]},
        {"v": [{"$gt": ""}]},
        {"v": [["a"]]},
        {"v": [Regex("a")]},
        {"v": [DAY]},
        {"v": [True]},
        {"v": [Code("a")]},
        {"s": b"x"},
        {"s": "text"},
        {"v": [MinKey()]},
        {"v": [b"a"]},
    ],
    ids=str,
)
async def test_a_cursor_that_somebody_made_with_the_seal_of_a_true_one(
    client: Client, database: Database, change: dict[str, Any]
) -> None:
    await database.task.insert_many([task(), task()])
    order_by = [{"field": "NAME"}]
    forged = packed(unpacked(await cursor_of(client, orderBy=order_by)) | change)
    for way in ("after", "before"):
        assert await refused(client, LIST, orderBy=order_by, **{way: forged}) == "BAD_CURSOR"


@pytest.mark.parametrize(
    "id_", [None, 5, "", "\0", b"x", True, DAY, MinKey(), MaxKey(), 1.5, float("nan"), {}], ids=str
)
async def test_a_forged_place_only_ever_shows_what_the_viewer_may_see(
    client: Client, database: Database, id_: Any
) -> None:
    await database.task.insert_many([task(_id="own"), task(_id="foreign", company=OTHER_COMPANY)])
    forged = packed(unpacked(await cursor_of(client)) | {"i": id_})
    for way in ("after", "before"):
        answer = await client.answer(LIST, **{way: forged})
        if "errors" in answer:
            assert checked(answer) == "BAD_CURSOR"
        else:
            assert {node["id"] for node in answer["data"]["tasks"]["nodes"]} <= {"own"}


async def test_a_cursor_of_nested_documents_without_end(client: Client) -> None:
    nested = b"\x05\0\0\0\0"
    for _ in range(5000):
        nested = (len(nested) + 8).to_bytes(4, "little") + b"\x03a\0" + nested + b"\0"
    assert await refused(client, LIST, after=packed(nested)) == "BAD_CURSOR"


async def test_a_cursor_only_fits_its_own_filter_order_and_viewer(
    client: Client, database: Database, app: Starlette
) -> None:
    await database.task.insert_many([task(company=PUBLIC), task(company=PUBLIC)])
    own: dict[str, Any] = {"filter": {"tags": ["-x"]}, "orderBy": [{"field": "NAME"}]}
    cursor = await cursor_of(client, **own)
    assert len((await client.data(LIST, after=cursor, **own))["tasks"]["nodes"]) == 1
    others: list[dict[str, Any]] = [
        {},
        own | {"filter": {"tags": ["-y"]}},
        own | {"filter": {}},
        own | {"filter": own["filter"] | {"name": "t"}},
        own | {"orderBy": [{"field": "STATUS"}]},
        own | {"orderBy": [{"field": "NAME", "direction": "DESC"}]},
        own | {"orderBy": [{"field": "NAME", "nulls": "FIRST"}]},
        own | {"orderBy": [{"field": "ID"}]},
        own | {"orderBy": [{"field": "NAME"}, {"field": "STATUS"}]},
        own | {"orderBy": None},
        own | {"orderBy": [{"field": "NAME"}, {"field": "ID", "direction": "DESC"}]},
    ]
    for arguments in others:
        assert await refused(client, LIST, after=cursor, **arguments) == "BAD_CURSOR", arguments
    viewer = Viewer(user="u", company=OTHER_COMPANY, role="admin")
    async with seen_by(app, database, viewer, app.state.database.create_reader(viewer)) as other:
        assert await refused(other, LIST, after=cursor, **own) == "BAD_CURSOR"
        theirs = await cursor_of(other, **own)
    assert await refused(client, LIST, after=theirs, **own) == "BAD_CURSOR"


async def test_a_cursor_fits_however_the_same_is_said(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id="a"), task(_id="b")])
    cursor = await cursor_of(client, filter={"name": "t", "tags": None}, orderBy=[{"field": "NAME"}])
    same = {"filter": {"tags": [], "name": "t"}, "orderBy": [{"field": "NAME", "direction": "ASC", "nulls": "LAST"}]}
    assert len((await client.data(LIST, after=cursor, **same))["tasks"]["nodes"]) == 1


# -- documents and variables -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "{ nothing }",
        "{ task { id } }",
        '{ task(id: "x") }',
        '{ task(id: "x") { nothing } }',
        "{ task(id: null) { id } }",
        '{ task(id: "x", more: 1) { id } }',
        '{ tasks(first: "5") { nodes { id } } }',
        "{ tasks(first: 1.5) { nodes { id } } }",
        "{ tasks(first: 2147483648) { nodes { id } } }",
        "{ tasks(filter: {nothing: 1}) { nodes { id } } }",
        "{ tasks(filter: {status: [NOTHING]}) { nodes { id } } }",
        '{ tasks(filter: {status: ["CREATED"]}) { nodes { id } } }',
        "{ tasks(orderBy: [{field: NOTHING}]) { nodes { id } } }",
        "{ tasks(orderBy: [null]) { nodes { id } } }",
        "{ tasks(filter: {id: [null]}) { nodes { id } } }",
        '{ tasks(filter: {name: ["x"]}) { nodes { id } } }',
        "{ tasks { nodes { id } nodes(first: 1) { id } } }",
        '{ task(id: "x") { a: id a: name } }',
        "{ ...Missing }",
        "query($x: Nothing) { __typename }",
        "query { task(id: $x) { id } }",
        "query($x: Int) { __typename }",
        "fragment F on Task { id } { __typename }",
        "{ ...F } fragment F on Query { ...F }",
        "mutation { nothing }",
        '{ task(id: "x") { lastMetrics(metric: [5]) { value } } }',
        '{ task(id: "x") { name { x } } }',
        '{ task(id: "x") { id @include } }',
        '{ task(id: "x") { id @nothing } }',
        "{ tasks { totalCount { x } } }",
        '{ task(id: "x") { execution { artifacts(mode: [NOTHING]) { key } } } }',
        "{ tasks { nodes } }",
        "type X { a: Int }",
        "{ tasks(filter: {status: [CREATED]}, filter: {}) { nodes { id } } }",
    ],
)
async def test_a_document_that_does_not_fit_the_schema(client: Client, query: str) -> None:
    answer = await client.answer(query)
    assert "data" not in answer
    assert checked(answer) in ("VALIDATION_FAILED", "BAD_REQUEST")


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "}",
        "{ task(id: ) { id } }",
        "query",
        "{ a: }",
        "{{}}",
        "\0",
        "é",
        '{ task(id: "x) { id } }',
        "{ __typename",
        "...",
        '{ task(id: "\\uD800") { id } }',
        '{ task(id: "\\x") { id } }',
        "{ a(b: 1.) }",
        "{ a(b: 01) }",
        "#",
        " ",
        ",",
        "\ufeff",
        "{ a(b: $) }",
        "{" * 5000,
        "{a" * 20_000,
        "[" * 20_000,
        "{ tasks(filter: {id: " + "[" * 20_000,
        "{ a(b: " + "{c:" * 20_000,
        "query(" + "$a:" * 10_000,
        "query($a: " + "[" * 20_000,
        '"""' * 10_001,
        "{ a" + " @b" * 1,
    ],
)
async def test_what_is_no_document(client: Client, query: str) -> None:
    answer = await client.answer(query)
    assert "data" not in answer
    assert checked(answer) in ("PARSE_FAILED", "BAD_REQUEST")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"id": None},
        {"id": ["x"]},
        {"id": {"$ne": ""}},
        {"id": True},
        {"id": 1.5},
    ],
    ids=json.dumps,
)
async def test_a_variable_of_a_wrong_type(client: Client, variables: dict[str, Any]) -> None:
    answer = await client.answer("query($id: ID!) { task(id: $id) { id } }", **variables)
    assert "data" not in answer
    assert checked(answer) == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    "variables",
    [
        {"first": "5"},
        {"first": 1.5},
        {"first": 2**31},
        {"first": True},
        {"first": [5]},
        {"first": 2**63},
        {"first": 1e300},
        {"after": 5},
        {"after": ["x"]},
        {"filter": []},
        {"filter": [1]},
        {"filter": "x"},
        {"filter": {"nothing": 1}},
        {"filter": {"status": ["created"]}},
        {"filter": {"status": ["NOTHING"]}},
        {"filter": {"id": [None]}},
        {"filter": {"tags": [5]}},
        {"filter": {"name": {"$gt": ""}}},
        {"filter": {"parent": {"$ne": None}}},
        {"filter": {"_any_": {"pattern": 5, "fields": ["name"]}}},
        {"filter": {"_any_": {"pattern": "x", "fields": [5]}}},
        {"filter": {"_any_": {"pattern": "x", "fields": ["name"], "$where": "1"}}},
        {"filter": {"$or": []}},
        {"orderBy": {"field": "NOTHING"}},
        {"orderBy": ["NAME"]},
        {"orderBy": [None]},
        {"orderBy": [{"field": "name"}]},
        {"orderBy": [{"field": "NAME", "direction": "UP"}]},
        {"orderBy": [{"field": "NAME", "nulls": True}]},
        {"filter": {"statusChanged": [5]}},
        {"filter": {"searchText": ["x"]}},
        {"page": "0", "pageSize": 5},
    ],
    ids=json.dumps,
)
async def test_variables_that_do_not_fit_the_arguments(client: Client, variables: dict[str, Any]) -> None:
    answer = await client.answer(LIST, **variables)
    assert "data" not in answer
    assert checked(answer) == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    "query",
    [
        'query($x: ID = "x") { task(id: $x) { id } }',
        'query($x: String = "x") { task(id: "t") { lastMetrics(metric: [$x]) { value } } }',
        'query($x: String = "x") { tasks { nodes { lastMetrics(metric: [$x]) { value } } } }',
        'query($x: ID = "x") { tasks(filter: {id: [$x]}) { nodes { id } } }',
        'query($x: Boolean = true) { task(id: "t") { id @include(if: $x) } }',
        "query($x: Boolean = true) { tasks { nodes { id } totalCount @skip(if: $x) } }",
        "query($x: Boolean = true) { tasks { nodes { id } } a: tasks @skip(if: $x) { totalCount } }",
    ],
)
async def test_a_null_where_a_default_let_the_document_pass(client: Client, database: Database, query: str) -> None:
    await database.task.insert_one(task(_id="t"))
    answer = await client.answer(query, x=None)
    assert not [value for value in (answer.get("data") or {}).values() if value is not None]
    assert checked(answer) == "VALIDATION_FAILED"


async def test_introspection_in_circles_is_no_fault(client: Client) -> None:
    deep = "{ __schema { types " + "{ fields { type " * 12 + "{ name }" + " } }" * 12 + " } }"
    answer = await client.answer(deep)
    assert "errors" not in answer or checked(answer)


# -- HTTP ------------------------------------------------------------------------------------------

OK = json.dumps({"query": "{ __typename }"})
TWO = "query A { a: __typename } query B { b: __typename }"


def code_of(response: httpx.Response) -> str:
    answer = response.json()
    assert "data" not in answer
    return checked(answer)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "null",
        "[]",
        f"[{OK}]",
        '"text"',
        "5",
        "true",
        "{",
        "{}",
        "nothing",
        "{'query': 1}",
        '{"query": }',
        OK + OK,
        OK[:-1],
        '{"query": null}',
        '{"query": ""}',
        '{"query": 5}',
        '{"query": ["{ __typename }"]}',
        '{"query": {"a": 1}}',
        '{"variables": {}}',
        '{"query": "{ __typename }", "variables": []}',
        '{"query": "{ __typename }", "variables": "{}"}',
        '{"query": "{ __typename }", "variables": 5}',
        '{"query": "{ __typename }", "operationName": 5}',
        '{"query": "{ __typename }", "operationName": ["A"]}',
        '{"query": "{ __typename }", "extensions": []}',
        '{"query": "{ __typename }", "extensions": "x"}',
        '{"query": "\\ud800"}',
        '{"query": NaN}',
        '{"query": "{ __typename }",}',
        b"\xff\xfe",
        b'{"query": "\xff"}',
        OK.encode("utf-16"),
        b"\x00" * 100,
        b"\xef\xbb\xbf" + OK.encode(),
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"query": "{ __typename }", "variables": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_body_that_holds_no_request_is_400(client: Client, body: str | bytes) -> None:
    response = await client.http.post("/graphql", content=body, headers=JSON)
    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


async def test_a_request_without_a_body_is_refused(client: Client) -> None:
    response = await client.http.post("/graphql")
    assert response.status_code in (400, 415)
    assert code_of(response) == "BAD_REQUEST"
    response = await client.http.post("/graphql", headers=JSON)
    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


@pytest.mark.parametrize(
    "type_",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "json",
        "application/jsonx",
        "text/json",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "*/*",
        "application/graphql+json",
        ";",
        "application/ json",
    ],
)
async def test_another_content_type_is_415(client: Client, type_: str) -> None:
    response = await client.http.post("/graphql", content=OK, headers={"content-type": type_})
    assert response.status_code == 415
    assert code_of(response) == "BAD_REQUEST"


@pytest.mark.parametrize(
    "type_",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        'application/json; charset="utf-8"',
        " application/json ;charset=utf-8",
    ],
)
async def test_json_is_taken_however_its_type_is_written(client: Client, type_: str) -> None:
    response = await client.http.post("/graphql", content=OK, headers={"content-type": type_})
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"variables": None},
        {"operationName": None},
        {"extensions": None},
        {"more": [1]},
        {"variables": {"unused": {"a": [1]}}},
        {"extensions": {"x": 1}},
    ],
    ids=json.dumps,
)
async def test_what_a_request_may_have_besides_its_query(client: Client, more: dict[str, Any]) -> None:
    response = await client.http.post("/graphql", json={"query": "{ __typename }", **more})
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


async def test_a_body_over_four_megabytes_is_413(client: Client) -> None:
    def body(size: int) -> str:
        return OK[:-1] + ', "extensions": {"x": "' + "x" * (size - len(OK) - 25) + '"}}'

    assert len(body(4_000_000)) == 4_000_000
    assert (await client.http.post("/graphql", content=body(4_000_000), headers=JSON)).status_code == 200
    for size in (4_000_001, 8_000_000):
        response = await client.http.post("/graphql", content=body(size), headers=JSON)
        assert response.status_code == 413
        assert code_of(response) == "LIMIT_EXCEEDED"

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield b" " * 10_000

    response = await client.http.post("/graphql", content=chunks(), headers=JSON)
    assert response.status_code == 413


async def test_get_reads(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t"))
    asked: dict[str, str] = {
        "query": "query Q($id: ID!) { task(id: $id) { id } } query R { __typename }",
        "operationName": "Q",
        "variables": '{"id": "t"}',
        "extensions": "{}",
    }
    response = await client.http.get("/graphql", params=asked)
    assert (response.status_code, response.json()) == (200, {"data": {"task": {"id": "t"}}})
    response = await client.http.get(
        "/graphql", params={"query": "{ __typename }", "variables": "", "operationName": ""}
    )
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})
    response = await client.http.get("/graphql", params={"query": "{ __typename }", "variables": "null"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": ""},
        {"variables": "{}"},
        {"query": "{ __typename }", "variables": "{"},
        {"query": "{ __typename }", "variables": "[]"},
        {"query": "{ __typename }", "variables": "5"},
        {"query": "{ __typename }", "extensions": "x"},
        {"query": "{ __typename }", "variables": "[" * 2000},
    ],
)
async def test_get_of_what_is_no_request_is_400(client: Client, params: dict[str, str]) -> None:
    response = await client.http.get("/graphql", params=params)
    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ("query=%ff", 400, "BAD_REQUEST"),
        ("query={__typename}&variables=%ff", 400, "BAD_REQUEST"),
        ("%ff", 400, "BAD_REQUEST"),
        ("query=%00", 200, "PARSE_FAILED"),
    ],
)
async def test_get_of_broken_text_is_no_fault(client: Client, params: str, status: int, code: str) -> None:
    response = await client.http.get(f"/graphql?{params}")
    assert (response.status_code, code_of(response)) == (status, code)


@pytest.mark.parametrize("name", ["put", "patch", "delete", "options", "head"])
async def test_another_method_is_405(client: Client, name: str) -> None:
    response = await client.http.request(name.upper(), "/graphql", params={"query": "{ __typename }"})
    assert response.status_code == 405
    assert {method.strip() for method in response.headers["allow"].split(",")} >= {"GET", "POST"}
    assert bool(response.content) is (name != "head")


@pytest.mark.parametrize("operation", ["mutation { nothing }", "subscription { nothing }"])
async def test_get_neither_changes_nor_subscribes(client: Client, operation: str) -> None:
    response = await client.http.get("/graphql", params={"query": operation})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert code_of(response) == "BAD_REQUEST"


async def test_a_subscription_by_post_is_refused_for_what_it_is(client: Client) -> None:
    response = await client.http.post("/graphql", json={"query": "subscription { nothing }"})
    assert response.status_code in (200, 400)
    assert "GET" not in response.json()["errors"][0]["message"]
    assert code_of(response) in ("VALIDATION_FAILED", "BAD_REQUEST")


@pytest.mark.parametrize("name", [None, "", "C", "a"])
async def test_one_of_several_operations_must_be_named(client: Client, name: str | None) -> None:
    response = await client.http.post("/graphql", json={"query": TWO, "operationName": name})
    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


@pytest.mark.parametrize("query", ["{ __typename }", "query A { __typename }"])
async def test_an_operation_name_that_no_operation_has_is_400(client: Client, query: str) -> None:
    response = await client.http.post("/graphql", json={"query": query, "operationName": "B"})
    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


async def test_a_document_without_an_operation_is_400(client: Client) -> None:
    response = await client.http.post("/graphql", json={"query": "fragment F on Query { __typename }"})
    assert response.status_code == 400
    assert code_of(response) in ("BAD_REQUEST", "VALIDATION_FAILED")


async def test_a_named_operation_is_the_one_that_runs(client: Client) -> None:
    response = await client.http.post("/graphql", json={"query": TWO, "operationName": "B"})
    assert (response.status_code, response.json()) == (200, {"data": {"b": "Query"}})


@pytest.mark.parametrize(
    ("query", "status", "has_data"),
    [
        ("{ __typename }", 200, True),
        ("{ nothing }", 400, False),
        ("{", 400, False),
        (TWO, 400, False),
        ("query($x: Int!) { tasks(first: $x) { totalCount } }", 400, False),
        ("{ tasks(first: 0) { totalCount } }", 200, True),
    ],
)
async def test_the_response_type_of_the_draft_is_given_to_who_accepts_it(
    client: Client, query: str, status: int, has_data: bool
) -> None:
    for accept in (RESPONSE_TYPE, f"{RESPONSE_TYPE}; charset=utf-8, application/json;q=0.9"):
        response = await client.http.post("/graphql", json={"query": query}, headers={"accept": accept})
        assert response.status_code == status
        assert response.headers["content-type"] == f"{RESPONSE_TYPE}; charset=utf-8"
        assert ("data" in response.json()) == has_data


@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "text/html, */*;q=0.1", "", "application/json, text/plain"]
)
async def test_everybody_else_gets_json(client: Client, accept: str) -> None:
    for query, has_data in (("{ __typename }", True), ("{ nothing }", False)):
        response = await client.http.post("/graphql", json={"query": query}, headers={"accept": accept})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert ("data" in response.json()) == has_data


# -- the database ----------------------------------------------------------------------------------

SLOW = {"_any_": {"pattern": "^(a+)+$", "fields": ["comment"]}}  # about a millisecond for each of these rows
ROWS: list[Document] = [
    {"_id": f"slow {number}", "company": COMPANY, "comment": "a" * 25 + "!"} for number in range(4000)
]


@asynccontextmanager
async def seen_by(app: Starlette, database: Database, viewer: Viewer, reader: Reader) -> AsyncIterator[Client]:
    """A client of an application whose requests read with this reader."""
    writer = app.state.database.create_writer(viewer)
    view = GraphQLView(
        build_schema(load()),
        lambda _: Context(
            viewer, reader, writer, app.state.database.changes, load(), 500, related_fields=RELATED_FIELDS
        ),
        Settings(),
    )
    async with served(view) as http:
        yield Client(http, database)


@asynccontextmanager
async def served(view: GraphQLView) -> AsyncIterator[httpx.AsyncClient]:
    made = Starlette(routes=[Route("/graphql", view)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as http:
        yield http


@pytest.fixture
async def hurried(app: Starlette, database: Database) -> AsyncIterator[Client]:
    """A client whose requests may take the database half a second."""
    viewer = Viewer(user="u", company=COMPANY, role="admin")
    async with seen_by(app, database, viewer, app.state.database.create_reader(viewer, max_time_ms=500)) as client:
        yield client


@pytest.mark.parametrize("selection", ["nodes { id }", "edges { cursor } totalCount"])
async def test_a_list_that_takes_too_long_is_a_timeout(hurried: Client, database: Database, selection: str) -> None:
    await database.task.insert_many(ROWS)
    query = f"query($filter: TaskFilter) {{ tasks(filter: $filter) {{ {selection} }} }}"
    assert await refused(hurried, query, filter=SLOW) == "TIMEOUT"


async def test_a_count_that_takes_too_long_leaves_the_rows_as_they_are(hurried: Client, database: Database) -> None:
    quick = task(_id="quick", comment="aaa", last_update=DAY.replace(year=2030))
    await database.task.insert_many([quick, *ROWS])
    query = """query($filter: TaskFilter) {
      tasks(filter: $filter, first: 1) { nodes { id } totalCount again: totalCount }
      other: tasks(first: 1) { totalCount }
    }"""
    answer = await hurried.answer(query, filter=SLOW)
    assert answer["data"] == {
        "tasks": {"nodes": [{"id": "quick"}], "totalCount": None, "again": None},
        "other": {"totalCount": 4001},
    }
    assert sorted(error["path"] for error in answer["errors"]) == [["tasks", "again"], ["tasks", "totalCount"]]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"TIMEOUT"}


def test_a_database_that_was_away_is_unavailable_and_then_used_again(tmp_path: Path) -> None:
    query = '{ a: tasks { nodes { id } totalCount } b: tasks { nodes { name } totalCount } task(id: "x") { id } }'

    def ask(_number: int) -> str:
        return checked(HTTP.post(server.address, json={"query": query}).json())

    with ExitStack() as until_the_end:
        with standalone(tmp_path) as uri:
            server = until_the_end.enter_context(taskql(mongodb_uri=uri, max_time_ms=1000))
            until_the_end.callback(server.process.kill)  # one that is stuck would not stop by itself
            data = server.data(query)
            assert data["b"] == {"nodes": [], "totalCount": 0}
        shutil.rmtree(tmp_path / "db")
        with ThreadPoolExecutor() as pool:
            assert set(pool.map(ask, range(8))) == {"DATABASE_UNAVAILABLE"}
        with standalone(tmp_path):
            assert wait_until(lambda: HTTP.post(server.address, json={"query": query}).json() == {"data": data}, 60)
        assert "Traceback" not in server.read_stderr()


async def test_a_search_without_a_text_index_says_what_lacks(client: Client, database: Database) -> None:
    indexes = await database.task.index_information()
    [name] = [name for name, index in indexes.items() if "textIndexVersion" in index]
    await database.task.insert_one(task())
    await database.task.drop_index(name)
    try:
        assert await refused(client, LIST, filter={"searchText": "x"}) == "FIELDS_VALUE_ERROR"
    finally:
        await app_indexes(database)
    assert (await client.data(LIST, filter={"searchText": "digits"}))["tasks"]["totalCount"] == 1


async def app_indexes(database: Database) -> None:
    from models.documents.task import Task  # noqa: PLC0415

    await database.task.create_indexes([index for index in Task.Settings.indexes if "weights" in index.document])


# -- faults of ours --------------------------------------------------------------------------------


def failing(error: Callable[[], Exception]) -> strawberry.Schema:
    @strawberry.type
    class Query:
        @strawberry.field
        def fails(self) -> str | None:
            raise error()

        @strawberry.field
        def works(self) -> str:
            return "yes"

    return strawberry.Schema(Query)


@pytest.mark.parametrize(
    "error",
    [
        lambda: RuntimeError("the password is 12345"),
        lambda: KeyError("secret"),
        RecursionError,
        lambda: ValueError(""),
        lambda: AssertionError("secret"),
        lambda: ExceptionGroup("secret", [ValueError("secret")]),
    ],
    ids=lambda error: type(error()).__name__,
)
async def test_a_fault_of_ours_is_masked_and_found_in_the_log(
    app: Starlette, caplog: pytest.LogCaptureFixture, error: Callable[[], Exception]
) -> None:
    viewer = Viewer(user="u", company=COMPANY, role="admin")
    reader, writer = app.state.database.create_reader(viewer), app.state.database.create_writer(viewer)
    view = GraphQLView(
        failing(error),
        lambda _: Context(
            viewer, reader, writer, app.state.database.changes, load(), 500, related_fields=RELATED_FIELDS
        ),
        Settings(),
    )
    with caplog.at_level(logging.ERROR, "taskql"):
        async with served(view) as http:
            response = await http.post("/graphql", json={"query": "{ works fails }"})
    assert response.status_code == 200
    [shown] = response.json()["errors"]
    assert response.json()["data"] == {"works": "yes", "fails": None}
    assert shown["extensions"] == {"code": "INTERNAL_ERROR"}
    assert shown["path"] == ["fails"]
    assert "secret" not in response.text
    assert "12345" not in response.text
    [number] = [word.strip(".") for word in shown["message"].split() if len(word.strip(".")) == 32]
    [record] = [record for record in caplog.records if number in record.getMessage()]
    assert record.exc_info
    assert record.levelno == logging.ERROR


async def test_what_clients_do_wrong_is_no_error_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for query in (
            "{ tasks(first: 0) { totalCount } }",
            '{ tasks(after: "x") { totalCount } }',
            "{ nothing }",
            "{",
            '{ tasks(filter: {name: "("}) { totalCount } }',
        ):
            await client.answer(query)
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == []
