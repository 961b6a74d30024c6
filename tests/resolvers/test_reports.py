"""Reports of metrics: every point is appended to its series; last metrics are those of a ClearML server."""

import asyncio
import json
import operator
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.dates import now
from models.documents.block import SERIES
from models.documents.transition import TRANSITIONS
from models.imports.importer import import_files
from models.metrics.blocks import BLOCK_SIZE, POINT_TYPE
from models.metrics.last_metrics import MAX_SERIES
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import (
    ABSENT,
    COMPANY,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    last_metrics,
    md5,
    new_id,
    project,
    task,
)
from tests.support.mutations import change, get_refusal, mutation, read_documents
from tests.support.paths import DATA

# HYPOTHESIS_PROFILE=long for a night's work
EXAMPLES = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 20
SESSIONS = sorted((DATA / "offline-sessions").glob("*.zip"))
RESULT = "results { id succeeded added badPoints { index field code message } error { code details } replayed }"
CURVES = """query($id: ID!) { task(id: $id) { series(maxPoints: 10000) {
  metric variant iterations values timestamps } } }"""


def build_point(value: float | None = 0.5, iteration: int = 0, **fields: Any) -> Document:
    return {"metric": "loss", "variant": "train", "iteration": iteration, "value": value} | fields


async def report(client: Client, reports: dict[str, list[Document]], **options: Any) -> list[Document]:
    arguments = [{"task": id_, "points": points} for id_, points in reports.items()]
    results: list[Document] = (await change(client, "metricsReport", RESULT, reports=arguments, **options))["results"]
    return results


async def read_series(client: Client, id_: str) -> dict[tuple[str, str], Document]:
    rows = (await client.data(CURVES, id=id_))["task"]["series"]
    return {(curve["metric"], curve["variant"]): curve for curve in rows}


async def read_stored(client: Client, id_: str = "it") -> Document:
    document = await client.database["task"].find_one({"_id": id_})
    assert document
    return document


@pytest.fixture
async def running(client: Client) -> Client:
    """A task in progress without any series."""
    await client.database["task"].insert_one(build_task())
    return client


def build_task(**fields: Any) -> Document:
    none = {"last_metrics": {}, "unique_metrics": [], "last_iteration": 0}
    return task(**{"_id": "it", "status": "in_progress", "project": "home"} | none | fields)


# -- stored points ---------------------------------------------------------------------------------


async def test_points_are_appended_to_their_series_and_to_the_last_metrics(running: Client) -> None:
    await running.database["project"].insert_one(project(_id="home"))
    since = now()
    [result] = await report(
        running,
        {
            "it": [
                build_point(0.5, 3),
                build_point(None, 4),
                build_point(0.25, 1, timestamp="2026-01-31T13:00:00.5+01:00"),
                build_point(9, 7, variant="test"),
            ]
        },
    )
    assert result == {"id": "it", "succeeded": True, "added": 4, "badPoints": [], "error": None, "replayed": False}
    series = await read_series(running, "it")
    train = series["loss", "train"]
    assert (train["iterations"], train["values"]) == ([1, 3, 4], [0.25, 0.5, None])
    assert train["timestamps"][0] == "2026-01-31T12:00:00.500Z"
    assert datetime.fromisoformat(train["timestamps"][1]).replace(tzinfo=None) >= since
    assert series["loss", "test"]["values"] == [9]
    after = await read_stored(running)
    assert after["last_metrics"][md5("loss")][md5("train")] == {
        "metric": "loss",
        "variant": "train",
        "value": 0.5,
        "min_value": 0.25,
        "min_value_iteration": 1,
        "max_value": 0.5,
        "max_value_iteration": 3,
        "first_value": 0.5,
        "first_value_iteration": 3,
        "count": 2,
        "mean_value": 0.38,
    }
    assert (after["last_iteration"], after["unique_metrics"]) == (7, ["loss/train", "loss/test"])
    assert after["last_update"] == after["last_change"] >= since
    assert after["last_changed_by"] == "taskql"
    assert after["active_duration"] == int((after["last_update"] - DAY).total_seconds())
    assert after["status"] == "in_progress"
    assert (await running.database["project"].find_one({"_id": "home"}))["last_update"] >= since
    assert await running.database[TRANSITIONS].count_documents({}) == 0


