"""Subscriptions as clients have them, over a WebSocket and as server-sent events: from a change to its event."""

import asyncio
import base64
import hashlib
import string
from collections.abc import AsyncIterator, Hashable
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
from models.types import Viewer
from resolvers.execution.context import Context
from resolvers.root import RELATED_FIELDS, build_schema
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


async def test_events_follow_a_task_from_its_creation_to_its_end(app: Starlette, live: Socket, client: Client) -> None:
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    created = await client.data('mutation { taskCreate(input: {name: "new task", type: TRAINING}) { id } }')
    id_ = created["taskCreate"]["id"]
    first = await subscription.next()
    assert first["resumeToken"]
    first.pop("resumeToken")
    assert first == {
        "kind": "CREATED",
        "id": id_,
        "fields": [],
        "moves": [],
        "task": {"id": id_, "name": "new task", "status": "CREATED"},
    }
    await client.data(
        'mutation ($task: ID!) { taskStarted(input: {task: $task, statusReason: "go"}) { updated } }', task=id_
    )
    moved = await subscription.next()
    assert (moved["kind"], moved["task"]["status"]) == ("CHANGED", "IN_PROGRESS")
    assert moved["moves"] == [{"from": "CREATED", "to": "IN_PROGRESS", "mutation": "taskStarted", "reason": "go"}]
    assert "status" in moved["fields"]
    await client.data(f'mutation {{ taskDelete(input: {{task: "{id_}", force: true}}) {{ deleted }} }}')
    gone = await subscription.next()
    assert (gone["kind"], gone["id"], gone["task"]) == ("DELETED", id_, None)


# -- receivers -------------------------------------------------------------------------------------


async def test_events_are_of_tasks_that_match_the_filter_or_leave_it(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """A task that leaves the filter has one last event, and one that never matched has none."""
    await database["task"].insert_many(
        [
            task(_id="in", status="in_progress"),
            task(_id="out", status="stopped"),
            task(_id="foreign", status="in_progress", company=OTHER_COMPANY),
            task(_id="public", status="in_progress", company=""),
        ]
    )
    subscription = await live.subscribe(CHANGED, filter={"status": ["IN_PROGRESS"]})
    await wait_for_groups(app)
    for id_ in ("out", "foreign", "public", "in"):
        await database["task"].update_one({"_id": id_}, {"$set": {"name": "other"}})
    assert {(change["kind"], change["id"]) for change in [await subscription.next(), await subscription.next()]} == {
        ("CHANGED", "public"),
        ("CHANGED", "in"),
    }
    await client.data('mutation { taskStopped(input: {task: "in"}) { updated } }')
    left = await subscription.next()
    assert (left["kind"], left["id"], left["task"]["status"]) == ("LEFT", "in", "STOPPED")
    assert "status" in left["fields"]
    await database["task"].update_one({"_id": "in"}, {"$set": {"name": "again"}})
    assert await subscription.silent()


async def test_a_deletion_is_delivered_only_after_another_event_of_the_task(
    app: Starlette, live: Socket, database: Database
) -> None:
    await database["task"].insert_many(
        [task(_id="known"), task(_id="unknown"), task(_id="foreign", company=OTHER_COMPANY)]
    )
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    await database["task"].update_one({"_id": "known"}, {"$set": {"name": "other"}})
    await database["task"].update_one({"_id": "foreign"}, {"$set": {"name": "other"}})
    assert (await subscription.next())["id"] == "known"
    await database["task"].delete_many({})
    gone = await subscription.next()
    assert (gone["kind"], gone["id"]) == ("DELETED", "known")
    assert await subscription.silent()


async def test_fields_are_those_that_were_written(app: Starlette, live: Socket, database: Database) -> None:
    """By their names in the API, whichever program wrote them; fields of this server's own have none."""
    await database["task"].insert_one(task(_id="it", comment="gone soon"))
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    written = {
        "hyperparams.Args.lr": {"section": "Args", "name": "lr", "value": "1"},
        "last_metrics.a.b.value": 1,
        "taskql_name": "x",
    }
    await database["task"].update_one({"_id": "it"}, {"$set": written, "$unset": {"comment": ""}})
    assert set((await subscription.next())["fields"]) == {"hyperparams", "lastMetrics", "comment"}


async def test_a_change_keeps_the_names_of_written_fields_only(
    app: Starlette, client: Client, database: Database
) -> None:
    """A report of metrics writes thousands of paths, and thousands of changes are kept."""
    await database["task"].insert_one(task(_id="it"))
    batches: asyncio.Queue[ChangeBatch] = asyncio.Queue()
    async with app.state.database.changes.listen(Listener(batches.put_nowait, lambda _: None)):
        report = [point for name in range(500) for point in points(f"metric {name}", "train", 1.0)]
        await client.data(REPORT, task="it", points=report)
        batch = await asyncio.wait_for(batches.get(), SOON)
        assert {"last_metrics", "unique_metrics"} < {*batch.tasks["it"].fields}
        assert not any("." in field for field in batch.tasks["it"].fields)


async def test_moves_of_another_company_stay_there(app: Starlette, live: Socket, database: Database) -> None:
    """Even those of a task that has the same id, or came from that company."""
    await database["task"].insert_one(task(_id="it"))
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    step = {"task": "it", "mutation": "taskStopped", "at": MOMENT}
    await database["taskql_transition"].insert_many(
        [
            {**step, "_id": "it/1", "number": 1, "company": OTHER_COMPANY, "reason": "theirs"},
            {**step, "_id": "it/2", "number": 2, "company": COMPANY, "reason": "ours"},
        ]
    )
    assert [move["reason"] for move in (await subscription.next())["moves"]] == ["ours"]


async def test_quick_changes_of_one_task_are_delivered_as_one(app: Starlette, live: Socket, database: Database) -> None:
    subscription = await live.subscribe("subscription { taskChanged { kind id task { iteration: lastIteration } } }")
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="it", last_iteration=0))
    for number in range(1, 200):
        await database["task"].update_one({"_id": "it"}, {"$set": {"last_iteration": number}})
    seen = [await subscription.next()]
    while seen[-1]["task"]["iteration"] < 199:
        seen.append(await subscription.next())
    assert seen[0]["kind"] == "CREATED"
    assert len(seen) < 100


