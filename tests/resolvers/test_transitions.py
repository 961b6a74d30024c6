"""The changes of a move beside the status: the fields of the task, its worker and its models."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.dates import now
from tests.support.client import Client
from tests.support.factories import COMPANY, DAY, OTHER_COMPANY, PUBLIC, Document, model, put, queue, task

Database = AsyncDatabase[Document]

# -- the fields that a run leaves behind -----------------------------------------------------------

RUN: dict[str, Any] = {
    "started": DAY,
    "completed": DAY,
    "published": DAY,
    "active_duration": 60,
    "last_worker": "worker:0",
    "last_worker_report": DAY,
    "enqueue_status": "created",
    "execution.queue": "line",
    "output.result": "success",
    "output.error": "none",
    "output.model": "net",
}


class Move(NamedTuple):
    """A mutation of a task of this status, and the fields of RUN that it sets to now, and that it clears."""

    mutation: str
    status: str
    now: set[str]
    cleared: set[str]


WAITED = {"execution.queue", "enqueue_status"}
MOVES = (
    Move("taskStarted", "created", {"started"}, {"completed", "active_duration"}),
    Move("taskStarted", "completed", {"started"}, {"completed", "active_duration"}),
    Move("taskStarted", "in_progress", set(), set()),
    Move("taskStop", "in_progress", set(), set()),
    Move("taskStopped", "in_progress", {"completed"}, set()),
    Move("taskFailed", "in_progress", {"completed"}, set()),
    Move("taskClose", "stopped", set(), set()),
    Move("taskCompleted", "in_progress", {"completed"}, set()),
    Move("taskPublish", "completed", {"published"}, set()),
    Move("taskEnqueue", "created", set(), {"enqueue_status"}),
    Move("taskDequeue", "queued", set(), WAITED),
    Move("taskReset", "completed", set(), set(RUN)),
    Move("taskArchive", "queued", set(), WAITED),
    Move("taskArchive", "in_progress", {"completed"}, set()),
    Move("taskArchive", "completed", set(), set()),
)


@pytest.mark.parametrize("move", MOVES, ids=[f"{move.mutation}-{move.status}" for move in MOVES])
async def test_a_move_sets_and_clears_the_fields_of_a_run(client: Client, database: Database, move: Move) -> None:
    """The task has every one of them beforehand; those that the move does not name stay as they are."""
    stored = task(_id="t", status=move.status)
    for path, value in RUN.items():
        stored = put(stored, path, value)
    await database.task.insert_one(stored)
    await database.queue.insert_one(queue(_id="line"))
    since = now()
    await client.data(f'mutation {{ {move.mutation}(input: {{task: "t"}}) {{ updated }} }}')
    stored_task = await database.task.find_one({"_id": "t"})
    values = {path: read_path(stored_task, path) for path in RUN}
    assert {path for path, value in values.items() if value is None} == move.cleared
    assert {path for path, value in values.items() if isinstance(value, datetime) and value >= since} == move.now
    unchanged = RUN.keys() - move.cleared - move.now
    assert {path: values[path] for path in unchanged} == {path: RUN[path] for path in unchanged}


def read_path(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name)
    return document


# -- a worker that is asked to stop ----------------------------------------------------------------

STOP = 'mutation { taskStop(input: {task: "t"}) { task { status statusMessage } } }'


@pytest.mark.parametrize(
    ("silence", "status"),
    [
        (timedelta(minutes=9, seconds=45), "IN_PROGRESS"),
        (timedelta(minutes=10, seconds=10), "STOPPED"),
    ],
)
async def test_a_worker_is_alive_for_ten_minutes_after_its_last_report(
    client: Client, database: Database, silence: timedelta, status: str
) -> None:
    """A worker that is alive is asked to stop; a task of one that is not is stopped at once."""
    await client.error(STOP)  # the indexes of the first mutation are built by now
    await database.task.insert_one(task(_id="t", status="in_progress", system_tags=[], last_update=now() - silence))
    after = (await client.data(STOP))["taskStop"]["task"]
    assert (after["status"], after["statusMessage"] == "stopping") == (status, status == "IN_PROGRESS")


@pytest.mark.parametrize("fields", [{"system_tags": ["development"]}, {"system_tags": [], "last_worker": None}])
async def test_a_task_without_a_worker_that_listens_stops_at_once(
    client: Client, database: Database, fields: Document
) -> None:
    """A task that runs on its developer's machine has a worker that nobody can ask."""
    await database.task.insert_one(task(**{"_id": "t", "status": "in_progress", "last_update": now()} | fields))
    assert (await client.data(STOP))["taskStop"]["task"]["status"] == "STOPPED"


