"""Pages of every kind, put together, give the list that a plain sort of the rows gives."""

import math
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from bson import Code, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from resolvers.criteria.cursors import read_cursor, sign_list, write_cursor
from resolvers.criteria.ordering import parse_order
from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import ABSENT, COMPANY, DAY, Document, ids, md5, put, task
from tests.support.oracle import sort_ids

Database = AsyncDatabase[Document]
Order = dict[str, Any]

# HYPOTHESIS_PROFILE=long for a night's work
EXAMPLES = 5000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 60
MAX_PAGES = 60  # of any list here
GENERATED = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

LIST = """
query List($orderBy: [TaskOrder!], $filter: TaskFilter, $first: Int, $after: String, $last: Int, $before: String,
           $page: Int, $pageSize: Int) {
  tasks(orderBy: $orderBy, filter: $filter, first: $first, after: $after, last: $last, before: $before,
        page: $page, pageSize: $pageSize) {
    edges { cursor node { id } }
    nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}"""


class GeneratedKey(NamedTuple):
    """An order, the path of its stored values, and some values."""

    order: Order
    path: str
    values: list[Any]


TEXTS = ["", "a", "b", "B", "ab", "é", "\U0001f600", "\uffff", "completed", "5"]
DATES = [DAY, DAY + timedelta(milliseconds=1), DAY - timedelta(days=1), datetime(1969, 1, 1), DatetimeMS(10**15)]  # noqa: DTZ001
NUMBERS = [0, -1, 1, 1.0, 1.5, -0.0, 2**31, 2**40, 2**53, 2**53 + 1, float(2**53), Int64(2**63 - 1), -1e300]
WORDS = ["1", "-1.5", "1e2", "10", "9", "1.0", "auto", "", "Adam", "nan", " 1", "\U0001f600"]
NO_VALUES: list[Any] = [
    None,
    ABSENT,
    ABSENT,
    math.nan,
    math.inf,
    -math.inf,
    True,
    [],
    ["a"],
    [1, 2],
    [DAY],
    {"a": 1},
    Decimal128("1"),
    ObjectId("0" * 24),
    b"a",
]
KEYS = [
    GeneratedKey({"field": "ID"}, "_id", TEXTS),
    GeneratedKey({"field": "NAME"}, "name", TEXTS),
    GeneratedKey({"field": "STATUS"}, "status", TEXTS),
    GeneratedKey({"field": "EXECUTION_QUEUE"}, "execution.queue", TEXTS),
    GeneratedKey({"field": "SCRIPT_BRANCH"}, "script.branch", TEXTS),
    GeneratedKey({"field": "LAST_UPDATE"}, "last_update", DATES),
    GeneratedKey({"field": "STARTED"}, "started", DATES),
    GeneratedKey({"field": "LAST_ITERATION"}, "last_iteration", NUMBERS),
    GeneratedKey({"field": "ACTIVE_DURATION"}, "active_duration", NUMBERS),
    GeneratedKey(
        {"metric": {"metric": "a.b", "variant": "$c"}}, f"last_metrics.{md5('a.b')}.{md5('$c')}.value", NUMBERS
    ),
    GeneratedKey(
        {"metric": {"metric": "m", "variant": "v", "stat": "MIN"}},
        f"last_metrics.{md5('m')}.{md5('v')}.min_value",
        NUMBERS,
    ),
    GeneratedKey({"hyperparam": {"section": "General", "name": "a.b"}}, "hyperparams.General.a%2Eb.value", WORDS),
    GeneratedKey({"hyperparam": {"section": "Args", "name": "lr"}}, "hyperparams.Args.lr.value", WORDS),
]


# -- pages -----------------------------------------------------------------------------------------


async def read_page(client: Client, **arguments: Any) -> dict[str, Any]:
    data = await client.data(LIST, **arguments)
    tasks: dict[str, Any] = data["tasks"]
    edges, info = tasks["edges"], tasks["pageInfo"]
    assert [edge["node"] for edge in edges] == tasks["nodes"]
    assert info["startCursor"] == (edges[0]["cursor"] if edges else None)
    assert info["endCursor"] == (edges[-1]["cursor"] if edges else None)
    return tasks


