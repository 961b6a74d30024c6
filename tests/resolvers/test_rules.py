"""The documented rules, each in both positions of TASKQL_RULES; and unique names."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from models.rules import RULES, is_in_force, is_known_destination
from models.status import CLEARML, DOCUMENTED
from tests.support.client import Client
from tests.support.factories import OTHER_COMPANY, project, task
from tests.support.mutations import change, get_refusal, mutation

ClientWith = Callable[..., Client]
STATUSES = ("created", "queued", "in_progress", "stopped", "publishing", "published", "closed", "failed", "completed")


@pytest.fixture
def lax(beside: ClientWith) -> Client:
    return beside(rules=CLEARML)


def test_every_rule_is_in_force_by_one_switch() -> None:
    assert all(is_in_force(rule, DOCUMENTED) and not is_in_force(rule, CLEARML) for rule in RULES)


# -- a parent is completed -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("status", STATUSES)
async def test_the_parent_of_a_task_is_completed(client: Client, lax: Client, status: str) -> None:
    await client.database["task"].insert_many([task(_id="p", status=status), task(_id="t", status="created")])
    calls: list[tuple[str, dict[str, Any]]] = [
        ("taskCreate", {"name": "abc", "type": "TRAINING"}),
        ("taskEdit", {"task": "t"}),
        ("taskClone", {"task": "t", "name": "another"}),
    ]
    for name, values in calls:
        if status == "completed":
            await change(client, name, "task { parentId }", parent="p", **values)
        else:
            error = await get_refusal(client, name, parent="p", **values)
            assert (error["code"], error["field"]) == ("TASK_VALIDATION_ERROR", "parent")
            assert (error["status"], error["allowed"]) == (status.upper(), ["COMPLETED"])
        payload = await change(lax, name, "task { parentId }", parent="p", **values)
        assert payload["task"]["parentId"] == "p"


# -- a project exists ------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["nothing", "foreign"])
async def test_the_project_of_a_task_exists(client: Client, lax: Client, missing: str) -> None:
    await client.database["project"].insert_one(project(_id="foreign", company=OTHER_COMPANY))
    await client.database["task"].insert_one(task(_id="t", status="created"))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("taskCreate", {"name": "abc", "type": "TRAINING"}),
        ("taskEdit", {"task": "t"}),
        ("taskUpdate", {"task": "t"}),
        ("taskClone", {"task": "t", "name": "another"}),
    ]
    for name, values in calls:
        error = await get_refusal(client, name, project=missing, **values)
        assert (error["code"], error["field"], error["project"]) == ("INVALID_PROJECT_ID", "project", missing)
        payload = await change(lax, name, "task { projectId project { name } }", project=missing, **values)
        assert payload["task"] == {"projectId": missing, "project": {"name": None}}


# -- deleting --------------------------------------------------------------------------------------


async def test_clearml_rules_delete_an_archived_task_in_any_status(client: Client, lax: Client) -> None:
    await client.database["task"].insert_one(task(_id="t", status="stopped", system_tags=["archived"]))
    error = await get_refusal(client, "taskDelete", task="t")
    assert (error["code"], error["status"], error["allowed"]) == ("TASK_CANNOT_BE_DELETED", "STOPPED", ["CREATED"])
    assert (await change(lax, "taskDelete", "deleted", task="t"))["deleted"] is True


# -- output goes to known places -------------------------------------------------------------------

KNOWN = (
    "/data",
    "results/run",
    "C:\\data",
    "\\\\host\\share",
    "file:///data",
    "s3://b",
    "gs://b/x",
    "azure://a/b",
    "http://h/x",
    "HTTPS://h/x",
    "/data with: a colon",
)
UNKNOWN = ("ftp://h/x", "hdfs://h/x", "mailto:x", "s3:b", "nowhere", "", "javascript:alert(1)", "file:/data")


@pytest.mark.parametrize("destination", [*KNOWN, *UNKNOWN])
async def test_output_goes_to_a_known_place(client: Client, lax: Client, destination: str) -> None:
    await client.database["task"].insert_one(task(_id="t", status="created"))
    values = {"task": "t", "outputDest": destination}
    if destination in KNOWN:
        await change(client, "taskEdit", "updated", **values)
    else:
        error = await get_refusal(client, "taskEdit", **values)
        assert (error["code"], error["field"]) == ("TASK_VALIDATION_ERROR", "outputDest")
    payload = await change(lax, "taskEdit", "task { output { destination } }", **values)
    assert payload["task"]["output"]["destination"] == destination


@pytest.mark.slow
@pytest.mark.usefixtures("database")
async def test_with_storages_output_goes_to_one_of_them(beside: ClientWith) -> None:
    storages = " s3://Bucket/ , /data/,"
    client, lax = beside(storages=storages), beside(storages=storages, rules=CLEARML)
    made = {"type": "TRAINING"}
    for number, destination in enumerate(("s3://Bucket/x", "/data/x")):
        await change(client, "taskCreate", "id", name=f"known {number}", outputDest=destination, **made)
    for unknown in ("s3://bucket/x", "s3://other", "/dat", "/", "http://h/x"):
        error = await get_refusal(client, "taskCreate", name="unknown", outputDest=unknown, **made)
        assert (error["code"], error["allowed"]) == ("TASK_VALIDATION_ERROR", ["s3://Bucket/", "/data/"])
        await change(lax, "taskCreate", "id", name="unknown", outputDest=unknown, **made)


def test_a_storage_is_the_beginning_of_a_destination() -> None:
    assert is_known_destination("s3://a/b", ["s3://a"])
    assert not is_known_destination("/s3://a/b", ["s3://a"])


# -- names -----------------------------------------------------------------------------------------

WAYS_TO_A_NAME: dict[str, dict[str, Any]] = {
    "taskCreate": {"type": "TRAINING"},
    "taskUpdate": {"task": "draft"},
    "taskEdit": {"task": "draft"},
    "taskClone": {"task": "draft"},
}


@pytest.mark.parametrize("way", WAYS_TO_A_NAME)
async def test_two_tasks_that_this_api_wrote_have_different_names(client: Client, lax: Client, way: str) -> None:
    await client.database["task"].insert_one(task(_id="draft", name="a draft", status="created"))
    first = await change(client, "taskCreate", "id", name="the one", type="TRAINING")
    error = await get_refusal(client, way, name="  the one ", **WAYS_TO_A_NAME[way])
    assert (error["code"], error["field"], error["task"]) == ("EXPECTED_UNIQUE_DATA", "name", first["id"])
    for _ in range(2):
        payload = await change(lax, way, "task { name }", name="the one", **WAYS_TO_A_NAME[way])
        assert payload["task"]["name"] == "the one"


async def test_a_taken_name_is_not_valid(client: Client, lax: Client) -> None:
    await change(client, "taskCreate", "id", name="the one", type="TRAINING")
    query = 'query { taskValidate(input: { name: " the one", type: TRAINING }) }'
    assert (await client.error(query))["code"] == "EXPECTED_UNIQUE_DATA"
    assert await lax.data(query) == {"taskValidate": True}


async def test_the_names_of_a_batch_are_unique(client: Client, lax: Client) -> None:
    await client.database["task"].insert_many([task(_id="a"), task(_id="b")])
    items = [{"task": id_, "name": "the one"} for id_ in ("a", "b")]
    assert (await get_refusal(client, "taskUpdateBatch", items=items))["code"] == "EXPECTED_UNIQUE_DATA"
    assert (await change(lax, "taskUpdateBatch", "updated", items=items))["updated"] == 2


async def test_names_of_imported_tasks_are_free(client: Client) -> None:
    await client.database["task"].insert_many([task(name="imported"), task(name="imported")])
    await change(client, "taskCreate", "id", name="imported", type="TRAINING")
    assert (await get_refusal(client, "taskCreate", name="imported", type="TRAINING"))["code"] == "EXPECTED_UNIQUE_DATA"


async def test_a_task_may_keep_its_name(client: Client) -> None:
    made = await change(client, "taskCreate", "id", name="the one", type="TRAINING")
    payload = await change(client, "taskUpdate", "updated", task=made["id"], name=" the one")
    assert payload["updated"] == 1


@pytest.mark.parametrize("freed", ["renamed", "deleted", "renamed by another program", "renamed under other rules"])
async def test_a_name_is_free_after_its_task_lost_it(client: Client, lax: Client, freed: str) -> None:
    id_ = (await change(client, "taskCreate", "id", name="the one", type="TRAINING"))["id"]
    if freed == "renamed":
        await change(client, "taskUpdate", "updated", task=id_, name="another")
    if freed == "deleted":
        await change(client, "taskDelete", "deleted", task=id_)
    if freed == "renamed by another program":
        await client.database["task"].update_one({"_id": id_}, {"$set": {"name": "another"}})
    if freed == "renamed under other rules":
        await change(lax, "taskUpdate", "updated", task=id_, name="another")
    assert await change(client, "taskCreate", "task { name }", name="the one", type="TRAINING")


async def test_names_of_other_companies_are_free(client: Client) -> None:
    foreign = task(name="the one", company=OTHER_COMPANY, taskql_name="the one")
    await client.database["task"].insert_one(foreign)
    assert await change(client, "taskCreate", "id", name="the one", type="TRAINING")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("taskCreate", {"name": "the one", "type": "TRAINING"}),
        ("projectCreate", {"name": "the one"}),
        ("queueCreate", {"name": "the one"}),
    ],
)
async def test_of_fifty_at_once_one_gets_the_name(client: Client, name: str, values: dict[str, Any]) -> None:
    calls = [client.answer(mutation(name, "id"), input=values) for _ in range(50)]
    answers = await asyncio.gather(*calls)
    codes = [answer["errors"][0]["extensions"]["code"] for answer in answers if "errors" in answer]
    assert codes == ["EXPECTED_UNIQUE_DATA"] * 49
    collection = name.removesuffix("Create")
    assert await client.database[collection].count_documents({"name": "the one"}) == 1
