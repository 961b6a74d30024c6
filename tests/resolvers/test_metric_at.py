"""The value of one metric where another was best equals that of a look through both series in Python."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from api.settings import Settings
from models.documents.block import SERIES
from models.imports.importer import import_files
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import OTHER_COMPANY, PUBLIC, Document
from tests.support.generated import GENERATED
from tests.support.paths import DATA
from tests.support.reports import add_report

Database = AsyncDatabase[Document]
Point = tuple[int, float | None]

POINT = "{ iteration value bestValue timestamp }"
AT = f"""query($of: MetricRef!, $best: BestMetric!) {{
  tasks(orderBy: [{{field: ID}}]) {{ nodes {{ id metricAt(of: $of, best: $best) {POINT} }} }} }}"""
EMPTY: list[Point] = []


def build_ref(variant: str = "a", **more: str) -> Document:
    return {"metric": "m", "variant": variant, **more}


def find_point(points_of: list[Point], points_of_best: list[Point], goal: str) -> Document | None:
    """Find the point by looking at each."""
    newest = dict(points_of_best).items()
    known = [(value, iteration) for iteration, value in newest if value is not None and math.isfinite(value)]
    if not known:
        return None
    best = (min if goal == "MIN" else max)(value for value, _ in known)
    at = min(iteration for value, iteration in known if value == best)
    value = dict(points_of).get(at)
    if value is None or not math.isfinite(value):
        return None
    return {"iteration": at, "value": value, "bestValue": best}


VALUES = st.sampled_from([0.0, 1.0, -2.5, 1e300, math.nan, math.inf, None])
POINTS = st.lists(st.tuples(st.sampled_from([-(2**40), -1, 0, 1, 2, 3, 2**40]), VALUES), max_size=8)


@settings(GENERATED, max_examples=40)
@given(
    tasks=st.lists(st.tuples(POINTS, POINTS), min_size=1, max_size=4),
    goal=st.sampled_from(["MIN", "MAX"]),
    stat=st.sampled_from(["LAST", "MIN", "MAX"]),
)
async def test_it_equals_a_look_through_both_series(
    client: Client, database: Database, tasks: list[tuple[list[Point], list[Point]]], goal: str, stat: str
) -> None:
    try:
        for number, (a, b) in enumerate(tasks):
            await add_report(database, f"{number}", a=a, b=b)
        nodes = (await client.data(AT, of=build_ref(stat=stat), best=build_ref("b", goal=goal)))["tasks"]["nodes"]
    finally:
        await database.task.delete_many({})
        await database[SERIES].delete_many({})
    points = [row["metricAt"] and {**row["metricAt"], "timestamp": None} for row in nodes]
    expected = [find_point(a, b, goal) for a, b in tasks]
    assert points == [point and {**point, "timestamp": None} for point in expected]


async def test_a_metric_may_decide_about_itself_and_of_equal_values_the_first_iteration_counts(
    client: Client, database: Database
) -> None:
    await add_report(database, "t", a=[(5, 1.0), (3, 0.5), (3, 1.0), (9, 1.0), (1, 2.0), (1, 0.5)])
    best = build_ref(goal="MAX")
    for stat in ("LAST", "MIN", "MAX"):
        [row] = (await client.data(AT, of=build_ref(stat=stat), best=best))["tasks"]["nodes"]
        timestamp = "2026-09-21T14:13:20.002Z"
        assert row["metricAt"] == {"iteration": 3, "value": 1.0, "bestValue": 1.0, "timestamp": timestamp}


@pytest.mark.parametrize(
    ("points_of", "points_of_best"),
    [
        ([(1, 0.5)], [(2, 1.0)]),
        ([(1, 0.5)], EMPTY),
        (EMPTY, [(1, 0.5)]),
        ([(1, 0.5)], [(1, math.nan)]),
        ([(1, None)], [(1, 0.5)]),
    ],
)
async def test_without_a_value_at_that_iteration_it_is_null(
    client: Client, database: Database, points_of: list[Point], points_of_best: list[Point]
) -> None:
    await add_report(database, "t", a=points_of, b=points_of_best)
    for variant in ("b", "never reported"):
        nodes = await client.data(AT, of=build_ref(), best=build_ref(variant, goal="MIN"))
        assert nodes["tasks"]["nodes"] == [{"id": "t", "metricAt": None}]


async def test_a_page_of_tasks_costs_one_command_for_each_pair_of_arguments(
    client: Client, database: Database, commands: Commands
) -> None:
    for number in range(5):
        await add_report(database, f"{number}", a=[(1, 0.5), (2, 0.25)], b=[(1, number), (2, 2)])
    query = """{ tasks { nodes {
      low: metricAt(of: {metric: "m", variant: "a"}, best: {metric: "m", variant: "b", goal: MIN}) { value }
      high: metricAt(of: {metric: "m", variant: "a"}, best: {metric: "m", variant: "b", goal: MAX}) { value }
      again: metricAt(of: {metric: "m", variant: "a", stat: LAST}, best: {goal: MAX, metric: "m", variant: "b"}) {
        iteration } } } }"""
    commands.seen.clear()
    nodes = (await client.data(query))["tasks"]["nodes"]
    assert [row["low"]["value"] for row in nodes] == [0.25, 0.25, 0.5, 0.5, 0.5]
    assert [row["high"]["value"] for row in nodes] == [0.5, 0.5, 0.5, 0.25, 0.25]
    assert [command.get("aggregate") or command["find"] for command in commands.seen] == ["task", SERIES, SERIES]


async def test_real_series_agree_with_the_lowest_value_in_last_metrics(client: Client, database: Database) -> None:
    await import_files(database, [DATA / "offline-sessions"], company=Settings().company, user="test", shown_fields={})
    names = "{ tasks { nodes { id lastMetrics { metric variant minValue minValueIteration } } } }"
    compared_count = 0
    for row in (await client.data(names))["tasks"]["nodes"]:
        for last_metric in row["lastMetrics"]:
            if last_metric["metric"].startswith(":monitor"):
                continue
            ref = {"metric": last_metric["metric"], "variant": last_metric["variant"]}
            nodes = (await client.data(AT, of=ref | {"stat": "MIN"}, best=ref | {"goal": "MIN"}))["tasks"]["nodes"]
            [point] = [other["metricAt"] for other in nodes if other["id"] == row["id"]]
            assert (point["value"], point["bestValue"]) == (last_metric["minValue"], last_metric["minValue"])
            assert point["iteration"] == last_metric["minValueIteration"]
            compared_count += 1
    assert compared_count > 3


async def test_the_series_of_other_companies_are_not_shown(client: Client, database: Database) -> None:
    await add_report(database, "public", PUBLIC, a=[(1, 0.5)])
    await add_report(database, "theirs", OTHER_COMPANY, a=[(1, 0.5)])
    nodes = (await client.data(AT, of=build_ref(), best=build_ref(goal="MAX")))["tasks"]["nodes"]
    assert [(row["id"], row["metricAt"]["value"]) for row in nodes] == [("public", 0.5)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"of": build_ref()},
        {"best": build_ref(goal="MIN")},
        {"of": build_ref(), "best": build_ref()},
        {"of": build_ref(), "best": build_ref(goal="LAST")},
        {"of": build_ref(stat="MEAN"), "best": build_ref(goal="MIN")},
        {"of": {"metric": "m"}, "best": build_ref(goal="MIN")},
        {"of": build_ref(), "best": build_ref(goal="MIN", stat="LAST")},
        {"of": None, "best": build_ref(goal="MIN")},
    ],
)
async def test_incomplete_arguments_are_refused(client: Client, arguments: dict[str, Any]) -> None:
    answer = await client.answer(AT, **arguments)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"VALIDATION_FAILED"}