def get_ids(tasks: dict[str, Any]) -> list[Any]:
    return [node["id"] for node in tasks["nodes"]]


async def read_pages_forward(client: Client, size: int, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
    after = None
    for _ in range(MAX_PAGES):
        tasks = await read_page(client, first=size, after=after, **arguments)
        yield tasks
        if not tasks["pageInfo"]["hasNextPage"]:
            return
        after = tasks["pageInfo"]["endCursor"]
    raise AssertionError("the pages never end")


async def read_pages_backward(client: Client, size: int, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
    before = None
    for _ in range(MAX_PAGES):
        tasks = await read_page(client, last=size, before=before, **arguments)
        yield tasks
        if not tasks["pageInfo"]["hasPreviousPage"]:
            return
        before = tasks["pageInfo"]["startCursor"]
    raise AssertionError("the pages never end")


async def read_list_forward(client: Client, size: int, **arguments: Any) -> list[Any]:
    return [id_ async for tasks in read_pages_forward(client, size, **arguments) for id_ in get_ids(tasks)]


async def read_list_backward(client: Client, size: int, **arguments: Any) -> list[Any]:
    pages = [get_ids(tasks) async for tasks in read_pages_backward(client, size, **arguments)]
    return [id_ for page_ids in reversed(pages) for id_ in page_ids]


# -- generated rows --------------------------------------------------------------------------------


@st.composite
def draw_lists(draw: st.DrawFn) -> tuple[list[Order], list[Document]]:
    """An order of up to three keys, and rows that are hard for it."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    order_by = [key.order | draw(DIRECTIONS) for key in keys]
    values = st.fixed_dictionaries({key.path: pick_stored_value(key) for key in keys if key.path != "_id"})
    rows = []
    for number, values_by_path in enumerate(draw(st.lists(values, max_size=12))):
        row: Document = {"_id": md5(str(number)), "company": COMPANY}
        for path, value in values_by_path.items():
            row = put(row, path, value)
        rows.append(row)
    return order_by, rows


DIRECTIONS = st.fixed_dictionaries(
    {},
    optional={"direction": st.sampled_from(["ASC", "DESC"]), "nulls": st.sampled_from(["FIRST", "LAST"])},
)


def pick_stored_value(key: GeneratedKey) -> st.SearchStrategy[Any]:
    """A value of the right type, no value, or a value of another key."""
    few = st.sampled_from(key.values[:3])  # so that there are duplicates
    others = st.sampled_from([*TEXTS, *DATES, *NUMBERS, *WORDS])
    return st.one_of(few, st.sampled_from(key.values), st.sampled_from(NO_VALUES), others)


@pytest.mark.slow
@GENERATED
@given(generated=draw_lists(), size=st.integers(1, 5), index=st.integers(0, 11))
async def test_every_way_of_paging_gives_the_sorted_rows(
    client: Client, database: Database, generated: tuple[list[Order], list[Document]], size: int, index: int
) -> None:
    order_by, rows = generated
    expected = sort_ids(rows, order_by)
    if rows:
        await database.task.insert_many(rows)
    try:
        await check_forward(client, size, order_by, expected)
        await check_backward(client, size, order_by, expected)
        await check_numbered(client, size, order_by, expected)
        if rows:
            await check_cursors(client, size, order_by, expected, index % len(rows))
    finally:
        await database.task.delete_many({})


async def check_forward(client: Client, size: int, order_by: list[Order], expected: list[Any]) -> None:
    seen: list[Any] = []
    async for tasks in read_pages_forward(client, size, orderBy=order_by):
        assert tasks["pageInfo"]["hasPreviousPage"] == bool(seen)
        seen += get_ids(tasks)
        assert tasks["pageInfo"]["hasNextPage"] == (len(seen) < len(expected))
        assert tasks["totalCount"] == len(expected)
    assert seen == expected


async def check_backward(client: Client, size: int, order_by: list[Order], expected: list[Any]) -> None:
    seen: list[Any] = []
    async for tasks in read_pages_backward(client, size, orderBy=order_by):
        assert tasks["pageInfo"]["hasNextPage"] == bool(seen)
        seen = get_ids(tasks) + seen
        assert tasks["pageInfo"]["hasPreviousPage"] == (len(seen) < len(expected))
        assert tasks["totalCount"] == len(expected)
    assert seen == expected


async def check_numbered(client: Client, size: int, order_by: list[Order], expected: list[Any]) -> None:
    for number, start in enumerate(range(0, len(expected) + size, size)):
        tasks = await read_page(client, page=number, pageSize=size, orderBy=order_by)
        assert get_ids(tasks) == expected[start : start + size]
        assert tasks["pageInfo"]["hasNextPage"] == (start + size < len(expected))
        assert tasks["pageInfo"]["hasPreviousPage"] == (start > 0)
        assert tasks["totalCount"] == len(expected)


async def check_cursors(client: Client, size: int, order_by: list[Order], expected: list[Any], index: int) -> None:
    """Any edge's cursor continues from that edge, whichever page it came from."""
    tasks = await read_page(client, orderBy=order_by)
    assert get_ids(tasks) == expected
    cursor = tasks["edges"][index]["cursor"]
    next_page = await read_page(client, first=size, after=cursor, orderBy=order_by)
    assert get_ids(next_page) == expected[index + 1 : index + 1 + size]
    previous_page = await read_page(client, last=size, before=cursor, orderBy=order_by)
    assert get_ids(previous_page) == expected[max(0, index - size) : index]
    numbered = await read_page(client, page=index, pageSize=1, orderBy=order_by)
    assert numbered["edges"][0]["cursor"] == cursor


# -- defaults --------------------------------------------------------------------------------------


def build_updated_tasks(minutes: list[int | None]) -> list[Document]:
    return [
        task(_id=f"{number:032x}", last_update=None if minute is None else DAY + timedelta(minutes=minute))
        for number, minute in enumerate(minutes)
    ]


@pytest.mark.parametrize("order_by", [None, []])
async def test_the_newest_update_comes_first_by_default_and_rows_without_one_last(
    client: Client, database: Database, order_by: list[Order] | None
) -> None:
    rows = build_updated_tasks([1, None, 3, 2, None, 3])
    await database.task.insert_many(rows)
    tasks = await read_page(client, orderBy=order_by)
    assert get_ids(tasks) == [rows[number]["_id"] for number in (5, 2, 3, 0, 4, 1)]


async def test_a_direction_of_null_is_ascending_and_nulls_of_null_are_last(client: Client, database: Database) -> None:
    rows = build_updated_tasks([2, None, 1])
    await database.task.insert_many(rows)
    tasks = await read_page(client, orderBy=[{"field": "LAST_UPDATE", "direction": None, "nulls": None}])
    assert get_ids(tasks) == [rows[number]["_id"] for number in (2, 0, 1)]


async def test_a_page_has_50_rows_by_default_forward_and_backward(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id=f"{number:032x}") for number in range(60)])
    order_by = [{"field": "ID"}]
    front = await read_page(client, orderBy=order_by)
    assert get_ids(front) == [f"{number:032x}" for number in range(50)]
    assert front["pageInfo"]["hasNextPage"] is True
    assert front["totalCount"] == 60
    back = await read_page(client, orderBy=order_by, before=front["pageInfo"]["endCursor"])
    assert get_ids(back) == [f"{number:032x}" for number in range(49)]
    rest = await read_page(client, orderBy=order_by, after=front["pageInfo"]["endCursor"])
    assert get_ids(rest) == [f"{number:032x}" for number in range(50, 60)]


