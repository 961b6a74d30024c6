"""The names of metrics, with the number of tasks that have each, equal those that Python counts in the same rows."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from api.settings import Settings
from models.imports.importer import import_files
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import COMPANY, OTHER_COMPANY, PUBLIC, Document, last_metrics, old_task, task
from tests.support.generated import GENERATED
from tests.support.paths import DATA

Database = AsyncDatabase[Document]
Names = list[tuple[str, str, int]]

NAMES = """
query($filter: TaskFilter, $first: Int, $after: String, $last: Int, $before: String, $page: Int, $pageSize: Int) {
  metricNames(filter: $filter, first: $first, after: $after, last: $last, before: $before, page: $page,
              pageSize: $pageSize) {
    totalCount
    nodes { metric variant taskCount }
    edges { cursor node { metric } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  } }"""


async def read_page(client: Client, **arguments: Any) -> Document:
    names: Document = (await client.data(NAMES, **arguments))["metricNames"]
    return names


def list_names(page: Document) -> Names:
    return [(node["metric"], node["variant"], node["taskCount"]) for node in page["nodes"]]


def count_names(rows: list[Document]) -> Names:
    """Count the names by looking at each value."""
    tally: Counter[tuple[str, str]] = Counter()
    for row in rows:
        names = set()
        metrics = row.get("last_metrics")
        for variants in metrics.values() if isinstance(metrics, dict) else ():
            for event in variants.values() if isinstance(variants, dict) else ():
                pair = (event.get("metric"), event.get("variant")) if isinstance(event, dict) else (None, None)
                if all(type(name) is str for name in pair):
                    names.add(pair)
        tally.update(names)
    return sorted(((*pair, count) for pair, count in tally.items()), key=lambda row: (row[0].encode(), row[1].encode()))


# -- the oracle ------------------------------------------------------------------------------------

TEXT = st.sampled_from(["", "a", "a.b/c $d", "B", "é", "🙂", "\U0000ffff", "-", "$x", "\0"])
NAME = st.one_of(TEXT, TEXT, TEXT, st.sampled_from([None, 5, True, ["a"], {"a": 1}]))
EVENTS = st.one_of(
    st.fixed_dictionaries({"metric": NAME, "variant": NAME}), st.sampled_from([None, 5, [], {}, {"metric": "a"}])
)
KEYS = st.sampled_from(["k", "l", "m"])
METRICS = st.one_of(
    st.dictionaries(
        KEYS, st.one_of(st.dictionaries(KEYS, EVENTS, max_size=3), st.sampled_from([None, 5, []])), max_size=3
    ),
    st.sampled_from([None, [], [{"a": {"b": {"metric": "m", "variant": "v"}}}], "x"]),
)


@pytest.mark.slow
@settings(GENERATED, max_examples=40)
@given(metrics=st.lists(METRICS, max_size=5), size=st.integers(1, 4))
async def test_pages_of_names_equal_those_that_python_counts(
    client: Client, database: Database, metrics: list[Any], size: int
) -> None:
    rows = [{"_id": f"{number}", "company": COMPANY, "last_metrics": part} for number, part in enumerate(metrics)]
    if rows:
        await database.task.insert_many(rows)
    try:
        names_forward, names_backward = [], []
        after = before = None
        while True:
            forward = await read_page(client, first=size, after=after)
            names_forward += list_names(forward)
            after = forward["pageInfo"]["endCursor"]
            assert forward["totalCount"] == len(count_names(rows))
            assert forward["pageInfo"]["startCursor"] == next((edge["cursor"] for edge in forward["edges"]), None)
            if not forward["pageInfo"]["hasNextPage"]:
                break
        while True:
            backward = await read_page(client, last=size, before=before)
            names_backward = list_names(backward) + names_backward
            before = backward["pageInfo"]["startCursor"]
            if not backward["pageInfo"]["hasPreviousPage"]:
                break
        numbered = [
            row for number in range(10) for row in list_names(await read_page(client, page=number, pageSize=size * 2))
        ]
    finally:
        await database.task.delete_many({})
    assert names_forward == names_backward == count_names(rows)
    assert numbered == count_names(rows)[: size * 20]


# -- as a user asks --------------------------------------------------------------------------------


async def test_the_names_of_real_tasks_are_those_they_list_as_last_metrics(client: Client, database: Database) -> None:
    await import_files(database, [DATA], company=Settings().company, user="test", shown_fields={})
    for filter_ in (
        {},
        {"tags": ["sgd"]},
        {"project": ["fa9466b2eda844859d70aa72b912d165"], "includeSubprojects": True},
    ):
        query = "query($f: TaskFilter) { tasks(filter: $f) { nodes { lastMetrics { metric variant } } } }"
        listed: Counter[tuple[str, str]] = Counter()
        for task_ in (await client.data(query, f=filter_))["tasks"]["nodes"]:
            listed.update((event["metric"], event["variant"]) for event in task_["lastMetrics"])
        names = list_names(await read_page(client, filter=filter_))
        assert names == [(*pair, count) for pair, count in sorted(listed.items())]
        assert len(names) > 3


async def test_names_are_of_visible_tasks_that_match_the_filter_in_either_layout(
    client: Client, database: Database, commands: Commands
) -> None:
    def reporting(name: str) -> Document:
        return last_metrics((name, "v", 1.0), ("both", "v", 1.0))

    await database.task.insert_many(
        [
            task(type="training", last_metrics=reporting("own")),
            old_task(type="training", last_metrics=reporting("old")),
            task(type="training", company=PUBLIC, last_metrics=reporting("public")),
            task(type="training", company=OTHER_COMPANY, last_metrics=reporting("theirs")),
            task(type="testing", last_metrics=reporting("other")),
        ]
    )
    commands.seen.clear()
    query = "query($f: TaskFilter) { metricNames(filter: $f) { nodes { metric variant taskCount } } }"
    names = (await client.data(query, f={"type": ["training"]}))["metricNames"]
    assert list_names(names) == [("both", "v", 3), ("old", "v", 1), ("own", "v", 1), ("public", "v", 1)]
    assert [command["aggregate"] for command in commands.seen] == ["task"]


async def test_a_total_alone_reads_no_names(client: Client, database: Database, commands: Commands) -> None:
    await database.task.insert_one(task(last_metrics=last_metrics(("a", "b", 1.0), ("a", "c", 1.0))))
    commands.seen.clear()
    assert await client.data("{ metricNames { totalCount } }") == {"metricNames": {"totalCount": 2}}
    assert len(commands.seen) == 1


async def test_a_cursor_only_fits_the_list_that_it_came_from(client: Client, database: Database) -> None:
    await database.task.insert_many([task(), task()])
    after = (await read_page(client, first=1))["pageInfo"]["endCursor"]
    tasks = (await client.data("{ tasks(first: 1) { pageInfo { endCursor } } }"))["tasks"]["pageInfo"]["endCursor"]
    assert len((await read_page(client, after=after))["nodes"]) == 2
    for arguments in ({"after": after, "filter": {"tags": ["best"]}}, {"after": tasks}, {"after": "x"}):
        assert (await client.error(NAMES, **arguments))["code"] == "BAD_CURSOR"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"first": 0}, "VALIDATION_ERROR"),
        ({"first": 501}, "LIMIT_EXCEEDED"),
        ({"page": 1}, "MISSING_REQUIRED_FIELDS"),
        ({"first": 1, "pageSize": 1}, "VALIDATION_ERROR"),
        ({"filter": {"or": []}}, "FIELDS_VALUE_ERROR"),
        ({"filter": {"name": "["}}, "INVALID_REGEX_ERROR"),
        ({"filter": {"nothing": 1}}, "VALIDATION_FAILED"),
    ],
)
async def test_impossible_pages_are_refused(client: Client, arguments: Document, code: str) -> None:
    answer = await client.answer(NAMES, **arguments)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