async def test_a_point_without_a_value_is_a_gap_and_not_in_the_statistics(running: Client) -> None:
    await report(running, {"it": [build_point(None, 5), {"metric": "m", "variant": "v", "iteration": 9}]})
    series = await read_series(running, "it")
    assert [(curve["iterations"], curve["values"]) for curve in series.values()] == [([5], [None]), ([9], [None])]
    after = await read_stored(running)
    assert (after["last_metrics"], after["unique_metrics"], after["last_iteration"]) == ({}, [], 9)
    await report(running, {"it": [build_point(1, 6)]})
    assert (await read_series(running, "it"))["loss", "train"]["values"] == [None, 1]
    await report(running, {"it": [build_point(2, 5), build_point(None, 6)]})
    assert (await read_series(running, "it"))["loss", "train"]["values"] == [2, None]


async def test_monitors_and_points_without_an_iteration_leave_the_last_iteration(running: Client) -> None:
    await report(
        running,
        {
            "it": [
                build_point(1, 3),
                build_point(1, 99, metric=":monitor:gpu"),
                build_point(1, -(2**31), metric="single"),
            ]
        },
    )
    assert (await read_stored(running))["last_iteration"] == 3
    assert (await read_series(running, "it"))["single", "train"]["iterations"] == [-(2**31)]


async def test_extreme_numbers_are_stored_unchanged(running: Client) -> None:
    ends = [2**63 - 1, -(2**63)]
    await report(
        running,
        {"it": [build_point(1.7e308, ends[0]), build_point(1.7e308, ends[1], timestamp="9999-12-31T23:59:59.999Z")]},
    )
    await report(running, {"it": [build_point(-1.7e308)]})
    assert (await read_series(running, "it"))["loss", "train"]["values"] == [1.7e308, -1.7e308, 1.7e308]
    query = '{ task(id: "it") { lastIteration lastMetrics { minValue maxValue meanValue count } } }'
    assert (await running.data(query))["task"] == {
        "lastIteration": ends[0],
        "lastMetrics": [{"minValue": -1.7e308, "maxValue": 1.7e308, "meanValue": None, "count": 3}],
    }


@pytest.mark.parametrize("odd_value", [ABSENT, None, [], {"x": 5}, {md5("loss"): {md5("train"): "text", "other": {}}}])
async def test_odd_last_metrics_are_replaced(client: Client, odd_value: Any) -> None:
    await client.database["task"].insert_one(
        build_task(last_metrics=odd_value, unique_metrics=odd_value, last_iteration="x")
    )
    await report(client, {"it": [build_point(0.5, 3)]})
    after = await read_stored(client)
    assert after["last_metrics"][md5("loss")][md5("train")]["count"] == 1
    assert (after["last_iteration"], after["unique_metrics"]) == (3, ["loss/train"])


async def test_nothing_to_report_changes_nothing(running: Client) -> None:
    before = await read_documents(running.database)
    assert await report(running, {}) == []
    [empty] = await report(running, {"it": []})
    assert (empty["succeeded"], empty["added"]) == (True, 0)
    assert await read_documents(running.database) == before


# -- point for point -------------------------------------------------------------------------------

NAMES = st.sampled_from([("loss", "train"), ("loss", "a.b/c $d"), ("_x__y", "é %2E")])
VALUES = st.none() | st.integers(-5, 5) | st.floats(-1e6, 1e6)
NOW = DAY + timedelta(days=1)  # later than all points
TIMES = st.none() | st.sampled_from([DAY, DAY + timedelta(milliseconds=1)])
BATCHES = st.lists(st.lists(st.tuples(NAMES, st.integers(-2, 9), VALUES, TIMES), max_size=12), min_size=1, max_size=4)
Reported = tuple[tuple[str, str], int, float | None, datetime | None]