# -- other companies -------------------------------------------------------------------------------


@pytest.mark.parametrize("company", [PUBLIC, OTHER_COMPANY], ids=["public", "foreign"])
@pytest.mark.parametrize(("mutation", "status"), [("taskDelete", "created"), ("taskReset", "stopped")])
async def test_children_and_models_of_other_companies_do_not_refuse_a_move(
    client: Client, database: Database, mutation: str, status: str, company: str
) -> None:
    await database.task.insert_many(
        [
            task(_id="t", status=status, models={"input": [], "output": [{"model": "named"}]}),
            task(_id="child", company=company, parent="t", status="published"),
        ]
    )
    models = [model(_id=id_, company=company, task=of, ready=True) for id_, of in (("made", "t"), ("named", None))]
    await database.model.insert_many(models)
    await client.data(f'mutation {{ {mutation}(input: {{task: "t"}}) {{ replayed }} }}')
    assert await database.task.find_one({"_id": "child", "parent": "t"})
    assert await database.model.find().sort("_id").to_list() == models


# -- the models that publishing makes ready --------------------------------------------------------

PUBLISH = "mutation($input: TaskPublishInput!) { taskPublish(input: $input) { task { status } } }"


def build_maker(*models: str) -> Document:
    return task(_id="t", status="completed", models={"input": [], "output": [{"model": id_} for id_ in models]})


@pytest.mark.parametrize(
    ("arguments", "is_ready"),
    [
        ({"publishModel": True}, True),
        ({"publishModel": False}, False),
        ({"publishModel": None}, True),
        ({}, True),
    ],
)
async def test_publishing_makes_the_last_model_ready_unless_publish_model_is_false(
    client: Client, database: Database, arguments: Document, is_ready: bool
) -> None:
    await database.task.insert_one(build_maker("first", "last"))
    await database.model.insert_many([model(_id=id_, task="t", ready=False) for id_ in ("first", "last")])
    assert (await client.data(PUBLISH, input={"task": "t"} | arguments))["taskPublish"]["task"]["status"] == "PUBLISHED"
    assert {document["_id"]: document["ready"] for document in await database.model.find().to_list()} == {
        "first": False,
        "last": is_ready,
    }


@pytest.mark.parametrize("company", [PUBLIC, COMPANY, None], ids=["public", "own", "missing"])
async def test_a_model_that_is_not_published_does_not_refuse_the_task(
    client: Client, database: Database, company: str | None
) -> None:
    """Neither a public draft nor a model that is missing; publishModel true refuses the public draft."""
    await database.task.insert_one(build_maker("draft"))
    if company is not None:
        await database.model.insert_one(model(_id="draft", company=company, ready=False))
    before = await database.model.find().to_list()
    if company == PUBLIC:
        error = await client.error(PUBLISH, input={"task": "t", "publishModel": True})
        assert error["code"] == "INVALID_MODEL_ID"
    data = await client.data(PUBLISH, input={"task": "t", "publishModel": False})
    assert data["taskPublish"]["task"]["status"] == "PUBLISHED"
    assert await database.model.find().to_list() == before
