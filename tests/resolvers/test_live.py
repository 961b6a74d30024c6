"""Subscriptions, as clients have them: over a WebSocket and as events, from a change to what is told of it."""

import asyncio
import base64
import hashlib
import string
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pymongo
import pytest
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from models.metrics.blocks import BLOCK_SIZE
from models.store.change_stream import ChangeBatch, OplogPositionError
from models.store.shared_change_stream import Listener
from resolvers.execution.context import Context
from resolvers.root import build_schema
from resolvers.subscriptions.request import SubscriptionRequest
from resolvers.subscriptions.sources import EventBatch
from resolvers.subscriptions.task_changes import TaskEventSource
from schema.load import load
from tests.support.client import Client
from tests.support.factories import COMPANY, OTHER_COMPANY, task
from tests.support.live import (
    SOON,
    Socket,
    Take,
    list_groups,
    listen,
    make_taker,
    open_events,
    open_socket,
    wait_for_delivery,
    wait_for_groups,
    wait_for_no_group,
)

Database = AsyncDatabase[dict[str, Any]]

MOMENT = "2026-05-01T10:00:00.000Z"
CHANGED = """subscription Changed($filter: TaskFilter, $after: String) {
  taskChanged(filter: $filter, resumeAfter: $after) {
    kind id fields task { id name status } moves { from to mutation reason } resumeToken
  }
}"""


@pytest.fixture
async def address(app: Starlette, database: Database) -> AsyncIterator[str]:  # noqa: ARG001 - to be empty
    async with listen(app) as found:
        yield found


@pytest.fixture
async def live(address: str) -> AsyncIterator[Socket]:
    async with open_socket(address) as found:
        yield found


async def test_a_task_is_told_of_from_its_creation_to_its_end(app: Starlette, live: Socket, client: Client) -> None:
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    created = await client.data('mutation { taskCreate(input: {name: "anew", type: TRAINING}) { id } }')
    id_ = created["taskCreate"]["id"]
    first = await told.next()
    assert first["resumeToken"]
    first.pop("resumeToken")
    assert first == {
        "kind": "CREATED", "id": id_, "fields": [], "moves": [],
        "task": {"id": id_, "name": "anew", "status": "CREATED"},
    }  # fmt: skip
    await client.data(
        'mutation ($task: ID!) { taskStarted(input: {task: $task, statusReason: "go"}) { updated } }', task=id_
    )
    moved = await told.next()
    assert (moved["kind"], moved["task"]["status"]) == ("CHANGED", "IN_PROGRESS")
    assert moved["moves"] == [{"from": "CREATED", "to": "IN_PROGRESS", "mutation": "taskStarted", "reason": "go"}]
    assert "status" in moved["fields"]
    await client.data(f'mutation {{ taskDelete(input: {{task: "{id_}", force: true}}) {{ deleted }} }}')
    gone = await told.next()
    assert (gone["kind"], gone["id"], gone["task"]) == ("DELETED", id_, None)


# -- who is told -----------------------------------------------------------------------------------