async def test_a_page_size_alone_gives_the_first_page(client: Client, database: Database) -> None:
    rows = build_updated_tasks([3, 2, 1])
    await database.task.insert_many(rows)
    assert get_ids(await read_page(client, pageSize=2)) == ids(rows[:2])
    assert get_ids(await read_page(client, pageSize=2, page=None)) == ids(rows[:2])


async def test_a_page_by_number_has_a_previous_page_unless_it_is_the_first(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id=id_) for id_ in "abc"])
    for page, has_previous, has_next in ((0, False, True), (1, True, True), (2, True, False)):
        query = f"{{ tasks(page: {page}, pageSize: 1) {{ pageInfo {{ hasPreviousPage hasNextPage }} }} }}"
        info = (await client.data(query))["tasks"]["pageInfo"]
        assert info == {"hasPreviousPage": has_previous, "hasNextPage": has_next}


async def test_a_page_by_number_starts_at_the_maximum_row_at_most(beside: Callable[..., Client]) -> None:
    few = beside(max_rows=10, max_rows_sorted=10)
    await few.data("{ tasks(page: 1, pageSize: 10) { nodes { id } } }")
    error = await few.error("{ tasks(page: 11, pageSize: 1) { nodes { id } } }")
    assert (error["code"], error["maximum"], error["actual"]) == ("LIMIT_EXCEEDED", 10, 11)


