"""Tenants and transactions: a company changes its own documents, no public ones, and none without transactions."""

from collections.abc import Iterator

import pytest

from models.dates import now
from schema.load import load
from tests.support.client import Client
from tests.support.database import aggregate
from tests.support.factories import COMPANY, DAY, OTHER_COMPANY, PUBLIC, Document, model, project, queue, task, user
from tests.support.inputs import build_minimal
from tests.support.paths import DUMP
from tests.support.servers import HTTP, read_all, restore, serve, standalone

MUTATIONS = sorted(load().mutations)
REFERRING = {"task_clone", "model_create"}  # they leave the task that they name as it is
OWNERS = {OTHER_COMPANY: "foreign", PUBLIC: "public"}


# -- tenants ---------------------------------------------------------------------------------------


def build_documents(company: str, about: str) -> dict[str, list[Document]]:
    """Build documents of a company that name a task of another company in every reference."""
    owner = OWNERS[company]
    item = [{"name": "m", "model": "model", "updated": DAY}]
    return {
        "task": [
            task(
                _id=f"{owner} child",
                company=company,
                parent=about,
                status="published",
                project="home",
                models={"input": item, "output": item},
            ),
            task(_id=owner, company=company, status="queued", project="home"),
        ],
        "model": [
            model(_id=f"{owner} draft", company=company, task=about, ready=False),
            model(_id=f"{owner} model", company=company, task=about, ready=True),
        ],
        "queue": [
            queue(
                _id=f"{owner} line", company=company, entries=[{"task": about, "added": DAY}], system_tags=["default"]
            ),
        ],
        "project": [project(_id=f"{owner} home", company=company)],
        "user": [user(_id=f"{owner} user", company=company)],
        "task__trash": [task(_id=f"{owner} trash", company=company)],
        "taskql_transition": [{"_id": f"{owner}:1", "task": about, "company": company, "number": 7}],
        "taskql_key": [{"_id": f"{owner} key", "company": company, "request": "r", "answer": b"{}", "at": now()}],
        "taskql_series": [
            {
                "_id": f"{about}/{owner}",
                "company": company,
                "task": about,
                "metric": "a name",
                "variant": "a name",
                "number": 0,
                "points": 0,
                "is_last": True,
                "chunks": [],
            }
        ],
    }


async def select_foreign(client: Client) -> dict[str, list[Document]]:
    query = {"company": {"$ne": COMPANY}, "_id": {"$ne": COMPANY}}
    return await aggregate(client.database, {"$match": query}, {"$sort": {"_id": 1}})


@pytest.fixture
async def shared(client: Client) -> Client:
    """Insert a task of the viewer that documents of all companies name in every reference."""
    outputs = [{"name": "m", "model": f"{owner} draft", "updated": DAY} for owner in OWNERS.values()]
    await client.database["task"].insert_one(
        task(
            _id="it",
            status="queued",
            project="foreign home",
            parent="foreign",
            started=None,
            models={"input": [], "output": outputs},
            script={"repository": "r", "entry_point": "e"},
        )
    )
    await client.database["queue"].insert_one(queue(_id="line", entries=[{"task": "it", "added": DAY}]))
    for company in OWNERS:
        for name, documents in build_documents(company, "it").items():
            await client.database[name].insert_many(documents)
    return client


@pytest.mark.slow
@pytest.mark.parametrize("status", ["created", "queued", "in_progress", "completed"])
@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_no_mutation_changes_documents_of_other_companies(shared: Client, mutation: str, status: str) -> None:
    await shared.database["task"].update_one({"_id": "it"}, {"$set": {"status": status}})
    before = await select_foreign(shared)
    assert sum(map(len, before.values())) >= 20
    for extra in ({}, {"force": True, "move_to_trash": True, "queue": "line"}):
        document, variables = build_minimal(mutation, **extra)
        await shared.answer(document, **variables)
    assert await select_foreign(shared) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutation",
    [name for name in MUTATIONS if "task" in {field.name for field in load().get_object(f"{name}_input").fields}],
)
@pytest.mark.parametrize(
    ("id_", "code"),
    [
        ("foreign", "INVALID_TASK_ID"),
        ("public", "NO_WRITE_PERMISSION"),
        ("none", "INVALID_TASK_ID"),
        ("", "INVALID_TASK_ID"),
    ],
)
async def test_a_public_task_is_refused_and_a_foreign_one_reads_like_a_missing_one(
    shared: Client, mutation: str, id_: str, code: str
) -> None:
    before = await select_foreign(shared)
    document, variables = build_minimal(mutation, task=id_, force=True)
    answer = await shared.answer(document, **variables)
    codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
    assert codes == ([] if id_ == "public" and mutation in REFERRING else [code])
    assert await select_foreign(shared) == before


async def test_a_queue_of_another_company_reads_like_a_missing_one(shared: Client) -> None:
    await shared.database["task"].update_one({"_id": "it"}, {"$set": {"status": "created"}})
    for owner in OWNERS.values():
        document, variables = build_minimal("task_enqueue", queue=f"{owner} line")
        assert (await shared.error(document, **variables))["code"] == "INVALID_QUEUE_ID"


# -- a server without transactions -----------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standalone(tmp_path_factory.mktemp("alone")) as uri:
        restore(uri, DUMP)
        yield uri


@pytest.mark.slow
def test_on_a_standalone_server_every_mutation_is_refused_and_nothing_written(alone: str) -> None:
    before = read_all(alone)
    with serve(mongodb_uri=alone) as server:
        for mutation in MUTATIONS:
            document, variables = build_minimal(mutation)
            answer = HTTP.post(server.address, json={"query": document, "variables": variables}).json()
            [error] = answer["errors"]
            assert (mutation, error["extensions"]["code"]) == (mutation, "REPLICA_SET_REQUIRED")
            assert "--replSet" in error["message"]
        assert server.data("{ tasks { totalCount } }") == {"tasks": {"totalCount": 10}}
    assert read_all(alone) == before
