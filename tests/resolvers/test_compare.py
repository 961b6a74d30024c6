"""Tasks side by side are what comparing them piece by piece in Python makes of them."""

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
Found = dict[tuple[str, ...], list[tuple[str | None, str]]]


async def compared(client: Client, *ids: str, **more: Any) -> Found:
    items = (await client.data(COMPARE, ids=ids, **more))["compareTasks"]["items"]
    return {
        (item["section"], *item["path"]): [(value["value"], value["change"]) for value in item["values"]]
        for item in items
    }


# -- one section after the other -------------------------------------------------------------------


def configured(**texts: str) -> Document:
    return {"configuration": {escape(name): {"name": name, "value": text} for name, text in texts.items()}}


DIFFERENCES: dict[str, tuple[Document, Document, Found]] = {
    "hyperparameters by their own names": (
        {"hyperparams": hyperparams(("Args", "a.b", "1"), ("General", "$x", "y"), ("General", "same", "1"))},
        {"hyperparams": hyperparams(("Args", "a.b", "1.0"), ("General", "new", ""), ("General", "same", "1"))},
        {("HYPERPARAMS", "Args", "a.b"): [("1", "SAME"), ("1.0", "CHANGED")],
         ("HYPERPARAMS", "General", "$x"): [("y", "SAME"), (None, "REMOVED")],
         ("HYPERPARAMS", "General", "new"): [(None, "SAME"), ("", "ADDED")]},
    ),
    "JSON by its paths": (
        configured(net='{"layers": [1, 2], "opt": {"lr": 0.1, "name": "sgd"}, "gone": null}'),
        configured(net='{"layers": [1, 3], "opt": {"lr": 0.10, "name": "adam"}, "empty": {}}'),
        {("CONFIGURATION", "net", "empty"): [(None, "SAME"), ("{}", "ADDED")],
         ("CONFIGURATION", "net", "gone"): [("null", "SAME"), (None, "REMOVED")],
         ("CONFIGURATION", "net", "layers"): [("[1,2]", "SAME"), ("[1,3]", "CHANGED")],
         ("CONFIGURATION", "net", "opt", "name"): [("sgd", "SAME"), ("adam", "CHANGED")]},
    ),
    "HOCON by its paths": (
        configured(**{"net.conf": 'net {\n  lr = 0.1\n  name = "a.b"\n}\n"x.y" = 1'}),
        configured(**{"net.conf": 'net { lr: 0.2, name: "a.b" }\n"x.y" = 2'}),
        {("CONFIGURATION", "net.conf", "net", "lr"): [("0.1", "SAME"), ("0.2", "CHANGED")],
         ("CONFIGURATION", "net.conf", "x.y"): [("1", "SAME"), ("2", "CHANGED")]},
    ),
    "any other text as a whole": (
        configured(a="to be: [or", c="x = 1 " * 5000),
        configured(a="not to be: [", c="x = 2 " * 5000),
        {("CONFIGURATION", "a"): [("to be: [or", "SAME"), ("not to be: [", "CHANGED")],
         ("CONFIGURATION", "c"): [("x = 1 " * 5000, "SAME"), ("x = 2 " * 5000, "CHANGED")]},
    ),
    "script and requirements": (
        {"script": {"branch": "main", "entry_point": "a.py", "diff": "", "requirements": {
            "pip": "# made by hand\n\nnumpy == 1.0\ntorch>=2 ; python_version > '3'\ngone", "conda": ["scipy=1", 5]}}},
        {"script": {"branch": "dev", "entry_point": "a.py", "diff": "+x", "requirements": {
            "pip": "numpy == 2.0  # pinned\ntorch>=2 ; python_version > '3'", "conda": None}}},
        {("SCRIPT", "branch"): [("main", "SAME"), ("dev", "CHANGED")],
         ("SCRIPT", "diff"): [(None, "SAME"), ("+x", "ADDED")],
         ("REQUIREMENTS", "pip", "numpy"): [("== 1.0", "SAME"), ("== 2.0", "CHANGED")],
         ("REQUIREMENTS", "pip", "gone"): [("", "SAME"), (None, "REMOVED")],
         ("REQUIREMENTS", "conda", "scipy"): [("=1", "SAME"), (None, "REMOVED")]},
    ),
    "metrics": (
        {"last_metrics": last_metrics(("loss/x", "train", 0.5))},
        {"last_metrics": last_metrics(("loss/x", "train", 0.25))},
        {("LAST_METRICS", "loss/x", "train", "last"): [("0.5", "SAME"), ("0.25", "CHANGED")],
         ("LAST_METRICS", "loss/x", "train", "min"): [("-0.5", "SAME"), ("-0.75", "CHANGED")],
         ("LAST_METRICS", "loss/x", "train", "max"): [("1.5", "SAME"), ("1.25", "CHANGED")]},
    ),
    "parts of odd types": (
        {"hyperparams": {"Args": {"a": {"value": 5}, "b": "x"}, "B": []}, "configuration": {"c": {"value": 5}, "d": []},
         "script": [], "last_metrics": {"m": {"v": {"metric": 5, "variant": "v", "value": 1.0}, "w": 5}, "n": 5}},
        {"hyperparams": None, "configuration": 5, "script": {"branch": 5, "requirements": "numpy"}, "last_metrics": []},
        {},
    ),
}  # fmt: skip
BARE = {"hyperparams": {}, "configuration": {}, "script": {}, "last_metrics": {}}


