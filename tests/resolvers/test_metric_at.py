"""One metric where another was best is what a look through both curves in Python finds."""

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


def of(variant: str = "a", **more: str) -> Document:
    return {"metric": "m", "variant": variant, **more}


def expected(shown: list[Point], deciding: list[Point], goal: str) -> Document | None:
    """By looking at each point."""
    newest = dict(deciding).items()
    known = [(value, iteration) for iteration, value in newest if value is not None and math.isfinite(value)]
    if not known:
        return None
    best = (min if goal == "MIN" else max)(value for value, _ in known)
    at = min(iteration for value, iteration in known if value == best)
    value = dict(shown).get(at)
    if value is None or not math.isfinite(value):
        return None
    return {"iteration": at, "value": value, "bestValue": best}


VALUES = st.sampled_from([0.0, 1.0, -2.5, 1e300, math.nan, math.inf, None])
CURVE = st.lists(st.tuples(st.sampled_from([-(2**40), -1, 0, 1, 2, 3, 2**40]), VALUES), max_size=8)


@settings(GENERATED, max_examples=40)
@given(tasks=st.lists(st.tuples(CURVE, CURVE), min_size=1, max_size=4), goal=st.sampled_from(["MIN", "MAX"]),
       stat=st.sampled_from(["LAST", "MIN", "MAX"]))  # fmt: skip
async def test_it_is_what_a_look_through_both_curves_finds(
    client: Client, database: Database, tasks: list[tuple[list[Point], list[Point]]], goal: str, stat: str
) -> None:
    try:
        for number, (a, b) in enumerate(tasks):
            await add_report(database, f"{number}", a=a, b=b)
        found = (await client.data(AT, of=of(stat=stat), best=of("b", goal=goal)))["tasks"]["nodes"]
    finally:
        await database.task.delete_many({})
        await database[SERIES].delete_many({})
    points = [row["metricAt"] and {**row["metricAt"], "timestamp": None} for row in found]
    wanted = [expected(a, b, goal) for a, b in tasks]
    assert points == [point and {**point, "timestamp": None} for point in wanted]


async def test_a_metric_may_decide_about_itself_and_of_equal_values_the_first_iteration_counts(
    client: Client, database: Database
) -> None:
    await add_report(database, "t", a=[(5, 1.0), (3, 0.5), (3, 1.0), (9, 1.0), (1, 2.0), (1, 0.5)])
    best = of(goal="MAX")
    for stat in ("LAST", "MIN", "MAX"):
        [row] = (await client.data(AT, of=of(stat=stat), best=best))["tasks"]["nodes"]
        timestamp = "2026-09-21T14:13:20.002Z"
        assert row["metricAt"] == {"iteration": 3, "value": 1.0, "bestValue": 1.0, "timestamp": timestamp}


@pytest.mark.parametrize(("shown", "deciding"), [
    ([(1, 0.5)], [(2, 1.0)]), ([(1, 0.5)], EMPTY), (EMPTY, [(1, 0.5)]), ([(1, 0.5)], [(1, math.nan)]),
    ([(1, None)], [(1, 0.5)]),
])  # fmt: skip
async def test_where_there_is_no_such_value_it_is_null(
    client: Client, database: Database, shown: list[Point], deciding: list[Point]
) -> None:
    await add_report(database, "t", a=shown, b=deciding)
    for variant in ("b", "never reported"):
        found = await client.data(AT, of=of(), best=of(variant, goal="MIN"))
        assert found["tasks"]["nodes"] == [{"id": "t", "metricAt": None}]


async def test_a_page_of_tasks_with_an_alias_for_each_question_costs_a_command_a_question(
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
    found = (await client.data(query))["tasks"]["nodes"]
    assert [row["low"]["value"] for row in found] == [0.25, 0.25, 0.5, 0.5, 0.5]
    assert [row["high"]["value"] for row in found] == [0.5, 0.5, 0.5, 0.25, 0.25]
    assert [command.get("aggregate") or command["find"] for command in commands.seen] == ["task", SERIES, SERIES]


async def test_real_curves_agree_with_the_lowest_value_that_is_kept(client: Client, database: Database) -> None:
    await import_files(database, [DATA / "offline-sessions"], company=Settings().company, user="test", shown={})
    names = "{ tasks { nodes { id lastMetrics { metric variant minValue minValueIteration } } } }"
    asked = 0
    for row in (await client.data(names))["tasks"]["nodes"]:
        for kept in row["lastMetrics"]:
            if kept["metric"].startswith(":monitor"):
                continue
            ref = {"metric": kept["metric"], "variant": kept["variant"]}
            found = (await client.data(AT, of=ref | {"stat": "MIN"}, best=ref | {"goal": "MIN"}))["tasks"]["nodes"]
            [point] = [other["metricAt"] for other in found if other["id"] == row["id"]]
            assert (point["value"], point["bestValue"]) == (kept["minValue"], kept["minValue"])
            assert point["iteration"] == kept["minValueIteration"]
            asked += 1
    assert asked > 3


async def test_others_curves_show_nothing(client: Client, database: Database) -> None:
    await add_report(database, "public", PUBLIC, a=[(1, 0.5)])
    await add_report(database, "theirs", OTHER_COMPANY, a=[(1, 0.5)])
    found = (await client.data(AT, of=of(), best=of(goal="MAX")))["tasks"]["nodes"]
    assert [(row["id"], row["metricAt"]["value"]) for row in found] == [("public", 0.5)]


@pytest.mark.parametrize("arguments", [
    {"of": of()}, {"best": of(goal="MIN")}, {"of": of(), "best": of()}, {"of": of(), "best": of(goal="LAST")},
    {"of": of(stat="MEAN"), "best": of(goal="MIN")}, {"of": {"metric": "m"}, "best": of(goal="MIN")},
    {"of": of(), "best": of(goal="MIN", stat="LAST")}, {"of": None, "best": of(goal="MIN")},
])  # fmt: skip
async def test_what_is_no_such_question_is_refused(client: Client, arguments: dict[str, Any]) -> None:
    answer = await client.answer(AT, **arguments)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"VALIDATION_FAILED"}