async def test_a_page_past_the_end_is_empty(client: Client, database: Database) -> None:
    await database.task.insert_many(build_updated_tasks([3, 2, 1]))
    tasks = await read_page(client, pageSize=2, page=2)
    assert tasks["nodes"] == []
    assert tasks["pageInfo"]["hasNextPage"] is False
    assert tasks["totalCount"] == 3
    last = await read_page(client, pageSize=500, page=200)
    assert last["nodes"] == []


async def test_null_paging_arguments_count_as_absent(client: Client, database: Database) -> None:
    rows = build_updated_tasks([3, 2, 1])
    await database.task.insert_many(rows)
    tasks = await read_page(client, first=2, after=None, last=None, before=None, page=None, pageSize=None)
    assert get_ids(tasks) == ids(rows[:2])


@pytest.mark.parametrize("size", [{"first": 500}, {"last": 500}, {"pageSize": 500}])
async def test_the_largest_page_has_500_rows(client: Client, database: Database, size: dict[str, int]) -> None:
    await database.task.insert_many([{"_id": f"{number:032x}", "company": COMPANY} for number in range(501)])
    tasks = await read_page(client, orderBy=[{"field": "ID"}], **size)
    assert len(tasks["nodes"]) == 500
    assert tasks["pageInfo"]["hasNextPage"] is ("last" not in size)
    assert tasks["pageInfo"]["hasPreviousPage"] is ("last" in size)


@pytest.mark.parametrize("arguments", [{}, {"first": 5}, {"last": 5}, {"pageSize": 5}, {"page": 0, "pageSize": 5}])
async def test_an_empty_list_is_a_page_without_rows(client: Client, arguments: dict[str, int]) -> None:
    tasks = await read_page(client, **arguments)
    info = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    assert tasks == {"edges": [], "nodes": [], "pageInfo": info, "totalCount": 0}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_the_id_alone_can_order(client: Client, database: Database, direction: str) -> None:
    rows = [task() for _ in range(7)]
    await database.task.insert_many(rows)
    order_by = [{"field": "ID", "direction": direction, "nulls": "FIRST"}]
    expected = sorted(ids(rows), reverse=direction == "DESC")
    assert await read_list_forward(client, 2, orderBy=order_by) == expected
    assert await read_list_backward(client, 2, orderBy=order_by) == expected


async def test_a_repeated_key_decides_nothing(client: Client, database: Database) -> None:
    rows = build_updated_tasks([3, 1, 2, None, 1])
    await database.task.insert_many(rows)
    order_by = [{"field": "LAST_UPDATE"}, {"field": "LAST_UPDATE", "direction": "DESC", "nulls": "FIRST"}]
    assert await read_list_forward(client, 2, orderBy=order_by) == sort_ids(rows, order_by[:1])


async def test_a_filter_holds_on_every_page(client: Client, database: Database) -> None:
    rows = [task(tags=["odd"] if number % 2 else []) for number in range(12)]
    await database.task.insert_many(rows)
    odd = {"tags": ["odd"]}
    expected = sort_ids(rows[1::2], [{"field": "NAME"}])
    assert await read_list_forward(client, 2, filter=odd, orderBy=[{"field": "NAME"}]) == expected
    assert await read_list_backward(client, 4, filter=odd, orderBy=[{"field": "NAME"}]) == expected


