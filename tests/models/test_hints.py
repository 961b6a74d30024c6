"""The index that MongoDB is told to use: right where one is clearly right, none elsewhere, and never an error."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.store.indexes import Index, find_hint, is_served
from models.types import Viewer
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import COMPANY, DAY, Document, new_id, task

Database = AsyncDatabase[Document]

OURS: Mapping[str, Any] = {"company": {"$in": ["c", ""]}}
ID = Index("_id_", (("_id", 1),))
NEWEST = Index("newest", (("company", 1), ("last_update", -1), ("_id", -1)))
STATUS_NEWEST = Index("status newest", (("company", 1), ("status", 1), ("last_update", -1), ("_id", -1)))
STATUS = Index("status", (("company", 1), ("status", 1), ("_id", 1)))
PROJECT_STATUS = Index("project status", (("company", 1), ("project", 1), ("status", 1)))
TAGS = Index("tags", (("company", 1), ("tags", 1), ("_id", 1)))
NAME = Index("name", (("company", 1), ("name", 1), ("_id", 1)))
ALL = [TAGS, ID, NEWEST, STATUS_NEWEST, STATUS, PROJECT_STATUS, NAME]
LATEST = {"last_update": -1, "_id": -1}
CHOICES: dict[str, tuple[dict[str, Any], dict[str, int], str | None]] = {
    "the company alone": ({}, {}, "newest"),
    "the company in an order": ({}, LATEST, "newest"),
    "an order backwards": ({}, {"last_update": 1, "_id": 1}, "newest"),
    "values in an order": ({"status": {"$in": ["created", "failed"]}}, LATEST, "status newest"),
    "values in no order": ({"status": "created"}, {}, "status"),
    "several values that one index has": ({"status": "created", "project": "p"}, {}, "project status"),
    "a range of the order": ({"last_update": {"$gt": 5}}, LATEST, "newest"),
    "conditions without an index": ({"published": 5, "$expr": {"$gt": ["$a", 1]}}, LATEST, "newest"),
    "ids, whatever else": ({"_id": {"$in": ["a"]}, "status": "created"}, LATEST, "_id_"),
    "tags in the order of ids": ({"tags": {"$in": ["x"]}}, {"_id": 1}, "tags"),
    "a filter with one index and an order with another": ({"tags": {"$in": ["x"]}}, LATEST, None),
    "several values that no index has": ({"tags": "x", "name": "n"}, {}, None),
    "a pattern": ({"name": {"$regex": "x"}}, LATEST, None),
    "an exclusion": ({"status": {"$nin": ["created"]}}, LATEST, None),
    "alternatives": ({"$or": [{"name": "a"}, {"status": "b"}]}, {}, None),
    "a missing value": ({"status": None}, LATEST, None),
    "a search": ({"$text": {"$search": "x"}}, {}, None),
    "more values than an index merges": ({"status": {"$in": [*"abcdefgh"] * 20}}, LATEST, None),
}


@pytest.mark.parametrize(("query", "sort", "expected"), CHOICES.values(), ids=CHOICES)
def test_an_index_is_named_where_it_is_clearly_right(
    query: dict[str, Any], sort: dict[str, int], expected: str | None
) -> None:
    assert find_hint(ALL, {"$and": [OURS, query]}, sort) == expected


def test_an_index_that_is_not_there_is_not_named() -> None:
    assert find_hint([], OURS, LATEST) is None
    assert find_hint([ID], OURS, LATEST) is None
    assert find_hint([ID, NAME], OURS, {}) == "name"


def test_a_partial_index_is_a_hint_for_its_own_documents() -> None:
    partial = Index("last", (("company", 1), ("task", 1), ("is_last", 1)), {"is_last": True})
    assert find_hint([partial], {**OURS, "task": "a", "is_last": True}, {}) == "last"
    assert find_hint([partial], {**OURS, "task": "a"}, {}) is None


def test_an_order_is_served_by_an_index_that_has_it_behind_given_values() -> None:
    assert is_served([NEWEST], OURS, LATEST)
    assert is_served([STATUS_NEWEST], {**OURS, "status": "a"}, LATEST)
    assert not is_served([STATUS_NEWEST], OURS, LATEST)
    assert not is_served(ALL, OURS, {"published": 1, "_id": 1})


# -- on a database ---------------------------------------------------------------------------------

FILTERS: list[Document] = [
    {},
    {"status": ["CREATED"]},
    {"project": ["p1"]},
    {"project": ["p1", "p2"], "status": ["CREATED"]},
    {"tags": ["t1"]},
    {"user": ["u1"], "type": ["testing"]},
    {"parent": "q1"},
    {"name": "n1.*7"},
    {"name": "^n12"},
    {"created": {"gte": "2026-02-01T00:00:00Z"}},
    {"tags": ["-t1"]},
    {"systemTags": ["nowhere"]},
    {"or": [{"user": ["u1"]}, {"project": ["p2"]}]},
    {"metrics": [{"metric": "loss", "variant": "test", "gt": 0}]},
]
ORDERS: list[Document] = [
    {"field": "LAST_UPDATE", "direction": "DESC"},
    {"field": "NAME"},
    {"metric": {"metric": "loss", "variant": "test"}},
]
LIST = """query($filter: TaskFilter, $orderBy: [TaskOrder!]) {
  tasks(filter: $filter, orderBy: $orderBy, first: 20) { nodes { id } totalCount } }"""


@pytest.fixture
async def tasks(database: Database) -> None:
    dice = random.Random(3)
    await database.task.insert_many(
        [
            task(
                _id=new_id(),
                name=f"n{number}",
                user=f"u{dice.randrange(9)}",
                project=f"p{dice.randrange(9)}",
                parent=dice.choice([None, f"q{dice.randrange(50)}"]),
                tags=[f"t{dice.randrange(40)}"],
                type=dice.choice(["training", "testing"]),
                status=dice.choice(["created", "completed", "failed"]),
                created=DAY + timedelta(minutes=number),
                last_update=DAY + timedelta(minutes=dice.randrange(10**5)),
                last_iteration=dice.randrange(100),
            )
            for number in range(800)
        ]
    )


async def count_examined(database: Database, command: Document, hint: str | None) -> tuple[int, int]:
    """Documents that the first part of a list or a count reads, and the plans that are tried for it."""
    pipeline = [stage for stage in command["pipeline"] if "$unionWith" not in stage]
    asked = {"aggregate": "task", "pipeline": pipeline, "cursor": {}, **({"hint": hint} if hint else {})}
    explained = await database.command({"explain": asked, "verbosity": "executionStats"})
    found = explained["stages"][0]["$cursor"] if "stages" in explained else explained
    return found["executionStats"]["totalDocsExamined"], len(found["queryPlanner"]["rejectedPlans"])


@pytest.mark.slow
@pytest.mark.usefixtures("tasks")
async def test_hints_change_no_answer_and_read_no_more(
    client: Client, database: Database, beside: Callable[..., Client], app: Any, commands: Commands
) -> None:
    """With each filter and order the answer is that without hints, and MongoDB reads no more than by its own choice."""
    unhinted = beside(type(app.state.database)(database))
    hinted = 0
    for filter_ in FILTERS:
        for order in ORDERS:
            commands.seen.clear()
            answer = await client.data(LIST, filter=filter_, orderBy=[order])
            sent = [command for command in commands.seen if "aggregate" in command]
            assert answer == await unhinted.data(LIST, filter=filter_, orderBy=[order]), (filter_, order)
            for command in sent:
                if name := command.get("hint"):
                    (docs, plans), (chosen, _) = await asyncio.gather(
                        count_examined(database, command, name), count_examined(database, command, None)
                    )
                    assert plans == 0, (filter_, order)
                    assert docs <= chosen, (filter_, order, name)
                    hinted += 1
    assert hinted > len(FILTERS)


async def test_every_look_up_by_ids_names_their_index(client: Client, database: Database, commands: Commands) -> None:
    await database.task.insert_one(task(_id="a", parent="b", project="p", user="u"))
    await client.data('{ task(id: "a") { id parent { name } project { name } user { name } } }')
    hints = {command["find"]: command.get("hint") for command in commands.seen if "find" in command}
    assert hints == dict.fromkeys(("task", "project", "user"), "_id_")


async def test_an_index_that_is_dropped_meanwhile_is_done_without(client: Client, database: Database, app: Any) -> None:
    """Lists, counts and changes are answered; the next ones name what is there by then."""
    from models.documents.task import Task  # noqa: PLC0415

    await database.task.insert_one(task(_id="a", status="created"))
    for index in Task.Settings.indexes:
        await database.task.drop_index(index.document["name"])
    try:
        data = await client.data("{ tasks(filter: {status: [CREATED]}) { nodes { id } totalCount } }")
        assert data["tasks"] == {"nodes": [{"id": "a"}], "totalCount": 1}
        done = await client.data('mutation { taskDelete(input: {task: "a", force: true}) { deleted } }')
        assert done["taskDelete"]["deleted"] is True
    finally:
        await database.task.create_indexes(Task.Settings.indexes)
        await app.state.database.indexes.read()


# -- bounds ----------------------------------------------------------------------------------------


async def test_a_page_by_number_starts_at_most_so_many_rows_in(client: Client, commands: Commands) -> None:
    metric = {"metric": {"metric": "m", "variant": "v"}}
    query = """query($page: Int, $orderBy: [TaskOrder!]) {
      tasks(page: $page, pageSize: 500, orderBy: $orderBy) { totalCount } }"""
    for order, limit, maximum in ((ORDERS[0], "rows", 100_000), (metric, "rowsSorted", 10_000)):
        await client.data(query, page=maximum // 500, orderBy=[order])
        commands.seen.clear()
        error = await client.error(query, page=maximum // 500 + 1, orderBy=[order])
        assert error.pop("message").endswith("Go on with cursors: first and after.")
        assert error == {
            "code": "LIMIT_EXCEEDED",
            "field": "page",
            "limit": limit,
            "maximum": maximum,
            "actual": maximum + 500,
        }
        assert commands.seen == []


MANY = [str(number) for number in range(1001)]
TOO_LONG: list[tuple[str, str, Document]] = [
    ("id", "query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"id": MANY}}),
    ("tags", "query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": {"not": {"or": [{"tags": MANY}]}}}),
    (
        "in",
        "query($f: TaskFilter) { taskStats(filter: $f, groupBy: [{field: STATUS}]) { count } }",
        {"f": {"hyperparams": [{"section": "Args", "name": "lr", "in": MANY}]}},
    ),
    ("ids", "query($ids: [ID!]!) { compareTasks(ids: $ids) { items { path } } }", {"ids": MANY}),
    ("user", "query($users: [ID!]) { tasks(filter: {user: $users}) { totalCount } }", {"users": MANY}),
    ("metric", "query($m: [String!]) { tasks { nodes { lastMetrics(metric: $m) { value } } } }", {"m": MANY}),
    (
        "tags",
        "mutation($i: TaskUpdateInput!) { taskUpdate(input: $i) { updated } }",
        {"i": {"task": "a", "tags": MANY}},
    ),
    ("status", "{ tasks(filter: {and: [{status: [%s]}]}) { totalCount } }" % ("CREATED " * 1001), {}),
]


@pytest.mark.parametrize(("name", "query", "variables"), TOO_LONG)
async def test_a_list_has_at_most_a_thousand_values(
    client: Client, commands: Commands, name: str, query: str, variables: Document
) -> None:
    error = await client.error(query, **variables)
    assert (error["code"], error["limit"], error["maximum"], error["actual"]) == (
        "LIMIT_EXCEEDED",
        "values",
        1000,
        1001,
    )
    assert name in (error["field"], *variables) or error["field"] in variables
    assert commands.seen == []


async def test_a_request_has_at_most_so_many_commands_at_once(app: Any, database: Database) -> None:
    """Others wait for their turn, also those that failed give it back."""
    await database.task.insert_one(task(_id="a"))
    reader = app.state.database.create_reader(Viewer("u", COMPANY, "admin"), 60_000, 2)
    seen: list[int] = []
    at_once = 0

    async def one() -> None:
        nonlocal at_once
        async with reader.turns.wait_for_turn(60):
            at_once += 1
            seen.append(at_once)
            await database.task.find_one({})
            at_once -= 1

    await asyncio.gather(*(one() for _ in range(20)), *(reader.count("task", {}) for _ in range(5)))
    assert max(seen) == 2