async def test_a_task_that_is_deleted_and_created_again_at_once_has_changed(
    app: Starlette, live: Socket, database: Database
) -> None:
    """By one transaction, so that both are delivered together; a client would insert a created one twice."""
    await database["task"].insert_one(task(_id="it"))
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    async with database.client.start_session() as session, await session.start_transaction():
        await database["task"].delete_one({"_id": "it"}, session=session)
        await database["task"].insert_one(task(_id="it", name="another"), session=session)
    change = await subscription.next()
    assert (change["kind"], change["task"]["name"]) == ("CHANGED", "another")
    assert await subscription.silent()


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


def test_subscriptions_that_differ_only_in_their_token_share_a_group() -> None:
    """Unless the token is used for something else as well."""
    schema = build_schema(load())

    def identity(query: str, token: str) -> Any:
        subscribed = schema.prepare_subscription(query, {"x": token}, None, cast(Context, SimpleNamespace(viewer=None)))
        assert isinstance(subscribed, SubscriptionRequest)
        return subscribed.group_key

    alone = "subscription ($x: String) { taskChanged(resumeAfter: $x) { id } }"
    both = "subscription ($x: String) { taskChanged(filter: {name: $ x}, resumeAfter: $x) { id } }"
    assert identity(alone, "a") == identity(alone, "b")
    assert identity(both, "a") != identity(both, "b")


# -- resuming --------------------------------------------------------------------------------------


async def test_a_token_continues_without_loss_or_repetition(app: Starlette, address: str, database: Database) -> None:
    """Whichever event it is of: each later event is delivered, and none before."""
    ids = [f"task {number}" for number in range(8)]
    async with open_socket(address) as live:
        subscription = await live.subscribe(CHANGED)
        await wait_for_groups(app)
        await database["task"].insert_many([task(_id=id_) for id_ in ids])  # delivered together
        seen = [await subscription.next() for _ in ids]
        await database["task"].update_one({"_id": "task 3"}, {"$set": {"name": "later"}})
        seen.append(await subscription.next())
    assert [change["id"] for change in seen] == [*ids, "task 3"]
    await database["task"].insert_one(task(_id="meanwhile"))
    async with open_socket(address) as live:
        resumed = [await live.subscribe(CHANGED, after=change["resumeToken"]) for change in seen]
        for place, subscription in enumerate(resumed):
            rest = ids[place + 1 :]
            later = ["meanwhile", "task 3"] if place < len(ids) else ["meanwhile"]
            assert [(await subscription.next())["id"] for _ in [*rest, *later]] == [*rest, *later]
            assert await subscription.silent(0.05)
        await database["task"].update_one({"_id": "task 0"}, {"$set": {"name": "all of them"}})
        for subscription in resumed:
            assert (await subscription.next())["task"]["name"] == "all of them"
            assert await subscription.silent(0.05)


