"""Every error code can be met, each by a request that shows what it is for."""

import pytest

from resolvers.errors import ErrorCode
from tests.end_to_end import test_doors
from tests.resolvers import test_writing
from tests.slow import test_faults
from tests.support.client import Client
from tests.support.factories import COMPANY, DAY, PUBLIC, Document, model, queue, task

IDS = ", ".join(f'"{number}"' for number in range(101))
SCRIPT = {"repository": "r", "entry_point": "e"}
LINE = queue(_id="line", entries=[{"task": "it", "added": DAY}])
IT = task(_id="it", status="created", script=SCRIPT)

# what is stored, and what is asked
MET: dict[ErrorCode, tuple[dict[str, list[Document]], str]] = {
    ErrorCode.PARSE_FAILED: ({}, "{"),
    ErrorCode.VALIDATION_FAILED: ({}, "{ nothing }"),
    ErrorCode.VALIDATION_ERROR: ({}, "{ tasks(first: -1) { nodes { id } } }"),
    ErrorCode.MISSING_REQUIRED_FIELDS: ({}, "{ tasks(page: 1) { nodes { id } } }"),
    ErrorCode.INVALID_FIELDS: ({}, '{ tasks(filter: {_any_: {pattern: "a", fields: ["b"]}}) { totalCount } }'),
    ErrorCode.FIELDS_VALUE_ERROR: ({}, '{ tasks(filter: {statusChanged: ["soon"]}) { totalCount } }'),
    ErrorCode.INVALID_REGEX_ERROR: ({}, '{ tasks(filter: {name: "("}) { totalCount } }'),
    ErrorCode.BAD_CURSOR: ({}, '{ tasks(after: "x") { nodes { id } } }'),
    ErrorCode.INVALID_TASK_ID: ({}, 'mutation { taskPing(input: {task: "none"}) { replayed } }'),
    ErrorCode.INVALID_QUEUE_ID: ({}, 'mutation { queueNextTask(input: {queue: "none", worker: "w"}) { replayed } }'),
    ErrorCode.INVALID_MODEL_ID: (
        {"task": [task(_id="it", models={"output": [{"name": "m", "model": "m"}]})],
         "model": [model(_id="m", company=PUBLIC, ready=False)]},
        'mutation { taskPublish(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.INVALID_TASK_STATUS: ({"task": [IT]}, 'mutation { taskClose(input: {task: "it"}) { updated } }'),
    ErrorCode.FAILED_CHANGING_TASK_STATUS: (
        {"task": [IT]}, 'mutation { taskStarted(input: {task: "it", expectedStatus: QUEUED}) { updated } }',
    ),
    ErrorCode.TASK_VALIDATION_ERROR: (
        {"task": [IT | {"script": None}]}, 'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.INVALID_PROJECT_ID: (
        {}, 'mutation { taskCreate(input: {name: "abc", type: TRAINING, project: "none"}) { id } }',
    ),
    ErrorCode.MISSING_TASK_FIELDS: (
        {"task": [IT | {"script": None}]},
        'mutation { taskSetRequirements(input: {task: "it", requirements: {}}) { updated } }',
    ),
    ErrorCode.DATA_VALIDATION_ERROR: ({}, 'mutation { queueCreate(input: {name: "x"}) { id } }'),
    ErrorCode.EXPECTED_UNIQUE_DATA: (
        {"queue": [LINE]}, f'mutation {{ queueCreate(input: {{name: "{LINE["name"]}"}}) {{ id }} }}',
    ),
    ErrorCode.TASK_CANNOT_BE_DELETED: (
        {"task": [IT, task(parent="it")]}, 'mutation { taskDelete(input: {task: "it"}) { deleted } }',
    ),
    ErrorCode.TASK_ALREADY_QUEUED: (
        {"task": [IT], "queue": [LINE]}, 'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.NO_DEFAULT_QUEUE: ({"task": [IT]}, 'mutation { taskEnqueue(input: {task: "it"}) { updated } }'),
    ErrorCode.MULTIPLE_DEFAULT_QUEUES: (
        {"task": [IT], "queue": [LINE, queue()]}, 'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.NO_WRITE_PERMISSION: (
        {"task": [IT | {"company": PUBLIC}]}, 'mutation { taskPing(input: {task: "it"}) { replayed } }',
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        {"task": [IT]},
        """mutation { taskPing(input: {task: "it", idempotencyKey: "k"}) { replayed }
          taskStarted(input: {task: "it", idempotencyKey: "k"}) { replayed } }""",
    ),
    ErrorCode.LIMIT_EXCEEDED: ({}, f"mutation {{ taskStopMany(input: {{ids: [{IDS}]}}) {{ results {{ id }} }} }}"),
}  # fmt: skip
# what needs another server than the tests' own, or a fault in it
MET_ELSEWHERE = {
    ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED: test_doors.test_a_hash_is_answered_so_that_its_client_sends_the_document,
    ErrorCode.TIMEOUT: test_faults.test_a_database_that_is_too_slow_is_given_up_and_nothing_is_done,
    ErrorCode.DATABASE_UNAVAILABLE: test_faults.test_without_its_database_a_mutation_says_so_and_with_it_works_again,
    ErrorCode.REPLICA_SET_REQUIRED: (
        test_writing.test_on_a_standalone_server_every_mutation_is_refused_and_nothing_written
    ),
    ErrorCode.INTERNAL_ERROR: test_faults.test_an_error_at_any_write_undoes_everything,
}


@pytest.mark.parametrize("code", MET, ids=lambda code: code.name)
async def test_a_code_is_met(client: Client, code: ErrorCode) -> None:
    stored, query = MET[code]
    for name, documents in stored.items():
        assert all(document["company"] in {COMPANY, PUBLIC} for document in documents)
        await client.database[name].insert_many(documents)
    error = await client.error(query)
    assert error["code"] == code.name
    assert error["message"].endswith((".", "?")) or code in {ErrorCode.PARSE_FAILED, ErrorCode.VALIDATION_FAILED}


async def test_a_request_that_is_none_is_a_bad_request(client: Client) -> None:
    answer = (await client.http.post("/graphql", json=["query"])).json()
    assert answer["errors"][0]["extensions"]["code"] == ErrorCode.BAD_REQUEST.name


def test_no_code_is_left_out() -> None:
    assert {*MET, *MET_ELSEWHERE, ErrorCode.BAD_REQUEST} == set(ErrorCode)