def expect_statistics(batches: list[list[Reported]], pair: tuple[str, str]) -> Document | None:
    """Compute the statistics of all values of a series at once; the mean has the two decimals of each report."""
    of_pair = [[point for point in batch if point[0] == pair and point[2] is not None] for batch in batches]
    points = [point for batch in of_pair for point in batch]
    if not points:
        return None
    newest = [batch for batch in of_pair if batch][-1]
    last = newest[0]
    for point in newest[1:]:
        if (point[1], point[3] or NOW) >= (last[1], last[3] or NOW):
            last = point
    statistics: Document = {"value": last[2], "count": len(points)}
    for name, better in (("min", operator.lt), ("max", operator.gt), ("first", lambda *_: False)):
        best = points[0]
        for point in points[1:]:
            best = point if better(point[2], best[2]) else best
        statistics |= {f"{name}_value": best[2], f"{name}_value_iteration": best[1]}
    return statistics | {"mean_value": pytest.approx(sum(point[2] or 0 for point in points) / len(points), abs=0.03)}


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES)
async def test_after_any_reports_series_and_statistics_are_those_of_the_points(
    client: Client, batches: list[list[Reported]]
) -> None:
    reporter = build_task(_id=new_id())
    await client.database["task"].insert_one(reporter)
    for batch in batches:
        points = [
            {"metric": pair[0], "variant": pair[1], "iteration": iteration, "value": value}
            | ({"timestamp": f"{timestamp.isoformat()}Z"} if timestamp else {})
            for pair, iteration, value, timestamp in batch
        ]
        assert [result["added"] for result in await report(client, {reporter["_id"]: points})] == [len(points)]
    everything = [point for batch in batches for point in batch]
    pairs = {point[0] for point in everything}
    series = await read_series(client, reporter["_id"])
    assert series.keys() == pairs
    after = await read_stored(client, reporter["_id"])
    for pair in pairs:
        newest = {iteration: value for name, iteration, value, _ in everything if name == pair}
        assert series[pair]["iterations"] == sorted(newest)
        assert series[pair]["values"] == [newest[iteration] for iteration in sorted(newest)]
        statistics = after["last_metrics"].get(md5(pair[0]), {}).get(md5(pair[1]))
        names = {"metric": pair[0], "variant": pair[1]}
        assert statistics == ((expected := expect_statistics(batches, pair)) and expected | names)
    assert after["last_iteration"] == max([0, *(iteration for _, iteration, _, _ in everything)])
    finite = [point for point in everything if point[2] is not None]
    assert sorted(after["unique_metrics"]) == sorted({"/".join(pair) for pair, *_ in finite})


# -- the same point again ------------------------------------------------------------------------------

STEPS = st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, -(2**31)])
AGAIN = st.tuples(st.sampled_from(["", "train"]), STEPS, st.none() | st.integers(-9, 9), TIMES)
STREAM = """query($id: ID!, $from: Long, $to: Long, $method: Downsampling) { task(id: $id) {
  series(variant: ["", "train"], iterationFrom: $from, iterationTo: $to, maxPoints: 10, method: $method) {
    variant iterations values timestamps originalCount stride }
  metricAt(of: {metric: "loss", variant: ""}, best: {metric: "loss", variant: "train", goal: MAX}) {
    iteration value bestValue } } }"""


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(st.lists(AGAIN, max_size=12), min_size=1, max_size=4), first=STEPS, filler=st.integers(0, 300))
async def test_a_series_has_the_newest_point_of_each_iteration(
    client: Client, batches: list[list[tuple[str, int, int | None, datetime | None]]], first: int, filler: int
) -> None:
    """Within a report, across reports, and across the blocks that other points fill meanwhile."""
    id_ = new_id()
    await client.database["task"].insert_one(build_task(_id=id_))
    expected: dict[str, dict[int, tuple[int | None, datetime | None]]] = {}
    fill = [(variant, 1000 + step, step, DAY) for variant in ("", "train") for step in range(filler)]
    for batch in [*batches[:1], fill, *batches[1:], *batches[:1]]:
        for variant, iteration, value, timestamp in batch:
            expected.setdefault(variant, {})[iteration] = (value, timestamp)
        points = [
            build_point(value, iteration, variant=variant)
            | ({"timestamp": f"{timestamp.isoformat()}Z"} if timestamp else {})
            for variant, iteration, value, timestamp in batch
        ]
        await report(client, {id_: points})
    for method in ("MINMAX_LTTB", "MINMAX", "LTTB", "EVERY_NTH"):
        answer = (await client.data(STREAM, id=id_, to=None, method=method, **{"from": first}))["task"]
        series = {curve["variant"]: curve for curve in answer["series"]}
        assert series.keys() == expected.keys()
        for variant, curve in series.items():
            within = {step: expected[variant][step] for step in sorted(expected[variant]) if step >= first}
            assert curve["originalCount"] == len(within)
            assert curve["iterations"] == sorted({*curve["iterations"]})
            assert curve["values"] == [within[step][0] for step in curve["iterations"]]
            for step, timestamp in zip(curve["iterations"], curve["timestamps"], strict=True):
                assert within[step][1] is None or timestamp == f"{within[step][1].isoformat(timespec='milliseconds')}Z"  # type: ignore[union-attr]
            assert curve["iterations"][:1] == [*within][:1]
            assert curve["iterations"][-1:] == [*within][-1:]
    assert answer["metricAt"] == find_best(expected.get("", {}), expected.get("train", {}))


