"""When the database fails in the midst of a mutation: everything is done, or nothing."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase

from api.embedded_mongodb import run_embedded_mongodb
from models.dates import now
from models.documents.block import SERIES
from models.documents.transition import TRANSITIONS
from models.metrics.blocks import BLOCK_SIZE, append_points, pack_points
from models.store.database import CLIENT_OPTIONS, Database
from models.store.writer import IDEMPOTENCY_KEYS
from tests.support.client import Client
from tests.support.factories import COMPANY, DAY, Document, model, project, queue, task
from tests.support.servers import read_all, replica_set, serve

pytestmark = pytest.mark.slow

# HYPOTHESIS_PROFILE=long for a connection that closes at each single command: the driver takes its time to reconnect
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
NAME = "taskql_faults"
WRITES = ("insert", "update", "delete", "findAndModify", "commitTransaction")
POINT = '{metric: "loss", variant: "train", iteration: 1, value: 2, timestamp: "2026-01-31T12:00:00Z"}'
# mutation → the status that its task starts from, what its input has beside task and idempotencyKey
MUTATIONS: dict[str, tuple[str, str]] = {
    "taskReset": ("queued", "force: true"),
    "taskDelete": ("queued", "force: true, moveToTrash: true"),
    "taskPublish": ("completed", ""),
    "taskEnqueue": ("created", 'queue: "other line"'),
    "taskDequeue": ("queued", ""),
    "taskStarted": ("stopped", ""),
    "taskPing": ("in_progress", ""),
    "taskClone": ("completed", ""),
    "metricsReport": ("in_progress", f'reports: [{{task: "it", points: [{", ".join(POINT for _ in range(2))}]}}]'),
}


NEW_ID = re.compile(rf"\b(?!{COMPANY})[0-9a-f]{{32}}\b")  # a created document has another id each time


class Writes(monitoring.CommandListener):
    """Counts the writes, keeps what commits and single writes wait for, and calls `on_failure` when one fails."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.concerns: list[Any] = []
        self.on_failure: Callable[[], None] = lambda: None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in WRITES:
            self.names.append(event.command_name)
            if event.command_name == "commitTransaction" or "autocommit" not in event.command:
                self.concerns.append(event.command.get("writeConcern"))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        if event.command_name in WRITES:
            self.on_failure()


class Faulty:
    """A server that fails on command, with two clients: one allows it a minute, the hasty one half a second."""

    def __init__(self, uri: str, client: Client, hasty: Client, writes: Writes) -> None:
        self.uri = uri
        self.client = client
        self.hasty = hasty
        self.writes = writes
        self.admin = pymongo.MongoClient[Document](uri)

    def fail(self, mode: Any, *commands: str, **how: Any) -> None:
        data = {"failCommands": list(commands or WRITES), "appName": "taskql", **how}
        self.admin.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

    def mend(self) -> None:
        self.admin.admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    def forget(self) -> None:
        """End what is open: a commit that failed may leave its transaction waiting."""
        self.admin.admin.command("killAllSessions", [])

    def stored(self) -> dict[str, list[Document]]:
        database = self.admin[NAME]
        return {name: list(database[name].find(sort=[("_id", 1)])) for name in sorted(database.list_collection_names())}


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with replica_set(tmp_path_factory.mktemp("faulty")) as uri:
        yield uri


@pytest.fixture
async def faulty(mongod: str, beside: Callable[..., Client]) -> AsyncIterator[Faulty]:
    writes = Writes()
    mongo: AsyncMongoClient[Document] = AsyncMongoClient(mongod, event_listeners=[writes], **CLIENT_OPTIONS)
    async with mongo:
        database = Database(mongo[NAME])
        clients = [beside(database, max_time_ms=milliseconds) for milliseconds in (60_000, 500)]
        found = Faulty(mongod, *clients, writes)
        await send(found.client, "taskPing", "")  # our own collections are there from now on
        yield found
        found.mend()
        found.forget()
        found.admin.drop_database(NAME)
        found.admin.close()


# -- stored data -----------------------------------------------------------------------------------


