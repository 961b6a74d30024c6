"""Many requests at the same time: each change once, in some order, and no request waits for long."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from models.documents.transition import TRANSITIONS
from models.store.database import Database
from models.store.writer import IDEMPOTENCY_KEYS
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.database import NAME
from tests.support.factories import DAY, ids, queue, task
from tests.support.servers import serve

pytestmark = pytest.mark.slow

STARTED = """mutation($input: TaskStartedInput!) {
  taskStarted(input: $input) { replayed started updated fields task { id status } } }"""
NEXT = "mutation($input: QueueNextTaskInput!) { queueNextTask(input: $input) { task { id } } }"
STOP_MANY = """mutation($input: TaskStopManyInput!) {
  taskStopMany(input: $input) { results { id replayed error { code } task { status } } } }"""


def read_outcome(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"]) if "errors" in answer else "done"


async def run_at_once(*requests: Awaitable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*requests))


async def read_history(client: Client, id_: str) -> list[tuple[int, str, str]]:
    found = client.database[TRANSITIONS].find({"task": id_}, sort=[("number", 1)])
    return [(move["number"], move["from"], move["to"]) async for move in found]


# -- one task --------------------------------------------------------------------------------------


async def test_one_of_fifty_requests_that_expect_the_same_status_succeeds(client: Client) -> None:
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    arguments = {"task": stored_task["_id"], "expectedStatus": "CREATED"}
    answers = await run_at_once(*(client.answer(STARTED, input=arguments) for _ in range(50)))
    assert Counter(map(read_outcome, answers)) == {"done": 1, "FAILED_CHANGING_TASK_STATUS": 49}
    assert await read_history(client, stored_task["_id"]) == [(1, "created", "in_progress")]


async def test_fifty_requests_that_expect_no_status_all_succeed(client: Client, commands: Commands) -> None:
    """After a conflict requests take turns: the second attempt is nearly always the last."""
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    answers = await run_at_once(*(client.answer(STARTED, input={"task": stored_task["_id"]}) for _ in range(50)))
    assert Counter(map(read_outcome, answers)) == {"done": 50}
    again = [(number, "in_progress", "in_progress") for number in range(2, 51)]
    assert await read_history(client, stored_task["_id"]) == [(1, "created", "in_progress"), *again]
    tries = sum(command.get("findAndModify") == "task" for command in commands.seen)
    assert tries < 2.5 * 50


async def test_fifty_tasks_of_one_project_do_not_disturb_each_other(client: Client) -> None:
    tasks = [task(status="created", project="p") for _ in range(50)]
    await client.database["task"].insert_many(tasks)
    await client.database["project"].insert_one({"_id": "p", "company": tasks[0]["company"], "name": "home"})
    answers = await run_at_once(*(client.answer(STARTED, input={"task": id_}) for id_ in ids(tasks)))
    assert Counter(map(read_outcome, answers)) == {"done": 50}


async def test_two_servers_share_a_database_as_one(client: Client, mongodb_uri: str) -> None:
    """Writers of one process take turns; between processes only MongoDB detects conflicts."""
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    with serve(mongodb_uri=mongodb_uri, mongodb_database=NAME) as other:
        async with httpx.AsyncClient(timeout=60) as http:
            arguments = {
                "query": STARTED,
                "variables": {"input": {"task": stored_task["_id"], "expectedStatus": "CREATED"}},
            }

            async def elsewhere() -> dict[str, Any]:
                found: dict[str, Any] = (await http.post(other.address, json=arguments)).json()
                return found

            here = (client.answer(arguments["query"], **arguments["variables"]) for _ in range(10))
            answers = await run_at_once(*here, *(elsewhere() for _ in range(10)))
    assert Counter(map(read_outcome, answers)) == {"done": 1, "FAILED_CHANGING_TASK_STATUS": 19}
    assert await read_history(client, stored_task["_id"]) == [(1, "created", "in_progress")]


async def test_the_first_fifty_changes_of_a_database_are_as_good_as_any(
    client: Client, beside: Callable[..., Client]
) -> None:
    """None of our collections is there yet."""
    mongo = client.database.client
    name = f"{NAME}_first"
    await mongo.drop_database(name)
    fresh = beside(Database(mongo[name]))
    tasks = [task(status="created") for _ in range(25)]
    await fresh.database["task"].insert_many(tasks)
    start = "mutation($id: ID!, $key: String) { taskStarted(input: {task: $id, idempotencyKey: $key}) { replayed } }"
    answers = await run_at_once(*(fresh.answer(start, id=id_, key=id_) for id_ in ids(tasks) * 2))
    assert Counter(map(read_outcome, answers)) == {"done": 50}
    assert await fresh.database[TRANSITIONS].count_documents({}) == 25
    trash = "mutation($id: ID!) { taskDelete(input: {task: $id, force: true, moveToTrash: true}) { id } }"
    answers = await run_at_once(*(fresh.answer(trash, id=id_) for id_ in ids(tasks)))
    assert Counter(map(read_outcome, answers)) == {"done": 25}
    assert await fresh.database["task__trash"].count_documents({}) == 25
    indexes = await fresh.database[IDEMPOTENCY_KEYS].index_information()
    assert indexes["at_1"]["expireAfterSeconds"] == timedelta(hours=24).total_seconds()
    await mongo.drop_database(name)


async def test_moves_and_deletes_of_the_same_tasks_leave_nothing_half_done(client: Client) -> None:
    tasks = [task(status="created", script={"repository": "r", "entry_point": "e"}) for _ in range(10)]
    waiting = queue()
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(waiting)
    work = [
        client.answer(f"mutation($id: ID!) {{ {name}(input: {{task: $id {more}}}) {{ replayed }} }}", id=id_)
        for id_ in ids(tasks)
        for name, more in (
            ("taskEnqueue", ""),
            ("taskDequeue", ""),
            ("taskStarted", ""),
            ("taskReset", "force: true"),
            ("taskDelete", "force: true"),
        )
    ]
    answers = await run_at_once(*work)
    assert set(map(read_outcome, answers)) <= {"done", "INVALID_TASK_STATUS", "INVALID_TASK_ID"}
    assert await client.database["task"].count_documents({}) == 0
    drained = await client.database["queue"].find_one({"_id": waiting["_id"]})
    assert drained
    assert drained["entries"] == []
    for id_ in ids(tasks):
        moves = await read_history(client, id_)
        assert [number for number, _, _ in moves] == list(range(1, len(moves) + 1))
        assert all(before[2] == after[1] for before, after in itertools.pairwise(moves))


# -- one idempotency key ---------------------------------------------------------------------------


async def test_one_key_fifty_times_is_one_effect_and_one_answer(client: Client) -> None:
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    arguments = {"task": stored_task["_id"], "idempotencyKey": "k"}
    answers = await run_at_once(*(client.answer(STARTED, input=arguments) for _ in range(50)))
    payloads = [answer["data"]["taskStarted"] for answer in answers]
    assert Counter(answer.pop("replayed") for answer in payloads) == {False: 1, True: 49}
    assert all(answer == payloads[0] for answer in payloads)
    assert len(await read_history(client, stored_task["_id"])) == 1
    assert await client.database[IDEMPOTENCY_KEYS].count_documents({}) == 1


async def test_of_two_requests_with_one_key_one_is_done(client: Client) -> None:
    """They change different documents, so that nothing but the key keeps them apart."""
    tasks = [task(status="created") for _ in range(50)]
    await client.database["task"].insert_many(tasks)
    answers = await run_at_once(
        *(client.answer(STARTED, input={"task": id_, "idempotencyKey": "k"}) for id_ in ids(tasks))
    )
    assert Counter(map(read_outcome, answers)) == {"done": 1, "IDEMPOTENCY_KEY_REUSED": 49}
    assert await client.database["task"].count_documents({"status": "in_progress"}) == 1


async def test_a_refusal_takes_no_key(client: Client) -> None:
    stored_task = task(status="published")
    await client.database["task"].insert_one(stored_task)
    arguments = {"task": stored_task["_id"], "idempotencyKey": "k"}
    assert (await client.error(STARTED, input=arguments))["code"] == "INVALID_TASK_STATUS"
    await client.database["task"].update_one({"_id": stored_task["_id"]}, {"$set": {"status": "created"}})
    assert (await client.data(STARTED, input=arguments))["taskStarted"]["replayed"] is False


@pytest.mark.parametrize(
    "changed",
    [
        {"force": True},
        {"statusReason": "r"},
        {"statusMessage": ""},
        {"expectedStatus": "CREATED"},
        {"task": "other"},
    ],
)
async def test_a_key_with_another_request_is_refused(client: Client, changed: dict[str, Any]) -> None:
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    arguments = {"task": stored_task["_id"], "idempotencyKey": "k"}
    await client.data(STARTED, input=arguments)
    error = await client.error(STARTED, input=arguments | changed)
    assert (error["code"], error["field"]) == ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")
    ping = "mutation($input: TaskPingInput!) { taskPing(input: $input) { replayed } }"
    assert (await client.error(ping, input=arguments))["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_the_task_of_a_replayed_answer_is_as_it_is_by_now(client: Client) -> None:
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    arguments = {"task": stored_task["_id"], "idempotencyKey": "k"}
    first = (await client.data(STARTED, input=arguments))["taskStarted"]
    await client.database["task"].update_one({"_id": stored_task["_id"]}, {"$set": {"status": "failed"}})
    again = (await client.data(STARTED, input=arguments))["taskStarted"]
    assert again == first | {"replayed": True, "task": {"id": stored_task["_id"], "status": "FAILED"}}


@pytest.mark.parametrize("other", [{"user": "somebody"}, {"company": "0" * 32}])
async def test_a_key_is_a_viewers_own(client: Client, beside: Callable[..., Client], other: dict[str, str]) -> None:
    tasks = [task(status="created"), task(status="created", **other)]
    await client.database["task"].insert_many(tasks)
    for viewer, id_ in zip((client, beside(**other)), ids(tasks), strict=True):
        found = await viewer.data(STARTED, input={"task": id_, "idempotencyKey": "k"})
        assert found["taskStarted"]["replayed"] is False


@pytest.mark.parametrize("key", ["", "k" * 129])
async def test_a_key_has_1_to_128_characters(client: Client, key: str) -> None:
    stored_task = task(status="created")
    await client.database["task"].insert_one(stored_task)
    assert (await client.error(STARTED, input={"task": stored_task["_id"], "idempotencyKey": key}))["code"] == (
        "VALIDATION_ERROR"
    )
    for longest in ("k" * 128, "η$.\u0000"):
        await client.data(STARTED, input={"task": stored_task["_id"], "idempotencyKey": longest})


async def test_the_same_many_at_once_are_each_done_once(client: Client) -> None:
    tasks = [task(status="in_progress") for _ in range(10)]
    await client.database["task"].insert_many(tasks)
    arguments = {"ids": ids(tasks), "idempotencyKey": "k"}
    answers = await run_at_once(*(client.answer(STOP_MANY, input=arguments) for _ in range(5)))
    payloads = [answer["data"]["taskStopMany"]["results"] for answer in answers]
    replayed = [[result.pop("replayed") for result in results] for results in payloads]
    assert [sorted(of_task) for of_task in zip(*replayed, strict=True)] == [[False, True, True, True, True]] * 10
    assert all(results == payloads[0] for results in payloads)
    assert await client.database[TRANSITIONS].count_documents({}) == 10


# -- queues ----------------------------------------------------------------------------------------


async def test_twenty_workers_drain_two_hundred_tasks_each_once(client: Client) -> None:
    tasks = [task(status="queued") for _ in range(200)]
    waiting = queue(entries=[{"task": id_, "added": DAY} for id_ in ids(tasks)])
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(waiting)
    taken: list[tuple[str, str]] = []

    async def work(worker: str) -> None:
        arguments = {"queue": waiting["_id"], "worker": worker}
        while found := (await client.data(NEXT, input=arguments))["queueNextTask"]["task"]:
            taken.append((found["id"], worker))

    await asyncio.gather(*(work(f"w:{number}") for number in range(20)))
    assert sorted(id_ for id_, _ in taken) == sorted(ids(tasks))
    stored = await client.database["task"].find({}, {"last_worker": 1}).to_list()
    assert {found["_id"]: found["last_worker"] for found in stored} == dict(taken)


async def test_a_task_enqueued_while_the_queue_is_drained_is_taken_once(client: Client) -> None:
    tasks = [task(status="created", script={"repository": "r", "entry_point": "e"}) for _ in range(30)]
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(queue())
    taken: list[str] = []
    enqueue = "mutation($id: ID!) { taskEnqueue(input: {task: $id}) { queued } }"

    async def work() -> None:
        while len(taken) < len(tasks):
            found = (await client.data(NEXT, input={"worker": "w"}))["queueNextTask"]["task"]
            if found:
                taken.append(found["id"])

    await asyncio.gather(*(client.data(enqueue, id=id_) for id_ in ids(tasks)), *(work() for _ in range(4)))
    assert sorted(taken) == sorted(ids(tasks))