async def test_a_filter_decides_which_tasks_are_told_of(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """What leaves the filter is told once, and what was never in it not at all."""
    await database["task"].insert_many([
        task(_id="in", status="in_progress"), task(_id="out", status="stopped"),
        task(_id="foreign", status="in_progress", company=OTHER_COMPANY),
        task(_id="public", status="in_progress", company=""),
    ])  # fmt: skip
    told = await live.subscribe(CHANGED, filter={"status": ["IN_PROGRESS"]})
    await wait_for_groups(app)
    for id_ in ("out", "foreign", "public", "in"):
        await database["task"].update_one({"_id": id_}, {"$set": {"name": "other"}})
    assert {(change["kind"], change["id"]) for change in [await told.next(), await told.next()]} == {
        ("CHANGED", "public"), ("CHANGED", "in"),
    }  # fmt: skip
    await client.data('mutation { taskStopped(input: {task: "in"}) { updated } }')
    left = await told.next()
    assert (left["kind"], left["id"], left["task"]["status"]) == ("LEFT", "in", "STOPPED")
    assert "status" in left["fields"]
    await database["task"].update_one({"_id": "in"}, {"$set": {"name": "again"}})
    assert await told.silent()


async def test_deletions_are_told_only_of_what_was_told_of(app: Starlette, live: Socket, database: Database) -> None:
    await database["task"].insert_many(
        [task(_id="known"), task(_id="unknown"), task(_id="foreign", company=OTHER_COMPANY)]
    )
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    await database["task"].update_one({"_id": "known"}, {"$set": {"name": "other"}})
    await database["task"].update_one({"_id": "foreign"}, {"$set": {"name": "other"}})
    assert (await told.next())["id"] == "known"
    await database["task"].delete_many({})
    gone = await told.next()
    assert (gone["kind"], gone["id"]) == ("DELETED", "known")
    assert await told.silent()


async def test_fields_are_those_that_were_written(app: Starlette, live: Socket, database: Database) -> None:
    """By their names in the API, whoever wrote them; what only this server keeps has none."""
    await database["task"].insert_one(task(_id="it", comment="gone soon"))
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    written = {
        "hyperparams.Args.lr": {"section": "Args", "name": "lr", "value": "1"},
        "last_metrics.a.b.value": 1,
        "taskql_name": "x",
    }
    await database["task"].update_one({"_id": "it"}, {"$set": written, "$unset": {"comment": ""}})
    assert set((await told.next())["fields"]) == {"hyperparams", "lastMetrics", "comment"}


async def test_of_what_was_written_only_the_fields_are_kept(app: Starlette, client: Client, database: Database) -> None:
    """A report of metrics writes thousands of paths, and so many changes are kept."""
    await database["task"].insert_one(task(_id="it"))
    told: asyncio.Queue[ChangeBatch] = asyncio.Queue()
    async with app.state.database.changes.listen(Listener(told.put_nowait, lambda _: None)):
        report = [point for name in range(500) for point in points(f"metric {name}", "train", 1.0)]
        await client.data(REPORT, task="it", points=report)
        batch = await asyncio.wait_for(told.get(), SOON)
        assert {"last_metrics", "unique_metrics"} < {*batch.tasks["it"].fields}
        assert not any("." in field for field in batch.tasks["it"].fields)


async def test_moves_of_another_company_stay_there(app: Starlette, live: Socket, database: Database) -> None:
    """Even those of a task that has the same id, or came from there."""
    await database["task"].insert_one(task(_id="it"))
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    step = {"task": "it", "mutation": "taskStopped", "at": MOMENT}
    await database["taskql_transition"].insert_many([
        {**step, "_id": "it/1", "number": 1, "company": OTHER_COMPANY, "reason": "theirs"},
        {**step, "_id": "it/2", "number": 2, "company": COMPANY, "reason": "ours"},
    ])  # fmt: skip
    assert [move["reason"] for move in (await told.next())["moves"]] == ["ours"]


async def test_quick_changes_of_one_task_are_told_as_one(app: Starlette, live: Socket, database: Database) -> None:
    told = await live.subscribe("subscription { taskChanged { kind id task { iteration: lastIteration } } }")
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="it", last_iteration=0))
    for number in range(1, 200):
        await database["task"].update_one({"_id": "it"}, {"$set": {"last_iteration": number}})
    seen = [await told.next()]
    while seen[-1]["task"]["iteration"] < 199:
        seen.append(await told.next())
    assert seen[0]["kind"] == "CREATED"
    assert len(seen) < 100


async def test_a_task_that_is_deleted_and_made_again_at_once_has_changed(
    app: Starlette, live: Socket, database: Database
) -> None:
    """By one transaction, so that both are told of together; a client would put a created one in twice."""
    await database["task"].insert_one(task(_id="it"))
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    async with database.client.start_session() as session, await session.start_transaction():
        await database["task"].delete_one({"_id": "it"}, session=session)
        await database["task"].insert_one(task(_id="it", name="another"), session=session)
    change = await told.next()
    assert (change["kind"], change["task"]["name"]) == ("CHANGED", "another")
    assert await told.silent()