async def stage(database: AsyncDatabase[Document], status: str) -> None:
    """A task with children, models that are ready and not, and an entry in a queue; and documents that refer to it."""
    for name in await database.list_collection_names():
        await database[name].delete_many({})
    made = [{"name": name, "model": name, "updated": DAY} for name in ("ready", "needed", "draft")]
    await database["task"].insert_many(
        [
            task(
                _id="it",
                status=status,
                project="home",
                started=None,
                models={"input": [], "output": made},
                execution={"queue": "line", "artifacts": {}},
            ),
            task(_id="child", parent="it", status="published"),
            task(_id="next", parent="it", status="created", models={"input": made[1:2], "output": []}),
            task(_id="behind", status="queued"),
        ]
    )
    await database["model"].insert_many(
        [
            model(_id="ready", task="it", ready=True),
            model(_id="needed", task="it", ready=False),
            model(_id="draft", task="it", ready=False),
            model(_id="named", task="it", ready=False),
        ]
    )
    places = [{"task": "it", "added": DAY}] * (status == "queued")
    await database["queue"].insert_many(
        [
            queue(_id="line", entries=[*places, {"task": "behind", "added": DAY}]),
            queue(_id="other line", entries=[{"task": "behind", "added": DAY}], system_tags=[]),
        ]
    )
    await database["project"].insert_one(project(_id="home"))
    points = pack_points(range(BLOCK_SIZE - 1), [0] * (BLOCK_SIZE - 1), [0.5] * (BLOCK_SIZE - 1))
    _, blocks = append_points("it", {("loss", "train"): points}, [], DAY)
    await database[SERIES].insert_many([block | {"company": COMPANY} for block in blocks])


async def send(client: Client, mutation: str, more: str) -> dict[str, Any]:
    is_for_one = not more.startswith("reports")
    arguments = ", ".join(filter(None, ('task: "it"' if is_for_one else "", 'idempotencyKey: "k"', more)))
    selected = "replayed" if is_for_one else "results { replayed error { code } }"
    return await client.answer(f"mutation {{ {mutation}(input: {{ {arguments} }}) {{ {selected} }} }}")


def get_outcome(answer: dict[str, Any]) -> dict[str, Any]:
    """The payload for one task, also of a mutation for several."""
    [payload] = answer["data"].values()
    found: dict[str, Any] = payload["results"][0] if "results" in payload else payload
    return found


def get_code(answer: dict[str, Any]) -> str | None:
    if "errors" in answer:
        return str(answer["errors"][0]["extensions"]["code"])
    return (get_outcome(answer).get("error") or {}).get("code")


def without_times(stored: Any, since: datetime) -> Any:
    """The same with `now` for every time since then, also in kept answers; without what no transaction writes."""
    if isinstance(stored, dict):
        return {
            name: without_times(value, since)
            for name, value in stored.items()
            if not (stored.get("_id") == "home" and name == "last_update")
        }
    if isinstance(stored, list):
        found = [without_times(value, since) for value in stored]
        return sorted(found, key=repr) if found and "_id" in found[0] else found  # by an id that is new
    if isinstance(stored, bytes):
        return NEW_ID.sub("new", re.sub(rf"{since:%Y}-[-:.T\dZ]+", "now", stored.decode(errors="replace")))
    if isinstance(stored, str):
        return NEW_ID.sub("new", stored)
    return "now" if isinstance(stored, datetime) and stored >= since - timedelta(seconds=1) else stored