async def test_a_token_of_a_resumed_subscription_continues_as_well(
    app: Starlette, address: str, database: Database
) -> None:
    async with open_socket(address) as live:
        subscription = await live.subscribe(CHANGED)
        await wait_for_groups(app)
        await database["task"].insert_many([task(_id=id_) for id_ in "abcdef"])
        seen = [await subscription.next() for _ in range(2)]
    await database["task"].update_many({}, {"$set": {"name": "later"}})
    order = [(change["kind"], change["id"]) for change in seen]
    async with open_socket(address) as live:
        while len(order) < 12:
            subscription = await live.subscribe(CHANGED, after=seen[-1]["resumeToken"])
            seen.append(await subscription.next())
            order.append((seen[-1]["kind"], seen[-1]["id"]))
            await subscription.complete()
    assert order == [("CREATED", id_) for id_ in "abcdef"] + [("CHANGED", id_) for id_ in "abcdef"]


async def test_a_position_that_only_another_process_has_reached_is_waited_for(
    app: Starlette, database: Database, mongodb_uri: str
) -> None:
    """A position in the future of the database is refused."""
    changes = app.state.database.changes
    async with changes.listen(Listener(lambda _: None, lambda _: None)):
        # the change stream reads nothing while this waits for the database
        with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as other, other.start_session() as session:
            other[database.name]["task"].insert_one(task(_id="it"), session=session)
            time = session.operation_time
        assert time
        position = f"{time.time:08x}{time.inc:08x}{1:06x}"
        assert changes.position < position
        await asyncio.wait_for(changes.wait_until(position), SOON)
        assert changes.position >= position
        with pytest.raises(OplogPositionError, match="future"):
            await changes.wait_until(f"{time.time + 3600:08x}{time.inc:08x}{0:06x}")


def sign(packed: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(packed).digest()[:6] + packed).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "?" * 30,
        "A" * 15,
        "_" * 15,
        "a" * 5000,
        "0" * 20,
        sign(b""),
        sign(b"a"),
        sign(b"\0" * 15),
        sign(b"\xff" * 11),
        sign(b"\0" * 22 + b"\xff\xfe"),
    ],
)
async def test_a_text_that_is_not_a_token_is_refused(live: Socket, token: str) -> None:
    subscription = await live.subscribe(CHANGED, after=token)
    error = await subscription.error()
    assert (error["code"], error["field"]) == ("BAD_CURSOR", "resumeAfter")


async def test_a_token_with_any_character_changed_is_refused(app: Starlette, live: Socket, database: Database) -> None:
    """A short one, and a long one: of the last of the tasks that are delivered together, and of another."""
    subscription = await live.subscribe(CHANGED)
    await wait_for_groups(app)
    await database["task"].insert_many([task(_id="first"), task(_id="last")])
    long, short = [(await subscription.next())["resumeToken"] for _ in range(2)]
    assert len(long) > len(short)
    damaged = [
        f"{token[:at]}{other(token[at])}{token[at + 1 :]}" for token in (long, short) for at in range(len(token))
    ]
    for token in damaged:
        error = await (await live.subscribe(CHANGED, after=token)).error()
        assert (error["code"], error["field"]) == ("BAD_CURSOR", "resumeAfter")


