"""Series: reported points come back one by one, or downsampled without losing gaps and extremes."""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.settings import Settings
from models.documents.block import SERIES
from models.imports.importer import import_files
from models.metrics.blocks import BLOCK_SIZE, POINT_TYPE
from resolvers.fields.points import DOWNSAMPLING_METHODS, choose_points
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import OTHER_COMPANY, PUBLIC, Document
from tests.support.paths import DATA
from tests.support.reports import Database, add_report

SESSIONS = sorted((DATA / "offline-sessions").glob("*.zip"))
SERIES_QUERY = """
query(
  $id: ID!, $metric: [String!], $variant: [String!], $from: Long, $to: Long, $max_points: Int, $method: Downsampling
) {
  task(id: $id) {
    series(metric: $metric, variant: $variant, iterationFrom: $from, iterationTo: $to,
           maxPoints: $max_points, method: $method) {
      metric variant iterations values timestamps originalCount stride
    }
  }
}"""


def read_events(session: Path) -> Iterator[Document]:
    with ZipFile(session) as archive:
        for line in archive.read("metrics.jsonl").decode().splitlines():
            yield from (event for event in json.loads(line) if event["type"] == "training_stats_scalar")


def format_time(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    return at.isoformat(timespec="milliseconds") + "Z"


async def read_series(client: Client, id_: str, **arguments: Any) -> list[Document]:
    all_series: list[Document] = (await client.data(SERIES_QUERY, id=id_, **arguments))["task"]["series"]
    return all_series


# -- reported points -------------------------------------------------------------------------------


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem[-6:])
async def test_the_series_of_a_session_are_its_events_point_for_point(
    client: Client, database: Database, session: Path
) -> None:
    await import_files(database, [session], company=Settings().company, user="test", shown_fields={})
    expected: dict[tuple[str, str], list[tuple[int, float, int]]] = defaultdict(list)
    for event in read_events(session):
        expected[event["metric"], event["variant"]].append((event["iter"], event["value"], event["timestamp"]))
    [stored] = await database.task.find().to_list()
    all_series = await read_series(client, stored["_id"], max_points=10_000)
    assert [(series["metric"], series["variant"]) for series in all_series] == sorted(expected)
    for series in all_series:
        points = sorted(expected[series["metric"], series["variant"]], key=lambda point: point[0])
        assert series["iterations"] == [iteration for iteration, _, _ in points]
        assert series["values"] == [value for _, value, _ in points]
        assert series["timestamps"] == [format_time(timestamp) for _, _, timestamp in points]
        assert (series["originalCount"], series["stride"]) == (len(points), 1)


async def test_importing_twice_stores_series_once(database: Database) -> None:
    for changes in (True, False):
        report = await import_files(database, SESSIONS, company=Settings().company, user="test", shown_fields={})
        tally = report.collections[SERIES]
        assert (tally.imported > 0, tally.updated, tally.skipped > 0) == (changes, 0, not changes)


async def test_a_series_of_several_blocks_is_complete_and_in_the_order_of_iterations(
    client: Client, database: Database
) -> None:
    points = [(number ^ 1, number / 7) for number in range(2 * BLOCK_SIZE + 100)]
    await add_report(database, "t", v=points)
    assert await database[SERIES].count_documents({}) == 3
    [series] = await read_series(client, "t", max_points=10_000)
    assert list(zip(series["iterations"], series["values"], strict=True)) == sorted(points)


async def test_gaps_are_null_and_the_last_reported_point_of_an_iteration_stays(
    client: Client, database: Database
) -> None:
    points = [(2, 0.5), (1, math.nan), (3, 1.0), (1, math.inf), (1, 3.0), (0, None), (3, None)]
    await add_report(database, "t", v=points)
    [series] = await read_series(client, "t")
    assert (series["iterations"], series["values"]) == ([0, 1, 2, 3], [None, 3.0, 0.5, None])
    assert series["timestamps"] == [format_time(1_790_000_000_000 + place) for place in (5, 4, 0, 6)]
    assert (series["originalCount"], series["stride"]) == (4, 1)


async def test_a_time_that_can_not_be_shown_is_the_nearest_one(client: Client, database: Database) -> None:
    """As of a program that counts microseconds; the times of other points stay beside their values."""
    times = [0, 2**62, -(2**62), 1_790_000_000_000]
    await add_report(database, "t", v=[(place, 1.0) for place in range(len(times))])
    block = await database[SERIES].find_one()
    assert block
    points = np.frombuffer(b"".join(block["chunks"]), POINT_TYPE).copy()
    points["timestamps"] = times
    await database[SERIES].update_one({"_id": block["_id"]}, {"$set": {"chunks": [points.tobytes()]}})
    [series] = await read_series(client, "t")
    assert series["timestamps"] == [
        "1970-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00.000Z",
        format_time(times[-1]),
    ]


