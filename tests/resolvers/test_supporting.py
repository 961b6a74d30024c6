"""Mutations that create projects, queues and models."""

import asyncio
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.factories import OTHER_COMPANY, PUBLIC, Document, model, project, queue, task
from tests.support.mutations import change, get_refusal

PROJECT = "id project { id name description tags systemTags parentId path defaultOutputDestination companyId userId }"
MODEL = """id model {
  id name uri framework comment tags systemTags ready design labels { key value } projectId parentId taskId userId
  companyId created lastUpdate
}"""


async def read_by_name(client: Client, collection: str) -> dict[str, Document]:
    return {document["name"]: document async for document in client.database[collection].find()}


# -- projects --------------------------------------------------------------------------------------


async def test_a_project_is_created_with_the_projects_around_it(client: Client) -> None:
    values = {
        "name": " vision / digits/mnist ",
        "description": "Handwriting",
        "tags": ["x"],
        "systemTags": ["hidden"],
        "defaultOutputDestination": "s3://bucket",
    }
    payload = await change(client, "projectCreate", PROJECT, **values)
    projects = await read_by_name(client, "project")
    assert projects.keys() == {"vision", "vision/digits", "vision/digits/mnist"}
    outer, middle, inner = (projects[name] for name in sorted(projects))
    assert [stored["basename"] for stored in (outer, middle, inner)] == ["vision", "digits", "mnist"]
    assert [stored["path"] for stored in (outer, middle, inner)] == [[], [outer["_id"]], [outer["_id"], middle["_id"]]]
    assert [stored.get("parent") for stored in (outer, middle, inner)] == [None, outer["_id"], middle["_id"]]
    assert (outer["description"], outer["tags"]) == ("", [])
    assert payload["project"] == {
        **values,
        "name": "vision/digits/mnist",
        "id": payload["id"],
        "parentId": middle["_id"],
        "path": [outer["_id"], middle["_id"]],
        "userId": "taskql",
        "companyId": inner["company"],
    }


async def test_existing_projects_around_a_new_one_are_used(client: Client) -> None:
    await client.database["project"].insert_one(project(_id="v", name="vision"))
    payload = await change(client, "projectCreate", PROJECT, name="vision/digits")
    assert payload["project"]["path"] == ["v"]
    assert len(await read_by_name(client, "project")) == 2


async def test_projects_of_another_company_are_not_used(client: Client) -> None:
    await client.database["project"].insert_one(project(_id="v", name="vision", company=OTHER_COMPANY))
    payload = await change(client, "projectCreate", PROJECT, name="vision/digits")
    assert payload["project"]["path"] != ["v"]
    assert await client.database["project"].count_documents({}) == 3


@pytest.mark.parametrize("name", ["vision", " vision ", "vision/digits", "vision/digits/mnist", "vision / digits"])
async def test_a_project_can_not_have_the_name_of_a_public_one_or_lie_inside_one(client: Client, name: str) -> None:
    """Otherwise lists would show two projects with the same full name."""
    await client.database["project"].insert_one(project(_id="v", name="vision", company=PUBLIC))
    error = await get_refusal(client, "projectCreate", name=name)
    assert (error["code"], error["field"]) == ("EXPECTED_UNIQUE_DATA", "name")
    assert (error["name"], error["project"]) == ("vision", "v")
    assert error["message"] == "name: the public project 'vision' exists; choose another name."


async def test_a_public_project_inside_a_project_of_the_company_has_its_name_alone(client: Client) -> None:
    await client.database["project"].insert_one(project(_id="v", name="vision/digits", company=PUBLIC))
    for name in ("vision/digits", "vision/digits/mnist"):
        error = await get_refusal(client, "projectCreate", name=name)
        assert (error["code"], error["name"]) == ("EXPECTED_UNIQUE_DATA", "vision/digits")
    for name in ("vision", "vision/faces", "Vision/digits", "vision/digits 2"):
        await change(client, "projectCreate", "id", name=name)


async def test_a_project_that_stood_beside_a_public_one_before_still_takes_projects_inside(client: Client) -> None:
    await client.database["project"].insert_many(
        [
            project(_id="public", name="vision", company=PUBLIC),
            project(_id="own", name="vision"),
        ]
    )
    payload = await change(client, "projectCreate", PROJECT, name="vision/digits")
    assert payload["project"]["path"] == ["own"]


