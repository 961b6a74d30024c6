"""A worker takes tasks out of a queue: first in, first out."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.dates import now
from models.documents.transition import TRANSITIONS
from models.status import CLEARML, DOCUMENTED
from tests.support.client import Client
from tests.support.factories import COMPANY, DAY, OTHER_COMPANY, PUBLIC, Document, ids, project, queue, task

Database = AsyncDatabase[Document]
NEXT = "mutation($input: QueueNextTaskInput!) { queueNextTask(input: $input) { replayed task { id status } } }"


def build_entries(*tasks: Any) -> list[dict[str, Any]]:
    """Build entries in this order, with times in the opposite order."""
    return [{"task": task, "added": DAY - timedelta(days=number)} for number, task in enumerate(tasks)]


async def take_next(client: Client, **arguments: Any) -> Any:
    taken = (await client.data(NEXT, input={"worker": "w:1", **arguments}))["queueNextTask"]["task"]
    return taken and taken["id"]


async def read_waiting(client: Client, id_: str) -> list[str]:
    stored_queue = await client.database["queue"].find_one({"_id": id_})
    assert stored_queue
    return [entry["task"] for entry in stored_queue["entries"]]


async def test_tasks_leave_the_queue_in_its_order(client: Client) -> None:
    tasks = [task(status="queued") for _ in range(3)]
    line = queue(entries=build_entries(*ids(tasks)))
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(line)
    taken = [await take_next(client, queue=line["_id"]) for _ in range(4)]
    assert taken == [*ids(tasks), None]
    assert await read_waiting(client, line["_id"]) == []


async def test_a_taken_task_names_its_worker_and_stays_queued(client: Client) -> None:
    home = project(last_update=DAY)
    queued = task(status="queued", project=home["_id"], last_worker=None, execution={"queue": "q"})
    line = queue(_id="q", entries=build_entries(queued["_id"]), last_update=DAY)
    await client.database["task"].insert_one(queued)
    await client.database["project"].insert_one(home)
    await client.database["queue"].insert_one(line)
    before = now()
    answer = await client.data(NEXT, input={"queue": "q", "worker": "gpu:0"})
    assert answer == {"queueNextTask": {"replayed": False, "task": {"id": queued["_id"], "status": "QUEUED"}}}
    after = await client.database["task"].find_one({"_id": queued["_id"]})
    assert after
    reported = after["last_worker_report"]
    assert before <= reported <= now()
    changed = {
        "last_worker": "gpu:0",
        "last_worker_report": reported,
        "last_update": reported,
        "last_change": reported,
        "last_changed_by": "taskql",
    }
    assert after == queued | changed
    left = await client.database["queue"].find_one({"_id": "q"})
    assert left == line | {"entries": [], "last_update": reported}
    assert await client.database[TRANSITIONS].count_documents({}) == 0
    touched = await client.database["project"].find_one({"_id": home["_id"]})
    assert touched == home | {"last_update": reported}


async def test_without_a_queue_the_default_one_is_used(client: Client) -> None:
    queued = task(status="queued")
    await client.database["task"].insert_one(queued)
    assert (await client.error(NEXT, input={"worker": "w"}))["code"] == "NO_DEFAULT_QUEUE"
    await client.database["queue"].insert_one(queue(entries=build_entries(queued["_id"])))
    assert await take_next(client) == queued["_id"]
    await client.database["queue"].insert_one(queue())
    assert (await client.error(NEXT, input={"worker": "w"}))["code"] == "MULTIPLE_DEFAULT_QUEUES"


async def test_entries_of_tasks_that_are_not_queued_are_removed(client: Client) -> None:
    started, foreign, public = (
        task(status="in_progress"),
        task(status="queued", company=OTHER_COMPANY),
        task(status="queued", company=PUBLIC),
    )
    waits, later = task(status="queued"), task(status="stopped")
    line = queue(entries=build_entries("gone", *ids([started, foreign, public, waits, later])))
    await client.database["task"].insert_many([started, foreign, public, waits, later])
    await client.database["queue"].insert_one(line)
    assert await take_next(client, queue=line["_id"]) == waits["_id"]
    assert await read_waiting(client, line["_id"]) == [later["_id"]]
    assert await take_next(client, queue=line["_id"]) is None
    assert await read_waiting(client, line["_id"]) == []
    assert await client.database["task"].find_one({"_id": foreign["_id"]}) == foreign


@pytest.mark.parametrize(("status", "rules"), [("queued", CLEARML), ("created", DOCUMENTED)])
async def test_an_enqueued_task_leaves_its_former_queue(
    beside: Callable[..., Client], database: Database, status: str, rules: str
) -> None:
    """A draft leaves a queue that lists it already, so that one worker gets the task."""
    await database.task.insert_one(task(_id="t", status=status, execution={"queue": "a"}))
    await database.queue.insert_many(
        [
            queue(_id="a", entries=build_entries("other", "t"), last_update=DAY),
            queue(_id="b", entries=build_entries("first")),
        ]
    )
    client, since = beside(rules=rules), now()
    data = await client.data('mutation { taskEnqueue(input: {task: "t", queue: "b"}) { queued } }')
    assert data["taskEnqueue"]["queued"] == 1
    assert (await read_waiting(client, "a"), await read_waiting(client, "b")) == (["other"], ["first", "t"])
    left = await database.queue.find_one({"_id": "a"})
    moved = await database.task.find_one({"_id": "t"})
    assert left
    assert left["last_update"] >= since
    assert moved
    assert (moved["status"], moved["execution"]["queue"]) == ("queued", "b")


async def test_a_queued_task_is_found_after_a_thousand_stale_entries(client: Client) -> None:
    waits = task(status="queued")
    line = queue(entries=build_entries(*(f"gone {number}" for number in range(1234)), waits["_id"]))
    await client.database["task"].insert_one(waits)
    await client.database["queue"].insert_one(line)
    assert await take_next(client, queue=line["_id"]) == waits["_id"]
    assert await read_waiting(client, line["_id"]) == []


async def test_a_task_in_two_queues_is_taken_once(client: Client) -> None:
    queued = task(status="queued")
    lines = [
        queue(entries=build_entries(queued["_id"])),
        queue(entries=build_entries("other", queued["_id"], queued["_id"])),
    ]
    await client.database["task"].insert_one(queued)
    await client.database["queue"].insert_many(lines)
    assert await take_next(client, queue=lines[1]["_id"]) == queued["_id"]
    assert await take_next(client, queue=lines[0]["_id"]) is None
    assert await take_next(client, queue=lines[1]["_id"]) is None


async def test_odd_entries_of_a_queue_are_skipped(client: Client) -> None:
    waits = task(status="queued")
    odd = [None, 7, "text", {}, {"task": None}, {"task": 5}, {"task": {"a": 1}}]
    line = queue(entries=[*odd, {"task": waits["_id"], "added": "yesterday"}])
    await client.database["task"].insert_one(waits)
    await client.database["queue"].insert_many([line, queue(_id="none", entries=None)])
    assert await take_next(client, queue=line["_id"]) == waits["_id"]
    assert await take_next(client, queue=line["_id"]) is None
    assert await take_next(client, queue="none") is None


async def test_the_same_request_again_gives_the_same_task(client: Client) -> None:
    tasks = [task(status="queued") for _ in range(2)]
    line = queue(entries=build_entries(*ids(tasks)))
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(line)
    taken = [await take_next(client, queue=line["_id"], idempotencyKey="k") for _ in range(3)]
    assert taken == [tasks[0]["_id"]] * 3
    assert await read_waiting(client, line["_id"]) == [tasks[1]["_id"]]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "VALIDATION_FAILED"),
        ({"worker": None}, "VALIDATION_FAILED"),
        ({"worker": " "}, "VALIDATION_ERROR"),
        ({"worker": "w", "queue": "none"}, "INVALID_QUEUE_ID"),
        ({"worker": "w", "queue": "foreign"}, "INVALID_QUEUE_ID"),
        ({"worker": "w", "queue": "public"}, "INVALID_QUEUE_ID"),
        ({"worker": "w", "queue": "q", "idempotencyKey": ""}, "VALIDATION_ERROR"),
    ],
)
async def test_an_invalid_request_is_refused(client: Client, arguments: dict[str, Any], code: str) -> None:
    queued = task(status="queued")
    lines = [
        queue(_id=name, company=company, entries=build_entries(queued["_id"]))
        for name, company in (("q", COMPANY), ("foreign", OTHER_COMPANY), ("public", PUBLIC))
    ]
    await client.database["task"].insert_one(queued)
    await client.database["queue"].insert_many(lines)
    assert (await client.error(NEXT, input=arguments))["code"] == code
    assert await client.database["queue"].find().to_list() == lines
    assert await client.database["task"].find_one() == queued
