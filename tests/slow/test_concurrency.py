"""Many at the same time: each change once, in some order, and nobody waits for long."""

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

STARTED = """mutation($input: TaskStartedInput!) {
  taskStarted(input: $input) { replayed started updated fields task { id status } } }"""
NEXT = "mutation($input: QueueNextTaskInput!) { queueNextTask(input: $input) { task { id } } }"
STOP_MANY = """mutation($input: TaskStopManyInput!) {
  taskStopMany(input: $input) { results { id replayed error { code } task { status } } } }"""


def outcome(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"]) if "errors" in answer else "done"


async def at_once(*asked: Awaitable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*asked))


async def history(client: Client, id_: str) -> list[tuple[int, str, str]]:
    found = client.database[TRANSITIONS].find({"task": id_}, sort=[("number", 1)])
    return [(move["number"], move["from"], move["to"]) async for move in found]


# -- one task --------------------------------------------------------------------------------------


async def test_of_fifty_who_expect_the_same_status_one_is_first(client: Client) -> None:
    one = task(status="created")
    await client.database["task"].insert_one(one)
    asked = {"task": one["_id"], "expectedStatus": "CREATED"}
    answers = await at_once(*(client.answer(STARTED, input=asked) for _ in range(50)))
    assert Counter(map(outcome, answers)) == {"done": 1, "FAILED_CHANGING_TASK_STATUS": 49}
    assert await history(client, one["_id"]) == [(1, "created", "in_progress")]


async def test_fifty_who_expect_nothing_all_have_their_turn(client: Client, commands: Commands) -> None:
    """Who met another waits in line: a second try is nearly always the last."""
    one = task(status="created")
    await client.database["task"].insert_one(one)
    answers = await at_once(*(client.answer(STARTED, input={"task": one["_id"]}) for _ in range(50)))
    assert Counter(map(outcome, answers)) == {"done": 50}
    again = [(number, "in_progress", "in_progress") for number in range(2, 51)]
    assert await history(client, one["_id"]) == [(1, "created", "in_progress"), *again]
    tries = sum(command.get("findAndModify") == "task" for command in commands.seen)
    assert tries < 2.5 * 50


async def test_fifty_tasks_of_one_project_do_not_disturb_each_other(client: Client) -> None:
    tasks = [task(status="created", project="p") for _ in range(50)]
    await client.database["task"].insert_many(tasks)
    await client.database["project"].insert_one({"_id": "p", "company": tasks[0]["company"], "name": "home"})
    answers = await at_once(*(client.answer(STARTED, input={"task": id_}) for id_ in ids(tasks)))
    assert Counter(map(outcome, answers)) == {"done": 50}


async def test_two_servers_share_a_database_as_one(client: Client, mongodb_uri: str) -> None:
    """The line in which writers wait is a process's own; across processes MongoDB alone keeps them apart."""
    one = task(status="created")
    await client.database["task"].insert_one(one)
    with serve(mongodb_uri=mongodb_uri, mongodb_database=NAME) as other:
        async with httpx.AsyncClient(timeout=60) as http:
            asked = {"query": STARTED, "variables": {"input": {"task": one["_id"], "expectedStatus": "CREATED"}}}

            async def elsewhere() -> dict[str, Any]:
                found: dict[str, Any] = (await http.post(other.address, json=asked)).json()
                return found

            here = (client.answer(asked["query"], **asked["variables"]) for _ in range(10))
            answers = await at_once(*here, *(elsewhere() for _ in range(10)))
    assert Counter(map(outcome, answers)) == {"done": 1, "FAILED_CHANGING_TASK_STATUS": 19}
    assert await history(client, one["_id"]) == [(1, "created", "in_progress")]


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
    answers = await at_once(*(fresh.answer(start, id=id_, key=id_) for id_ in ids(tasks) * 2))
    assert Counter(map(outcome, answers)) == {"done": 50}
    assert await fresh.database[TRANSITIONS].count_documents({}) == 25
    trash = "mutation($id: ID!) { taskDelete(input: {task: $id, force: true, moveToTrash: true}) { id } }"
    answers = await at_once(*(fresh.answer(trash, id=id_) for id_ in ids(tasks)))
    assert Counter(map(outcome, answers)) == {"done": 25}
    assert await fresh.database["task__trash"].count_documents({}) == 25
    kept = await fresh.database[IDEMPOTENCY_KEYS].index_information()
    assert kept["at_1"]["expireAfterSeconds"] == timedelta(hours=24).total_seconds()
    await mongo.drop_database(name)