# -- rows that come and go -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order_by",
    [
        [{"field": "NAME"}],
        [{"field": "NAME", "direction": "DESC", "nulls": "FIRST"}, {"field": "ACTIVE_DURATION", "direction": "DESC"}],
        [{"field": "ID", "direction": "DESC"}],
    ],
)
async def test_rows_that_come_and_go_while_paging_neither_repeat_nor_hide_the_others(
    client: Client, database: Database, order_by: list[Order]
) -> None:
    def row(number: int) -> Document:
        return {
            "_id": md5(str(number)),
            "company": COMPANY,
            "name": (None, "a", "b", "c", 5)[number % 5],
            "active_duration": number % 3,
        }

    rows = [row(number) for number in range(40)]
    await database.task.insert_many(rows)
    stays, goes, comes = rows[:25], iter(rows[25:]), (row(number) for number in range(40, 100))
    seen: list[Any] = []
    async for tasks in read_pages_forward(client, 3, orderBy=order_by):
        seen += get_ids(tasks)
        await change_rows(database, goes, comes, last_shown=seen[-1])
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in ids(stays)] == sort_ids(stays, order_by)


async def change_rows(database: Database, goes: Iterator[Document], comes: Iterator[Document], last_shown: str) -> None:
    """Delete one row, insert another, and sometimes delete the row of the cursor."""
    gone = next(goes, None)
    if gone:
        await database.task.delete_one({"_id": gone["_id"]})
    new = next(comes)
    await database.task.insert_one(new)
    if new["active_duration"] == 1:
        at_cursor = {"_id": {"$eq": last_shown, "$nin": [md5(str(number)) for number in range(25)]}}
        await database.task.delete_one(at_cursor)


async def test_a_cursor_stays_valid_after_its_row_is_deleted(client: Client, database: Database) -> None:
    rows = build_updated_tasks([4, 3, 2, 1])
    await database.task.insert_many(rows)
    first = await read_page(client, first=2)
    await database.task.delete_one({"_id": rows[1]["_id"]})
    rest = await read_page(client, first=2, after=first["pageInfo"]["endCursor"])
    assert get_ids(rest) == ids(rows[2:])


# -- commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 50, 101, 500])
@pytest.mark.parametrize("way", ["first", "last", "pageSize"])
async def test_a_page_is_one_command_whatever_its_size(
    client: Client, database: Database, commands: Commands, size: int, way: str
) -> None:
    rows = [{"_id": f"{number:032x}", "company": COMPANY, "name": number % 3 and "abc"} for number in range(size + 5)]
    await database.task.insert_many(rows)
    commands.seen.clear()
    data = await client.data(
        f"""query($size: Int) {{
          tasks({way}: $size, orderBy: [{{field: NAME}}, {{field: STARTED}}]) {{
            edges {{ cursor node {{ id name }} }} nodes {{ id tags }}
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
          }}
        }}""",
        size=size,
    )
    assert len(data["tasks"]["nodes"]) == size
    assert [next(iter(command)) for command in commands.seen] == ["aggregate"]


async def test_a_page_after_a_cursor_is_one_command(client: Client, database: Database, commands: Commands) -> None:
    await database.task.insert_many(build_updated_tasks([5, 4, 3, None, None]))
    query = (
        "query($after: String) { tasks(first: 2, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } } }"
    )
    after = None
    for expected in (2, 2, 1):
        commands.seen.clear()
        tasks = (await client.data(query, after=after))["tasks"]
        assert len(tasks["nodes"]) == expected
        assert [next(iter(command)) for command in commands.seen] == ["aggregate"]
        after = tasks["pageInfo"]["endCursor"]


# -- cursors that clients hold ---------------------------------------------------------------------

