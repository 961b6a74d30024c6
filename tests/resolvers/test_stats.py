"""Statistics of groups of tasks equal those that Python computes of the same rows."""

import statistics
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import (
    COMPANY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    hyperparams,
    last_metrics,
    project,
    task,
    user,
)
from tests.support.generated import GENERATED, METRIC, PARAMETER, STAT, merge, rows
from tests.support.oracle import get_at, read_metric, read_text

Database = AsyncDatabase[Document]

STATS = """
query($filter: TaskFilter, $groupBy: [TaskGroup!]!, $metrics: [MetricRef!]) {
  taskStats(filter: $filter, groupBy: $groupBy, metrics: $metrics) {
    group { value }
    count
    metrics { metric variant stat count mean std min max minTask { id } maxTask { id } }
  }
}"""
PATHS = {"STATUS": "status", "PROJECT": "project", "USER": "user", "TYPE": "type", "QUEUE": "execution.queue"}


# -- the oracle ------------------------------------------------------------------------------------


def read_plain_text(value: Any) -> str | None:
    return value if type(value) is str else None


def list_group_values(row: Document, group: Document) -> list[str | None]:
    """The values of a row for one group key: its tags, or one value."""
    if "hyperparam" in group:
        return [read_text(row, group["hyperparam"])]
    if group["field"] == "TAG":
        tags = row.get("tags")
        return sorted({read_plain_text(tag) for tag in tags}, key=str) if isinstance(tags, list) and tags else [None]
    value = read_plain_text(get_at(row, *PATHS[group["field"]].split(".")))
    return [value.upper() if value is not None and group["field"] in ("STATUS", "TYPE") else value]


def group_rows(rows: list[Document], groups: list[Document]) -> dict[tuple[str | None, ...], list[Document]]:
    members_by_key: dict[tuple[str | None, ...], list[Document]] = {(): rows} if rows else {}
    for group in groups:
        finer: dict[tuple[str | None, ...], list[Document]] = defaultdict(list)
        for key, members in members_by_key.items():
            for row in members:
                for value in list_group_values(row, group):
                    finer[(*key, value)].append(row)
        members_by_key = finer
    return members_by_key


def measure(rows: list[Document], ref: Document) -> Document:
    pairs = sorted((float(value), row["_id"]) for row in rows if (value := read_metric(row, ref)) is not None)
    values = [value for value, _ in pairs]
    return {
        "metric": ref["metric"],
        "variant": ref["variant"],
        "stat": ref.get("stat", "LAST"),
        "count": len(pairs),
        "mean": pytest.approx(statistics.fmean(values)) if pairs else None,
        "std": pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6) if len(pairs) > 1 else None,
        "min": values[0] if pairs else None,
        "max": values[-1] if pairs else None,
        "minTask": {"id": pairs[0][1]} if pairs else None,
        "maxTask": {"id": pairs[-1][1]} if pairs else None,
    }


GROUPS = st.one_of(
    st.sampled_from([*PATHS, "TAG"]).map(lambda field: {"field": field}), PARAMETER.map(lambda ref: {"hyperparam": ref})
)


@pytest.mark.slow
@GENERATED
@given(
    rows=rows(),
    groups=st.lists(GROUPS, max_size=3),
    metrics=st.lists(merge(METRIC, STAT), max_size=2),
)
async def test_groups_equal_those_that_python_counts(
    client: Client, database: Database, rows: list[Document], groups: list[Document], metrics: list[Document]
) -> None:
    small = [row for row in rows if all(abs(read_metric(row, ref) or 0) < 1e100 for ref in metrics)]
    if small:
        await database.task.insert_many(small)
    try:
        stats = (await client.data(STATS, groupBy=groups, metrics=metrics))["taskStats"]
    finally:
        await database.task.delete_many({})
    expected = group_rows(small, groups)
    assert {tuple(value["value"] for value in row["group"]): row["count"] for row in stats} == {
        key: len(members) for key, members in expected.items()
    }
    assert [row["count"] for row in stats] == sorted((row["count"] for row in stats), reverse=True)
    for row in stats:
        members = expected[tuple(value["value"] for value in row["group"])]
        assert row["metrics"] == [measure(members, ref) for ref in metrics]


# -- as a user asks --------------------------------------------------------------------------------


