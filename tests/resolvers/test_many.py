"""Mutations for many tasks: each task is moved or refused by itself."""

from typing import Any

import pytest

from models.documents.transition import TRANSITIONS
from models.store.writer import IDEMPOTENCY_KEYS
from schema.load import load
from tests.support.client import Client
from tests.support.factories import OTHER_COMPANY, PUBLIC, ids, model, new_id, queue, task

MANY = sorted(name for name, operation in load().mutations.items() if operation.single_mutation)
RESULT = "{ results { id succeeded error { code message details } } }"
STOP = """mutation($input: TaskStopManyInput!) { taskStopMany(input: $input) {
  results { id succeeded replayed updated error { code message details } task { status } } } }"""


def read_statuses(answer: dict[str, Any]) -> list[Any]:
    return [result["task"] and result["task"]["status"] for result in answer["taskStopMany"]["results"]]


def list_codes(answer: dict[str, Any]) -> list[Any]:
    return [result["error"] and result["error"]["code"] for result in answer["taskStopMany"]["results"]]


async def test_each_task_is_moved_or_refused_by_itself(client: Client) -> None:
    good, bad, last = task(status="in_progress"), task(status="created"), task(status="failed")
    foreign, public = task(company=OTHER_COMPANY), task(company=PUBLIC)
    await client.database["task"].insert_many([good, bad, last, foreign, public])
    arguments = {"ids": [*ids([bad, good, foreign, public]), "none", *ids([last])]}
    answer = await client.data(STOP, input=arguments)
    results = answer["taskStopMany"]["results"]
    assert [result["id"] for result in results] == arguments["ids"]
    assert [result["succeeded"] for result in results] == [False, True, False, False, False, True]
    assert list_codes(answer) == [
        "INVALID_TASK_STATUS",
        None,
        "INVALID_TASK_ID",
        "NO_WRITE_PERMISSION",
        "INVALID_TASK_ID",
        None,
    ]
    assert read_statuses(answer) == ["CREATED", "STOPPED", None, "COMPLETED", None, "STOPPED"]
    assert [result["updated"] for result in results] == [None, 1, None, None, None, 1]
    assert results[0]["error"]["details"] == {
        "task": bad["_id"],
        "status": "CREATED",
        "allowed": ["IN_PROGRESS", "STOPPED", "CLOSED", "FAILED"],
        "force": True,
    }
    assert await client.database["task"].find_one({"_id": foreign["_id"]}) == foreign
    assert await client.database["task"].find_one({"_id": public["_id"]}) == public


async def test_the_other_arguments_hold_for_every_task(client: Client) -> None:
    tasks = [task(status="created"), task(status="published"), task(status="in_progress")]
    await client.database["task"].insert_many(tasks)
    arguments = {"ids": ids(tasks), "force": True, "statusReason": "enough", "expectedStatus": "PUBLISHED"}
    answer = await client.data(STOP, input=arguments)
    assert list_codes(answer) == ["FAILED_CHANGING_TASK_STATUS", None, "FAILED_CHANGING_TASK_STATUS"]
    assert read_statuses(answer) == ["CREATED", "STOPPED", "IN_PROGRESS"]
    stopped = await client.database["task"].find_one({"_id": tasks[1]["_id"]})
    assert stopped
    assert stopped["status_reason"] == "enough"


async def test_an_id_given_twice_counts_once(client: Client) -> None:
    stored = task(status="in_progress")
    await client.database["task"].insert_one(stored)
    answer = await client.data(STOP, input={"ids": ids([stored]) * 101})
    assert read_statuses(answer) == ["STOPPED"]
    assert await client.database[TRANSITIONS].count_documents({}) == 1


async def test_an_empty_list_of_ids_has_no_results(client: Client) -> None:
    assert await client.data(STOP, input={"ids": []}) == {"taskStopMany": {"results": []}}


async def test_a_hundred_tasks_are_accepted_and_one_more_is_refused(client: Client) -> None:
    tasks = [task(status="in_progress") for _ in range(101)]
    await client.database["task"].insert_many(tasks)
    error = await client.error(STOP, input={"ids": ids(tasks)})
    assert error | {"message": ""} == {
        "message": "",
        "code": "LIMIT_EXCEEDED",
        "limit": "ids",
        "maximum": 100,
        "actual": 101,
    }
    assert await client.database["task"].count_documents({"status": "stopped"}) == 0
    answer = await client.data(STOP, input={"ids": ids(tasks[:100])})
    assert read_statuses(answer) == ["STOPPED"] * 100
    assert await client.database["task"].count_documents({"status": "stopped"}) == 100


async def test_the_tasks_of_all_results_are_read_by_one_command(client: Client, commands: Any) -> None:
    tasks = [task(status="created") for _ in range(20)]
    await client.database["task"].insert_many(tasks)
    await client.data(STOP, input={"ids": ids(tasks)})
    reads = [command for command in commands.seen if "find" in command and not command.get("txnNumber")]
    assert len(reads) == 1