def find_best(values: Document, deciding: Document) -> Document | None:
    finite = {step: value for step, (value, _) in deciding.items() if value is not None}
    if not finite:
        return None
    step = min(step for step, value in finite.items() if value == max(finite.values()))
    value = values.get(step, (None, None))[0]
    return None if value is None else {"iteration": step, "value": value, "bestValue": finite[step]}


async def test_a_resumed_run_draws_no_zigzag(running: Client) -> None:
    await report(running, {"it": [build_point(step, step) for step in range(600)]})
    await report(running, {"it": [build_point(-step, step) for step in range(400, 700)]})
    curve = (await read_series(running, "it"))["loss", "train"]
    assert curve["iterations"] == list(range(700))
    assert curve["values"] == [*range(400), *(-step for step in range(400, 700))]
    statistics = (await read_stored(running))["last_metrics"][md5("loss")][md5("train")]
    assert (statistics["count"], statistics["max_value"], statistics["value"]) == (900, 599, -699)


async def test_the_last_value_is_that_of_the_latest_report_at_its_highest_iteration(running: Client) -> None:
    last = '{ task(id: "it") { lastMetrics { value } } }'
    for points, expected in (
        ([build_point(1.0, 10)], 1.0),
        ([build_point(9.0, 5)], 9.0),
        ([build_point(1.0, 10), build_point(9.0, 5)], 1.0),
        ([build_point(7.0, -1)], 7.0),
        ([build_point(None, 99)], 7.0),
    ):
        await report(running, {"it": points})
        assert (await running.data(last))["task"]["lastMetrics"] == [{"value": expected}]
    text = '{ __type(name: "LastMetricsEvent") { fields { name description } } }'
    [field] = [row for row in (await running.data(text))["__type"]["fields"] if row["name"] == "value"]
    assert field["description"].startswith("The value of the latest report, that of its highest iteration.")


@pytest.mark.parametrize(("metric", "variant"), [("loss", ""), ("", "train"), ("", ""), (" ", "\t"), ("a", "\0")])
async def test_a_name_may_be_empty_wherever_a_metric_is_named(running: Client, metric: str, variant: str) -> None:
    await report(
        running, {"it": [build_point(1, 1, metric=metric, variant=variant), build_point(2, 2, metric="x", variant="x")]}
    )
    ref = {"metric": metric, "variant": variant}
    query = """query ($ref: MetricRef!, $best: BestMetric!, $metric: [String!], $variant: [String!],
                      $filter: TaskFilter, $order: [TaskOrder!]) {
      tasks(filter: $filter, orderBy: $order) { nodes {
        series(metric: $metric, variant: $variant) { metric variant values }
        lastMetrics(metric: $metric, variant: $variant) { metric variant value }
        metricAt(of: $ref, best: $best) { value } } }
      metricNames { nodes { metric variant } }
      taskStats(groupBy: [], metrics: [$ref]) { metrics { max } } }"""
    given_ = {"ref": ref, "best": ref | {"goal": "MIN"}, "metric": [metric], "variant": [variant]}
    arguments = {"filter": {"metrics": [ref | {"eq": 1}]}, "order": [{"metric": ref}]}
    answer = await running.data(query, **given_, **arguments)
    [node] = answer["tasks"]["nodes"]
    assert node == {"series": [ref | {"values": [1]}], "lastMetrics": [ref | {"value": 1}], "metricAt": {"value": 1}}
    assert ref in answer["metricNames"]["nodes"]
    assert answer["taskStats"] == [{"metrics": [{"max": 1}]}]
    listed = "query ($variant: [String!]) { tasks { nodes { lastMetrics(variant: $variant) { metric variant } } } }"
    variables = json.dumps({"variant": [variant]})
    export = await running.http.get("/export", params={"query": listed, "variables": variables, "format": "jsonl"})
    assert export.json()["lastMetrics"] == [ref]