async def test_equal_subscriptions_share_one_execution(
    app: Starlette, live: Socket, database: Database, commands: Any
) -> None:
    """Ten times as many subscribers cost no command more."""
    await database["task"].insert_many([task(_id="it"), task(_id="other")])
    query = 'subscription { taskChanged(filter: {id: ["it"]}) { id task { name } } }'
    same = [await live.subscribe(query) for _ in range(20)]
    await wait_for_groups(app)
    for subscription in same:
        assert await subscription.silent(0.01)
    commands.seen.clear()
    await database["task"].update_one({"_id": "it"}, {"$set": {"name": "new"}})
    await database["task"].update_one({"_id": "other"}, {"$set": {"name": "new"}})
    for subscription in same:
        assert (await subscription.next())["task"] == {"name": "new"}
    assert len([command for command in commands.seen if "find" in command or "aggregate" in command]) == 2
    assert await change_streams(database) == 1


async def change_streams(database: Database) -> int:
    pipeline = [{"$currentOp": {"idleCursors": True, "allUsers": True}}]
    found = await (await database.client.admin.aggregate(pipeline)).to_list()
    return sum("$changeStream" in str(operation.get("cursor", {}).get("originatingCommand")) for operation in found)


async def test_without_subscribers_there_is_no_change_stream(app: Starlette, address: str, database: Database) -> None:
    async with open_socket(address) as one:
        await one.subscribe(CHANGED)
        await wait_for_groups(app)
    for _ in range(100):
        if not await change_streams(database):
            return
        await asyncio.sleep(0.05)
    raise AssertionError


def test_who_asks_the_same_but_where_to_go_on_shares_a_group() -> None:
    """Not so when the token is used for something else as well."""
    schema = build_schema(load())

    def identity(query: str, token: str) -> Any:
        subscribed = schema.prepare_subscription(query, {"x": token}, None, cast(Context, SimpleNamespace(viewer=None)))
        assert isinstance(subscribed, SubscriptionRequest)
        return subscribed.group_key

    alone = "subscription ($x: String) { taskChanged(resumeAfter: $x) { id } }"
    both = "subscription ($x: String) { taskChanged(filter: {name: $ x}, resumeAfter: $x) { id } }"
    assert identity(alone, "a") == identity(alone, "b")
    assert identity(both, "a") != identity(both, "b")


# -- going on --------------------------------------------------------------------------------------


async def test_a_token_continues_without_loss_or_repetition(app: Starlette, address: str, database: Database) -> None:
    """Whatever change it is of: each of those behind it is told, and none before."""
    ids = [f"task {number}" for number in range(8)]
    async with open_socket(address) as live:
        told = await live.subscribe(CHANGED)
        await wait_for_groups(app)
        await database["task"].insert_many([task(_id=id_) for id_ in ids])  # told together
        seen = [await told.next() for _ in ids]
        await database["task"].update_one({"_id": "task 3"}, {"$set": {"name": "later"}})
        seen.append(await told.next())
    assert [change["id"] for change in seen] == [*ids, "task 3"]
    await database["task"].insert_one(task(_id="meanwhile"))
    async with open_socket(address) as live:
        going_on = [await live.subscribe(CHANGED, after=change["resumeToken"]) for change in seen]
        for place, told in enumerate(going_on):
            rest = ids[place + 1 :]
            later = ["meanwhile", "task 3"] if place < len(ids) else ["meanwhile"]
            assert [(await told.next())["id"] for _ in [*rest, *later]] == [*rest, *later]
            assert await told.silent(0.05)
        await database["task"].update_one({"_id": "task 0"}, {"$set": {"name": "all of them"}})
        for told in going_on:
            assert (await told.next())["task"]["name"] == "all of them"
            assert await told.silent(0.05)


async def test_a_token_of_a_resumed_subscription_continues_as_well(
    app: Starlette, address: str, database: Database
) -> None:
    async with open_socket(address) as live:
        told = await live.subscribe(CHANGED)
        await wait_for_groups(app)
        await database["task"].insert_many([task(_id=id_) for id_ in "abcdef"])
        seen = [await told.next() for _ in range(2)]
    await database["task"].update_many({}, {"$set": {"name": "later"}})
    order = [(change["kind"], change["id"]) for change in seen]
    async with open_socket(address) as live:
        while len(order) < 12:
            told = await live.subscribe(CHANGED, after=seen[-1]["resumeToken"])
            seen.append(await told.next())
            order.append((seen[-1]["kind"], seen[-1]["id"]))
            await told.complete()
    assert order == [("CREATED", id_) for id_ in "abcdef"] + [("CHANGED", id_) for id_ in "abcdef"]


