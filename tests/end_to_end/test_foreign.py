"""Beside a ClearML server: its database as it is, standalone and without an index of ours."""

from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from tests.support.paths import DUMP
from tests.support.servers import HTTP, read_all, restore, run, serve, standalone

pytestmark = pytest.mark.slow

QUERIES = [
    "{ tasks { totalCount nodes { id name status project { name } parent { name } execution { queue { name } } } } }",
    "{ tasks(first: 3, orderBy: [{field: STARTED}, {field: NAME}]) { pageInfo { endCursor } nodes { name } } }",
    """{ tasks(filter: {name: "wine", tags: ["sgd", "-digits"], _any_: {pattern: "W", fields: ["comment"]}}) {
      totalCount } }""",
    '{ task(id: "1b9955d1aa604ae3a70af8b33b8458d0") { lastMetrics { metric value } hyperparams { name value } } }',
    '{ queue(id: "3dd792d84b984790ad1e23f314184a96") { name entries { task { name } } } }',
]


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standalone(tmp_path_factory.mktemp("clearml")) as uri:
        yield uri


@pytest.fixture
def uri(mongod: str) -> str:
    """The address of a server that holds the dump and nothing else."""
    with pymongo.MongoClient[dict[str, Any]](mongod) as client:
        client.drop_database("backend")
    restore(mongod, DUMP)
    return mongod


def test_queries_are_right_and_nothing_is_written(uri: str) -> None:
    before = read_all(uri)
    with serve(mongodb_uri=uri) as server:
        answers = [server.data(query) for query in QUERIES]
        status, said = server.stop()
    assert answers[0]["tasks"]["totalCount"] == 10
    assert [node["name"] for node in answers[0]["tasks"]["nodes"]][:2] == ["retry digits η=0.9", "retry digits η=0.3"]
    assert answers[1]["tasks"]["nodes"][0] == {"name": "sgd digits alpha=0.0001 η=0.01"}
    assert answers[2] == {"tasks": {"totalCount": 2}}
    assert len(answers[3]["task"]["lastMetrics"]) == 8
    assert [entry["task"]["name"] for entry in answers[4]["queue"]["entries"]] == [
        "retry digits η=0.003",
        "retry digits η=0.03",
        "retry digits η=0.3",
    ]
    assert read_all(uri) == before
    assert status == 0
    assert "filters without an index here" in " ".join(said.split())


def test_a_server_that_has_no_task_yet_is_somebody_elses_as_well(uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["backend"].drop_collection("task")
    before = read_all(uri)
    with serve(mongodb_uri=uri) as server:
        assert server.data("{ tasks { totalCount } }") == {"tasks": {"totalCount": 0}}
    assert read_all(uri) == before


def test_without_a_text_index_a_text_search_says_what_to_do(uri: str) -> None:
    query = '{ tasks(filter: {searchText: "digits"}) { totalCount } }'
    with serve(mongodb_uri=uri) as server:
        answer = HTTP.post(server.address, json={"query": query}).json()
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "FIELDS_VALUE_ERROR", "field": "searchText"}
    assert "taskql init" in error["message"]


def test_init_creates_indexes_and_keeps_the_queue_that_is_there(uri: str) -> None:
    before = read_all(uri)
    assert run("init", mongodb_uri=uri).returncode == 0
    after = read_all(uri)
    assert {name: documents for name, (documents, _) in after.items() if name in before} == {
        name: documents for name, (documents, _) in before.items()
    }
    assert len(after["backend.task"][1]) > 10
    with serve(mongodb_uri=uri) as server:
        found = server.data('{ tasks(filter: {searchText: "wine"}) { totalCount } }')
        _, said = server.stop()
    assert found == {"tasks": {"totalCount": 2}}
    assert said == ""
