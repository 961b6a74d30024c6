"""A client can meet every error code, each by a request that shows what it is for."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteError,
)

from api.errors import format_error
from models.store.writer import StandaloneError
from resolvers.errors import ErrorCode, find_api_error, limit_exceeded, not_found
from tests.support.client import Client
from tests.support.factories import COMPANY, DAY, PUBLIC, Document, model, queue, task

IDS = ", ".join(f'"{number}"' for number in range(101))
SCRIPT = {"repository": "r", "entry_point": "e"}
LINE = queue(_id="line", entries=[{"task": "it", "added": DAY}])
IT = task(_id="it", status="created", script=SCRIPT)

# the stored documents by collection, and the query
REQUESTS: dict[ErrorCode, tuple[dict[str, list[Document]], str]] = {
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
        {
            "task": [task(_id="it", models={"output": [{"name": "m", "model": "m"}]})],
            "model": [model(_id="m", company=PUBLIC, ready=False)],
        },
        'mutation { taskPublish(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.INVALID_TASK_STATUS: ({"task": [IT]}, 'mutation { taskClose(input: {task: "it"}) { updated } }'),
    ErrorCode.FAILED_CHANGING_TASK_STATUS: (
        {"task": [IT]},
        'mutation { taskStarted(input: {task: "it", expectedStatus: QUEUED}) { updated } }',
    ),
    ErrorCode.TASK_VALIDATION_ERROR: (
        {"task": [IT | {"script": None}]},
        'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.INVALID_PROJECT_ID: (
        {},
        'mutation { taskCreate(input: {name: "abc", type: TRAINING, project: "none"}) { id } }',
    ),
    ErrorCode.MISSING_TASK_FIELDS: (
        {"task": [IT | {"script": None}]},
        'mutation { taskSetRequirements(input: {task: "it", requirements: {}}) { updated } }',
    ),
    ErrorCode.DATA_VALIDATION_ERROR: ({}, 'mutation { queueCreate(input: {name: "x"}) { id } }'),
    ErrorCode.EXPECTED_UNIQUE_DATA: (
        {"queue": [LINE]},
        f'mutation {{ queueCreate(input: {{name: "{LINE["name"]}"}}) {{ id }} }}',
    ),
    ErrorCode.TASK_CANNOT_BE_DELETED: (
        {"task": [IT, task(parent="it")]},
        'mutation { taskDelete(input: {task: "it"}) { deleted } }',
    ),
    ErrorCode.TASK_ALREADY_QUEUED: (
        {"task": [IT], "queue": [LINE]},
        'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.NO_DEFAULT_QUEUE: ({"task": [IT]}, 'mutation { taskEnqueue(input: {task: "it"}) { updated } }'),
    ErrorCode.MULTIPLE_DEFAULT_QUEUES: (
        {"task": [IT], "queue": [LINE, queue()]},
        'mutation { taskEnqueue(input: {task: "it"}) { updated } }',
    ),
    ErrorCode.NO_WRITE_PERMISSION: (
        {"task": [IT | {"company": PUBLIC}]},
        'mutation { taskPing(input: {task: "it"}) { replayed } }',
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        {"task": [IT]},
        """mutation { taskPing(input: {task: "it", idempotencyKey: "k"}) { replayed }
          taskStarted(input: {task: "it", idempotencyKey: "k"}) { replayed } }""",
    ),
    ErrorCode.LIMIT_EXCEEDED: ({}, f"mutation {{ taskStopMany(input: {{ids: [{IDS}]}}) {{ results {{ id }} }} }}"),
}
# errors that a running server and its database never give a client by a request alone
EXCEPTIONS: dict[ErrorCode, Exception] = {
    ErrorCode.TIMEOUT: ExecutionTimeout("operation exceeded time limit", 50),
    ErrorCode.DATABASE_UNAVAILABLE: AutoReconnect("connection closed"),
    ErrorCode.REPLICA_SET_REQUIRED: StandaloneError("standalone"),
}


@pytest.mark.parametrize("code", REQUESTS, ids=lambda code: code.name)
async def test_a_request_meets_the_code(client: Client, code: ErrorCode) -> None:
    """A message is a sentence, except those of GraphQL itself."""
    documents_by_collection, query = REQUESTS[code]
    for collection, documents in documents_by_collection.items():
        assert all(document["company"] in {COMPANY, PUBLIC} for document in documents)
        await client.database[collection].insert_many(documents)
    error = await client.error(query)
    assert error["code"] == code.name
    assert error["message"].endswith((".", "?")) or code in {ErrorCode.PARSE_FAILED, ErrorCode.VALIDATION_FAILED}


@pytest.mark.parametrize("code", EXCEPTIONS, ids=lambda code: code.name)
def test_an_exception_has_the_code_wherever_it_is_a_cause(code: ErrorCode) -> None:
    direct = EXCEPTIONS[code]
    wrapped = PyMongoError("wrapped")
    wrapped.__cause__ = direct
    for error in (direct, wrapped):
        api_error = find_api_error(error)
        assert api_error is not None
        assert api_error.code is code
        assert format_error(error)["extensions"] == {"code": code.name}


def test_a_maker_writes_the_details_that_it_is_called_with() -> None:
    assert limit_exceeded("No.", limit="rows", maximum=0).extensions == {
        "code": "LIMIT_EXCEEDED",
        "limit": "rows",
        "maximum": 0,
    }
    assert not_found("queue", "q").extensions == {"code": "INVALID_QUEUE_ID", "field": "queue", "queue": "q"}
    by_argument = not_found("task", "t", field="parent")
    assert by_argument.extensions == {"code": "INVALID_TASK_ID", "field": "parent", "task": "t"}
    assert str(by_argument) == "No task has the id 't'."


def test_the_cause_of_a_timeout_says_more_than_the_timeout() -> None:
    """A transaction that is tried again until its time is up ends with a timeout."""
    timeout = ExecutionTimeout("operation exceeded time limit", 50)
    timeout.__cause__ = AutoReconnect("connection closed")
    api_error = find_api_error(timeout)
    assert api_error is not None
    assert api_error.code is ErrorCode.DATABASE_UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "is_too_large"),
    [
        (DocumentTooLarge("19 MB"), True),
        (OperationFailure("", 10334, {"code": 10334}), True),
        (WriteError("", 17419, {"writeErrors": [{"code": 11000}, {"code": 17419}]}), True),
        (OperationFailure("", 2, {"code": 2, "errmsg": "BSONObjSize: 17 MB"}), True),
        (OperationFailure("", 2, {"code": 2, "errmsg": "unknown operator"}), False),
        (OperationFailure("", 9, {"code": 9, "errmsg": "too large"}), False),
        (OperationFailure("", 9), False),
    ],
    ids=str,
)
def test_an_excess_of_the_size_of_documents_is_a_limit(error: Exception, is_too_large: bool) -> None:
    api_error = find_api_error(error)
    assert (api_error is not None) is is_too_large
    assert api_error is None or api_error.extensions == {"code": "LIMIT_EXCEEDED", "limit": "document"}


def test_a_fault_of_the_server_is_an_internal_error_without_its_words() -> None:
    error = ValueError("secret")
    assert find_api_error(error) is None
    answer = format_error(error)
    assert answer["extensions"] == {"code": ErrorCode.INTERNAL_ERROR.name}
    assert "secret" not in answer["message"]


async def test_a_body_that_is_no_object_is_a_bad_request(client: Client) -> None:
    answer = (await client.http.post("/graphql", json=["query"])).json()
    assert answer["errors"][0]["extensions"]["code"] == ErrorCode.BAD_REQUEST.name


async def test_a_hash_in_place_of_a_document_is_not_supported(client: Client) -> None:
    body = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}
    answer = (await client.http.post("/graphql", json=body)).json()
    assert answer["errors"][0]["extensions"]["code"] == ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED.name


def test_no_code_is_left_out() -> None:
    elsewhere = {ErrorCode.BAD_REQUEST, ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED, ErrorCode.INTERNAL_ERROR}
    assert {*REQUESTS, *EXCEPTIONS, *elsewhere} == set(ErrorCode)