@pytest.mark.parametrize("name", MANY)
async def test_every_batch_mutation_does_the_same_as_the_single_one(client: Client, name: str) -> None:
    """The single mutation and the batch change two equal tasks in the same way."""
    script = {"repository": "r", "entry_point": "e"}
    first_task, second_task = task(status="created", script=script), task(status="created", script=script)
    await client.database["task"].insert_many([first_task, second_task])
    await client.database["queue"].insert_one(queue())
    operation = load().mutations[name]
    assert operation.single_mutation
    single = load().mutations[operation.single_mutation].graphql_name
    force = "force: true" if any(field.name == "force" for field in load().get_object(f"{name}_input").fields) else ""
    first = await client.answer(
        f'mutation {{ {single}(input: {{task: "{first_task["_id"]}" {force}}}) {{ replayed }} }}'
    )
    second = await client.data(
        f'mutation {{ {operation.graphql_name}(input: {{ids: ["{second_task["_id"]}"] {force}}}) {RESULT} }}'
    )
    [result] = second[operation.graphql_name]["results"]
    assert (result["error"] or {}).get("code") == (
        first["errors"][0]["extensions"]["code"] if "errors" in first else None
    )
    assert await _read_lasting(client, first_task["_id"]) == await _read_lasting(client, second_task["_id"])


async def _read_lasting(client: Client, id_: str) -> Any:
    document = await client.database["task"].find_one({"_id": id_}) or {}
    moves = client.database[TRANSITIONS].find({"task": id_}, {"_id": 0, "mutation": 1, "from": 1, "to": 1})
    same = {name: value for name, value in document.items() if name not in {"_id", "status_changed"} | LATER}
    return same, await moves.to_list(), await client.database["queue"].count_documents({"entries.task": id_})


LATER = {"last_update", "last_change", "started", "completed", "published"}


async def test_each_result_of_a_deletion_has_the_counts_of_a_single_one(client: Client) -> None:
    parent, child = task(status="created"), task()
    child["parent"] = parent["_id"]
    draft = model(task=parent["_id"], ready=False)
    await client.database["task"].insert_many([parent, child])
    await client.database["model"].insert_one(draft)
    answer = await client.data(
        """mutation($input: TaskDeleteManyInput!) { taskDeleteMany(input: $input) {
          results { id succeeded deleted updatedChildren deletedModels error { code } } } }""",
        input={"ids": [parent["_id"], "none"], "force": True},
    )
    assert answer["taskDeleteMany"]["results"] == [
        {
            "id": parent["_id"],
            "succeeded": True,
            "deleted": True,
            "updatedChildren": 1,
            "deletedModels": 1,
            "error": None,
        },
        {
            "id": "none",
            "succeeded": False,
            "deleted": None,
            "updatedChildren": None,
            "deletedModels": None,
            "error": {"code": "INVALID_TASK_ID"},
        },
    ]


# -- one idempotency key for all of them -----------------------------------------------------------


async def test_the_same_call_again_does_nothing_and_has_the_same_answer(client: Client) -> None:
    tasks = [task(status="in_progress"), task(status="failed")]
    await client.database["task"].insert_many(tasks)
    arguments = {"ids": ids(tasks), "idempotencyKey": "k"}
    first = (await client.data(STOP, input=arguments))["taskStopMany"]["results"]
    second = (await client.data(STOP, input=arguments))["taskStopMany"]["results"]
    assert [result["replayed"] for result in first] == [False, False]
    assert second == [result | {"replayed": True} for result in first]
    assert await client.database[TRANSITIONS].count_documents({}) == 2


async def test_a_call_that_broke_off_continues_after_its_last_item(client: Client) -> None:
    done, refused = task(status="in_progress"), task(status="created")
    await client.database["task"].insert_many([done, refused])
    arguments = {"ids": ids([done, refused]), "idempotencyKey": "k"}
    assert list_codes(await client.data(STOP, input=arguments)) == [None, "INVALID_TASK_STATUS"]
    await client.database["task"].update_one({"_id": refused["_id"]}, {"$set": {"status": "in_progress"}})
    again = await client.data(STOP, input=arguments)
    assert [result["replayed"] for result in again["taskStopMany"]["results"]] == [True, False]
    assert await client.database[TRANSITIONS].distinct("task") == sorted(ids([done, refused]))
    assert await client.database[TRANSITIONS].count_documents({}) == 2


async def test_a_key_belongs_to_the_whole_call(client: Client) -> None:
    tasks = [task(status="in_progress") for _ in range(3)]
    await client.database["task"].insert_many(tasks)
    await client.data(STOP, input={"ids": ids(tasks[:1]), "idempotencyKey": "k"})
    for other_ids in (ids(tasks[1:]), ids(tasks[:2])):
        error = await client.error(STOP, input={"ids": other_ids, "idempotencyKey": "k"})
        assert error["code"] == "IDEMPOTENCY_KEY_REUSED"
    single = 'mutation($id: ID!) { taskStop(input: {task: $id, idempotencyKey: "k"}) { updated } }'
    assert (await client.error(single, id=tasks[0]["_id"]))["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await client.database["task"].count_documents({"status": "stopped"}) == 1


async def test_a_call_with_every_task_refused_stores_no_key(client: Client) -> None:
    answer = await client.data(STOP, input={"ids": [new_id(), new_id()], "idempotencyKey": "k"})
    assert list_codes(answer) == ["INVALID_TASK_ID"] * 2
    assert await client.database[IDEMPOTENCY_KEYS].count_documents({}) == 0


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ids": None},
        {"ids": [None]},
        {"ids": [{}]},
        {"ids": ["a"], "task": "a"},
        {"ids": ["a"], "queue": "q"},
        {"ids": ["a"], "force": "yes"},
    ],
)
async def test_an_ill_typed_input_is_refused(client: Client, arguments: dict[str, Any]) -> None:
    assert (await client.error(STOP, input=arguments))["code"] == "VALIDATION_FAILED"


async def test_the_status_unknown_is_refused_as_input(client: Client) -> None:
    error = await client.error(STOP, input={"ids": ["a"], "expectedStatus": "UNKNOWN"})
    assert error["code"] == "VALIDATION_ERROR"