class Trial:
    """One mutation of the table: the stored data before it, those after it when nothing fails, and its writes."""

    def __init__(self, on: Faulty, mutation: str) -> None:
        self.on = on
        self.mutation = mutation
        self.status, self.more = MUTATIONS[mutation]
        self.since = now()

    async def rehearse(self) -> None:
        await self.stage()
        assert get_code(await send(self.on.client, self.mutation, self.more)) is None
        self.done = without_times(self.on.stored(), self.since)
        self.writes = list(self.on.writes.names)
        assert self.done != self.before
        assert self.writes.count("commitTransaction") == 1

    @property
    def inside(self) -> range:
        """The places of the writes that belong to the transaction, its commit included."""
        return range(self.writes.index("commitTransaction") + 1)

    @property
    def some(self) -> tuple[int, ...]:
        """All of them, or the first, one in the middle, and the commit."""
        inside = self.inside
        return tuple(inside) if IS_LONG else (0, len(inside) // 2, inside[-1])

    async def stage(self) -> None:
        self.on.forget()
        await stage(self.on.client.database, self.status)
        self.before = without_times(self.on.stored(), self.since)
        self.on.writes.names.clear()
        self.on.writes.concerns.clear()

    async def perform(self, mode: Any, *commands: str, is_hasty: bool = False, **how: Any) -> str | None:
        """The code of the error with such a fault, if it is one; afterwards the fault is mended."""
        await self.stage()
        self.on.fail(mode, *commands, **how)
        answer = await send(self.on.hasty if is_hasty else self.on.client, self.mutation, self.more)
        self.on.mend()
        return get_code(answer)

    @property
    def left(self) -> str:
        stored = without_times(self.on.stored(), self.since)
        return "everything" if stored == self.done else "nothing" if stored == self.before else f"some: {stored}"


@pytest.fixture(params=MUTATIONS)
async def trial(faulty: Faulty, request: pytest.FixtureRequest) -> Trial:
    found = Trial(faulty, request.param)
    await found.rehearse()
    return found


# -- one command of a mutation ---------------------------------------------------------------------


async def test_a_mutation_is_done_when_most_servers_of_the_replica_set_have_it(trial: Trial) -> None:
    """Otherwise a mutation that was acknowledged would be gone when the primary fails."""
    assert trial.on.writes.concerns == [{"w": "majority"}] * (1 + len(trial.writes) - len(trial.inside))


async def test_an_error_at_any_write_undoes_everything(trial: Trial) -> None:
    for place in trial.inside:
        code = await trial.perform({"skip": place}, errorCode=8)
        assert (place, code, trial.left) == (place, "INTERNAL_ERROR", "nothing")


async def test_a_connection_that_closes_once_at_any_write_harms_nothing(trial: Trial) -> None:
    trial.on.writes.on_failure = trial.on.mend
    for place in trial.some:
        code = await trial.perform({"skip": place}, closeConnection=True)
        assert (place, code, trial.left) == (place, None, "everything")


async def test_a_connection_that_closes_each_time_undoes_everything(trial: Trial) -> None:
    for place in trial.some if IS_LONG else trial.some[-1:]:
        code = await trial.perform({"skip": place}, is_hasty=True, closeConnection=True)
        assert code in {"DATABASE_UNAVAILABLE", "TIMEOUT"}
        assert (place, trial.left) == (place, "nothing")


async def test_a_conflict_at_any_write_is_tried_again(trial: Trial) -> None:
    trial.on.writes.on_failure = trial.on.mend
    for place in trial.inside:
        code = await trial.perform({"skip": place}, errorCode=112, errorLabels=["TransientTransactionError"])
        assert (place, code, trial.left) == (place, None, "everything")


async def test_a_commit_whose_answer_is_lost_is_not_done_twice(trial: Trial) -> None:
    lost = {"writeConcernError": {"code": 64, "errmsg": "too slow"}}
    assert await trial.perform({"times": 1}, "commitTransaction", **lost) is None
    assert trial.left == "everything"
    moves = await trial.on.client.database[TRANSITIONS].count_documents({"task": "it"})
    assert moves == (trial.mutation not in {"taskPing", "taskClone", "metricsReport"})


async def test_a_lost_answer_is_delivered_when_the_request_comes_again(trial: Trial) -> None:
    """The commit is done each time; the client can't know, and sends the request again with its key."""
    lost = {"writeConcernError": {"code": 64, "errmsg": "too slow"}}
    assert await trial.perform("alwaysOn", "commitTransaction", is_hasty=True, **lost) is not None
    assert trial.left == "everything"
    answer = await send(trial.on.client, trial.mutation, trial.more)
    assert "errors" not in answer
    assert get_outcome(answer)["replayed"]
    assert trial.left == "everything"


# -- slow, away, alone -----------------------------------------------------------------------------


async def test_a_database_that_is_too_slow_is_given_up_and_nothing_is_done(faulty: Faulty) -> None:
    trial = Trial(faulty, "taskReset")
    await trial.rehearse()
    slow = {"blockConnection": True, "blockTimeMS": 3000}
    assert await trial.perform({"times": 1}, "findAndModify", is_hasty=True, **slow) == "TIMEOUT"
    assert trial.left == "nothing"


async def test_a_wait_for_another_writer_is_no_longer_than_one_for_the_database(faulty: Faulty) -> None:
    """One hangs in its commit; of the others one tries again and again, and the rest wait for it."""
    await stage(faulty.client.database, "created")
    query = 'mutation { taskStarted(input: {task: "it"}) { updated } }'
    faulty.fail({"times": 1}, "commitTransaction", blockConnection=True, blockTimeMS=30_000)
    began = time.monotonic()
    answers = await asyncio.gather(*(faulty.hasty.answer(query) for _ in range(5)))
    assert time.monotonic() - began < 20  # 0.5 s for the server, and 1 s for one that does not answer at all
    assert [get_code(answer) for answer in answers] == ["TIMEOUT"] * 5
    faulty.forget()
    assert await faulty.client.data(query) == {"taskStarted": {"updated": 1}}


async def test_a_project_that_can_not_be_touched_fails_nothing(faulty: Faulty) -> None:
    trial = Trial(faulty, "taskReset")
    await trial.rehearse()
    assert len(trial.writes) == len(trial.inside) + 1
    assert await trial.perform({"skip": len(trial.inside)}, errorCode=8) is None
    assert trial.left == "everything"


async def test_without_its_database_a_mutation_says_so_and_with_it_works_again(
    tmp_path: Path, beside: Callable[..., Client]
) -> None:
    query = 'mutation { taskStarted(input: {task: "it"}) { updated } }'
    with run_embedded_mongodb(tmp_path) as uri:
        mongo: AsyncMongoClient[Document] = AsyncMongoClient(uri, **CLIENT_OPTIONS)
        client = beside(Database(mongo[NAME]), max_time_ms=1000)
        await stage(client.database, "created")
        assert await client.data(query) == {"taskStarted": {"updated": 1}}
    assert (await client.error(query))["code"] == "DATABASE_UNAVAILABLE"
    with run_embedded_mongodb(tmp_path):
        assert await client.data(query) == {"taskStarted": {"updated": 1}}
        assert await client.database[TRANSITIONS].count_documents({}) == 2
        await mongo.close()


async def test_a_client_that_hangs_up_midway_leaves_everything_or_nothing(faulty: Faulty) -> None:
    trial = Trial(faulty, "taskDequeue")
    await trial.rehearse()
    request = {"query": 'mutation { taskDequeue(input: {task: "it", idempotencyKey: "k"}) { replayed } }'}
    with serve(mongodb_uri=faulty.uri, mongodb_database=NAME) as server:
        async with httpx.AsyncClient(timeout=60) as http:
            await trial.stage()
            await http.post(server.address, json=request | {"query": request["query"].replace('"it"', '"none"')})
            seen = []
            for place in trial.inside:
                await trial.stage()
                # a pause at one write, in which the client leaves
                faulty.fail({"skip": place}, blockConnection=True, blockTimeMS=600)
                with pytest.raises(httpx.ReadTimeout):
                    await http.post(server.address, json=request, timeout=httpx.Timeout(60, read=0.3))
                faulty.mend()
                await wait_for_quiet(faulty)
                assert trial.left in {"nothing", "everything"}
                seen.append(trial.left)
    assert seen[0] == "nothing"


async def wait_for_quiet(faulty: Faulty) -> None:
    """Until no command of the application runs any more, and no transaction is open."""
    pipeline = [
        {"$currentOp": {"idleSessions": True}},
        {
            "$match": {
                "$or": [
                    {"transaction": {"$exists": True}},
                    {"appName": "taskql", "active": True, "command.hello": {"$exists": False}},
                ]
            }
        },
    ]
    for _ in range(1000):
        if not list(faulty.admin.admin.aggregate(pipeline)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(list(faulty.admin.admin.aggregate(pipeline)))


# -- many ------------------------------------------------------------------------------------------

MANY = """mutation { taskStopMany(input: {ids: ["it", "second", "third"], idempotencyKey: "k"}) {
  results { id succeeded replayed error { code message } } } }"""


@pytest.fixture
async def three(faulty: Faulty) -> Faulty:
    await stage(faulty.client.database, "in_progress")
    await faulty.client.database["task"].insert_many([task(_id=name, status="failed") for name in ("second", "third")])
    return faulty


async def test_a_fault_at_one_of_many_stops_no_other(three: Faulty) -> None:
    three.fail({"times": 1}, "findAndModify", errorCode=8)
    answer = await three.client.answer(MANY)
    results = answer["data"]["taskStopMany"]["results"]
    assert [result["succeeded"] for result in results] == [False, True, True]
    assert results[0]["error"] == {"code": "INTERNAL_ERROR", "message": "A fault of the server."}
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert error["path"] == ["taskStopMany", "results"]
    assert await three.client.database["task"].count_documents({"status": "stopped"}) == 2


async def test_many_that_lost_their_database_go_on_when_it_is_back(three: Faulty) -> None:
    """The second commit is the first to fail."""
    three.fail({"skip": 1}, "commitTransaction", closeConnection=True)
    answer = await three.hasty.answer(MANY)
    # whichever comes first: the driver finds nobody to connect to, or each task's time is up while it tries
    if answer["data"]:
        failures = [result["error"] and result["error"]["code"] for result in answer["data"]["taskStopMany"]["results"]]
        assert failures == [None, "TIMEOUT", "TIMEOUT"]
    else:
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["DATABASE_UNAVAILABLE"]
    assert await three.client.database["task"].count_documents({"status": "stopped"}) == 1
    three.mend()
    three.forget()  # left alone, MongoDB would do so after a minute; until then the second task would be TIMEOUT
    results = (await three.client.data(MANY))["taskStopMany"]["results"]
    assert [result["replayed"] for result in results] == [True, False, False]
    assert await three.client.database[TRANSITIONS].distinct("task") == ["it", "second", "third"]
    assert await three.client.database[TRANSITIONS].count_documents({}) == 3


# -- somebody else's database ----------------------------------------------------------------------


async def test_to_a_foreign_database_nothing_is_added_but_what_a_mutation_needs(faulty: Faulty) -> None:
    own = {f"{NAME}.{name}" for name in (IDEMPOTENCY_KEYS, TRANSITIONS, SERIES)}
    await stage(faulty.client.database, "created")
    for name in (IDEMPOTENCY_KEYS, TRANSITIONS, SERIES):
        await faulty.client.database.drop_collection(name)
    before = read_all(faulty.uri)
    with serve(mongodb_uri=faulty.uri, mongodb_database=NAME, company=COMPANY) as server:
        assert server.data("{ tasks { totalCount } }") == {"tasks": {"totalCount": 4}}
        assert read_all(faulty.uri) == before
        refused = 'mutation { taskClose(input: {task: "it"}) { updated } }'
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.post(server.address, json={"query": refused})
        assert get_code(answer.json()) == "INVALID_TASK_STATUS"
        after = read_all(faulty.uri)
    assert own <= after.keys()
    assert not any(after[name][0] for name in own)
    assert {name: without_own_indexes(*found) for name, found in after.items() if name not in own} == {
        name: without_own_indexes(*found) for name, found in before.items()
    }


def without_own_indexes(documents: list[Document], indexes: dict[str, Any]) -> tuple[list[Document], dict[str, Any]]:
    """Without the indexes over fields that only taskql has."""
    return documents, {name: index for name, index in indexes.items() if "taskql" not in name}
