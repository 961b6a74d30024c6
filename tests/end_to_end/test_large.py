"""Near the 16 MB of a document a change is made, or refused with LIMIT_EXCEEDED; it is never a fault of the server."""

from typing import Any

import bson
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import COMPANY, Document, queue, task
from tests.support.mutations import mutation

pytestmark = pytest.mark.slow

Database = AsyncDatabase[Document]

MAX_BYTES = 16 * 1024 * 1024
LONG = "y" * 100_000
POINT = {"metric": "m", "variant": "v", "iteration": 1, "value": 1.0}
ONE: list[tuple[str, Document, Document]] = [  # mutation, input, fields of the task
    ("taskUpdate", {"comment": LONG}, {"status": "created"}),
    ("taskEdit", {"comment": LONG}, {"status": "created"}),
    ("taskSetRequirements", {"requirements": {"pip": LONG}}, {"status": "created"}),
    ("taskStarted", {"statusReason": LONG}, {"status": "created"}),
    ("taskStop", {"statusReason": LONG}, {"status": "in_progress"}),
    ("taskStopped", {"statusReason": LONG}, {"status": "in_progress"}),
    ("taskFailed", {"statusReason": LONG}, {"status": "in_progress"}),
    ("taskClose", {"statusReason": LONG}, {"status": "stopped"}),
    ("taskCompleted", {"statusReason": LONG}, {"status": "in_progress"}),
    ("taskPublish", {"statusReason": LONG}, {"status": "stopped"}),
    ("taskEnqueue", {"statusReason": LONG}, {"status": "created"}),
    ("taskDequeue", {"statusReason": LONG}, {"status": "queued"}),
    ("taskArchive", {"statusReason": LONG}, {"status": "stopped"}),
    ("taskUnarchive", {"statusReason": LONG}, {"status": "stopped", "system_tags": ["archived"]}),
    ("taskClone", {"comment": LONG}, {}),
]


def build_nearly_full_task(spare: int = 1000, **fields: Any) -> Document:
    """A task with so many bytes to spare in MongoDB's 16 MB."""
    empty = task(_id="big", company=COMPANY, parent=None, project=None, **{"report": "", **fields})
    return empty | {"report": "r" * (MAX_BYTES - spare - len(bson.encode(empty)))}


@pytest.mark.parametrize(("name", "asked", "fields"), ONE, ids=[name for name, *_ in ONE])
async def test_a_change_that_does_not_fit_is_a_limit_and_changes_nothing(
    client: Client, database: Database, name: str, asked: Document, fields: Document
) -> None:
    big = build_nearly_full_task(**fields)
    await database.task.insert_one(big)
    await database.queue.insert_one(queue(_id="q"))
    error = await client.error(mutation(name, "__typename"), input={"task": "big", **asked})
    assert (error["code"], error["limit"]) == ("LIMIT_EXCEEDED", "document")
    assert await database.task.find().to_list() == [big]


async def test_a_change_that_makes_room_is_made(client: Client, database: Database) -> None:
    """A text is counted once where it takes the place of another one."""
    await database.task.insert_one(build_nearly_full_task(status="created", comment="c" * 200_000))
    data = await client.data(mutation("taskEdit", "updated"), input={"task": "big", "comment": LONG})
    assert data["taskEdit"]["updated"] == 1


async def test_a_batch_names_the_item_that_does_not_fit_and_stores_the_others(
    client: Client, database: Database
) -> None:
    await database.task.insert_many([build_nearly_full_task(status="created"), task(_id="small", status="created")])
    items = [{"task": id_, "comment": LONG} for id_ in ("big", "small")]
    asked = {"items": items, "allOrNothing": False}
    selected = "updated results { id succeeded error { code } }"
    payload = (await client.data(mutation("taskUpdateBatch", selected), input=asked))["taskUpdateBatch"]
    assert payload["results"] == [
        {"id": "big", "succeeded": False, "error": {"code": "LIMIT_EXCEEDED"}},
        {"id": "small", "succeeded": True, "error": None},
    ]
    error = await client.error(mutation("taskUpdateBatch", "updated"), input={"items": items})
    assert (error["code"], error["item"]) == ("LIMIT_EXCEEDED", 0)


async def test_many_tasks_and_reports_name_the_one_that_does_not_fit(client: Client, database: Database) -> None:
    await database.task.insert_many(
        [
            build_nearly_full_task(status="in_progress", last_metrics={}, unique_metrics=[]),
            task(_id="small", status="in_progress"),
        ]
    )
    points = [POINT | {"variant": f"v{number}"} for number in range(20)]
    report = {"reports": [{"task": id_, "points": points} for id_ in ("big", "small")]}
    selected = "results { id succeeded error { code } }"
    expected = [
        {"id": "big", "succeeded": False, "error": {"code": "LIMIT_EXCEEDED"}},
        {"id": "small", "succeeded": True, "error": None},
    ]
    assert (await client.data(mutation("metricsReport", selected), input=report))["metricsReport"][
        "results"
    ] == expected
    stop = {"ids": ["big", "small"], "statusReason": LONG}
    assert (await client.data(mutation("taskStopMany", selected), input=stop))["taskStopMany"]["results"] == expected


async def test_a_task_that_is_created_too_large_is_a_limit(beside: Any, database: Database) -> None:
    generous = beside(max_body_bytes=100_000_000)
    for size in (MAX_BYTES, 3 * MAX_BYTES):
        created = {"name": "large one", "type": "TRAINING", "comment": "c" * size}
        error = await generous.error(mutation("taskCreate", "__typename"), input=created)
        assert (error["code"], error.get("limit")) == ("LIMIT_EXCEEDED", "document"), error
    assert await database.task.count_documents({}) == 0
