"""Stored values and ids of every BSON type: shown as JSON, listed once each, and no cause for a fault."""

import base64
import csv
import io
import math
import uuid
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import DAY, Document, hyperparams, project, task

Database = AsyncDatabase[Document]
UUID = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
OID = ObjectId("6b0bdf19a60e4b2b4ec03e26")
BEYOND = DatetimeMS(2**52)  # milliseconds; no year of Python's

STORED: list[tuple[Any, Any]] = [
    (b"\0\xff", {"$binary": {"base64": "AP8=", "subType": "00"}}),
    (Binary(b"ab", 9), {"$binary": {"base64": "YWI=", "subType": "09"}}),
    (Binary(UUID.bytes, 4), str(UUID)),
    (Binary(UUID.bytes, 3), str(UUID)),
    (Binary(b"short", 4), {"$binary": {"base64": "c2hvcnQ=", "subType": "04"}}),
    (OID, {"$oid": str(OID)}),
    (MinKey(), {"$minKey": 1}),
    (MaxKey(), {"$maxKey": 1}),
    (Regex("a.*", "im"), {"$regularExpression": {"pattern": "a.*", "options": "im"}}),
    (Code("f()"), {"$code": "f()"}),
    (Code("f()", {"x": OID}), {"$code": "f()", "$scope": {"x": {"$oid": str(OID)}}}),
    (Decimal128("1.50"), {"$numberDecimal": "1.50"}),
    (Decimal128("NaN"), {"$numberDecimal": "NaN"}),
    (Timestamp(7, 8), {"$timestamp": {"t": 7, "i": 8}}),
    (DBRef("task", OID), {"$ref": "task", "$id": {"$oid": str(OID)}}),
    (Int64(2**62), 2**62),
    (1.5, 1.5),
    (math.nan, None),
    (-math.inf, None),
    (DAY + timedelta(milliseconds=5), f"{DAY:%Y-%m-%dT%H:%M:%S}.005Z"),
    (BEYOND, {"$date": {"$numberLong": str(2**52)}}),
    (True, True),
    (None, None),
    ("text", "text"),
]


@pytest.mark.parametrize(("stored", "expected"), STORED, ids=repr)
async def test_what_is_stored_of_any_type_is_shown_as_extended_json(
    client: Client, database: Database, stored: Any, expected: Any
) -> None:
    """Failed before: Python's own notation as a text, such as "MinKey()"."""
    await database.task.insert_one(task(_id="t", runtime={"a": stored, "list": [{"b": [stored]}]}))
    shown = {"a": expected, "list": [{"b": [expected]}]}
    assert await client.data('{ task(id: "t") { runtime } }') == {"task": {"runtime": shown}}
    exported = await client.http.get("/export?format=jsonl&query={tasks{nodes{runtime}}}")
    assert exported.json() == {"runtime": shown}


async def test_no_name_of_python_is_in_an_export(client: Client, database: Database) -> None:
    values = {str(number): value for number, (value, _) in enumerate(STORED)}
    await database.task.insert_one(task(_id="t", runtime=values))
    exported = (await client.http.get("/export?format=csv&query={tasks{nodes{runtime}}}")).text
    [_, [cell]] = csv.reader(io.StringIO(exported))
    assert not [word for word in ("Key()", "Regex(", "Code(", "b'", "datetime", "None", "Decimal128(") if word in cell]


@pytest.mark.parametrize("value", [OID, MinKey(), Code("f"), b"x", DAY, 5, None], ids=repr)
async def test_what_is_no_object_is_no_json_object(client: Client, database: Database, value: Any) -> None:
    await database.task.insert_one(task(_id="t", runtime=value))
    assert await client.data('{ task(id: "t") { runtime } }') == {"task": {"runtime": None}}