async def test_moves_and_deletes_of_the_same_tasks_leave_nothing_half_done(client: Client) -> None:
    tasks = [task(status="created", script={"repository": "r", "entry_point": "e"}) for _ in range(10)]
    line = queue()
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(line)
    work = [
        client.answer(f"mutation($id: ID!) {{ {name}(input: {{task: $id {more}}}) {{ replayed }} }}", id=id_)
        for id_ in ids(tasks)
        for name, more in (("taskEnqueue", ""), ("taskDequeue", ""), ("taskStarted", ""), ("taskReset", "force: true"),
                           ("taskDelete", "force: true"))
    ]  # fmt: skip
    answers = await at_once(*work)
    assert set(map(outcome, answers)) <= {"done", "INVALID_TASK_STATUS", "INVALID_TASK_ID"}
    assert await client.database["task"].count_documents({}) == 0
    left = await client.database["queue"].find_one({"_id": line["_id"]})
    assert left
    assert left["entries"] == []
    for id_ in ids(tasks):
        moves = await history(client, id_)
        assert [number for number, _, _ in moves] == list(range(1, len(moves) + 1))
        assert all(before[2] == after[1] for before, after in itertools.pairwise(moves))


# -- one idempotency key ---------------------------------------------------------------------------


async def test_one_key_fifty_times_is_one_effect_and_one_answer(client: Client) -> None:
    one = task(status="created")
    await client.database["task"].insert_one(one)
    asked = {"task": one["_id"], "idempotencyKey": "k"}
    answers = await at_once(*(client.answer(STARTED, input=asked) for _ in range(50)))
    told = [answer["data"]["taskStarted"] for answer in answers]
    assert Counter(answer.pop("replayed") for answer in told) == {False: 1, True: 49}
    assert all(answer == told[0] for answer in told)
    assert len(await history(client, one["_id"])) == 1
    assert await client.database[IDEMPOTENCY_KEYS].count_documents({}) == 1


async def test_of_two_requests_with_one_key_one_is_done(client: Client) -> None:
    """They change different documents, so that nothing but the key keeps them apart."""
    tasks = [task(status="created") for _ in range(50)]
    await client.database["task"].insert_many(tasks)
    answers = await at_once(
        *(client.answer(STARTED, input={"task": id_, "idempotencyKey": "k"}) for id_ in ids(tasks))
    )  # fmt: skip
    assert Counter(map(outcome, answers)) == {"done": 1, "IDEMPOTENCY_KEY_REUSED": 49}
    assert await client.database["task"].count_documents({"status": "in_progress"}) == 1


async def test_a_refusal_takes_no_key(client: Client) -> None:
    one = task(status="published")
    await client.database["task"].insert_one(one)
    asked = {"task": one["_id"], "idempotencyKey": "k"}
    assert (await client.error(STARTED, input=asked))["code"] == "INVALID_TASK_STATUS"
    await client.database["task"].update_one({"_id": one["_id"]}, {"$set": {"status": "created"}})
    assert (await client.data(STARTED, input=asked))["taskStarted"]["replayed"] is False