async def test_a_place_that_only_another_process_has_come_to_is_waited_for(
    app: Starlette, database: Database, mongodb_uri: str
) -> None:
    """One that the database itself has not come to is refused."""
    changes = app.state.database.changes
    async with changes.listen(Listener(lambda _: None, lambda _: None)):
        # nothing is heard while this waits for the database
        with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as other, other.start_session() as session:
            other[database.name]["task"].insert_one(task(_id="it"), session=session)
            time = session.operation_time
        assert time
        there = f"{time.time:08x}{time.inc:08x}{1:06x}"
        assert changes.position < there
        await asyncio.wait_for(changes.wait_until(there), SOON)
        assert changes.position >= there
        with pytest.raises(OplogPositionError, match="future"):
            await changes.wait_until(f"{time.time + 3600:08x}{time.inc:08x}{0:06x}")


def sealed(packed: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(packed).digest()[:6] + packed).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    ["", "x", "?" * 30, "A" * 15, "_" * 15, "a" * 5000, "0" * 20, sealed(b""), sealed(b"a"), sealed(b"\0" * 15),
     sealed(b"\xff" * 11), sealed(b"\0" * 22 + b"\xff\xfe")],
)  # fmt: skip
async def test_a_token_that_is_none_is_refused(live: Socket, token: str) -> None:
    told = await live.subscribe(CHANGED, after=token)
    error = await told.error()
    assert (error["code"], error["field"]) == ("BAD_CURSOR", "resumeAfter")


async def test_a_token_with_any_character_changed_is_refused(app: Starlette, live: Socket, database: Database) -> None:
    """A short one, and a long one: of the last of the tasks that are told of together, and of another."""
    told = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    await database["task"].insert_many([task(_id="first"), task(_id="last")])
    long, short = [(await told.next())["resumeToken"] for _ in range(2)]
    assert len(long) > len(short)
    damaged = [
        f"{token[:at]}{other(token[at])}{token[at + 1 :]}" for token in (long, short) for at in range(len(token))
    ]
    for token in damaged:
        error = await (await live.subscribe(CHANGED, after=token)).error()
        assert (error["code"], error["field"]) == ("BAD_CURSOR", "resumeAfter")


