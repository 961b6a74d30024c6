"""What HOCON calls index-backed is: MongoDB scans an index for it, and sorts nothing in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import DAY, Document, new_id, task

Database = AsyncDatabase[Document]

TASK, FILTER = load().get_object("task"), load().get_object("task_filter")
ORDERS = [name.upper() for name, field in TASK.sort_fields.items() if field.is_indexed]
GIVEN: dict[str, Any] = {
    "id": ["a", "b"],
    "user": ["u1"],
    "project": ["p1"],
    "type": ["training"],
    "tags": ["t1"],
    "systemTags": ["s1"],
    "status": ["COMPLETED"],
    "parent": "q1",
    "searchText": "zebra",
    "statusChanged": [">=2026-01-31T23:00:00Z"],
    **{
        name: {"gte": "2026-01-31T20:00:00Z", "lt": "2026-01-31T21:00:00Z"}
        for name in ("created", "started", "completed", "lastUpdate")
    },
}


@pytest.fixture
async def tasks(database: Database) -> None:
    """Enough for the planner to have a choice: every value is rare."""

    def numbered(number: int) -> Document:
        every = number % 50
        dates = {
            name: DAY.replace(hour=number * step % 24, minute=number * step % 60)
            for name, step in (
                ("created", 7),
                ("started", 11),
                ("completed", 13),
                ("status_changed", 17),
                ("last_update", 1),
                ("published", 19),
            )
        }
        return task(
            _id=new_id(),
            user=f"u{every}",
            project=f"p{every}",
            parent=f"q{every}",
            tags=[f"t{every}"],
            type="training" if every == 0 else "testing",
            status="completed" if every == 0 else "created",
            system_tags=[f"s{every}"],
            name=f"n{number}",
            active_duration=number,
            comment="zebra" if every == 0 else "",
            **dates,
        )

    await database.task.insert_many([numbered(number) for number in range(2000)])


async def explain(database: Database, command: Document) -> list[set[str]]:
    """The stages of the winning plan of each part of a list: of rows with a value to order by, and of those without."""
    pipelines = [
        command["pipeline"],
        *(stage["$unionWith"]["pipeline"] for stage in command["pipeline"] if "$unionWith" in stage),
    ]
    found = []
    for pipeline in pipelines:
        alone = [stage for stage in pipeline if "$unionWith" not in stage]
        explained = await database.command(
            {"explain": {"aggregate": "task", "pipeline": alone, "cursor": {}}, "verbosity": "queryPlanner"}
        )
        found.append(set(iterate_index_names(explained)))
    return found


def iterate_index_names(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        yield from ("SORT" for key in plan if key == "$sort" and "sortKey" in plan[key])
        for key, inner in plan.items():
            if key != "rejectedPlans":
                yield from iterate_index_names(inner)
    elif isinstance(plan, list):
        for inner in plan:
            yield from iterate_index_names(inner)


async def explain_tasks(client: Client, database: Database, commands: Commands, **arguments: Any) -> list[set[str]]:
    commands.seen.clear()
    query = """query($filter: TaskFilter, $orderBy: [TaskOrder!]) {
      tasks(filter: $filter, orderBy: $orderBy, first: 10) { nodes { id } pageInfo { hasNextPage } } }"""
    await client.data(query, **arguments)
    [command] = commands.seen
    return await explain(database, command)


def test_every_filter_that_is_called_index_backed_is_tried() -> None:
    indexed = {field.graphql_name for field in FILTER.fields if field.is_indexed}
    assert indexed == set(GIVEN), "GIVEN needs values that few of the tasks have, for each filter with x-index"


async def find_narrowed_fields(client: Client, database: Database, commands: Commands, filter_: Document) -> set[str]:
    """The paths of the index that the filter alone scans, and of which it does not scan everything."""
    commands.seen.clear()
    await client.data("query($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }", filter=filter_)
    [command] = commands.seen
    match = command["pipeline"][0]["$match"]
    explained = await database.command({"explain": {"find": "task", "filter": match}, "verbosity": "queryPlanner"})
    return {
        path
        for scan in iterate_scans(explained["queryPlanner"]["winningPlan"])
        for path, bounds in scan.get("indexBounds", {"_fts": ["text"]}).items()
        if bounds not in (["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"])
    }


def iterate_scans(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        if plan.get("stage") in ("IXSCAN", "TEXT_MATCH"):
            yield plan
        for key in ("inputStage", "inputStages", "queryPlan"):
            yield from iterate_scans(plan.get(key))
    elif isinstance(plan, list):
        for inner in plan:
            yield from iterate_scans(inner)


@pytest.mark.slow
@pytest.mark.usefixtures("tasks")
async def test_a_filter_scans_its_own_part_of_an_index(client: Client, database: Database, commands: Commands) -> None:
    for field in FILTER.fields:
        if field.is_indexed:
            path = (
                "_fts" if field.name == "search_text" else field.stored_paths[0] if field.stored_paths else field.name
            )
            filter_ = {field.graphql_name: GIVEN[field.graphql_name]}
            assert path in await find_narrowed_fields(client, database, commands, filter_), filter_


UNINDEXED: list[Document] = [
    {"published": GIVEN["created"]},
    {"metrics": [{"metric": "loss", "variant": "train", "gt": 1}]},
    {"hyperparams": [{"section": "Args", "name": "lr", "eq": "1"}]},
    {"not": {"name": "x"}},
]


@pytest.mark.slow
@pytest.mark.usefixtures("tasks")
async def test_a_filter_without_an_index_narrows_nothing_but_the_company(
    client: Client, database: Database, commands: Commands
) -> None:
    for filter_ in UNINDEXED:
        assert await find_narrowed_fields(client, database, commands, filter_) <= {"company"}, filter_


@pytest.mark.usefixtures("tasks")
async def test_the_newest_matches_of_a_filter_need_no_sorting(
    client: Client, database: Database, commands: Commands
) -> None:
    for name in ("user", "project", "type", "status", "parent", "lastUpdate"):
        found, _ = await explain_tasks(client, database, commands, filter={name: GIVEN[name]})
        assert "SORT" not in found, name


@pytest.mark.slow
@pytest.mark.usefixtures("tasks")
async def test_an_order_scans_an_index_and_sorts_nothing(
    client: Client, database: Database, commands: Commands
) -> None:
    for field in ORDERS:
        for direction in ("ASC", "DESC"):
            order = {"field": field, "direction": direction}
            for found in await explain_tasks(client, database, commands, orderBy=[order]):
                assert "IXSCAN" in found, order
                assert not {"COLLSCAN", "SORT"} & found, order