async def test_names_of_queues_models_and_tasks_are_unique_within_the_company_only(client: Client) -> None:
    """A ClearML server refuses names of public documents for projects only."""
    await client.database["queue"].insert_one(queue(name="same", company=PUBLIC))
    await client.database["model"].insert_one(model(name="same", company=PUBLIC))
    await client.database["task"].insert_one(task(name="same", company=PUBLIC, taskql_name="same"))
    await change(client, "queueCreate", "id", name="same")
    await change(client, "modelCreate", "id", name="same", uri="x")
    await change(client, "taskCreate", "id", name="same", type="TRAINING")


SLASH = "name: a slash separates the names of two projects; remove one that has no name before or after it."
SHORT = "name: a name has at least 3 characters, not counting the blanks around it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", f"{SHORT}; '' has 0."),
        ("  ", f"{SHORT}; '' has 0."),
        ("ab", f"{SHORT}; 'ab' has 2."),
        (" ab ", f"{SHORT}; 'ab' has 2."),
        ("ab/digits", f"{SHORT}; 'ab' has 2."),
        ("\t\n", f"{SHORT}; '' has 0."),
        ("/", f"{SHORT}; '' has 0."),
        (" / ", f"{SHORT}; '' has 0."),
        ("/vision", SLASH),
        ("vision/", SLASH),
        ("vision//digits", SLASH),
        ("vision/ /digits", SLASH),
        ("a/", SLASH),
    ],
)
async def test_an_invalid_project_name_is_refused_with_the_reason(client: Client, name: str, message: str) -> None:
    error = await get_refusal(client, "projectCreate", name=name)
    assert (error["code"], error["field"], error["message"]) == ("DATA_VALIDATION_ERROR", "name", message)


LEAST: dict[str, dict[str, Any]] = {
    "projectCreate": {},
    "queueCreate": {},
    "modelCreate": {"uri": "x"},
    "taskCreate": {"type": "TRAINING"},
}


@pytest.mark.parametrize("mutation", LEAST)
@pytest.mark.parametrize("name", ["", " ", "ab", "\u3000ab\u3000", "\n\n\n\n"])
async def test_a_short_name_is_refused_in_the_same_words_everywhere(client: Client, mutation: str, name: str) -> None:
    error = await get_refusal(client, mutation, name=name, **LEAST[mutation])
    assert (error["code"], error["field"]) == ("DATA_VALIDATION_ERROR", "name")
    assert error["message"].startswith(SHORT)


@pytest.mark.parametrize("mutation", LEAST)
@pytest.mark.parametrize("name", ["abc", "a b", "\0\0\0", "x" * 100_000, "🙂🙂🙂", "${x}", "a.b$c"])
async def test_any_other_name_is_stored_unchanged(client: Client, mutation: str, name: str) -> None:
    kind = mutation.removesuffix("Create")
    payload = await change(client, mutation, f"{kind} {{ name }}", name=f" {name} ", **LEAST[mutation])
    assert payload[kind] == {"name": name}


async def test_a_hundred_projects_are_inside_one_another_at_most(client: Client) -> None:
    error = await get_refusal(client, "projectCreate", name="/".join(["aaa"] * 101))
    assert (error["code"], error["maximum"], error["actual"]) == ("LIMIT_EXCEEDED", 100, 101)
    assert error["message"] == "name has 101 projects inside one another; the maximum is 100."
    payload = await change(client, "projectCreate", "project { path }", name="/".join(["aaa"] * 100))
    assert len(payload["project"]["path"]) == 99


async def test_a_project_has_a_name_of_its_own(client: Client) -> None:
    await client.database["project"].insert_one(project(_id="p", name="imported"))
    await change(client, "projectCreate", "id", name="made here")
    for name in ("imported", "made here", " made here "):
        error = await get_refusal(client, "projectCreate", name=name)
        assert (error["code"], error["field"]) == ("EXPECTED_UNIQUE_DATA", "name")


async def test_fifty_projects_created_at_once_share_the_projects_around_them(client: Client) -> None:
    made = [change(client, "projectCreate", "id", name=f"top/middle/leaf {number}") for number in range(20)]
    await asyncio.gather(*made)
    projects = await read_by_name(client, "project")
    assert len(projects) == await client.database["project"].count_documents({}) == 22
    assert {tuple(stored["path"]) for name, stored in projects.items() if "leaf" in name} == {
        (projects["top"]["_id"], projects["top/middle"]["_id"])
    }


# -- queues ----------------------------------------------------------------------------------------