def other(character: str) -> str:
    """Another one of base64, in the first of its six bits, which counts in the last character as well."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return alphabet[alphabet.index(character) ^ 32]


# -- slow clients ----------------------------------------------------------------------------------


@pytest.fixture
def take(app: Starlette, database: Database) -> Take:  # noqa: ARG001 - to be empty
    return make_taker(app.state.database)


async def test_a_slow_client_is_told_of_each_task_once_with_what_it_is_by_then(
    app: Starlette, take: Take, database: Database
) -> None:
    """Everything it missed in one: that a task was created, all that was written, where it went."""
    told = take(CHANGED)
    first = asyncio.ensure_future(anext(told))
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="first"))
    token = (await first).data["taskChanged"]["resumeToken"]
    async with wait_for_delivery(app, "quiet"):
        await database["task"].insert_many([task(_id=id_, status="created") for id_ in ("gone", "kept")])
        for number in range(30):
            await database["task"].update_one({"_id": "kept"}, {"$set": {"name": f"name {number}"}})
            await asyncio.sleep(0.01)
        await database["task"].update_one({"_id": "first"}, {"$set": {"comment": "x"}})
        await database["task"].update_one({"_id": "first"}, {"$set": {"status": "stopped"}})
        await database["task"].delete_one({"_id": "gone"})
        await database["task"].insert_one(task(_id="quiet", status="created"))
    merged = [(await anext(told)).data["taskChanged"] for _ in range(3)]
    assert [(change["kind"], change["id"]) for change in merged] == [
        ("CHANGED", "first"), ("CREATED", "kept"), ("CREATED", "quiet"),
    ]  # fmt: skip
    assert set(merged[0]["fields"]) == {"comment", "status"}
    assert merged[1]["task"]["name"] == "name 29"
    await told.aclose()
    for place, change in enumerate([{"resumeToken": token}, *merged]):
        again = take(CHANGED, after=change["resumeToken"])
        rest = [(await anext(again)).data["taskChanged"]["id"] for _ in merged[place:]]
        assert rest == [later["id"] for later in merged[place:]]
        await again.aclose()


async def test_a_client_that_takes_nothing_is_let_go(app: Starlette, take: Take, database: Database) -> None:
    told = take("subscription { taskChanged { id } }")
    first = asyncio.ensure_future(anext(told))
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="first"))
    await first
    async with wait_for_delivery(app, "last"):
        await database["task"].insert_many([{"_id": f"{number:05}", "company": COMPANY} for number in range(5001)])
        async with wait_for_delivery(app, "one more"):
            await database["task"].insert_one({"_id": "one more", "company": COMPANY})
        await database["task"].insert_one({"_id": "last", "company": COMPANY})
    [error] = (await anext(told)).errors or []
    assert error.original_error.extensions["limit"] == "waiting"
    with pytest.raises(StopAsyncIteration):
        await anext(told)


# -- curves ----------------------------------------------------------------------------------------

APPENDED = """subscription Appended($task: ID!, $metric: String) {
  metricsAppended(task: $task, metric: $metric) { metric variant offset iterations values timestamps task { name } }
}"""
REPORT = """mutation Report($task: ID!, $points: [MetricsReportPoint!]!) {
  metricsReport(input: {reports: [{task: $task, points: $points}]}) { results { succeeded } } }"""


def points(metric: str, variant: str, *values: float | None, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"metric": metric, "variant": variant, "iteration": start + place, "value": value, "timestamp": MOMENT}
        for place, value in enumerate(values)
    ]


async def test_points_are_told_of_as_they_are_reported(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """Only those of the curves that were asked for, in the order in which they came, gaps included."""
    await database["task"].insert_many([task(_id="it", name="a run"), task(_id="other")])
    await client.data(REPORT, task="it", points=points("loss", "train", 9.0))
    told = await live.subscribe(APPENDED, task="it", metric="loss")
    await wait_for_groups(app)
    await client.data(REPORT, task="other", points=points("loss", "train", 1.0))
    await client.data(REPORT, task="it", points=points("accuracy", "train", 1.0))
    await client.data(
        REPORT, task="it", points=points("loss", "train", 0.5, None, 0.25, start=1) + points("loss", "test", 4.0)
    )
    test, train = await told.next(), await told.next()
    assert test == {
        "metric": "loss", "variant": "test", "offset": 0, "iterations": [0], "values": [4.0], "timestamps": [MOMENT],
        "task": {"name": "a run"},
    }  # fmt: skip
    assert (train["offset"], train["iterations"], train["values"]) == (1, [1, 2, 3], [0.5, None, 0.25])
    assert await told.silent()


async def test_what_is_told_makes_up_the_curve(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """Over the ends of blocks, whatever was told together."""
    await database["task"].insert_one(task(_id="it"))
    told = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    values: list[float] = []
    for number in range(12):
        batch = [float(number * 400 + place) for place in range(400)]
        await client.data(REPORT, task="it", points=points("loss", "train", *batch, start=number * 400))
        values += batch
    seen: list[float] = []
    while len(seen) < len(values):
        chunk = await told.next()
        assert chunk["offset"] == len(seen)
        seen += chunk["values"]
    assert seen == values


async def test_what_is_delivered_put_in_by_its_iterations_is_the_curve(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """A point that is reported again is delivered again, and replaces the one of its iteration."""
    await database["task"].insert_one(task(_id="it"))
    told = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    seen: dict[int, float | None] = {}
    reported = 0
    for batch in (points("loss", "", *map(float, range(300))), points("loss", "", 7.0, None, start=299),
                  points("loss", "", *map(float, range(-200, 0)), start=150)):  # fmt: skip
        await client.data(REPORT, task="it", points=batch)
        reported += len(batch)
    delivered = 0
    while delivered < reported:
        chunk = await told.next()
        assert chunk["offset"] == delivered
        delivered += len(chunk["iterations"])
        seen |= dict(zip(chunk["iterations"], chunk["values"], strict=True))
    query = '{ task(id: "it") { series(maxPoints: 10000) { iterations values originalCount } } }'
    [curve] = (await client.data(query))["task"]["series"]
    assert dict(zip(curve["iterations"], curve["values"], strict=True)) == seen
    assert curve["originalCount"] == len(seen) == 350


async def test_a_curve_that_begins_anew_says_so(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    await database["task"].insert_one(task(_id="it", status="stopped"))
    await client.data(REPORT, task="it", points=points("loss", "train", *map(float, range(1500))))
    told = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    await client.data('mutation { taskReset(input: {task: "it"}) { updated } }')
    gone = await told.next()
    assert (gone["offset"], gone["values"]) == (0, [])
    await client.data(REPORT, task="it", points=points("loss", "train", 7.0))
    again = await told.next()
    assert (again["offset"], again["values"]) == (0, [7.0])


async def test_who_is_too_slow_for_a_curve_misses_its_beginning_and_is_told_so(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """At most 10,000 points are told at once; `offset` tells how many were left out."""
    await database["task"].insert_one(task(_id="it"))
    await client.data(REPORT, task="it", points=points("loss", "train", *map(float, range(BLOCK_SIZE))))
    block = await database["taskql_series"].find_one({})
    told = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    assert block
    key = block["_id"].rpartition("/")[0]
    more = [block | {"_id": f"{key}/{number:06}", "number": number} for number in range(1, 60)]
    await database["taskql_series"].insert_many(more)
    seen = [await told.next()]
    while seen[-1]["offset"] + len(seen[-1]["values"]) < 60 * BLOCK_SIZE:
        seen.append(await told.next())  # a busy machine may tell them in parts
    assert max(len(chunk["values"]) for chunk in seen) <= 10_000
    assert len(seen) > 1 or seen[0]["offset"] == 60 * BLOCK_SIZE - 10_000


async def test_a_group_without_subscribers_ends_though_its_cancellation_is_lost(
    app: Starlette, live: Socket, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio.wait_for` of Python 3.11, in the driver, returns what was there at the moment of a cancellation."""
    looks, is_left = asyncio.Event(), asyncio.Event()
    look_up = TaskEventSource.build_events

    async def lose_a_cancellation(self: TaskEventSource, context: Context, batch: ChangeBatch) -> EventBatch:
        looks.set()
        with suppress(asyncio.CancelledError):
            await is_left.wait()
        return await look_up(self, context, batch)

    subscribed = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    [group] = list_groups(app.state.database.changes)
    monkeypatch.setattr(TaskEventSource, "build_events", lose_a_cancellation)
    await client.data('mutation { taskCreate(input: {name: "one", type: TRAINING}) { id } }')
    await looks.wait()
    await subscribed.complete()
    await wait_for_no_group(app)
    await asyncio.wait([group.running], timeout=SOON)
    assert group.running.done()