def other(character: str) -> str:
    """Another character of base64, which differs in the first of its six bits; that counts in the last one as well."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return alphabet[alphabet.index(character) ^ 32]


# -- slow clients ----------------------------------------------------------------------------------


@pytest.fixture
def take(app: Starlette, database: Database) -> Take:  # noqa: ARG001 - to be empty
    return make_taker(app.state.database)


async def test_a_slow_client_gets_each_task_once_with_its_latest_state(
    app: Starlette, take: Take, database: Database
) -> None:
    """All missed changes in one event: the creation of a task, the written fields, the moves."""
    results = take(CHANGED)
    first = asyncio.ensure_future(anext(results))
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
    merged = [(await anext(results)).data["taskChanged"] for _ in range(3)]
    assert [(change["kind"], change["id"]) for change in merged] == [
        ("CHANGED", "first"),
        ("CREATED", "kept"),
        ("CREATED", "quiet"),
    ]
    assert set(merged[0]["fields"]) == {"comment", "status"}
    assert merged[1]["task"]["name"] == "name 29"
    await results.aclose()
    for place, change in enumerate([{"resumeToken": token}, *merged]):
        again = take(CHANGED, after=change["resumeToken"])
        rest = [(await anext(again)).data["taskChanged"]["id"] for _ in merged[place:]]
        assert rest == [later["id"] for later in merged[place:]]
        await again.aclose()


async def test_a_client_that_reads_nothing_is_disconnected(app: Starlette, take: Take, database: Database) -> None:
    results = take("subscription { taskChanged { id } }")
    first = asyncio.ensure_future(anext(results))
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="first"))
    await first
    async with wait_for_delivery(app, "last"):
        await database["task"].insert_many([{"_id": f"{number:05}", "company": COMPANY} for number in range(5001)])
        async with wait_for_delivery(app, "one more"):
            await database["task"].insert_one({"_id": "one more", "company": COMPANY})
        await database["task"].insert_one({"_id": "last", "company": COMPANY})
    [error] = (await anext(results)).errors or []
    assert error.original_error.extensions["limit"] == "waiting"
    with pytest.raises(StopAsyncIteration):
        await anext(results)


def test_subscribers_of_two_viewers_form_two_groups(app: Starlette) -> None:
    """Equal subscriptions of one viewer form one."""
    database, schema = app.state.database, build_schema(load())

    def build_key(viewer: Viewer) -> Hashable:
        reader, writer = database.create_reader(viewer, 1000), database.create_writer(viewer)
        context = Context(viewer, reader, writer, database.changes, load(), 500, related_fields=RELATED_FIELDS)
        request = schema.prepare_subscription("subscription { taskChanged { id } }", {}, None, context)
        assert isinstance(request, SubscriptionRequest)
        return request.group_key

    viewers = [Viewer("a", COMPANY, "admin"), Viewer("b", COMPANY, "admin"), Viewer("a", OTHER_COMPANY, "admin")]
    assert len({build_key(viewer) for viewer in (*viewers, *viewers)}) == 3


async def test_as_many_changes_wait_as_the_maximum_allows(
    app: Starlette, take: Take, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.subscriptions.fan_out.MAX_WAITING", 3)
    results = take("subscription { taskChanged { id } }")
    first = asyncio.ensure_future(anext(results))
    await wait_for_groups(app)
    await database["task"].insert_one(task(_id="first"))
    await first

    async def insert_each(ids: str) -> None:
        for id_ in ids:
            async with wait_for_delivery(app, id_):
                await database["task"].insert_one(task(_id=id_))

    await insert_each("abc")
    assert [(await anext(results)).data["taskChanged"]["id"] for _ in "abc"] == ["a", "b", "c"]
    await insert_each("defg")
    [error] = (await anext(results)).errors or []
    assert (error.original_error.extensions["limit"], error.original_error.extensions["maximum"]) == ("waiting", 3)


# -- series ----------------------------------------------------------------------------------------

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


async def test_points_are_delivered_as_they_are_reported(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """Only those of the requested series, in the order of the reports, gaps included."""
    await database["task"].insert_many([task(_id="it", name="a run"), task(_id="other")])
    await client.data(REPORT, task="it", points=points("loss", "train", 9.0))
    subscription = await live.subscribe(APPENDED, task="it", metric="loss")
    await wait_for_groups(app)
    await client.data(REPORT, task="other", points=points("loss", "train", 1.0))
    await client.data(REPORT, task="it", points=points("accuracy", "train", 1.0))
    await client.data(
        REPORT, task="it", points=points("loss", "train", 0.5, None, 0.25, start=1) + points("loss", "test", 4.0)
    )
    test, train = await subscription.next(), await subscription.next()
    assert test == {
        "metric": "loss",
        "variant": "test",
        "offset": 0,
        "iterations": [0],
        "values": [4.0],
        "timestamps": [MOMENT],
        "task": {"name": "a run"},
    }
    assert (train["offset"], train["iterations"], train["values"]) == (1, [1, 2, 3], [0.5, None, 0.25])
    assert await subscription.silent()


async def test_delivered_points_make_up_the_series(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """Across the ends of blocks, however the points are delivered."""
    await database["task"].insert_one(task(_id="it"))
    subscription = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    values: list[float] = []
    for number in range(12):
        batch = [float(number * 400 + place) for place in range(400)]
        await client.data(REPORT, task="it", points=points("loss", "train", *batch, start=number * 400))
        values += batch
    seen: list[float] = []
    while len(seen) < len(values):
        event = await subscription.next()
        assert event["offset"] == len(seen)
        seen += event["values"]
    assert seen == values


async def test_delivered_points_by_their_iterations_are_the_series(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """A point that is reported again is delivered again, and replaces the one of its iteration."""
    await database["task"].insert_one(task(_id="it"))
    subscription = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    seen: dict[int, float | None] = {}
    reported = 0
    for batch in (
        points("loss", "", *map(float, range(300))),
        points("loss", "", 7.0, None, start=299),
        points("loss", "", *map(float, range(-200, 0)), start=150),
    ):
        await client.data(REPORT, task="it", points=batch)
        reported += len(batch)
    delivered = 0
    while delivered < reported:
        event = await subscription.next()
        assert event["offset"] == delivered
        delivered += len(event["iterations"])
        seen |= dict(zip(event["iterations"], event["values"], strict=True))
    query = '{ task(id: "it") { series(maxPoints: 10000) { iterations values originalCount } } }'
    [curve] = (await client.data(query))["task"]["series"]
    assert dict(zip(curve["iterations"], curve["values"], strict=True)) == seen
    assert curve["originalCount"] == len(seen) == 350


async def test_a_series_that_starts_again_has_the_offset_0(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    await database["task"].insert_one(task(_id="it", status="stopped"))
    await client.data(REPORT, task="it", points=points("loss", "train", *map(float, range(1500))))
    subscription = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    await client.data('mutation { taskReset(input: {task: "it"}) { updated } }')
    gone = await subscription.next()
    assert (gone["offset"], gone["values"]) == (0, [])
    await client.data(REPORT, task="it", points=points("loss", "train", 7.0))
    again = await subscription.next()
    assert (again["offset"], again["values"]) == (0, [7.0])


async def test_a_slow_client_misses_the_beginning_of_a_series_and_sees_it_by_the_offset(
    app: Starlette, live: Socket, client: Client, database: Database
) -> None:
    """At most 10,000 points are delivered at once; `offset` shows how many were left out."""
    await database["task"].insert_one(task(_id="it"))
    await client.data(REPORT, task="it", points=points("loss", "train", *map(float, range(BLOCK_SIZE))))
    block = await database["taskql_series"].find_one({})
    subscription = await live.subscribe(APPENDED, task="it")
    await wait_for_groups(app)
    assert block
    key = block["_id"].rpartition("/")[0]
    more = [block | {"_id": f"{key}/{number:06}", "number": number} for number in range(1, 60)]
    await database["taskql_series"].insert_many(more)
    seen = [await subscription.next()]
    while seen[-1]["offset"] + len(seen[-1]["values"]) < 60 * BLOCK_SIZE:
        seen.append(await subscription.next())  # a busy machine may deliver them in several events
    assert max(len(event["values"]) for event in seen) <= 10_000
    assert len(seen) > 1 or seen[0]["offset"] == 60 * BLOCK_SIZE - 10_000


async def test_a_group_without_subscribers_ends_though_its_cancellation_is_lost(
    app: Starlette, live: Socket, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio.wait_for` of Python 3.11, in the driver, returns its result at the moment of a cancellation."""
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
)
async def test_impossible_subscriptions_are_refused(address: str, live: Socket, query: str, code: str) -> None:
    """With the same error over a socket, which stays open, and as an event, after which the stream ends."""
    subscription = await live.subscribe(query)
    assert (await subscription.error())["code"] == code
    async with open_events(address, query) as stream:
        name, body = await anext(stream)
        assert (name, body["errors"][0]["extensions"]["code"]) == ("next", code)
        assert await anext(stream) == ("complete", None)
    again = await live.subscribe("{ __typename }")
    assert await again.next() == "Query"


async def test_the_series_of_a_foreign_task_are_not_delivered(live: Socket, database: Database) -> None:
    await database["task"].insert_one(task(_id="foreign", company=OTHER_COMPANY))
    subscription = await live.subscribe(APPENDED, task="foreign")
    assert (await subscription.error())["code"] == "INVALID_TASK_ID"