@pytest.mark.parametrize("changed", [
    {"force": True}, {"statusReason": "r"}, {"statusMessage": ""}, {"expectedStatus": "CREATED"}, {"task": "other"},
])  # fmt: skip
async def test_a_key_with_another_request_is_refused(client: Client, changed: dict[str, Any]) -> None:
    one = task(status="created")
    await client.database["task"].insert_one(one)
    asked = {"task": one["_id"], "idempotencyKey": "k"}
    await client.data(STARTED, input=asked)
    error = await client.error(STARTED, input=asked | changed)
    assert (error["code"], error["field"]) == ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")
    ping = "mutation($input: TaskPingInput!) { taskPing(input: $input) { replayed } }"
    assert (await client.error(ping, input=asked))["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_the_task_of_a_replayed_answer_is_as_it_is_by_now(client: Client) -> None:
    one = task(status="created")
    await client.database["task"].insert_one(one)
    asked = {"task": one["_id"], "idempotencyKey": "k"}
    first = (await client.data(STARTED, input=asked))["taskStarted"]
    await client.database["task"].update_one({"_id": one["_id"]}, {"$set": {"status": "failed"}})
    again = (await client.data(STARTED, input=asked))["taskStarted"]
    assert again == first | {"replayed": True, "task": {"id": one["_id"], "status": "FAILED"}}


@pytest.mark.parametrize("other", [{"user": "somebody"}, {"company": "0" * 32}])
async def test_a_key_is_a_viewers_own(
    client: Client, beside: Callable[..., Client], other: dict[str, str]
) -> None:  # fmt: skip
    tasks = [task(status="created"), task(status="created", **other)]
    await client.database["task"].insert_many(tasks)
    for viewer, id_ in zip((client, beside(**other)), ids(tasks), strict=True):
        found = await viewer.data(STARTED, input={"task": id_, "idempotencyKey": "k"})
        assert found["taskStarted"]["replayed"] is False


@pytest.mark.parametrize("key", ["", "k" * 129])
async def test_a_key_has_1_to_128_characters(client: Client, key: str) -> None:
    one = task(status="created")
    await client.database["task"].insert_one(one)
    assert (await client.error(STARTED, input={"task": one["_id"], "idempotencyKey": key}))["code"] == (
        "VALIDATION_ERROR"
    )
    for whole in ("k" * 128, "η$.\u0000"):
        await client.data(STARTED, input={"task": one["_id"], "idempotencyKey": whole})


async def test_the_same_many_at_once_are_each_done_once(client: Client) -> None:
    tasks = [task(status="in_progress") for _ in range(10)]
    await client.database["task"].insert_many(tasks)
    asked = {"ids": ids(tasks), "idempotencyKey": "k"}
    answers = await at_once(*(client.answer(STOP_MANY, input=asked) for _ in range(5)))
    told = [answer["data"]["taskStopMany"]["results"] for answer in answers]
    replayed = [[result.pop("replayed") for result in results] for results in told]
    assert [sorted(of_one) for of_one in zip(*replayed, strict=True)] == [[False, True, True, True, True]] * 10
    assert all(results == told[0] for results in told)
    assert await client.database[TRANSITIONS].count_documents({}) == 10


# -- queues ----------------------------------------------------------------------------------------


async def test_twenty_workers_drain_two_hundred_tasks_each_once(client: Client) -> None:
    tasks = [task(status="queued") for _ in range(200)]
    line = queue(entries=[{"task": id_, "added": DAY} for id_ in ids(tasks)])
    await client.database["task"].insert_many(tasks)
    await client.database["queue"].insert_one(line)
    taken: list[tuple[str, str]] = []

    async def work(worker: str) -> None:
        asked = {"queue": line["_id"], "worker": worker}
        while found := (await client.data(NEXT, input=asked))["queueNextTask"]["task"]:
            taken.append((found["id"], worker))

    await asyncio.gather(*(work(f"w:{number}") for number in range(20)))
    assert sorted(id_ for id_, _ in taken) == sorted(ids(tasks))
    stored = await client.database["task"].find({}, {"last_worker": 1}).to_list()
    assert {found["_id"]: found["last_worker"] for found in stored} == dict(taken)


async def test_what_is_put_into_a_queue_while_it_is_drained_is_taken_once(client: Client) -> None:
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