EVENTS = st.tuples(NAMES, st.integers(-2, 9), st.integers(-5, 5), TIMES)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(st.lists(EVENTS, min_size=1, max_size=8), min_size=1, max_size=4))
async def test_an_imported_session_equals_its_reports(
    client: Client, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Reported]]
) -> None:
    """Series are equal, and last metrics up to the rounding of the mean after each report."""
    reporter, imported = build_task(_id=new_id()), new_id()
    await client.database["task"].insert_one(reporter)
    lines = []
    for batch in batches:
        points = [
            build_point(value, iteration, metric=pair[0], variant=pair[1])
            | ({"timestamp": f"{timestamp.isoformat()}Z"} if timestamp else {})
            for pair, iteration, value, timestamp in batch
        ]
        await report(client, {reporter["_id"]: points})
        lines.append(
            json.dumps(
                [
                    {
                        "type": "training_stats_scalar",
                        "metric": pair[0],
                        "variant": pair[1],
                        "iter": iteration,
                        "value": value,
                    }
                    | ({"timestamp": int(timestamp.replace(tzinfo=UTC).timestamp() * 1000)} if timestamp else {})
                    for pair, iteration, value, timestamp in batch
                ]
            )
        )
    file = tmp_path_factory.mktemp("session") / f"offline-{imported}.zip"
    with ZipFile(file, "w") as archive:
        archive.writestr("task.json", json.dumps({"id": f"offline-{imported}", "name": "x", "type": "training"}))
        archive.writestr("metrics.jsonl", "\n".join(lines))
    result = await import_files(client.database, [file], company=COMPANY, user="test", shown_fields={})
    assert not result.problems
    for id_, other_id in ((reporter["_id"], imported), (imported, reporter["_id"])):
        series, other_series = await read_series(client, id_), await read_series(client, other_id)
        assert series.keys() == other_series.keys()
        for pair, curve in series.items():
            assert [curve[name] for name in ("iterations", "values")] == [
                other_series[pair][name] for name in ("iterations", "values")
            ]
    imported_metrics, reported_metrics = (
        (await read_stored(client, imported))["last_metrics"],
        (await read_stored(client, reporter["_id"]))["last_metrics"],
    )
    assert imported_metrics == {
        metric: {
            variant: event | {"mean_value": pytest.approx(event["mean_value"], abs=0.03)}
            for variant, event in variants.items()
        }
        for metric, variants in reported_metrics.items()
    }


# -- blocks ----------------------------------------------------------------------------------------


async def test_blocks_are_filled_one_after_the_other(running: Client) -> None:
    step = 0
    for number in (BLOCK_SIZE - 24, 23, 1, 1, 2 * BLOCK_SIZE, BLOCK_SIZE - 1):
        await report(running, {"it": [build_point(step / 7, step) for step in range(step, step + number)]})
        step += number
    blocks = await running.database[SERIES].find().sort("number").to_list()
    assert [block["points"] for block in blocks] == [BLOCK_SIZE] * 4
    assert [block["is_last"] for block in blocks] == [False] * 3 + [True]
    assert all(block["_id"].startswith("it/") and block["company"] == COMPANY for block in blocks)
    curve = (await read_series(running, "it"))["loss", "train"]
    assert curve["iterations"] == list(range(step))
    assert curve["values"] == [step / 7 for step in range(step)]


async def test_a_report_of_many_series_is_few_commands_and_reads_no_points(running: Client, commands: Commands) -> None:
    def points(step: int) -> list[Document]:
        return [build_point(0.5, step, metric=f"m{number % 20}", variant=f"v{number}") for number in range(600)]

    await report(running, {"it": points(0)})
    commands.seen.clear()
    await report(running, {"it": points(1)})
    names = [next(iter(command)) for command in commands.seen]
    assert names == ["find", "find", "update", "update", "update"]  # the last one: its project
    reads = [command["projection"] for command in commands.seen if command.get("find") == SERIES]
    assert all("chunks" not in projection for projection in reads)


async def test_a_change_event_has_the_new_points_only(running: Client) -> None:
    await report(running, {"it": [build_point(1, 1)]})
    async with await running.database[SERIES].watch() as stream:
        await report(running, {"it": [build_point(2, 2), build_point(3, 3)]})
        event = await stream.next()
    assert event["documentKey"]["_id"] == f"it/{md5('loss')}/{md5('train')}/000000"
    updated = event["updateDescription"]["updatedFields"]
    assert updated["points"] == 3
    assert np.frombuffer(updated["chunks.1"], POINT_TYPE)["values"].tolist() == [2, 3]