LIST_IDENTITY = ("company", "task", {"name": {"$regex": "a"}})
DOCUMENT: Document = {
    "_id": "an id",
    "last_update": datetime(2026, 1, 31, 12),  # noqa: DTZ001 - stored dates are naive UTC
    "last_metrics": {md5("loss"): {md5("eval"): {"value": 0.5}}},
    "_key1": "auto",
}


@pytest.mark.parametrize(
    ("order_by", "cursor", "sort_values"),
    [
        ([{"field": "id"}], "LgAAAAVzAAwAAAAADRtl7FJ3fCcYnEmzBHYABQAAAAACaQAGAAAAYW4gaWQAAA", []),
        (
            [{"field": "last_update", "direction": "desc", "nulls": "first"}],
            "OQAAAAVzAAwAAAAAOjNJgF-IESoj9R1gBHYAEAAAAAkwAACe7BOcAQAAAAJpAAYAAABhbiBpZAAA",
            [DatetimeMS(1769860800000)],
        ),
        (
            [
                {"metric": {"metric": "loss", "variant": "eval", "stat": None}},
                {"hyperparam": {"section": "Args", "name": "lr"}},
            ],
            "RQAAAAVzAAwAAAAAzIIzp0QAp7SmQZ7oBHYAHAAAAAEwAAAAAAAAAOA_AjEABQAAAGF1dG8AAAJpAAYAAABhbiBpZAAA",
            [0.5, "auto"],
        ),
    ],
    ids=["id", "date", "metric and hyperparameter"],
)
def test_a_cursor_of_an_earlier_version_stays_valid(order_by: list[Order], cursor: str, sort_values: list[Any]) -> None:
    """A cursor that clients hold survives an upgrade, so its bytes and its signature do not change."""
    order = parse_order(load().get_object("task").sort_fields, order_by)
    signature = sign_list(LIST_IDENTITY, order)
    assert write_cursor(DOCUMENT, order, signature) == cursor
    assert read_cursor(cursor, order, signature) == (sort_values, "an id")


# -- odd rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order_by",
    [
        [{"field": "EXECUTION_QUEUE"}],
        [{"field": "EXECUTION_QUEUE", "direction": "DESC", "nulls": "FIRST"}],
        [{"field": "NAME"}, {"field": "EXECUTION_QUEUE"}],
    ],
)
async def test_a_list_where_a_sub_document_belongs_has_no_value_to_order_by(
    client: Client, database: Database, order_by: list[Order]
) -> None:
    executions: list[Any] = [{"queue": "a"}, [{"queue": "b"}], {"queue": "c"}, [{"queue": "a"}, {}], [], "queue"]
    rows = [
        {"_id": md5(str(number)), "company": COMPANY, "execution": execution}
        for number, execution in enumerate(executions)
    ]
    await database.task.insert_many(rows)
    expected = sort_ids(rows, order_by)
    assert await read_list_forward(client, 1, orderBy=order_by) == expected
    assert await read_list_backward(client, 1, orderBy=order_by) == expected


@pytest.mark.parametrize("field", ["ID", "NAME"])
async def test_a_list_with_ids_of_several_types_has_pages(client: Client, database: Database, field: str) -> None:
    values_by_path: list[Any] = ["a", "b", 5, 7.5, ObjectId("0" * 23 + "1"), ObjectId("0" * 23 + "2"), True]
    await database.task.insert_many([{"_id": id_, "company": COMPANY} for id_ in values_by_path])
    expected = ["5", "7.5", "a", "b", "0" * 23 + "1", "0" * 23 + "2", "true"]  # by type, as MongoDB sorts
    assert await read_list_forward(client, 2, orderBy=[{"field": field}]) == expected
    assert await read_list_backward(client, 2, orderBy=[{"field": field}]) == expected


async def test_code_counts_as_null_in_an_order_by_text(client: Client, database: Database) -> None:
    rows = [
        {"_id": str(number), "company": COMPANY, "name": name}
        for number, name in enumerate([Code("b"), "a", Code("a"), "c", None])
    ]
    await database.task.insert_many(rows)
    assert await read_list_forward(client, 1, orderBy=[{"field": "NAME"}]) == ["1", "3", "0", "2", "4"]