# -- selections ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"from": 3}, [3, 4, 5]),
        ({"to": 1}, [0, 1]),
        ({"from": 2, "to": 2}, [2]),
        ({"from": 4, "to": 3}, []),
        ({"from": -(2**63), "to": 2**63 - 1}, [0, 1, 2, 3, 4, 5]),
        ({"from": 9}, []),
    ],
)
async def test_a_range_of_iterations(client: Client, database: Database, arguments: Any, expected: list[int]) -> None:
    await add_report(database, "t", v=[(number, float(number)) for number in range(6)])
    [series] = await read_series(client, "t", **arguments)
    assert (series["iterations"], series["originalCount"], series["stride"]) == (expected, len(expected), 1)


async def test_series_are_selected_by_metric_and_variant(client: Client, database: Database) -> None:
    await add_report(database, "t", **{"a.b": [(0, 1.0)], "$c": [(0, 2.0)], "": [(0, 3.0)]})
    for asked, expected in [
        ({}, ["", "$c", "a.b"]),
        ({"variant": ["a.b", "gone"]}, ["a.b"]),
        ({"metric": ["other"]}, []),
        ({"variant": []}, []),
        ({"metric": ["m"], "variant": [""]}, [""]),
    ]:
        assert [series["variant"] for series in await read_series(client, "t", **asked)] == expected


async def test_the_series_of_fifty_tasks_are_read_by_one_command(
    client: Client, database: Database, commands: Commands
) -> None:
    for number in range(50):
        await add_report(database, f"t{number:02}", v=[(step, float(step)) for step in range(20)])
    await add_report(database, "x public", company=PUBLIC, v=[(0, 1.0)])
    await add_report(database, "y foreign", company=OTHER_COMPANY, v=[(0, 1.0)])
    commands.seen.clear()
    query = """{ tasks(first: 100, orderBy: [{field: ID}]) { nodes {
      a: series(maxPoints: 10) { iterations } b: series(metric: ["m"]) { values } } } }"""
    nodes = (await client.data(query))["tasks"]["nodes"]
    assert [len(node["b"][0]["values"]) for node in nodes] == [20] * 50 + [1]
    assert all(len(node["a"][0]["iterations"]) <= 10 for node in nodes)
    assert [command.get("find") for command in commands.seen] == [None, SERIES, SERIES]  # one for each selection


# -- downsampling ----------------------------------------------------------------------------------


FINITE = st.floats(-1e6, 1e6)
VALUES = st.lists(st.one_of(FINITE, FINITE, FINITE, st.just(math.nan)), min_size=1, max_size=400).map(np.array)


@pytest.mark.slow
@pytest.mark.parametrize("method", DOWNSAMPLING_METHODS)
@settings(deadline=None, max_examples=150)
@given(values=VALUES, max_points=st.integers(10, 60))
def test_downsampled_points_are_points_of_the_series_and_lose_no_gap(method: str, values: Any, max_points: int) -> None:
    indexes = choose_points(values, max_points, method)
    assert len(indexes) <= max(max_points, len(values) if len(values) <= max_points else 0)
    assert sorted(set(indexes.tolist())) == indexes.tolist()
    assert indexes.tolist() == choose_points(values, max_points, method).tolist()
    assert (indexes[0], indexes[-1]) == (0, len(values) - 1)  # the newest point is there, be it a gap
    gaps = np.isnan(values)
    for one, other in itertools.pairwise(indexes):
        if gaps[one + 1 : other].any():  # a gap between two points shows as a null at one of its ends
            assert gaps[one] or gaps[other]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["minmax", "minmax_lttb"])
@settings(deadline=None, max_examples=300)
@given(values=VALUES, max_points=st.integers(10, 60))
def test_extremes_are_never_lost_with_minmax(method: str, values: Any, max_points: int) -> None:
    chosen = values[choose_points(values, max_points, method)]
    if not np.isnan(values).all():
        assert np.nanmin(chosen) == np.nanmin(values)
        assert np.nanmax(chosen) == np.nanmax(values)


async def test_a_stride_is_the_number_of_points_that_one_stands_for(client: Client, database: Database) -> None:
    await add_report(database, "t", v=[(step, math.sin(step / 50)) for step in range(3000)])
    for method in ("MINMAX_LTTB", "MINMAX", "LTTB", "EVERY_NTH"):
        [series] = await read_series(client, "t", max_points=100, method=method)
        assert 50 < len(series["values"]) <= 100
        assert series["originalCount"] == 3000
        assert series["stride"] == pytest.approx(3000 / len(series["values"]))
    [series] = await read_series(client, "t")
    assert len(series["values"]) <= 500


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"max_points": 9}, "VALIDATION_ERROR"),
        ({"max_points": 10_001}, "LIMIT_EXCEEDED"),
        ({"from": "x"}, "VALIDATION_FAILED"),
        ({"method": "BEST"}, "VALIDATION_FAILED"),
    ],
)
async def test_impossible_windows_are_refused(
    client: Client, database: Database, arguments: Document, code: str
) -> None:
    await add_report(database, "t", v=[(0, 1.0)])
    assert (await client.error(SERIES_QUERY, id="t", **arguments))["code"] == code
