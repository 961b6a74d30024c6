"""The effects of moves on what surrounds a task: its run, its models, its children and the trash."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.dates import now
from tests.support.client import Client
from tests.support.factories import (
    ABSENT,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    artifact,
    artifacts,
    model,
    queue,
    task,
)
from tests.support.mutations import change

Database = AsyncDatabase[Document]


# -- the run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", ["documented", "clearml"])
async def test_a_running_task_keeps_its_start_unless_that_lies_in_the_future(ruled: Client, database: Database) -> None:
    """A worker whose clock is ahead writes a start that lies in the future."""
    await database.task.insert_many(
        [
            task(_id="past", status="in_progress", started=DAY),
            task(_id="future", status="in_progress", started=now() + timedelta(days=400)),
        ]
    )
    since = now()
    for id_ in ("past", "future"):
        await change(ruled, "taskStarted", "started", task=id_)
    started = {document["_id"]: document["started"] for document in await database.task.find().to_list()}
    assert started["past"] == DAY
    assert since <= started["future"] <= now()


async def test_a_reset_task_forgets_what_its_run_reported(client: Client, database: Database) -> None:
    """Its input artifacts stay."""
    stored = artifacts(artifact("made"), artifact("given", mode="input"))
    await database.task.insert_one(
        task(_id="t", metric_stats={"m": 1}, execution={"artifacts": stored}, models={"input": [], "output": [{}]})
    )
    await change(client, "taskReset", "updated", task="t")
    after = await database.task.find_one({"_id": "t"})
    assert after
    names = ("last_iteration", "last_metrics", "unique_metrics", "metric_stats", "runtime", "models")
    assert [after[name] for name in names] == [0, {}, [], {}, {}, {"input": [], "output": []}]
    assert after["execution"]["artifacts"] == artifacts(artifact("given", mode="input"))


# -- models ----------------------------------------------------------------------------------------


def build_inputs(*ids: str) -> Document:
    return {"input": [{"name": id_, "model": id_} for id_ in ids], "output": []}


async def insert_makers_models(database: Database) -> None:
    """Insert a task, models of each kind that it made, and tasks that use some of them."""
    models = {"input": [{"name": "own", "model": "own"}], "output": [{"model": "named"}, {"model": "lent"}]}
    await database.task.insert_many(
        [
            task(_id="t", status="created", models=models),
            task(_id="user", models=build_inputs("used", "lent")),
            task(_id="old user", models=ABSENT, execution={"model": "used long ago"}),
            task(_id="public user", company=PUBLIC, models=build_inputs("shared")),
        ]
    )
    await database.model.insert_many(
        [
            model(_id="draft", task="t", ready=False),
            model(_id="without ready", task="t", ready=ABSENT),
            model(_id="named", ready=False),
            model(_id="own", task="t", ready=False),
            model(_id="used", task="t", ready=False),
            model(_id="used long ago", task="t", ready=False),
            model(_id="shared", task="t", ready=False),
            model(_id="lent", task="maker", ready=False),
            model(_id="ready", task="t", ready=True),
            model(_id="stranger", task="u", ready=False),
        ]
    )


@pytest.mark.parametrize(
    ("mutation", "selected", "answer", "mark"),
    [
        ("taskDelete", "deletedModels updatedModels", {"deletedModels": 4, "updatedModels": 1}, "__DELETED__t"),
        ("taskReset", "deletedModels", {"deletedModels": 4}, None),
    ],
)
async def test_a_removed_run_takes_the_drafts_that_no_other_task_uses(
    client: Client, database: Database, mutation: str, selected: str, answer: Document, mark: str | None
) -> None:
    """A draft that another task uses stays without a task; a ready model names the deleted one."""
    await insert_makers_models(database)
    assert await change(client, mutation, selected, task="t", force=True) == answer
    assert {document["_id"]: document.get("task") for document in await database.model.find().to_list()} == {
        "used": None,
        "used long ago": None,
        "shared": None,
        "lent": "maker",
        "ready": mark,
        "stranger": "u",
    }


@pytest.mark.parametrize("mutation", ["taskDelete", "taskReset"])
async def test_a_ready_model_counts_once(client: Client, database: Database, mutation: str) -> None:
    """Once where it names the task and the task names it."""
    models = {"input": [], "output": [{"model": id_} for id_ in ("both", "both", "named", "draft", "public")]}
    await database.task.insert_one(task(_id="t", status="created", models=models))
    await database.model.insert_many(
        [
            model(_id="both", task="t", ready=True),
            model(_id="named", ready=True),
            model(_id="names", task="t", ready=True),
            model(_id="draft", task="t", ready=False),
            model(_id="public", company=PUBLIC, task="t", ready=True),
        ]
    )
    error = await client.error(f'mutation {{ {mutation}(input: {{task: "t"}}) {{ replayed }} }}')
    assert (error["code"], error["models"]) == ("TASK_CANNOT_BE_DELETED", 3)


async def test_publishing_leaves_a_model_that_is_ready_as_it_is(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t", models={"input": [], "output": [{"model": "net"}]}))
    net = model(_id="net", task="t", ready=True)
    await database.model.insert_one(net)
    await change(client, "taskPublish", "updated", task="t")
    assert await database.model.find_one() == net


async def test_force_does_not_publish_a_public_model(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t", models={"input": [], "output": [{"model": "net"}]}))
    await database.model.insert_one(model(_id="net", company=PUBLIC, ready=False))
    error = await client.error('mutation { taskPublish(input: {task: "t", force: true}) { updated } }')
    assert error["code"] == "INVALID_MODEL_ID"


async def test_a_model_of_another_company_reads_like_a_missing_one(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t", models={"input": [], "output": [{"model": "net"}]}))
    net = model(_id="net", company=OTHER_COMPANY, ready=False)
    await database.model.insert_one(net)
    await change(client, "taskPublish", "updated", task="t")
    assert await database.model.find_one() == net


# -- children, queues and the trash ----------------------------------------------------------------


async def test_the_children_of_a_deleted_task_name_it_as_deleted(client: Client, database: Database) -> None:
    children = [task(_id=id_, parent="t") for id_ in ("a", "b")]
    await database.task.insert_many([task(_id="t", status="created"), *children, task(_id="c", parent="u")])
    payload = await change(client, "taskDelete", "updatedChildren", task="t", force=True)
    assert payload == {"updatedChildren": 2}
    assert {document["_id"]: document["parent"] for document in await database.task.find().to_list()} == {
        "a": "__DELETED__t",
        "b": "__DELETED__t",
        "c": "u",
    }


async def test_a_deleted_task_leaves_its_queues(client: Client, database: Database) -> None:
    entries = [{"task": id_, "added": DAY} for id_ in ("t", "u")]
    await database.queue.insert_many([queue(_id="line", entries=entries), queue(_id="other", entries=entries[1:])])
    await database.task.insert_one(task(_id="t", status="queued"))
    since = now()
    await change(client, "taskDelete", "deleted", task="t", force=True)
    line, other = await database.queue.find().sort("_id").to_list()
    assert (line["entries"], other["entries"]) == (entries[1:], entries[1:])
    assert line["last_update"] >= since
    assert other["last_update"] == DAY


@pytest.mark.parametrize(
    ("arguments", "is_kept"),
    [({"moveToTrash": True}, True), ({"moveToTrash": False}, False), ({"moveToTrash": None}, False), ({}, False)],
    ids=["true", "false", "null", "left out"],
)
async def test_a_deleted_task_is_kept_in_the_trash_on_request(
    client: Client, database: Database, arguments: dict[str, Any], is_kept: bool
) -> None:
    """In place of an earlier one with its id."""
    former, stored = task(_id="t", name="former"), task(_id="t", status="created")
    await database.task__trash.insert_one(former)
    await database.task.insert_one(stored)
    await change(client, "taskDelete", "deleted", task="t", **arguments)
    assert await database.task__trash.find().to_list() == [stored if is_kept else former]


# -- force -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, None], ids=["false", "null"])
async def test_only_true_is_force(client: Client, database: Database, force: bool | None) -> None:
    """The history notes it in the same way."""
    await database.task.insert_one(task(_id="t", status="stopped"))
    close = 'mutation($force: Boolean) { taskClose(input: {task: "t", force: $force}) { updated } }'
    await client.data(close, force=force)
    await database.task.update_one({"_id": "t"}, {"$set": {"status": "published"}})
    assert (await client.error(close, force=force))["code"] == "INVALID_TASK_STATUS"
    await client.data(close, force=True)
    data = await client.data('{ task(id: "t") { transitions { nodes { force } } } }')
    assert [step["force"] for step in data["task"]["transitions"]["nodes"]] == [False, True]
