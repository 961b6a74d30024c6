"""What a stored document answers: relations, tenants, the older layout, names of any kind, and rows that are broken."""

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache, reduce
from operator import getitem
from typing import Any

import httpx
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_leaf_type,
)
from pyhocon import ConfigFactory
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from starlette.routing import Route

from api.graphql import GraphQLView
from api.settings import Settings
from models.types import Viewer
from resolvers.execution.context import Context
from resolvers.root import RELATED_FIELDS
from resolvers.root import build_schema as build
from schema.load import load
from tests.support.client import Client
from tests.support.derived import LOADED
from tests.support.factories import (
    ABSENT,
    COMPANY,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    artifact,
    artifacts,
    company,
    escape,
    hyperparams,
    last_metrics,
    md5,
    model,
    old_task,
    project,
    put,
    queue,
    task,
    user,
)
from tests.support.paths import ROOT

Database = AsyncDatabase[Document]

FOLDER = ROOT / "schema"
SDL: GraphQLSchema = build_schema((FOLDER / "schema.graphql").read_text())
NOW = "2026-01-31T12:00:00.000Z"


def format_utc(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - stored dates are naive UTC


def get_object_type(name: str) -> GraphQLObjectType:
    found = SDL.get_type(name)
    assert isinstance(found, GraphQLObjectType)
    return found


async def one(client: Client, selection: str, id_: str = "t", **variables: Any) -> dict[str, Any]:
    """What is selected of one task, asked for by its id and in a list."""
    declared = "".join(f", ${name}: [String!]" for name in variables)
    query = f"""query($id: ID!, $ids: [ID!]{declared}) {{
      task(id: $id) {{ {selection} }}
      tasks(filter: {{id: $ids}}) {{ nodes {{ {selection} }} }}
    }}"""
    data = await client.data(query, id=id_, ids=[id_], **variables)
    assert data["tasks"]["nodes"] == [data["task"]]
    found: dict[str, Any] = data["task"]
    return found


# -- by id -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task", "project", "queue", "model", "user"])
async def test_what_is_not_there_is_null(client: Client, name: str) -> None:
    for id_ in ("missing", "", "\0", "a.b", "$where", "x" * 10_000):
        assert await client.data(f"query($id: ID!) {{ {name}(id: $id) {{ id }} }}", id=id_) == {name: None}


async def test_every_kind_of_document_is_read_by_its_id(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t"))
    await database.project.insert_one(project(_id="p", user="u"))
    await database.queue.insert_one(queue(_id="q", entries=[{"task": "t", "added": DAY}]))
    await database.model.insert_one(model(_id="m", task="t"))
    await database.user.insert_one(user(_id="u"))
    data = await client.data("""{
      task(id: "t") { id name status type created lastIteration }
      project(id: "p") { id name basename description path defaultOutputDestination tags user { givenName } }
      queue(id: "q") { id name systemTags entries { added taskId task { name } } }
      model(id: "m") { id name uri framework design labels { key value } ready task { id } lastUpdate }
      user(id: "u") { id name givenName familyName avatar created }
    }""")
    assert data == {
        "task": {
            "id": "t",
            "name": "train digits",
            "status": "COMPLETED",
            "type": "TRAINING",
            "created": NOW,
            "lastIteration": 1000,
        },
        "project": {
            "id": "p",
            "name": "vision/digits",
            "basename": "digits",
            "description": "Handwriting",
            "path": [],
            "defaultOutputDestination": "s3://bucket",
            "tags": ["a"],
            "user": {"givenName": "Ada"},
        },
        "queue": {
            "id": "q",
            "name": "gpu queue",
            "systemTags": ["default"],
            "entries": [{"added": NOW, "taskId": "t", "task": {"name": "train digits"}}],
        },
        "model": {
            "id": "m",
            "name": "digits net",
            "uri": "s3://bucket/net.pt",
            "framework": "PyTorch",
            "design": {"layers": 3},
            "labels": [{"key": "cat", "value": 1}, {"key": "dog", "value": 2}],
            "ready": True,
            "task": {"id": "t"},
            "lastUpdate": NOW,
        },
        "user": {
            "id": "u",
            "name": "Ada Lovelace",
            "givenName": "Ada",
            "familyName": "Lovelace",
            "avatar": "https://example.org/ada.png",
            "created": NOW,
        },
    }


async def test_a_task_answers_with_everything_that_it_holds(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t"))
    found = await one(client, select_everything("Task"))
    assert found | {"execution": ..., "lastMetrics": ..., "hyperparams": ..., "models": ...} == {
        "id": "t",
        "name": "train digits",
        "userId": None,
        "companyId": COMPANY,
        "type": "TRAINING",
        "rawType": "training",
        "status": "COMPLETED",
        "rawStatus": "completed",
        "comment": "a comment",
        "report": "# A report",
        "created": NOW,
        "started": NOW,
        "completed": NOW,
        "published": NOW,
        "lastUpdate": NOW,
        "lastChange": NOW,
        "statusChanged": NOW,
        "lastWorkerReport": NOW,
        "parentId": None,
        "projectId": None,
        "lastChangedById": None,
        "lastWorker": "worker:0",
        "tags": ["best", "mnist"],
        "systemTags": ["development"],
        "statusMessage": "all epochs",
        "statusReason": "done",
        "lastIteration": 1000,
        "activeDuration": 3600,
        "output": {"destination": "s3://bucket/out", "modelId": None, "result": "success", "error": ""},
        "script": {
            "binary": "python3.11",
            "repository": "https://example.org/digits.git",
            "tag": "v1",
            "branch": "main",
            "versionNum": "0a1b2c",
            "entryPoint": "train.py",
            "workingDir": "src",
            "diff": "+ x",
            "requirements": {"pip": "numpy\n"},
        },
        "configuration": [
            {"name": "design", "value": "resnet", "type": "legacy", "description": None},
            {"name": "model.yaml", "value": "a: 1", "type": "yaml", "description": "d"},
        ],
        "container": [{"key": "image", "value": "python:3.11"}, {"key": "arguments", "value": "--rm"}],
        "runtime": {"progress": 100, "since": NOW},
        "execution": ...,
        "lastMetrics": ...,
        "hyperparams": ...,
        "models": ...,
    }
    assert found["models"] == {"input": [], "output": []}
    assert found["execution"] | {"parameters": ..., "artifacts": ...} == {
        "queueId": None,
        "modelId": None,
        "modelDesc": {"design": "resnet"},
        "framework": "PyTorch",
        "modelLabels": [{"key": "cat", "value": 1}, {"key": "do.g", "value": 2}],
        "dockerCmd": "python:3.11 --rm",
        "parameters": ...,
        "artifacts": ...,
    }
    assert found["execution"]["artifacts"][0] == {
        "key": "confusion",
        "type": "dict",
        "mode": "OUTPUT",
        "uri": "s3://bucket/confusion",
        "contentSize": 2**40,
        "hash": "ff",
        "timestamp": 1_790_000_000,
        "displayData": [["rows", "3"], ["mean", "0.5"]],
        "typeData": {"preview": "{}", "contentType": "application/json", "dataHash": "ee"},
    }
    assert found["execution"]["parameters"] == found["hyperparams"]
    assert {"section": "Args", "name": "batch.size", "value": "32", "type": "str", "description": ""} in found[
        "hyperparams"
    ]
    assert {
        "metric": "loss",
        "variant": "train",
        "value": 0.25,
        "minValue": -0.75,
        "maxValue": 1.25,
        "minValueIteration": 3,
        "maxValueIteration": 5,
        "firstValue": 0.25,
        "firstValueIteration": 0,
        "meanValue": 0.25,
        "count": 10,
        "xAxisLabel": "epochs",
    } in found["lastMetrics"]


# -- relations -------------------------------------------------------------------------------------


async def test_relations_show_the_documents_they_name(client: Client, database: Database) -> None:
    stored = task(_id="t", user="u", parent="t2", project="p", last_changed_by="u")
    stored["models"] = {
        "input": [{"name": "first", "model": "m1", "updated": DAY}, {"name": "next", "model": "m2"}],
        "output": [{"name": "early", "model": "m1"}, {"name": "late", "model": "m2"}],
    }
    await database.task.insert_many(
        [
            put(stored, "execution.queue", "q"),
            task(_id="t2", name="parent", parent="t3"),
            task(_id="t3", name="grandparent"),
        ]
    )
    await database.project.insert_many([project(_id="p", parent="p2"), project(_id="p2", name="vision")])
    await database.model.insert_many([model(_id="m1", name="one", task="t"), model(_id="m2", name="two", parent="m1")])
    await database.queue.insert_one(
        queue(_id="q", entries=[{"task": id_, "added": DAY} for id_ in ("t3", "t", "gone")])
    )
    await database.user.insert_one(user(_id="u"))
    await database.company.insert_one(company(name="Example"))
    found = await one(
        client,
        """
      user { name company { name } } lastChangedBy { familyName } company { id name }
      project { name parent { name parent { name } } }
      parent { name parent { name parent { name } } }
      execution { queue { name entries { task { id name } } } model { name task { id name } } }
      output { model { name parent { name } } }
      models { input { name updated model { name } } output { name model { name } } }
    """,
    )
    assert found == {
        "user": {"name": "Ada Lovelace", "company": {"name": "Example"}},
        "lastChangedBy": {"familyName": "Lovelace"},
        "company": {"id": COMPANY, "name": "Example"},
        "project": {"name": "vision/digits", "parent": {"name": "vision", "parent": None}},
        "parent": {"name": "parent", "parent": {"name": "grandparent", "parent": None}},
        "execution": {
            "queue": {
                "name": "gpu queue",
                "entries": [
                    {"task": {"id": "t3", "name": "grandparent"}},
                    {"task": {"id": "t", "name": "train digits"}},
                    {"task": {"id": "gone", "name": None}},
                ],
            },
            "model": {"name": "one", "task": {"id": "t", "name": "train digits"}},
        },
        "output": {"model": {"name": "two", "parent": {"name": "one"}}},
        "models": {
            "input": [
                {"name": "first", "updated": NOW, "model": {"name": "one"}},
                {"name": "next", "updated": None, "model": {"name": "two"}},
            ],
            "output": [{"name": "early", "model": {"name": "one"}}, {"name": "late", "model": {"name": "two"}}],
        },
    }


async def test_a_task_may_be_its_own_parent(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t", parent="t"))
    found = await one(client, "parent { id name parent { name parent { id parent { id } } } }")
    assert found["parent"]["parent"] == {"name": "train digits", "parent": {"id": "t", "parent": {"id": "t"}}}


def list_relations(type_: GraphQLObjectType, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every relation of a task itself, through its parts."""
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLObjectType) and "id" in inner.fields:
            yield (*seen, name)
        elif isinstance(inner, GraphQLObjectType) and (type_.name, name) not in LOADED:
            yield from list_relations(inner, (*seen, name))


RELATIONS = [way for way in list_relations(get_object_type("Task")) if way != ("company",)]
STORED_AT = {
    ("lastChangedBy",): "last_changed_by",
    ("execution", "model"): "models.input",
    ("models", "input", "model"): "models.input",
    ("output", "model"): "models.output",
    ("models", "output", "model"): "models.output",
}


def referring(way: tuple[str, ...], id_: Any) -> Document:
    path = STORED_AT.get(way, ".".join(way))
    return put(task(_id="t"), path, [{"model": id_}] if path.startswith("models") else id_)


async def related(client: Client, way: tuple[str, ...]) -> tuple[Any, Any]:
    """A relation with all of its plain fields, and its id alone."""
    type_ = get_object_type("Task")
    for name in way:
        type_ = get_object_type(get_named_type(type_.fields[name].type).name)
    plain = " ".join(name for name, field in type_.fields.items() if is_leaf_type(get_named_type(field.type)))
    *outer, last = way
    inside = f"{last} {{ {plain} }} {last}Id"
    found: Any = await one(client, " { ".join([*outer, inside]) + " }" * len(outer))
    for name in outer:
        found = found[name][0] if isinstance(found[name], list) else found[name]
    return found[last], found[f"{last}Id"]


@pytest.mark.parametrize("way", RELATIONS, ids=".".join)
async def test_a_dangling_reference_is_its_id_with_the_rest_null(
    client: Client, database: Database, way: tuple[str, ...]
) -> None:
    await database.task.insert_one(referring(way, "__DELETED__gone"))
    shown, id_ = await related(client, way)
    assert id_ == "__DELETED__gone"
    assert shown["id"] == "__DELETED__gone"
    assert {value for name, value in shown.items() if name != "id"} <= {None}


@pytest.mark.parametrize("way", RELATIONS, ids=".".join)
@pytest.mark.parametrize("id_", ["", None], ids=["empty", "null"])
async def test_a_reference_to_nothing_is_null(
    client: Client, database: Database, way: tuple[str, ...], id_: str | None
) -> None:
    await database.task.insert_one(referring(way, id_))
    assert await related(client, way) == (None, None)


@pytest.mark.parametrize("way", RELATIONS, ids=".".join)
async def test_a_reference_that_is_no_id_is_null(client: Client, database: Database, way: tuple[str, ...]) -> None:
    for id_ in ({"a": 1}, ["x"], True, 1.5, DAY, math.nan):
        await database.task.replace_one({"_id": "t"}, referring(way, id_), upsert=True)
        assert await related(client, way) == (None, None), id_


async def test_a_company_sees_itself_and_a_public_task_belongs_to_none(client: Client, database: Database) -> None:
    await database.company.insert_many([company(), company(_id=OTHER_COMPANY, name="Other")])
    await database.task.insert_many([task(_id="t"), task(_id="public", company=PUBLIC)])
    selection = "company { id name } companyId"
    assert await one(client, selection) == {"company": {"id": COMPANY, "name": "Example"}, "companyId": COMPANY}
    assert await one(client, selection, "public") == {"company": None, "companyId": None}


# -- tenants ---------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[..., Document]] = {
    "task": task,
    "project": project,
    "queue": queue,
    "model": model,
    "user": user,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("owner", "is_visible"),
    [
        (COMPANY, True),
        (PUBLIC, True),
        (OTHER_COMPANY, False),
        (None, False),
        (ABSENT, False),
        (COMPANY.upper(), False),
        (5, False),
        ({"$ne": ""}, False),
    ],
)
async def test_by_id_only_the_own_and_the_public_are_there(
    client: Client, database: Database, name: str, owner: Any, is_visible: bool
) -> None:
    await database[name].insert_one(MAKERS[name](_id="x", company=owner))
    expected = {"id": "x", "name": MAKERS[name]()["name"]} if is_visible else None
    assert await client.data(f'{{ {name}(id: "x") {{ id name }} }}') == {name: expected}


EVERYWHERE = """
query($filter: TaskFilter, $orderBy: [TaskOrder!], $first: Int, $last: Int, $page: Int, $pageSize: Int) {
  tasks(filter: $filter, orderBy: $orderBy, first: $first, last: $last, page: $page, pageSize: $pageSize) {
    nodes { id } edges { node { id } } totalCount pageInfo { hasNextPage hasPreviousPage }
  }
}"""


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"first": 2},
        {"last": 2},
        {"page": 0, "pageSize": 2},
        {"orderBy": [{"field": "NAME", "nulls": "FIRST"}]},
        {"orderBy": [{"field": "STARTED"}, {"field": "ID", "direction": "DESC"}]},
        {"filter": {"searchText": "digits"}},
        {"filter": {"searchText": '"train digits"'}},
        {"filter": {"name": "digits"}},
        {"filter": {"id": ["own", "public", "foreign"]}},
        {"filter": {"id": ["-x"]}},
        {"filter": {"user": ["u"]}},
        {"filter": {"parent": "foreign"}},
        {"filter": {"_any_": {"pattern": "train|foreign", "fields": ["name", "id"]}}},
        {"filter": {"_all_": {"pattern": ".", "fields": ["name"]}}},
        {"filter": {"tags": ["-none"]}},
        {"filter": {"status": ["COMPLETED"]}},
        {"filter": {"type": ["-testing"]}},
        {"filter": {"statusChanged": [">2000-01-01"]}},
    ],
    ids=json.dumps,
)
async def test_lists_counts_and_searches_hold_only_the_own_and_the_public(
    client: Client, database: Database, arguments: dict[str, Any]
) -> None:
    same = {"user": "u", "parent": "foreign"}
    await database.task.insert_many(
        [
            task(_id="own", **same),
            task(_id="public", company=PUBLIC, **same),
            task(_id="foreign", company=OTHER_COMPANY, **same),
            task(_id="nobody", company=ABSENT, **same),
            task(_id="null", company=None, **same),
        ]
    )
    found = (await client.data(EVERYWHERE, **arguments))["tasks"]
    assert sorted(node["id"] for node in found["nodes"]) == ["own", "public"]
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    assert found["totalCount"] == 2
    assert found["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False}


@pytest.mark.parametrize("way", RELATIONS, ids=".".join)
@pytest.mark.parametrize(
    ("owner", "is_visible"), [(COMPANY, True), (PUBLIC, True), (OTHER_COMPANY, False), (None, False)]
)
async def test_through_a_relation_what_is_not_visible_reads_as_gone(
    client: Client, database: Database, way: tuple[str, ...], owner: Any, is_visible: bool
) -> None:
    of = "user" if way == ("lastChangedBy",) else "task" if way == ("parent",) else way[-1]
    await database.task.insert_one(referring(way, "x"))
    await database[of].insert_one(MAKERS[of](_id="x", company=owner))
    shown, id_ = await related(client, way)
    assert id_ == shown["id"] == "x"
    assert shown["name"] == (MAKERS[of]()["name"] if is_visible else None)


async def test_beyond_a_public_document_what_is_not_visible_reads_as_gone(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p", company=PUBLIC, user="u", parent="q"))
    await database.user.insert_one(user(_id="u", company=OTHER_COMPANY))
    await database.project.insert_one(project(_id="q", company=OTHER_COMPANY))
    await database.company.insert_one(company(_id=OTHER_COMPANY, name="Other"))
    data = await client.data('{ project(id: "p") { name user { id name } parent { id name } company { id } } }')
    assert data["project"] == {
        "name": "vision/digits",
        "user": {"id": "u", "name": None},
        "parent": {"id": "q", "name": None},
        "company": None,
    }


async def test_another_viewer_sees_what_the_first_one_does_not(app: Starlette, database: Database) -> None:
    await database.task.insert_many(
        [task(_id="own"), task(_id="public", company=PUBLIC), task(_id="foreign", company=OTHER_COMPANY)]
    )
    other = Viewer(user="somebody", company=OTHER_COMPANY, role="admin")
    reader, writer = app.state.database.create_reader(other), app.state.database.create_writer(other)
    view = GraphQLView(
        build(load()),
        lambda _: Context(
            other, reader, writer, app.state.database.changes, load(), 500, related_fields=RELATED_FIELDS
        ),
        Settings(),
    )
    served = Starlette(routes=[Route("/graphql", view)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://localhost") as http:
        data = await Client(http, database).data('{ tasks { nodes { id } totalCount } a: task(id: "own") { id } }')
    assert sorted(node["id"] for node in data["tasks"]["nodes"]) == ["foreign", "public"]
    assert data["tasks"]["totalCount"] == 2
    assert data["a"] is None


# -- the older layout ------------------------------------------------------------------------------


async def test_parameters_read_alike_in_the_old_and_in_the_new_place(client: Client, database: Database) -> None:
    old = old_task(_id="old")
    old["execution"]["parameters"] = {
        "lr": "0.1",
        "batch": 32,
        "flag": True,
        "none": None,
        "TF_DEFINE/steps": "9",
        "a/b": "c",
    }
    items = [
        ("Args", "lr", "0.1"),
        ("Args", "batch", "32"),
        ("Args", "flag", "True"),
        ("TF_DEFINE", "steps", "9"),
        ("Args", "a/b", "c"),
    ]
    new = task(_id="new", hyperparams=hyperparams(*items))
    await database.task.insert_many([old, new])
    for arguments in (
        "",
        '(section: ["Args"])',
        '(section: ["TF_DEFINE"], name: ["steps"])',
        '(name: ["lr", "a/b"])',
        '(section: ["Args"], name: ["lr", "missing"])',
        "(section: [])",
    ):
        selection = (
            f"hyperparams{arguments} {{ section name value }} execution {{ parameters{arguments} {{ name value }} }}"
        )
        was, is_ = [by_name(await one(client, selection, id_)) for id_ in ("old", "new")]
        assert [item for item in was["hyperparams"] if item["name"] != "none"] == is_["hyperparams"], arguments
        assert [item for item in was["execution"]["parameters"] if item["name"] != "none"] == is_["execution"][
            "parameters"
        ]
    assert (await one(client, 'hyperparams(name: ["none"]) { value type }', "old"))["hyperparams"] == [
        {"value": None, "type": "legacy"}
    ]


def by_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: by_name(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(map(by_name, value), key=lambda item: item["name"])
    return value


async def test_where_both_layouts_are_stored_the_newer_one_wins_whatever_is_asked_for(
    client: Client, database: Database
) -> None:
    both = task(_id="t", hyperparams=hyperparams(("Args", "lr", "new"), ("General", "seed", "7")))
    await database.task.insert_one(put(both, "execution.parameters", {"lr": "old", "extra": "old"}))
    every = (await one(client, "hyperparams { section name value }"))["hyperparams"]
    assert {"section": "Args", "name": "lr", "value": "new"} in every
    for section in ("Args", "General", "TF_DEFINE"):
        some = await one(client, f'hyperparams(section: ["{section}"]) {{ section name value }}')
        assert by_name(some["hyperparams"]) == by_name([item for item in every if item["section"] == section])
        for name in ("lr", "extra", "seed"):
            asked = await one(client, f'hyperparams(section: ["{section}"], name: ["{name}"]) {{ section name value }}')
            assert asked["hyperparams"] == [
                item for item in every if (item["section"], item["name"]) == (section, name)
            ]


ARTIFACTS = [artifact("b", mode="input"), artifact("a"), artifact("c"), artifact("a", mode="input"), artifact("b")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [("a", "INPUT"), ("a", "OUTPUT"), ("b", "INPUT"), ("b", "OUTPUT"), ("c", "OUTPUT")]),
        ('(key: ["a", "missing"])', [("a", "INPUT"), ("a", "OUTPUT")]),
        ("(mode: [INPUT])", [("a", "INPUT"), ("b", "INPUT")]),
        ('(key: ["b", "c"], mode: [OUTPUT])', [("b", "OUTPUT"), ("c", "OUTPUT")]),
        (
            "(key: null, mode: [INPUT, OUTPUT], )",
            [("a", "INPUT"), ("a", "OUTPUT"), ("b", "INPUT"), ("b", "OUTPUT"), ("c", "OUTPUT")],
        ),
        ("(key: [])", []),
        ("(mode: [])", []),
    ],
)
async def test_artifacts_read_alike_as_a_list_and_as_a_map(
    client: Client, database: Database, arguments: str, expected: list[tuple[str, str]]
) -> None:
    old, new = old_task(_id="old"), task(_id="new")
    old["execution"]["artifacts"], new["execution"]["artifacts"] = ARTIFACTS, artifacts(*ARTIFACTS)
    await database.task.insert_many([old, new])
    selection = (
        f"execution {{ artifacts{arguments} {{ key mode uri typeData {{ preview }} displayData contentSize }} }}"
    )
    was, is_ = [(await one(client, selection, id_))["execution"]["artifacts"] for id_ in ("old", "new")]
    assert sorted((item["key"], item["mode"]) for item in is_) == expected
    in_order = sorted(was, key=lambda item: (item["key"], item["mode"]))
    assert sorted(is_, key=lambda item: (item["key"], item["mode"])) == in_order


async def test_artifacts_are_ordered_by_their_keys(client: Client, database: Database) -> None:
    old, new = old_task(_id="old"), task(_id="new")
    old["execution"]["artifacts"], new["execution"]["artifacts"] = ARTIFACTS, artifacts(*ARTIFACTS)
    await database.task.insert_many([old, new])
    for id_ in ("old", "new"):
        found = await one(client, "execution { artifacts { key } }", id_)
        assert [item["key"] for item in found["execution"]["artifacts"]] == ["a", "a", "b", "b", "c"], id_


async def test_an_artifact_without_a_mode_is_an_output(client: Client, database: Database) -> None:
    bare = {"key": "a", "type": "dict"}
    old, new = old_task(_id="old"), task(_id="new")
    old["execution"]["artifacts"], new["execution"]["artifacts"] = [bare], {f"{md5('a')}_output": bare}
    await database.task.insert_many([old, new])
    for id_ in ("old", "new"):
        found = await one(client, "execution { artifacts(mode: [OUTPUT]) { key } }", id_)
        assert found["execution"]["artifacts"] == [{"key": "a"}]
        found = await one(client, "execution { artifacts(mode: [INPUT]) { key } }", id_)
        assert found["execution"]["artifacts"] == []


async def test_models_read_alike_in_the_old_and_in_the_new_place(client: Client, database: Database) -> None:
    old, new = old_task(_id="old"), task(_id="new")
    old = put(put(old, "execution.model", "m1"), "output.model", "m2")
    new["models"] = {"input": [{"model": "m1"}], "output": [{"model": "m2"}]}
    await database.task.insert_many([old, new])
    await database.model.insert_many([model(_id="m1", name="one"), model(_id="m2", name="two")])
    selections = [
        "models { input { name updated modelId model { name } } output { modelId model { name } } }",
        "models { output { model { name } } }",
        "execution { modelId }",
        "execution { model { name } }",
        "execution { modelId queueId model { id name } }",
        "output { modelId destination }",
        "output { model { name } }",
    ]
    for selection in selections:
        assert await one(client, selection, "old") == await one(client, selection, "new"), selection
    assert (await one(client, "execution { modelId }", "old"))["execution"] == {"modelId": "m1"}
    assert (await one(client, "output { modelId }", "old"))["output"] == {"modelId": "m2"}


async def test_the_rest_reads_alike_in_both_layouts(client: Client, database: Database) -> None:
    shared = (
        "name type status tags script { entryPoint requirements } output { destination } lastMetrics { metric value } "
    )
    shared += 'container { key value } configuration(name: ["design"]) { name value type description } '
    shared += 'execution { framework dockerCmd modelDesc modelLabels(key: ["cat"]) { key value } artifacts { key } }'
    await database.task.insert_many([old_task(_id="old"), task(_id="new")])
    assert await one(client, shared, "old") == await one(client, shared, "new")


# -- arguments that choose from a map --------------------------------------------------------------

STRANGE = [
    "a.b",
    "$x",
    "a/b",
    "pa__ram",
    "_x",
    "__",
    "100%",
    "a%2Eb",
    "é\U0001f600",
    "a b",
    "%",
    "%_",
    ".",
    "..",
    "$",
    '"q"',
    "\n",
]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ["accuracy/test", "loss/test", "loss/train"]),
        ('(metric: ["loss"])', ["loss/test", "loss/train"]),
        ('(variant: ["test"])', ["accuracy/test", "loss/test"]),
        ('(metric: ["loss"], variant: ["test"])', ["loss/test"]),
        ('(metric: ["loss", "accuracy", "loss"], variant: ["train", "missing"])', ["loss/train"]),
        ('(metric: ["Loss"])', []),
        ('(metric: [""])', []),
        ("(metric: [])", []),
        ("(variant: [])", []),
        ("(metric: null, variant: null)", ["accuracy/test", "loss/test", "loss/train"]),
        ('(metric: "loss", variant: "test")', ["loss/test"]),
    ],
)
async def test_metrics_are_chosen_by_their_names(
    client: Client, database: Database, arguments: str, expected: list[str]
) -> None:
    await database.task.insert_one(task(_id="t"))
    found = await one(client, f"lastMetrics{arguments} {{ metric variant value }}")
    assert sorted(f"{item['metric']}/{item['variant']}" for item in found["lastMetrics"]) == expected


@pytest.mark.parametrize("name", [*STRANGE, "", " ", "\0"])
async def test_a_metric_may_have_any_name(client: Client, database: Database, name: str) -> None:
    await database.task.insert_one(
        task(_id="t", last_metrics=last_metrics((name, "v", 1.0), ("m", name, 2.0), ("m", "v", 3.0)))
    )
    found = await one(
        client,
        """
      a: lastMetrics(metric: $x) { metric value } b: lastMetrics(variant: $x) { variant value }
      c: lastMetrics(metric: $x, variant: $x) { value }
    """,
        x=[name],
    )
    assert found == {"a": [{"metric": name, "value": 1.0}], "b": [{"variant": name, "value": 2.0}], "c": []}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_parameter_or_label_may_have_any_name(client: Client, database: Database, name: str) -> None:
    stored = task(
        _id="t",
        hyperparams=hyperparams((name, "n", "1"), ("s", name, "2"), ("s", "n", "3")),
        configuration={escape(name): {"name": name, "value": "4"}, "other": {"name": "other"}},
        container={escape(name): "5", "other": "6"},
    )
    stored["execution"]["model_labels"] = {escape(name): 7, "other": 8}
    if not name.strip():
        return
    await database.task.insert_one(stored)
    found = await one(
        client,
        """
      a: hyperparams(section: $x) { section value } b: hyperparams(section: ["s"], name: $x) { name value }
      c: execution { parameters(name: $x) { value } modelLabels(key: $x) { key value } }
      configuration(name: $x) { name value } container(key: $x) { key value }
    """,
        x=[name],
    )
    assert found == {
        "a": [{"section": name, "value": "1"}],
        "b": [{"name": name, "value": "2"}],
        "c": {"parameters": [{"value": "2"}], "modelLabels": [{"key": name, "value": 7}]},
        "configuration": [{"name": name, "value": "4"}],
        "container": [{"key": name, "value": "5"}],
    }


async def test_a_label_of_an_old_task_was_never_escaped(client: Client, database: Database) -> None:
    labels = dict.fromkeys([name for name in STRANGE if "." not in name and "$" not in name and name.strip()], 7)
    await database.task.insert_one(put(old_task(_id="t"), "execution.model_labels", labels))
    every = (await one(client, "execution { modelLabels { key value } }"))["execution"]["modelLabels"]
    for item in every:
        found = await one(client, "execution { modelLabels(key: $x) { key value } }", x=[item["key"]])
        assert found["execution"]["modelLabels"] == [other for other in every if other["key"] == item["key"]]


@pytest.mark.parametrize("name", ["", " ", "\0", "a\0b", "x" * 5000, "$where", "..", "a." * 200])
async def test_a_name_that_nothing_has_finds_nothing(client: Client, database: Database, name: str) -> None:
    await database.task.insert_one(task(_id="t"))
    found = await one(
        client,
        """
      a: hyperparams(section: $x) { value } b: hyperparams(section: ["Args"], name: $x) { value }
      c: execution { modelLabels(key: $x) { value } artifacts(key: $x) { key } parameters(name: $x) { value } }
      d: configuration(name: $x) { value } e: container(key: $x) { value }
      f: lastMetrics(metric: $x, variant: $x) { value }
    """,
        x=[name],
    )
    assert found == {
        "a": [],
        "b": [],
        "c": {"modelLabels": [], "artifacts": [], "parameters": []},
        "d": [],
        "e": [],
        "f": [],
    }


async def test_a_name_that_is_asked_for_twice_is_answered_once(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t"))
    found = await one(
        client,
        """
      hyperparams(section: ["Args", "Args ", "Args"], name: ["lr", " lr"]) { value }
      container(key: ["image", "image "]) { key }
      lastMetrics(metric: ["loss", "loss"], variant: ["test"]) { value }
    """,
    )
    assert found == {
        "hyperparams": [{"value": "0.1"}],
        "container": [{"key": "image"}],
        "lastMetrics": [{"value": 0.5}],
    }


async def test_labels_of_models_have_plain_keys(client: Client, database: Database) -> None:
    labels = dict.fromkeys([name for name in STRANGE if "." not in name and "$" not in name], 1)
    await database.model.insert_one(model(_id="m", labels=labels))
    data = await client.data('{ model(id: "m") { labels { key value } } }')
    assert data["model"]["labels"] == [{"key": key, "value": 1} for key in labels]
    for key in labels:
        data = await client.data('query($x: [String!]) { model(id: "m") { labels(key: $x) { key } } }', x=[key])
        assert data["model"]["labels"] == [{"key": key}]


# -- rows that are broken --------------------------------------------------------------------------


def select_everything(name: str, relations_too: int = 0) -> str:
    """Every stored field of a type, and of its parts; relations with their plain fields when asked for."""
    fields = []
    for field_name, field in get_object_type(name).fields.items():
        inner = get_named_type(field.type)
        if (name, field_name) in LOADED:
            continue
        if not isinstance(inner, GraphQLObjectType):
            fields.append(field_name)
        elif "id" not in inner.fields:
            fields.append(f"{field_name} {{ {select_everything(inner.name, relations_too)} }}")
        elif relations_too:
            fields.append(f"{field_name} {{ {select_everything(inner.name, relations_too - 1)} }}")
    return " ".join(fields)


def check_conforms(value: Any, type_: Any, at: str = "") -> None:
    """Raises AssertionError unless an answer is what its GraphQL type promises; aliases are `field_something`."""
    if isinstance(type_, GraphQLNonNull):
        assert value is not None, f"{at} is null"
        type_ = type_.of_type
    if value is None:
        return
    if isinstance(type_, GraphQLList):
        assert isinstance(value, list), at
        for number, item in enumerate(value):
            check_conforms(item, type_.of_type, f"{at}[{number}]")
    elif isinstance(type_, GraphQLObjectType):
        assert isinstance(value, dict), at
        for name, inner in value.items():
            check_conforms(inner, type_.fields[name.partition("_")[0]].type, f"{at}.{name}")
    elif isinstance(type_, GraphQLEnumType):
        assert value in type_.values, at
    else:
        assert SCALARS[type_.name](value), f"{at}: {type_.name} {value!r}"


SCALARS: dict[str, Callable[[Any], bool]] = {
    "ID": lambda value: type(value) is str,
    "String": lambda value: type(value) is str,
    "Boolean": lambda value: type(value) is bool,
    "Int": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "Long": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "Float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "DateTime": lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None,
    "JSON": lambda value: type(value) is dict,
}


async def rows(client: Client, selection: str, of: str = "tasks") -> dict[str, dict[str, Any]]:
    """A whole list by the ids, from answers that are valid JSON, have no errors and conform to the SDL."""
    query = f"query($page: Int) {{ {of}(page: $page, pageSize: 500) {{ nodes {{ {selection} }} totalCount }} }}"
    found: list[dict[str, Any]] = []
    for page in range(3):
        response = await client.http.post("/graphql", json={"query": query, "variables": {"page": page}})
        answer = json.loads(response.content.decode(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert "errors" not in answer, answer["errors"]
        check_conforms(answer["data"], SDL.query_type)
        found += answer["data"][of]["nodes"]
        if len(found) == answer["data"][of]["totalCount"]:
            break
    by_id = {node["id"]: node for node in found}
    assert len(by_id) == len(found) == answer["data"][of]["totalCount"]
    return by_id


@cache
def read_hocon() -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in ("tasks", "tasks_newer"):
        for definition, node in (
            ConfigFactory.parse_file(str(FOLDER / f"{name}.conf")).as_plain_ordered_dict()["_definitions"].items()
        ):
            merged.setdefault(definition, {}).update(node.get("properties", {}))
    return merged


LOSS = f"last_metrics.{md5('loss')}"
INSIDE = {  # where the items of a map or list are, in a task of these tests
    "last_metrics": (LOSS, f"{LOSS}.{md5('train')}"),
    "hyperparams": ("hyperparams.Args", "hyperparams.Args.lr"),
    "configuration": ("configuration.model%2Eyaml",),
    "container": ("container.image",),
    "execution.model_labels": ("execution.model_labels.cat",),
    "models.input": ("models.input.0",),
    "models.output": ("models.output.0",),
    "execution.artifacts": (f"execution.artifacts.{md5('confusion')}_output",),
    "execution.parameters": ("execution.parameters.lr",),
    "execution.model_desc": ("execution.model_desc.design",),
}
OLD_PLACES = (
    "execution.model",
    "output.model",
    "execution.parameters",
    "execution.model_desc",
)  # one value, or plain values


def list_stored_paths(definition: str, at: str = "") -> Iterator[str]:
    """Every path of a stored task that its HOCON definition names, whole parts and their fields."""
    for name, node in read_hocon()[definition].items():
        stored = node.get("x-stored", [])
        places = [stored] if isinstance(stored, str) else stored or [at + name]
        for place in places:
            yield place
            *maps, item = INSIDE.get(place, (None,))
            yield from (path for path in (*maps, item) if path)
            shown = node.get("x-list", {})
            inner = shown.get("of") or str(node.get("items", node).get("$ref", "")).rpartition("/")[2]
            if inner in read_hocon() and not shown.get("entries") and place not in OLD_PLACES:
                yield from list_stored_paths(inner, (item or place) + ".")


@cache
def paths() -> list[str]:
    return sorted({path for path in list_stored_paths("task") if path not in ("_id", "company")})


WRONG: dict[str, Any] = {
    "text": "wörng",
    "empty": "",
    "int": 7,
    "long": 2**63 - 1,
    "smallest": -(2**63),
    "2^40": Int64(2**40),
    "double": 2.5,
    "whole double": 3.0,
    "great double": 1e300,
    "nan": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "bool": True,
    "date": DAY,
    "late date": DatetimeMS(2**60),
    "early date": DatetimeMS(-(2**60)),
    "list": ["a", 5, None],
    "empty list": [],
    "list of lists": [["a"], [1, None, {"b": DAY}], "c"],
    "list of dicts": [{"a": 1}, {}, None],
    "dict": {"a": {"b": 1}},
    "empty dict": {},
    "dict of nulls": {"x": None, "metric": None, "key": None},
    "null": None,
    "nothing": ABSENT,
    "object id": ObjectId("0" * 24),
    "binary": b"\x00\xff",
    "uuid": Binary(b"0" * 16, 4),
    "decimal": Decimal128("1.5"),
    "decimal nan": Decimal128("NaN"),
    "regex": Regex("a+"),
    "code": Code("x"),
    "scoped code": Code("x", {"y": 1}),
    "timestamp": Timestamp(1, 2),
    "least": MinKey(),
    "greatest": MaxKey(),
}


def build_whole_task(id_: str) -> Document:
    """A task with something at every stored path."""
    found = task(
        _id=id_,
        user="u",
        parent="t0",
        project="p",
        last_changed_by="u",
        models={
            "input": [{"name": "in", "model": "m", "updated": DAY}],
            "output": [{"name": "out", "model": "m", "updated": DAY}],
        },
    )
    found["execution"] |= {"queue": "q", "model": "m", "parameters": {"lr": "old", "more": 3}}
    found["execution"] |= {"docker_cmd": "old", "model_desc": {"design": "old"}}
    found["output"]["model"] = "m"
    return found


def test_a_whole_task_has_something_at_every_stored_path() -> None:
    def at(document: Any, path: str) -> Any:
        for part in path.split("."):
            document = document[int(part)] if isinstance(document, list) else document[part]
        return document

    for path in paths():
        assert at(build_whole_task("t"), path) is not None
    assert len(paths()) > 100


TOGETHER = {
    "execution",
    "output",
    "models",
    "hyperparams",
    "container",
    "configuration",
}  # one may be read from another's place


def touched(path: str) -> set[str]:
    """The fields of a task whose answers a stored path takes part in."""
    first = path.partition(".")[0]
    field = re.sub("_(.)", lambda match: match[1].upper(), first)
    return {field, f"{field}Id", f"raw{field.capitalize()}"} | (TOGETHER if first in TOGETHER else set())


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_value_harms_neither_the_list_nor_any_other_field(
    client: Client, database: Database, kind: str
) -> None:
    await database.task.insert_many([build_whole_task("t0"), build_whole_task("t1")])
    await database.project.insert_one(project(_id="p"))
    await database.user.insert_one(user(_id="u"))
    await database.model.insert_one(model(_id="m"))
    await database.queue.insert_one(queue(_id="q"))
    selection = select_everything("Task", relations_too=1)
    before = await rows(client, selection)
    broken = [put(build_whole_task(f"wrong {path}"), path, WRONG[kind]) for path in paths()]
    await database.task.insert_many(broken)
    after = await rows(client, selection)
    assert {id_: after[id_] for id_ in before} == before
    assert len(after) == len(paths()) + 2
    for path in paths():
        found, good = after[f"wrong {path}"], before["t1"]
        hurt = {name for name in good if name != "id" and found[name] != good[name]}
        assert hurt <= touched(path), path


@pytest.mark.slow
async def test_a_wrong_value_harms_nothing_that_is_chosen_from_a_map_either(client: Client, database: Database) -> None:
    await database.task.insert_one(build_whole_task("t"))
    selection = """
      id lastMetrics(metric: ["loss"]) { metric value }
      lastMetrics_1: lastMetrics(metric: ["loss"], variant: ["train"]) { value }
      hyperparams(section: ["Args"]) { name } hyperparams_1: hyperparams(section: ["Args"], name: ["lr"]) { value type }
      execution { parameters(name: ["lr"]) { value } modelLabels(key: ["cat"]) { value } }
      execution_1: execution { artifacts(key: ["confusion"]) { uri } artifacts_1: artifacts(mode: [OUTPUT]) { key } }
      configuration(name: ["model.yaml"]) { value } container(key: ["image"]) { value }
    """
    before = await rows(client, selection)
    maps = ("last_metrics", "hyperparams", "execution", "configuration", "container")
    inside = [path for path in paths() if path.startswith(maps)]
    for kind, value in WRONG.items():
        await database.task.insert_many([put(build_whole_task(f"{kind} {path}"), path, value) for path in inside])
        after = await rows(client, selection)
        assert after["t"] == before["t"]
        assert len(after) == len(inside) + 1
        await database.task.delete_many({"_id": {"$ne": "t"}})


WAYS = {"project": ("project",), "user": ("user",), "queue": ("execution", "queue"), "model": ("execution", "model")}


@pytest.mark.parametrize("name", WAYS)
async def test_a_wrong_value_in_another_document_harms_no_other_field(
    client: Client, database: Database, name: str
) -> None:
    way, good = WAYS[name], MAKERS[name](_id="good")
    paths = [path for path in good if path not in ("_id", "company")]
    wrong = {f"{path} {kind}": (path, value) for path in paths for kind, value in WRONG.items()}
    await database[name].insert_many([good, *(put(good | {"_id": id_}, *change) for id_, change in wrong.items())])
    await database.task.insert_many([referring(way, id_) | {"_id": id_} for id_ in ("good", *wrong)])
    found = await rows(
        client, f"id {' { '.join(way)} {{ {select_everything(name.capitalize())} }} {'}' * (len(way) - 1)}"
    )
    shown = {id_: reduce(getitem, way, node) for id_, node in found.items()}
    assert shown == await rows(client, select_everything(name.capitalize()), of=f"{name}s")
    for id_, (path, _) in wrong.items():
        assert shown[id_]["id"] == id_
        hurt = {field for field, value in shown["good"].items() if field != "id" and shown[id_][field] != value}
        assert hurt <= touched(path), id_


async def test_a_wrong_value_in_the_company_harms_nothing(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t"))
    for value in WRONG.values():
        await database.company.replace_one({"_id": COMPANY}, put(company(), "name", value), upsert=True)
        assert (await rows(client, "id company { id name }"))["t"]["company"]["id"] == COMPANY


async def test_an_almost_empty_task_answers_with_nulls_and_empty_lists(client: Client, database: Database) -> None:
    await database.task.insert_one({"_id": "t", "company": COMPANY})
    found = (await rows(client, select_everything("Task", relations_too=1)))["t"]
    empty = {name: value for name, value in found.items() if value is not None}
    company_ = {"id": COMPANY, "name": None}
    assert empty == {
        "id": "t",
        "companyId": COMPANY,
        "company": company_,
        "lastMetrics": [],
        "hyperparams": [],
        "configuration": [],
        "container": [],
    } | {name: empty[name] for name in ("execution", "output", "models") if name in empty}
    for part in ("execution", "output", "models"):
        assert not any((empty.get(part) or {}).values())


@pytest.mark.parametrize("name", ["project", "queue", "model", "user"])
async def test_an_almost_empty_document_answers_with_nulls(client: Client, database: Database, name: str) -> None:
    await database[name].insert_one({"_id": "x", "company": COMPANY})
    found = (await client.data(f'{{ {name}(id: "x") {{ {select_everything(name.capitalize())} }} }}'))[name]
    assert {key: value for key, value in found.items() if value not in (None, [])} == {"id": "x", "companyId": COMPANY}


async def test_a_status_or_type_without_a_name_here_is_unknown_and_shown_raw(
    client: Client, database: Database
) -> None:
    stored = [
        ("melted", "hologram"),
        ("unknown", "UNKNOWN"),
        ("Completed", ""),
        (5, None),
        ("in_progress", "data_processing"),
    ]
    await database.task.insert_many(
        [task(_id=str(number), status=status, type=type_) for number, (status, type_) in enumerate(stored)]
    )
    found = await rows(client, "id status rawStatus type rawType")
    assert [[*found[str(number)].values()][1:] for number in range(5)] == [
        ["UNKNOWN", "melted", "UNKNOWN", "hologram"],
        ["UNKNOWN", "unknown", "UNKNOWN", "UNKNOWN"],
        ["UNKNOWN", "Completed", "UNKNOWN", ""],
        [None, None, None, None],
        ["IN_PROGRESS", "in_progress", "DATA_PROCESSING", "data_processing"],
    ]


@pytest.mark.parametrize(
    ("stored", "int_", "long", "float_"),
    [
        (0, 0, 0, 0),
        (-5, -5, -5, -5),
        (2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1),
        (2**31, None, 2**31, 2**31),
        (2**40, None, 2**40, 2**40),
        (2**63 - 1, None, 2**63 - 1, 2**63 - 1),
        (-(2**63), None, -(2**63), -(2**63)),
        (0.5, None, None, 0.5),
        (math.nan, None, None, None),
        (math.inf, None, None, None),
        (-math.inf, None, None, None),
        ("7", None, None, None),
        (True, None, None, None),
        (None, None, None, None),
        ([7], None, None, None),
        (1e300, None, None, 1e300),
        (5e-324, None, None, 5e-324),
        (DAY, None, None, None),
    ],
)
async def test_a_number_is_what_fits_its_type_or_null(
    client: Client, database: Database, stored: Any, int_: Any, long: Any, float_: Any
) -> None:
    broken = task(_id="t", active_duration=stored, last_iteration=stored)
    for value in broken["last_metrics"].values():
        for variant in value.values():
            variant["value"] = stored
    await database.task.insert_many([broken, task(_id="neighbour")])
    found = await rows(client, "id activeDuration lastIteration lastMetrics { value }")
    assert found["t"] == {
        "id": "t",
        "activeDuration": int_,
        "lastIteration": long,
        "lastMetrics": [{"value": float_}] * 3,
    }
    assert found["neighbour"]["activeDuration"] == 3600


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (format_utc(1, 1, 1), "0001-01-01T00:00:00.000Z"),
        (format_utc(9999, 12, 31, 23, 59, 59, 999_000), "9999-12-31T23:59:59.999Z"),
        (format_utc(2026, 1, 31, 12, 0, 0, 1_000), "2026-01-31T12:00:00.001Z"),
        (DatetimeMS(253402300800000), None),
        (DatetimeMS(-62135596800001), None),
        (DatetimeMS(2**63 - 1), None),
        (DatetimeMS(-(2**63)), None),
        (format_utc(1969, 12, 31, 23, 59, 59, 999_000), "1969-12-31T23:59:59.999Z"),
        ("2026-01-31", None),
        (1_790_000_000, None),
        (Timestamp(1_790_000_000, 1), None),
    ],
)
async def test_a_date_is_rfc_3339_with_milliseconds_or_null(
    client: Client, database: Database, stored: Any, expected: str | None
) -> None:
    await database.task.insert_one(task(_id="t", started=stored))
    assert (await rows(client, "id started"))["t"]["started"] == expected


async def test_free_json_holds_whatever_was_stored(client: Client, database: Database) -> None:
    runtime = {
        "a.b": 1,
        "$c": {"": None},
        "list": [1, 2.5, math.nan, [math.inf], {"x": DAY}],
        "long": 2**63 - 1,
        "yes": True,
        "id": ObjectId("0" * 24),
        "decimal": Decimal128("1.10"),
        "bytes": b"\xff",
        "far": DatetimeMS(2**60),
        "text": "é\0\u2028",
    }
    await database.task.insert_one(task(_id="t", runtime=runtime))
    found = (await rows(client, "id runtime"))["t"]["runtime"]
    assert [*found] == [*runtime]
    assert {key: found[key] for key in ("a.b", "$c", "list", "long", "yes", "text")} == {
        "a.b": 1,
        "$c": {"": None},
        "list": [1, 2.5, None, [None], {"x": NOW}],
        "long": 2**63 - 1,
        "yes": True,
        "text": "é\0\u2028",
    }
    assert found["id"] == {"$oid": "0" * 24}
    assert found["decimal"] == {"$numberDecimal": "1.10"}
    assert found["bytes"] == {"$binary": {"base64": "/w==", "subType": "00"}}
    assert found["far"] == {"$date": {"$numberLong": str(2**60)}}


async def test_text_that_is_no_utf_8_does_not_take_the_list_down(client: Client, database: Database) -> None:
    broken = encode(task(_id="t", last_worker="QQQ", tags=["QQQ"])).replace(b"QQQ", b"Q\xff\xfe")
    await database.task.insert_many([task(_id="neighbour"), RawBSONDocument(broken)])
    found = await rows(client, "id lastWorker tags")
    assert found["t"] == {"id": "t", "lastWorker": "Q\ufffd\ufffd", "tags": ["Q\ufffd\ufffd"]}
    assert found["neighbour"]["lastWorker"] == "worker:0"


@pytest.mark.parametrize("id_", [5, 2**40, 1.5, ObjectId("0" * 24), DAY, b"x", True, Binary(b"0" * 16, 4)], ids=str)
async def test_an_id_that_is_no_text_is_shown_as_text(client: Client, database: Database, id_: Any) -> None:
    await database.task.insert_many([task(_id=id_, name="odd", parent="neighbour"), task(_id="neighbour")])
    found = await rows(client, "id name parent { name } project { id }")
    assert len(found) == 2
    assert {node["name"] for node in found.values()} == {"odd", "train digits"}
    data = await client.data("{ tasks(orderBy: [{field: NAME}], first: 1) { edges { cursor node { name } } } }")
    after = data["tasks"]["edges"][0]["cursor"]
    query = "query($after: String) { tasks(orderBy: [{field: NAME}], after: $after) { nodes { name } } }"
    assert (await client.data(query, after=after))["tasks"]["nodes"] == [{"name": "train digits"}]


async def test_deep_and_great_values_are_answered(client: Client, database: Database) -> None:
    deep: Any = "bottom"
    for _ in range(90):
        deep = {"d": deep}
    await database.task.insert_one(task(_id="t", runtime=deep, comment="x" * 2_000_000, tags=["t"] * 10_000))
    found = (await rows(client, "id runtime comment tags"))["t"]
    assert found["runtime"] == deep
    assert len(found["comment"]) == 2_000_000
    assert len(found["tags"]) == 10_000