@pytest.mark.parametrize("what", DIFFERENCES)
async def test_what_differs_is_told_by_section_and_path(client: Client, database: Database, what: str) -> None:
    one, other, expected = DIFFERENCES[what]
    await database.task.insert_many([task(_id="a", **BARE | one), task(_id="b", **BARE | other)])
    assert await compared(client, "a", "b") == expected
    back = await compared(client, "b", "a")
    assert {key: [value for value, _ in reversed(values)] for key, values in back.items()} == {
        key: [value for value, _ in values] for key, values in expected.items()
    }


@pytest.mark.parametrize("type_", ["", "hocon", "yaml", "json"])
@pytest.mark.parametrize("text", [
    'include "FILE"', 'include file("FILE")', 'include required(file("FILE"))', 'include url("file://FILE")',
    'a { include "FILE" }', 'a = 1\ninclude "FILE"', "a: !include FILE", "$ref: FILE", "#include FILE",
])  # fmt: skip
async def test_no_configuration_reads_a_file_of_the_server(
    client: Client, database: Database, tmp_path: Path, text: str, type_: str
) -> None:
    """The file is one that every reader would understand."""
    file = tmp_path / "clearml.json"
    file.write_text('{"secret_key": "hidden"}')
    texts = {"a": text.replace("FILE", str(file)), "b": ""}
    await database.task.insert_many([
        task(_id=id_, **BARE | {"configuration": {"c": {"name": "c", "value": value, "type": type_}}})
        for id_, value in texts.items()
    ])  # fmt: skip
    found = str(await compared(client, "a", "b"))
    assert str(file) in found
    assert "secret_key" not in found
    assert "hidden" not in found


# -- the oracle ------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b.c", "$d", "é", "x y"])
VALUES = st.dictionaries(st.tuples(NAMES, NAMES), st.sampled_from(["", "1", "2"]), max_size=5)
LEAVES = st.one_of(st.integers(0, 2), st.dictionaries(NAMES, st.booleans(), min_size=1))
CONFIGURATIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, LEAVES), max_size=3)


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    if isinstance(value, dict) and value:
        return {key: leaf for name, inner in value.items() for key, leaf in flat(inner, (*path, name)).items()}
    return {path: json.dumps(value, separators=(",", ":"))}


@GENERATED
@given(made=st.lists(st.tuples(VALUES, CONFIGURATIONS), min_size=1, max_size=4), everything=st.booleans())
async def test_a_comparison_is_what_python_makes_of_the_tasks(
    client: Client, database: Database, made: list[tuple[Any, Any]], everything: bool
) -> None:
    ids = [f"t{number}" for number in range(len(made))]
    rows, taken = [], []
    for id_, (values, configurations) in zip(ids, made, strict=True):
        texts = {name: json.dumps(inner) for name, inner in configurations.items()}
        parameters = hyperparams(*((section, name, value) for (section, name), value in values.items()))
        rows.append(task(_id=id_, **BARE | {"hyperparams": parameters} | configured(**texts)))
        taken.append(
            {("HYPERPARAMS", *key): value for key, value in values.items()}
            | {
                ("CONFIGURATION", *key): leaf
                for name, inner in configurations.items()
                for key, leaf in flat(inner, (name,)).items()
            }
        )
    await database.task.insert_many(rows)
    try:
        found = await compared(client, *ids, all=not everything)
    finally:
        await database.task.delete_many({})
    expected = {}
    for key in {key for values in taken for key in values}:
        values = [values.get(key) for values in taken]
        if everything or len(set(values)) > 1:
            expected[key] = [(value, change(values[0], value)) for value in values]
    assert found == expected


def change(baseline: str | None, value: str | None) -> str:
    names = {(False, True): "ADDED", (True, False): "REMOVED", (True, True): "CHANGED", (False, False): "SAME"}
    return "SAME" if value == baseline else names[(baseline is not None, value is not None)]


# -- as a user asks --------------------------------------------------------------------------------


async def test_the_sessions_differ_in_what_they_were_run_with(client: Client, database: Database) -> None:
    await import_files(database, [SAMPLE], company=Settings().company, user="test", shown={})
    with_alpha = database.task.find({"hyperparams.General.alpha": {"$ne": None}})
    stored = {row["_id"]: row["hyperparams"] async for row in with_alpha}
    ids = sorted(stored)
    found = await compared(client, *ids)
    assert [value for value, _ in found["HYPERPARAMS", "General", "alpha"]] == [
        stored[id_]["General"]["alpha"]["value"] for id_ in ids
    ]
    assert ("CONFIGURATION", "model", "classes") in found
    assert ("CONFIGURATION", "model", "model", "type") not in found  # all have the same


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


@pytest.mark.parametrize(("arguments", "code"), [
    ({"ids": []}, "VALIDATION_ERROR"), ({"ids": ["a", "gone"]}, "INVALID_TASK_ID"),
    ({"ids": ["foreign"]}, "INVALID_TASK_ID"),
    ({"ids": ["a"], "baseline": "gone"}, "INVALID_TASK_ID"), ({"ids": [f"{n}" for n in range(51)]}, "LIMIT_EXCEEDED"),
    ({"ids": None}, "VALIDATION_FAILED"),
])  # fmt: skip
async def test_what_can_not_be_compared_is_refused(
    client: Client, database: Database, arguments: Document, code: str
) -> None:
    await database.task.insert_many([task(_id="a"), task(_id="foreign", company=OTHER_COMPANY)])
    assert (await client.error(COMPARE, **arguments))["code"] == code


async def test_an_unknown_task_is_told_with_the_argument_that_named_it(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="a"))
    assert (await client.error(COMPARE, ids=["a"], baseline="gone"))["field"] == "baseline"
    assert (await client.error(COMPARE, ids=["a", "gone"], baseline="a"))["field"] == "ids"
    assert (await client.error(COMPARE, ids=["a", "gone"], baseline="gone"))["field"] == "ids"