async def test_a_new_queue_is_empty(client: Client) -> None:
    payload = await change(
        client,
        "queueCreate",
        "id replayed queue { id name tags systemTags entries { position } }",
        name=" fast ",
        tags=["gpu"],
        systemTags=["x"],
    )
    assert payload == {
        "id": payload["id"],
        "replayed": False,
        "queue": {"id": payload["id"], "name": "fast", "tags": ["gpu"], "systemTags": ["x"], "entries": []},
    }


async def test_a_task_is_enqueued_in_a_created_queue(client: Client) -> None:
    await client.database["task"].insert_one(task(_id="t", status="created"))
    made = await change(client, "queueCreate", "id", name="fast")
    payload = await change(
        client,
        "taskEnqueue",
        "task { execution { queue { name entries { task { id } } } } }",
        task="t",
        queue=made["id"],
    )
    assert payload["task"]["execution"]["queue"] == {"name": "fast", "entries": [{"task": {"id": "t"}}]}


async def test_a_queue_has_a_name_of_its_own_and_of_three_letters(client: Client) -> None:
    await client.database["queue"].insert_one(queue(name="imported"))
    assert (await get_refusal(client, "queueCreate", name="imported"))["code"] == "EXPECTED_UNIQUE_DATA"
    assert (await get_refusal(client, "queueCreate", name=" ab "))["code"] == "DATA_VALIDATION_ERROR"


# -- models ----------------------------------------------------------------------------------------


async def test_a_created_model_has_the_values_of_the_input(client: Client) -> None:
    await client.database["project"].insert_one(project(_id="p"))
    await client.database["model"].insert_one(model(_id="m"))
    await client.database["task"].insert_one(task(_id="t"))
    values: dict[str, Any] = {
        "name": "digits net",
        "uri": "s3://x",
        "framework": "PyTorch",
        "comment": "c",
        "tags": ["x"],
        "systemTags": ["y"],
        "ready": True,
        "design": {"a.b": {"$c": 1}, "lambda_": 2},
        "labels": [{"key": "a.b", "value": 1}, {"key": "$x", "value": 2}],
    }
    payload = await change(client, "modelCreate", MODEL, project="p", parent="m", task="t", **values)
    created = payload["model"]
    assert created["id"] == payload["id"]
    assert {name: created[name] for name in values if name != "labels"} == {
        name: value for name, value in values.items() if name != "labels"
    }
    assert sorted(created["labels"], key=str) == sorted(values["labels"], key=str)
    assert (created["projectId"], created["parentId"], created["taskId"], created["userId"]) == (
        "p",
        "m",
        "t",
        "taskql",
    )


async def test_models_may_share_a_name_and_are_not_ready_by_default(client: Client) -> None:
    made = [await change(client, "modelCreate", "id model { ready }", name="net", uri="x") for _ in range(2)]
    assert [payload["model"]["ready"] for payload in made] == [False, False]
    assert made[0]["id"] != made[1]["id"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"name": "x"}, "DATA_VALIDATION_ERROR"),
        ({"project": "no"}, "INVALID_PROJECT_ID"),
        ({"project": "public"}, "NO_WRITE_PERMISSION"),
        ({"project": "foreign"}, "INVALID_PROJECT_ID"),
        ({"parent": "no"}, "INVALID_MODEL_ID"),
        ({"parent": "foreign"}, "INVALID_MODEL_ID"),
        ({"task": "no"}, "INVALID_TASK_ID"),
        ({"task": "foreign"}, "INVALID_TASK_ID"),
        ({"labels": [{"key": "x", "value": 1}, {"key": "x", "value": 2}]}, "DATA_VALIDATION_ERROR"),
        ({"labels": [{"key": "", "value": 1}]}, "DATA_VALIDATION_ERROR"),
        ({"labels": [{"key": "x"}]}, "DATA_VALIDATION_ERROR"),
        ({"design": {"": 1}}, "DATA_VALIDATION_ERROR"),
        ({"design": []}, "VALIDATION_FAILED"),
        ({"uri": None}, "VALIDATION_FAILED"),
        ({"ready": "yes"}, "VALIDATION_FAILED"),
    ],
)
async def test_an_invalid_model_is_not_stored(client: Client, bad: dict[str, Any], code: str) -> None:
    for company, id_ in ((OTHER_COMPANY, "foreign"), (PUBLIC, "public")):
        fields = {"_id": id_, "company": company}
        await client.database["project"].insert_one(project(**fields))
        await client.database["model"].insert_one(model(**fields))
        await client.database["task"].insert_one(task(**fields))
    error = await get_refusal(client, "modelCreate", **{"name": "a net", "uri": "x", **bad})
    assert error["code"] == code