async def test_reports_append_to_the_series_of_an_imported_session(client: Client) -> None:
    await import_files(client.database, SESSIONS[:1], company=COMPANY, user="test", shown_fields={})
    [imported] = await client.database["task"].find().to_list()
    before = await read_series(client, imported["_id"])
    (metric, variant), curve = next(iter(before.items()))
    await report(client, {imported["_id"]: [build_point(0.5, 10**6, metric=metric, variant=variant)]})
    after = await read_series(client, imported["_id"])
    assert after[metric, variant]["values"] == [*curve["values"], 0.5]
    statistics = (await read_stored(client, imported["_id"]))["last_metrics"][md5(metric)][md5(variant)]
    assert (statistics["count"], statistics["value"]) == (len(curve["values"]) + 1, 0.5)


# -- concurrency -----------------------------------------------------------------------------------


async def test_twenty_reports_at_once_lose_no_point(running: Client) -> None:
    await asyncio.gather(
        *(
            report(running, {"it": [build_point(number + step / 100, 60 * number + step) for step in range(60)]})
            for number in range(20)
        )
    )
    curve = (await read_series(running, "it"))["loss", "train"]
    assert sorted(curve["values"]) == [number + step / 100 for number in range(20) for step in range(60)]
    after = await read_stored(running)
    statistics = after["last_metrics"][md5("loss")][md5("train")]
    assert (statistics["count"], statistics["min_value"], statistics["max_value"]) == (1200, 0, 19.59)
    blocks = await running.database[SERIES].find().sort("number").to_list()
    assert [block["points"] for block in blocks] == [BLOCK_SIZE] * (1200 // BLOCK_SIZE) + [1200 % BLOCK_SIZE]


async def test_a_report_and_a_move_at_once_are_both_stored(running: Client) -> None:
    stop = 'mutation { taskStopped(input: {task: "it"}) { updated } }'
    await asyncio.gather(running.data(stop), *(report(running, {"it": [build_point(1, step)]}) for step in range(5)))
    after = await read_stored(running)
    assert (after["status"], after["last_iteration"]) == ("stopped", 4)
    assert len((await read_series(running, "it"))["loss", "train"]["values"]) == 5


# -- after reset -----------------------------------------------------------------------------------


async def test_after_a_reset_series_and_statistics_start_again(running: Client) -> None:
    await report(running, {"it": [build_point(9, 50), build_point(9, 50, variant="test")]})
    await change(running, "taskReset", "updated", task="it", force=True)
    assert await read_series(running, "it") == {}
    await report(running, {"it": [build_point(1, 2)]})
    series = await read_series(running, "it")
    assert {pair: curve["values"] for pair, curve in series.items()} == {("loss", "train"): [1]}
    after = await read_stored(running)
    assert after["last_metrics"][md5("loss")][md5("train")]["max_value"] == 1
    assert (after["last_iteration"], after["unique_metrics"]) == (2, ["loss/train"])


async def test_a_deleted_task_leaves_no_series(running: Client) -> None:
    await running.database["task"].insert_one(build_task(_id="other"))
    await report(running, {"it": [build_point()], "other": [build_point()]})
    await change(running, "taskDelete", "deleted", task="it", force=True)
    assert await running.database[SERIES].distinct("task") == ["other"]


# -- each task -------------------------------------------------------------------------------------


async def test_each_report_is_stored_or_refused_by_itself(running: Client) -> None:
    refused = [
        build_task(_id="published", status="published"),
        build_task(_id="publishing", status="publishing"),
        build_task(_id="foreign", company=OTHER_COMPANY),
        build_task(_id="public", company=PUBLIC),
    ]
    await running.database["task"].insert_many([*refused, build_task(_id="last")])
    names = ["published", "foreign", "it", "publishing", "none", "public", "last"]
    results = await report(running, {name: [build_point()] for name in names})
    assert [result["id"] for result in results] == names
    codes = [result["error"] and result["error"]["code"] for result in results]
    assert codes == [
        "INVALID_TASK_STATUS",
        "INVALID_TASK_ID",
        None,
        "INVALID_TASK_STATUS",
        "INVALID_TASK_ID",
        "NO_WRITE_PERMISSION",
        None,
    ]
    assert [(result["succeeded"], result["added"]) for result in results] == [
        (code is None, int(code is None)) for code in codes
    ]
    assert results[0]["error"]["details"] == {
        "task": "published",
        "status": "PUBLISHED",
        "force": False,
        "allowed": ["CREATED", "QUEUED", "IN_PROGRESS", "STOPPED", "CLOSED", "FAILED", "COMPLETED", "UNKNOWN"],
    }
    assert await running.database[SERIES].distinct("task") == ["it", "last"]
    for document in refused:
        assert await running.database["task"].find_one({"_id": document["_id"]}) == document


@pytest.mark.parametrize(
    "status", ["created", "queued", "stopped", "closed", "failed", "completed", "of a newer server"]
)
async def test_a_task_in_any_other_status_takes_reports_and_keeps_its_status(client: Client, status: str) -> None:
    await client.database["task"].insert_one(build_task(status=status, active_duration=7))
    [result] = await report(client, {"it": [build_point()]})
    assert result["succeeded"]
    after = await read_stored(client)
    assert (after["status"], after["active_duration"]) == (status, 7)


async def test_bad_points_are_named_and_the_others_stored(running: Client) -> None:
    long = "x" * 257
    bad = [
        build_point(metric=long),
        build_point(variant=long),
        build_point(metric="m" * 257),
        build_point(metric=long, variant=long),
    ]
    points = [bad[0], build_point(1, 1), *bad[1:], build_point(2, 2, variant="v" * 256)]
    [result] = await report(running, {"it": points})
    assert (result["succeeded"], result["added"]) == (True, 2)
    assert [(row["index"], row["field"], row["code"]) for row in result["badPoints"]] == [
        (index, field, "DATA_VALIDATION_ERROR")
        for index, field in ((0, "metric"), (2, "variant"), (3, "metric"), (4, "metric"))
    ]
    assert result["badPoints"][1]["message"] == "variant has 257 characters; the maximum is 256."
    assert (await read_series(running, "it")).keys() == {("loss", "train"), ("loss", "v" * 256)}
    before = await read_documents(running.database)
    [result] = await report(running, {"it": bad})
    assert (result["succeeded"], result["added"], len(result["badPoints"])) == (True, 0, 4)
    assert await read_documents(running.database) == before


@pytest.mark.parametrize("value", ["1e400", "-1e400"])
async def test_a_literal_beyond_all_doubles_is_refused_as_the_variable_is(running: Client, value: str) -> None:
    before = await read_documents(running.database)
    points = ", ".join(
        f'{{metric: "loss", variant: "train", iteration: 1, value: {number}}}' for number in ("1", value)
    )
    query = f'mutation {{ metricsReport(input: {{reports: [{{task: "it", points: [{points}]}}]}}) {{ {RESULT} }} }}'
    error = await running.error(query)
    assert error["code"] == "VALIDATION_FAILED"
    assert "Argument 'input' has invalid value at .reports[0].points[1].value" in error["message"]
    assert await read_documents(running.database) == before


async def test_a_task_has_a_maximum_number_of_series(client: Client) -> None:
    pairs = [("m", str(number), 0.5) for number in range(MAX_SERIES - 2)]
    await client.database["task"].insert_one(build_task(last_metrics=last_metrics(*pairs)))
    stored_before, gap, full = (
        build_point(1, metric="m", variant="0"),
        build_point(None, variant="gap"),
        build_point(variant="eval"),
    )
    [first] = await report(client, {"it": [stored_before, gap, build_point(2), full, full, stored_before]})
    assert (first["succeeded"], first["added"]) == (True, 4)
    assert [(row["index"], row["field"], row["code"]) for row in first["badPoints"]] == [
        (3, "variant", "LIMIT_EXCEEDED"),
        (4, "variant", "LIMIT_EXCEEDED"),
    ]
    assert first["badPoints"][0]["message"] == ("The maximum is 2000 series of a task; eval of loss is one more.")
    assert (await read_series(client, "it")).keys() == {("m", "0"), ("loss", "gap"), ("loss", "train")}


async def test_series_of_gaps_only_count_as_well(running: Client) -> None:
    [first] = await report(running, {"it": [build_point(None, variant=str(number)) for number in range(MAX_SERIES)]})
    [second] = await report(
        running, {"it": [build_point(1), build_point(None, variant="0"), build_point(1, variant="1")]}
    )
    assert (first["added"], second["added"]) == (MAX_SERIES, 2)
    assert [row["index"] for row in second["badPoints"]] == [0]


async def test_a_series_of_gaps_gets_values_though_the_task_is_full(client: Client) -> None:
    pairs = [("m", str(number), 0.5) for number in range(MAX_SERIES - 1)]
    await client.database["task"].insert_one(build_task(last_metrics=last_metrics(*pairs)))
    for accepted in (
        build_point(None, variant="gap"),
        build_point(1, variant="eval"),
        build_point(2, 1, variant="gap"),
    ):
        assert (await report(client, {"it": [accepted]}))[0]["added"] == 1
    assert (await read_series(client, "it"))["loss", "gap"]["values"] == [None, 2]
    assert (await read_stored(client))["last_metrics"][md5("loss")].keys() == {md5("eval")}


# -- one idempotency key ---------------------------------------------------------------------------


async def test_the_same_report_again_adds_nothing_and_has_the_same_answer(running: Client) -> None:
    reports = {"it": [build_point(1, 1), build_point(metric="")]}
    [first] = await report(running, reports, idempotencyKey="k")
    before = await read_documents(running.database)
    [second] = await report(running, reports, idempotencyKey="k")
    assert second == first | {"replayed": True}
    assert await read_documents(running.database) == before


async def test_a_report_that_broke_off_continues_after_its_last_task(running: Client) -> None:
    reports = {"it": [build_point(1, 1)], "late": [build_point(2, 2)]}
    first = await report(running, reports, idempotencyKey="k")
    assert [result["succeeded"] for result in first] == [True, False]
    await running.database["task"].insert_one(build_task(_id="late"))
    second = await report(running, reports, idempotencyKey="k")
    assert [result["replayed"] for result in second] == [True, False]
    assert [len((await read_series(running, name))["loss", "train"]["values"]) for name in reports] == [1, 1]
    other_reports = [{"task": "it", "points": [build_point(3)]}]
    error = await get_refusal(running, "metricsReport", reports=other_reports, idempotencyKey="k")
    assert error["code"] == "IDEMPOTENCY_KEY_REUSED"


# -- refused requests ------------------------------------------------------------------------------


async def test_ten_thousand_points_are_accepted_and_one_more_is_refused_unread(
    running: Client, commands: Commands
) -> None:
    await running.database["task"].insert_one(build_task(_id="other"))
    points = [build_point(0.5, step) for step in range(5000)]
    commands.seen.clear()
    for reports, limit, maximum, actual in (
        (
            [{"task": "it", "points": points}, {"task": "other", "points": [*points, build_point()]}],
            "points",
            10_000,
            10_001,
        ),
        ([{"task": str(number), "points": []} for number in range(101)], "reports", 100, 101),
    ):
        error = await running.error(mutation("metricsReport", RESULT), input={"reports": reports})
        assert error | {"message": ""} == {
            "message": "",
            "code": "LIMIT_EXCEEDED",
            "limit": limit,
            "maximum": maximum,
            "actual": actual,
        }
    assert commands.seen == []
    results = await report(running, {"it": points, "other": points})
    assert [result["added"] for result in results] == [5000, 5000]
    assert len(await report(running, {str(number): [] for number in range(100)})) == 100


async def test_a_task_is_reported_once_in_a_request(running: Client) -> None:
    twice = [{"task": "it", "points": [build_point()]}] * 2
    error = await get_refusal(running, "metricsReport", reports=twice)
    assert (error["code"], error["field"], error["task"]) == ("DATA_VALIDATION_ERROR", "reports", "it")


@pytest.mark.parametrize(
    "bad",
    [
        {"metric": None},
        {"metric": 5},
        {"variant": ABSENT},
        {"iteration": 2**63},
        {"iteration": 1.5},
        {"iteration": "1"},
        {"value": "0.5"},
        {"value": True},
        {"value": {}},
        {"timestamp": "yesterday"},
        {"timestamp": 1_790_000_000_000},
        {"timestamp": "2026-01-31T12:00:00"},
        {"iter": 1},
    ],
    ids=" ".join,
)
async def test_an_ill_typed_value_refuses_the_request_and_is_named(running: Client, bad: Document) -> None:
    wrong = {name: value for name, value in (build_point() | bad).items() if value is not ABSENT}
    error = await get_refusal(running, "metricsReport", reports=[{"task": "it", "points": [build_point(), wrong]}])
    assert error["code"] == "VALIDATION_FAILED"
    assert ".reports[0].points[1]" in error["message"]


@pytest.mark.parametrize("value", ["1e400", "-1e400", "NaN", "Infinity"])
async def test_json_with_an_invalid_number_is_refused(running: Client, value: str) -> None:
    before = await read_documents(running.database)
    body = json.dumps(
        {
            "query": mutation("metricsReport", RESULT),
            "variables": {"input": {"reports": [{"task": "it", "points": [build_point(12345)]}]}},
        }
    )
    json_type = {"content-type": "application/json"}
    answer = await running.http.post("/graphql", content=body.replace("12345", value), headers=json_type)
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert await read_documents(running.database) == before