DEEP = "{ children { nodes " * 6 + "{ id }" + "} }" * 6


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "PARSE_FAILED"),
        ("subscription { nothing }", "VALIDATION_FAILED"),
        ("subscription { taskChanged { id } metricsAppended(task: 1) { offset } }", "VALIDATION_FAILED"),
        ("subscription A { taskChanged { id } } subscription B { taskChanged { id } }", "BAD_REQUEST"),
        ('subscription { taskChanged(filter: {name: "("}) { id } }', "INVALID_REGEX_ERROR"),
        ("subscription { taskChanged(filter: {or: []}) { id } }", "FIELDS_VALUE_ERROR"),
        ("subscription { taskChanged(filter: {status: [UNKNOWN]}) { id } }", "VALIDATION_ERROR"),
        ('subscription { metricsAppended(task: "none") { offset } }', "INVALID_TASK_ID"),
        (f"subscription {{ taskChanged {{ task {DEEP} }} }}", "LIMIT_EXCEEDED"),
    ],
)  # fmt: skip
async def test_what_can_not_be_subscribed_to_is_refused(address: str, live: Socket, query: str, code: str) -> None:
    """With the same error over a socket and as an event, after which both go on or end in order."""
    told = await live.subscribe(query)
    assert (await told.error())["code"] == code
    async with open_events(address, query) as stream:
        name, body = await anext(stream)
        assert (name, body["errors"][0]["extensions"]["code"]) == ("next", code)
        assert await anext(stream) == ("complete", None)
    again = await live.subscribe("{ __typename }")
    assert await again.next() == "Query"


async def test_a_foreign_task_has_no_curves_to_follow(live: Socket, database: Database) -> None:
    await database["task"].insert_one(task(_id="foreign", company=OTHER_COMPANY))
    told = await live.subscribe(APPENDED, task="foreign")
    assert (await told.error())["code"] == "INVALID_TASK_ID"
