"""A comparison of tasks equals the comparison of their values in Python."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from api.import_command import SAMPLE
from api.settings import Settings
from models.imports.importer import import_files
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import OTHER_COMPANY, PUBLIC, Document, escape, hyperparams, last_metrics, old_task, task
from tests.support.generated import GENERATED

Database = AsyncDatabase[Document]

COMPARE = """
query($ids: [ID!]!, $baseline: ID, $all: Boolean) {
  compareTasks(ids: $ids, baseline: $baseline, onlyDifferences: $all) {
    baseline { id name }
    tasks { task { id } added removed changed }
    items { section path values { value change } }
  }
}"""
Differences = dict[tuple[str, ...], list[tuple[str | None, str]]]


async def compare(client: Client, *ids: str, **more: Any) -> Differences:
    items = (await client.data(COMPARE, ids=ids, **more))["compareTasks"]["items"]
    return {
        (item["section"], *item["path"]): [(value["value"], value["change"]) for value in item["values"]]
        for item in items
    }


# -- one section after the other -------------------------------------------------------------------


def build_configuration(**texts: str) -> Document:
    return {"configuration": {escape(name): {"name": name, "value": text} for name, text in texts.items()}}


DIFFERENCES: dict[str, tuple[Document, Document, Differences]] = {
    "hyperparameters by their own names": (
        {"hyperparams": hyperparams(("Args", "a.b", "1"), ("General", "$x", "y"), ("General", "same", "1"))},
        {"hyperparams": hyperparams(("Args", "a.b", "1.0"), ("General", "new", ""), ("General", "same", "1"))},
        {
            ("HYPERPARAMS", "Args", "a.b"): [("1", "SAME"), ("1.0", "CHANGED")],
            ("HYPERPARAMS", "General", "$x"): [("y", "SAME"), (None, "REMOVED")],
            ("HYPERPARAMS", "General", "new"): [(None, "SAME"), ("", "ADDED")],
        },
    ),
    "JSON by its paths": (
        build_configuration(net='{"layers": [1, 2], "opt": {"lr": 0.1, "name": "sgd"}, "gone": null}'),
        build_configuration(net='{"layers": [1, 3], "opt": {"lr": 0.10, "name": "adam"}, "empty": {}}'),
        {
            ("CONFIGURATION", "net", "empty"): [(None, "SAME"), ("{}", "ADDED")],
            ("CONFIGURATION", "net", "gone"): [("null", "SAME"), (None, "REMOVED")],
            ("CONFIGURATION", "net", "layers"): [("[1,2]", "SAME"), ("[1,3]", "CHANGED")],
            ("CONFIGURATION", "net", "opt", "name"): [("sgd", "SAME"), ("adam", "CHANGED")],
        },
    ),
    "HOCON by its paths": (
        build_configuration(**{"net.conf": 'net {\n  lr = 0.1\n  name = "a.b"\n}\n"x.y" = 1'}),
        build_configuration(**{"net.conf": 'net { lr: 0.2, name: "a.b" }\n"x.y" = 2'}),
        {
            ("CONFIGURATION", "net.conf", "net", "lr"): [("0.1", "SAME"), ("0.2", "CHANGED")],
            ("CONFIGURATION", "net.conf", "x.y"): [("1", "SAME"), ("2", "CHANGED")],
        },
    ),
    "any other text as a whole": (
        build_configuration(a="to be: [or", c="x = 1 " * 5000),
        build_configuration(a="not to be: [", c="x = 2 " * 5000),
        {
            ("CONFIGURATION", "a"): [("to be: [or", "SAME"), ("not to be: [", "CHANGED")],
            ("CONFIGURATION", "c"): [("x = 1 " * 5000, "SAME"), ("x = 2 " * 5000, "CHANGED")],
        },
    ),
    "script and requirements": (
        {
            "script": {
                "branch": "main",
                "entry_point": "a.py",
                "diff": "",
                "requirements": {
                    "pip": "# made by hand\n\nnumpy == 1.0\ntorch>=2 ; python_version > '3'\ngone",
                    "conda": ["scipy=1", 5],
                },
            }
        },
        {
            "script": {
                "branch": "dev",
                "entry_point": "a.py",
                "diff": "+x",
                "requirements": {"pip": "numpy == 2.0  # pinned\ntorch>=2 ; python_version > '3'", "conda": None},
            }
        },
        {
            ("SCRIPT", "branch"): [("main", "SAME"), ("dev", "CHANGED")],
            ("SCRIPT", "diff"): [(None, "SAME"), ("+x", "ADDED")],
            ("REQUIREMENTS", "pip", "numpy"): [("== 1.0", "SAME"), ("== 2.0", "CHANGED")],
            ("REQUIREMENTS", "pip", "gone"): [("", "SAME"), (None, "REMOVED")],
            ("REQUIREMENTS", "conda", "scipy"): [("=1", "SAME"), (None, "REMOVED")],
        },
    ),
    "metrics": (
        {"last_metrics": last_metrics(("loss/x", "train", 0.5))},
        {"last_metrics": last_metrics(("loss/x", "train", 0.25))},
        {
            ("LAST_METRICS", "loss/x", "train", "last"): [("0.5", "SAME"), ("0.25", "CHANGED")],
            ("LAST_METRICS", "loss/x", "train", "min"): [("-0.5", "SAME"), ("-0.75", "CHANGED")],
            ("LAST_METRICS", "loss/x", "train", "max"): [("1.5", "SAME"), ("1.25", "CHANGED")],
        },
    ),
    "parts of odd types": (
        {
            "hyperparams": {"Args": {"a": {"value": 5}, "b": "x"}, "B": []},
            "configuration": {"c": {"value": 5}, "d": []},
            "script": [],
            "last_metrics": {"m": {"v": {"metric": 5, "variant": "v", "value": 1.0}, "w": 5}, "n": 5},
        },
        {"hyperparams": None, "configuration": 5, "script": {"branch": 5, "requirements": "numpy"}, "last_metrics": []},
        {},
    ),
}
BARE = {"hyperparams": {}, "configuration": {}, "script": {}, "last_metrics": {}}


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_differences_have_a_section_and_a_path(client: Client, database: Database, name: str) -> None:
    first, second, expected = DIFFERENCES[name]
    await database.task.insert_many([task(_id="a", **BARE | first), task(_id="b", **BARE | second)])
    assert await compare(client, "a", "b") == expected
    back = await compare(client, "b", "a")
    assert {key: [value for value, _ in reversed(values)] for key, values in back.items()} == {
        key: [value for value, _ in values] for key, values in expected.items()
    }


@pytest.mark.parametrize("type_", ["", "hocon", "yaml", "json"])
@pytest.mark.parametrize(
    "text",
    [
        'include "FILE"',
        'include file("FILE")',
        'include required(file("FILE"))',
        'include url("file://FILE")',
        'a { include "FILE" }',
        'a = 1\ninclude "FILE"',
        "a: !include FILE",
        "$ref: FILE",
        "#include FILE",
    ],
)
async def test_no_configuration_reads_a_file_of_the_server(
    client: Client, database: Database, tmp_path: Path, text: str, type_: str
) -> None:
    """The file is one that every reader would understand."""
    file = tmp_path / "clearml.json"
    file.write_text('{"secret_key": "hidden"}')
    texts = {"a": text.replace("FILE", str(file)), "b": ""}
    await database.task.insert_many(
        [
            task(_id=id_, **BARE | {"configuration": {"c": {"name": "c", "value": value, "type": type_}}})
            for id_, value in texts.items()
        ]
    )
    differences = str(await compare(client, "a", "b"))
    assert str(file) in differences
    assert "secret_key" not in differences
    assert "hidden" not in differences


# -- the oracle ------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b.c", "$d", "é", "x y"])
VALUES = st.dictionaries(st.tuples(NAMES, NAMES), st.sampled_from(["", "1", "2"]), max_size=5)
LEAVES = st.one_of(st.integers(0, 2), st.dictionaries(NAMES, st.booleans(), min_size=1))
CONFIGURATIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, LEAVES), max_size=3)


def flatten(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    if isinstance(value, dict) and value:
        return {key: leaf for name, inner in value.items() for key, leaf in flatten(inner, (*path, name)).items()}
    return {path: json.dumps(value, separators=(",", ":"))}


@pytest.mark.slow
@GENERATED
@given(tasks=st.lists(st.tuples(VALUES, CONFIGURATIONS), min_size=1, max_size=4), has_equal_values=st.booleans())
async def test_a_comparison_equals_one_of_the_values_in_python(
    client: Client, database: Database, tasks: list[tuple[Any, Any]], has_equal_values: bool
) -> None:
    ids = [f"t{number}" for number in range(len(tasks))]
    rows, values_of_tasks = [], []
    for id_, (values, configurations) in zip(ids, tasks, strict=True):
        texts = {name: json.dumps(inner) for name, inner in configurations.items()}
        parameters = hyperparams(*((section, name, value) for (section, name), value in values.items()))
        rows.append(task(_id=id_, **BARE | {"hyperparams": parameters} | build_configuration(**texts)))
        values_of_tasks.append(
            {("HYPERPARAMS", *key): value for key, value in values.items()}
            | {
                ("CONFIGURATION", *key): leaf
                for name, inner in configurations.items()
                for key, leaf in flatten(inner, (name,)).items()
            }
        )
    await database.task.insert_many(rows)
    try:
        differences = await compare(client, *ids, all=not has_equal_values)
    finally:
        await database.task.delete_many({})
    expected = {}
    for key in {key for values in values_of_tasks for key in values}:
        values = [values.get(key) for values in values_of_tasks]
        if has_equal_values or len(set(values)) > 1:
            expected[key] = [(value, name_change(values[0], value)) for value in values]
    assert differences == expected


def name_change(baseline: str | None, value: str | None) -> str:
    names = {(False, True): "ADDED", (True, False): "REMOVED", (True, True): "CHANGED", (False, False): "SAME"}
    return "SAME" if value == baseline else names[(baseline is not None, value is not None)]


# -- as a user asks --------------------------------------------------------------------------------


async def test_the_sessions_differ_in_what_they_were_run_with(client: Client, database: Database) -> None:
    await import_files(database, [SAMPLE], company=Settings().company, user="test", shown_fields={})
    with_alpha = database.task.find({"hyperparams.General.alpha": {"$ne": None}})
    stored = {row["_id"]: row["hyperparams"] async for row in with_alpha}
    ids = sorted(stored)
    differences = await compare(client, *ids)
    assert [value for value, _ in differences["HYPERPARAMS", "General", "alpha"]] == [
        stored[id_]["General"]["alpha"]["value"] for id_ in ids
    ]
    assert ("CONFIGURATION", "model", "classes") in differences
    assert ("CONFIGURATION", "model", "model", "type") not in differences  # all have the same


async def test_the_baseline_stands_first_and_all_is_read_by_one_command(
    client: Client, database: Database, commands: Commands
) -> None:
    await database.task.insert_many([task(_id="a", company=PUBLIC), task(_id="b"), old_task(_id="c")])
    commands.seen.clear()
    query = """{ compareTasks(ids: ["a", "b", "a"], baseline: "c") {
      baseline { id } tasks { task { id } added removed changed } } }"""
    answer = (await client.data(query))["compareTasks"]
    assert answer["baseline"] == {"id": "c"}
    assert [row["task"]["id"] for row in answer["tasks"]] == ["c", "a", "b"]
    assert answer["tasks"][0] | {"task": None} == {"task": None, "added": 0, "removed": 0, "changed": 0}
    assert answer["tasks"][1]["added"] > 0
    assert len(commands.seen) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"ids": []}, "VALIDATION_ERROR"),
        ({"ids": ["a", "gone"]}, "INVALID_TASK_ID"),
        ({"ids": ["foreign"]}, "INVALID_TASK_ID"),
        ({"ids": ["a"], "baseline": "gone"}, "INVALID_TASK_ID"),
        ({"ids": [f"{n}" for n in range(51)]}, "LIMIT_EXCEEDED"),
        ({"ids": None}, "VALIDATION_FAILED"),
    ],
)
async def test_impossible_comparisons_are_refused(
    client: Client, database: Database, arguments: Document, code: str
) -> None:
    await database.task.insert_many([task(_id="a"), task(_id="foreign", company=OTHER_COMPANY)])
    assert (await client.error(COMPARE, **arguments))["code"] == code


async def test_null_shows_only_the_differences_as_the_default_does(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id="a", comment="same"), task(_id="b", comment="same")])
    assert await compare(client, "a", "b", all=None) == await compare(client, "a", "b") == {}
    assert await compare(client, "a", "b", all=False) != {}


async def test_fifty_tasks_are_compared(client: Client, database: Database) -> None:
    """The baseline is one of them."""
    ids = [f"{number}" for number in range(50)]
    await database.task.insert_many([task(_id=id_) for id_ in ids])
    for arguments in ({"ids": ids}, {"ids": ids[1:], "baseline": ids[0]}, {"ids": ids, "baseline": ids[7]}):
        assert len((await client.data(COMPARE, **arguments))["compareTasks"]["tasks"]) == 50
    assert (await client.error(COMPARE, ids=ids, baseline="another"))["actual"] == 51


async def test_the_error_for_an_unknown_task_names_the_argument_that_holds_it(
    client: Client, database: Database
) -> None:
    await database.task.insert_one(task(_id="a"))
    assert (await client.error(COMPARE, ids=["a"], baseline="gone"))["field"] == "baseline"
    assert (await client.error(COMPARE, ids=["a", "gone"], baseline="a"))["field"] == "ids"
    assert (await client.error(COMPARE, ids=["a", "gone"], baseline="gone"))["field"] == "ids"