async def test_a_cell_of_a_table_is_a_text_that_names_no_class(client: Client, database: Database) -> None:
    rows = [["a", 1, 0.5, None, True, OID, b"x", {"a": DAY}, DAY]]
    stored = {"key": "k", "mode": "output", "type": "dict", "display_data": rows}
    await database.task.insert_one(task(_id="t", execution={"artifacts": {"k": stored}}))
    data = await client.data('{ task(id: "t") { execution { artifacts { displayData } } } }')
    day = f"{DAY.isoformat(timespec='milliseconds')}Z"
    assert data["task"]["execution"]["artifacts"][0]["displayData"] == [
        [
            "a",
            "1",
            "0.5",
            "",
            "True",
            str(OID),
            '{"$binary":{"base64":"eA==","subType":"00"}}',
            f'{{"a":"{day}"}}',
            day,
        ]
    ]


# -- ids -------------------------------------------------------------------------------------------

# in MongoDB's order
IDS: list[tuple[Any, str]] = [
    (MinKey(), '{"$minKey":1}'),
    (None, "null"),
    (math.nan, '{"$numberDouble":"NaN"}'),
    (-math.inf, '{"$numberDouble":"-Infinity"}'),
    (-1.5, "-1.5"),
    (Decimal128("0.25"), '{"$numberDecimal":"0.25"}'),
    (5, "5"),
    (Int64(2**40), str(2**40)),
    ("", ""),
    ("a text", "a text"),
    ({}, "{}"),
    ({"a": 1}, '{"a":1}'),
    (DBRef("c", 1), '{"$ref":"c","$id":1}'),
    ({"b": [MinKey(), {"c": True}]}, '{"b":[{"$minKey":1},{"c":true}]}'),
    (b"\0", '{"$binary":{"base64":"AA==","subType":"00"}}'),
    (Binary(UUID.bytes, 4), str(UUID)),
    (OID, str(OID)),
    (False, "false"),
    (True, "true"),
    (DatetimeMS(-(2**52)), f'{{"$date":{{"$numberLong":"{-(2**52)}"}}}}'),
    (DAY, f"{DAY.isoformat(timespec='milliseconds')}Z"),
    (BEYOND, f'{{"$date":{{"$numberLong":"{2**52}"}}}}'),
    (Timestamp(1, 2), '{"$timestamp":{"t":1,"i":2}}'),
    (Code("f()"), '{"$code":"f()"}'),
    (Code("f()", {"x": 1}), '{"$code":"f()","$scope":{"x":1}}'),
    (MaxKey(), '{"$maxKey":1}'),
]
TEXTS = [text for _, text in IDS]
PAGE = """
query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: [TaskOrder!]) {
  tasks(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {
    edges { cursor node { id parentId parent { id } } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
BY_ID = [{"field": "ID"}]
BY_NAME = [{"field": "NAME", "direction": "DESC"}, {"field": "LAST_UPDATE"}]
BY_PARAMETER = [{"hyperparam": {"section": "Args", "name": "lr"}}]


async def store_all(database: Database, **fields: Any) -> None:
    # the driver can't store an id that is null unless it is asked to
    documents = [task(_id=id_, name="same name", **fields) for id_, _ in IDS]
    await database.command("insert", "task", documents=documents)


@pytest.mark.slow
@pytest.mark.parametrize("order", [BY_ID, BY_NAME, BY_PARAMETER], ids=["id", "name", "parameter"])
@pytest.mark.parametrize("size", [1, 2, 7])
async def test_pages_visit_an_id_of_every_type_once_forwards_and_backwards(
    client: Client, database: Database, order: Any, size: int
) -> None:
    """Failed before: INTERNAL_ERROR for the id null, and pages that ended at a type which no cursor could hold."""
    await store_all(database, hyperparams=hyperparams(("Args", "lr", "0.1")))
    for forwards in (True, False):
        seen: list[str] = []
        at = None
        for _ in range(len(IDS) + 1):
            given = {"first": size, "after": at} if forwards else {"last": size, "before": at}
            page = (await client.data(PAGE, orderBy=order, **given))["tasks"]
            ids = [edge["node"]["id"] for edge in page["edges"]]
            seen = seen + ids if forwards else ids + seen
            info = page["pageInfo"]
            at = info["endCursor"] if forwards else info["startCursor"]
            if not info["hasNextPage" if forwards else "hasPreviousPage"]:
                break
        assert seen == (TEXTS if order != BY_NAME else TEXTS[::-1])


async def test_an_export_holds_an_id_of_every_type_once(client: Client, database: Database) -> None:
    await store_all(database)
    response = await client.http.get("/export?format=jsonl&query={tasks(orderBy:[{field:ID}]){nodes{id}}}")
    assert [bson.json_util.loads(line)["id"] for line in response.text.splitlines()] == TEXTS


async def test_related_and_loaded_fields_of_any_id_are_answered(client: Client, database: Database) -> None:
    await store_all(database, parent={"a": 1})
    for id_, _ in IDS:
        await database.command("insert", "project", documents=[project(_id=id_, path=["p"])])
    await database.project.insert_one(project(_id="p"))
    nodes = await client.data("""{
      tasks(first: 50) {
        nodes {
          id parent { id } project { id } children { totalCount } availableTransitions { mutation }
          transitions { totalCount } series { metric }
        }
      }
      projects { nodes { id taskCounts { total } subprojects { id } } totalCount }
      taskStats(groupBy: [{field: PROJECT}]) { count }
      metricNames { nodes { metric } }
    }""")
    assert sorted(node["id"] for node in nodes["tasks"]["nodes"]) == sorted(TEXTS)
    assert sorted(node["id"] for node in nodes["projects"]["nodes"]) == sorted([*TEXTS, "p"])


def build_cursor(real: str, **changed: Any) -> str:
    """A cursor with another place in it."""
    packed = bson.decode(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))
    return base64.urlsafe_b64encode(bson.encode(packed | changed)).decode().rstrip("=")


def build_nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return {"a": value}


@pytest.mark.parametrize(
    "id_",
    [
        build_nested(101),
        build_nested(400),
        Code("f", build_nested(400)),
        DBRef("c", build_nested(300)),
    ],
    ids=["101", "400", "in the scope of a code", "in a reference"],
)
async def test_a_cursor_with_a_deep_id_is_no_cursor(client: Client, database: Database, id_: Any) -> None:
    """Failed before: INTERNAL_ERROR, because MongoDB reads no query of so many levels."""
    await database.task.insert_many([task(_id="a"), task(_id="b")])
    page = (await client.data(PAGE, orderBy=BY_ID, first=1))["tasks"]
    forged = build_cursor(page["pageInfo"]["endCursor"], i=id_)
    error = await client.error(PAGE, orderBy=BY_ID, first=1, after=forged)
    assert error["code"] == "BAD_CURSOR"


@pytest.mark.parametrize(
    "id_", [{"$where": "true"}, {"$gt": ""}, {"$expr": {"$ne": 1}}, [{"$ne": 1}], [], Regex("a")], ids=repr
)
async def test_what_mongodb_takes_for_no_id_is_no_cursor(client: Client, database: Database, id_: Any) -> None:
    await database.task.insert_many([task(_id="a"), task(_id="b")])
    page = (await client.data(PAGE, orderBy=BY_ID, first=1))["tasks"]
    forged = build_cursor(page["pageInfo"]["endCursor"], i=id_)
    for way in ({"after": forged}, {"before": forged}):
        assert (await client.error(PAGE, orderBy=BY_ID, **way))["code"] == "BAD_CURSOR"


@pytest.mark.parametrize(
    "id_", [{"a": {"$gt": ""}}, {"a": [{"$where": "true"}]}, build_nested(90), "$_id", "$$ROOT"], ids=repr
)
async def test_an_id_in_a_cursor_is_never_an_operator(client: Client, database: Database, id_: Any) -> None:
    await database.task.insert_many([task(_id="a"), task(_id="b")])
    page = (await client.data(PAGE, orderBy=BY_ID, first=1))["tasks"]
    found = await client.data(PAGE, orderBy=BY_ID, after=build_cursor(page["pageInfo"]["endCursor"], i=id_))
    expected = ["a", "b"] if isinstance(id_, str) else []
    assert [edge["node"]["id"] for edge in found["tasks"]["edges"]] == expected