async def test_the_seeds_of_an_experiment_have_a_mean_and_a_best_task_by_one_aggregation(
    client: Client, database: Database, commands: Commands
) -> None:
    def run(id_: str, lr: str, accuracy: float, **fields: Any) -> Document:
        parameters, metrics = hyperparams(("General", "lr", lr)), last_metrics(("accuracy", "test", accuracy))
        return task(_id=id_, project="p", hyperparams=parameters, last_metrics=metrics, **fields)

    await database.project.insert_one(project(_id="p", name="digits"))
    await database.user.insert_one(user(_id="u", name="Ada"))
    await database.task.insert_many(
        [
            run("a", "0.1", 0.5),
            run("b", "0.1", 0.7, user="u"),
            run("c", "0.01", 0.9, company=PUBLIC),
            run("d", "0.01", 0.99, company=OTHER_COMPANY),
        ]
    )
    commands.seen.clear()
    query = """query($lr: HyperparamRef!) {
      taskStats(filter: {status: [COMPLETED]}, groupBy: [{field: PROJECT}, {hyperparam: $lr}],
                metrics: [{metric: "accuracy", variant: "test"}]) {
        group { value project { name } } count
        metrics { mean std maxTask { id name user { name } } } } }"""
    rows = (await client.data(query, lr={"section": "General", "name": "lr"}))["taskStats"]
    digits = {"value": "p", "project": {"name": "digits"}}
    best = {"id": "b", "name": "train digits", "user": {"name": "Ada"}}
    assert rows == [
        {
            "group": [digits, {"value": "0.1", "project": None}],
            "count": 2,
            "metrics": [{"mean": 0.6, "std": pytest.approx(0.1414213562), "maxTask": best}],
        },
        {
            "group": [digits, {"value": "0.01", "project": None}],
            "count": 1,
            "metrics": [{"mean": 0.9, "std": None, "maxTask": {"id": "c", "name": "train digits", "user": None}}],
        },
    ]
    assert [command.get("aggregate") or command["find"] for command in commands.seen].count("task") == 2
    assert len(commands.seen) == 4  # the groups, the projects, the best tasks, their users


async def test_a_task_that_has_a_tag_twice_counts_once(client: Client, database: Database) -> None:
    """Other programs store a tag twice; neither the count nor the mean of a metric has the task twice."""
    await database.task.insert_many(
        [
            task(_id="twice", tags=["a", "a", "b"], last_metrics=last_metrics(("m", "v", 1.0))),
            task(_id="once", tags=["a"], last_metrics=last_metrics(("m", "v", 4.0))),
        ]
    )
    stats = (await client.data(STATS, groupBy=[{"field": "TAG"}], metrics=[{"metric": "m", "variant": "v"}]))[
        "taskStats"
    ]
    assert [(row["group"], row["count"], row["metrics"][0]["mean"]) for row in stats] == [
        ([{"value": "a"}], 2, 2.5),
        ([{"value": "b"}], 1, 1.0),
    ]


async def test_without_group_keys_there_is_one_group_and_without_tasks_none(client: Client, database: Database) -> None:
    assert (await client.data(STATS, groupBy=[]))["taskStats"] == []
    await database.task.insert_many([task(_id="a"), task(_id="b")])
    assert (await client.data(STATS, groupBy=[]))["taskStats"] == [{"group": [], "count": 2, "metrics": []}]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"groupBy": [{}]}, "VALIDATION_ERROR"),
        ({"groupBy": [{"field": "TAG", "hyperparam": {"section": "a", "name": "b"}}]}, "VALIDATION_ERROR"),
        ({"groupBy": [{"hyperparam": {"section": " ", "name": "b"}}]}, "FIELDS_VALUE_ERROR"),
        ({"groupBy": [{"field": "STATUS"}] * 5}, "LIMIT_EXCEEDED"),
        ({"groupBy": [], "metrics": [{"metric": "m", "variant": "v"}] * 21}, "LIMIT_EXCEEDED"),
        ({"groupBy": [], "filter": {"or": []}}, "FIELDS_VALUE_ERROR"),
        ({"groupBy": None}, "VALIDATION_FAILED"),
        ({"groupBy": [{"field": "NAME"}]}, "VALIDATION_FAILED"),
    ],
)
async def test_impossible_groups_are_refused(client: Client, arguments: Document, code: str) -> None:
    assert (await client.error(STATS, **arguments))["code"] == code


async def test_four_keys_and_twenty_metrics_are_the_maximum(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="a"))
    metrics = [{"metric": "m", "variant": "v"}] * 20
    [group] = (await client.data(STATS, groupBy=[{"field": "STATUS"}] * 4, metrics=metrics))["taskStats"]
    assert (len(group["group"]), len(group["metrics"])) == (4, 20)


async def test_more_groups_than_a_page_are_refused(client: Client, database: Database) -> None:
    rows = [{"_id": f"{number}", "company": COMPANY, "user": f"u{number}"} for number in range(501)]
    await database.task.insert_many(rows)
    error = await client.error(STATS, groupBy=[{"field": "USER"}])
    assert (error["code"], error["maximum"]) == ("LIMIT_EXCEEDED", 500)
    assert len((await client.data(STATS, groupBy=[{"field": "USER"}], filter={"id": ["-0"]}))["taskStats"]) == 500
