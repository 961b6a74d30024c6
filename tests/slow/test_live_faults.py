"""Subscriptions over a database that fails, is slow, or forgets: no event is lost, and no client waits without end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr
from pymongo.errors import ExecutionTimeout

from api.app import create_app
from api.settings import Settings
from models.store.change_stream import OplogPositionError
from models.store.database import Database, connect
from tests.support.commands import Commands
from tests.support.factories import COMPANY, Document, project, task
from tests.support.live import SOON, Take, list_groups, listen, make_taker, open_socket
from tests.support.servers import replica_set

pytestmark = pytest.mark.slow

NAME = "taskql_live"
CHANGED = (
    "subscription ($after: String) { taskChanged(resumeAfter: $after) { id resumeToken task { project { name } } } }"
)
TIMED_OUT = 50
PLAIN = "subscription ($after: String) { taskChanged(resumeAfter: $after) { id resumeToken } }"
OTHER = 'subscription { taskChanged(filter: {id: ["new"]}) { id } }'
Fail = Callable[..., None]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with replica_set(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture
def admin(uri: str) -> Iterator[pymongo.MongoClient[Document]]:
    """A client for which nothing fails."""
    with pymongo.MongoClient[Document](uri) as found:
        found.drop_database(NAME)
        found[NAME]["task"].insert_one(task(_id="before"))
        yield found


@pytest.fixture
def fail(admin: pymongo.MongoClient[Document]) -> Iterator[Fail]:
    def failing(*commands: str, mode: Any = "alwaysOn", **how: Any) -> None:
        data = {"failCommands": commands, "appName": "taskql", **how}
        admin.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

    yield failing
    admin.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
async def database(uri: str, admin: pymongo.MongoClient[Document]) -> AsyncIterator[Database]:  # noqa: ARG001 - to be empty
    async with connect(uri, NAME) as found:
        yield found


@pytest.fixture
def take(database: Database) -> Take:
    return make_taker(database, max_time_ms=300)  # the driver tries again for a second more


async def wait_until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def start_reading(database: Database, subscription: Any) -> "asyncio.Future[Any]":
    """The next result of a subscription, which listens already."""
    before = len(database.changes._listeners)
    found = asyncio.ensure_future(anext(subscription))
    await wait_until(lambda: len(database.changes._listeners) > before or found.done())
    # its source reads the state of the database before the first event
    await wait_until(lambda: found.done() or all(group.ready.done() for group in list_groups(database.changes)))
    await asyncio.sleep(0.1)
    return found


async def read_token(database: Database, take: Take, admin: pymongo.MongoClient[Document]) -> str:
    """A token of the first of two tasks that are delivered together."""
    subscription = take(PLAIN)
    first = await start_reading(database, subscription)
    admin[NAME]["task"].insert_many([task(_id="first"), task(_id="second")])
    token: str = (await first).data["taskChanged"]["resumeToken"]
    await subscription.aclose()
    await wait_until(lambda: not database.changes._listeners)
    return token


async def test_a_subscription_catches_up_although_everything_changes(
    database: Database, take: Take, admin: pymongo.MongoClient[Document]
) -> None:
    """However many events it has missed."""
    token = await read_token(database, take, admin)
    many = [{"_id": f"{number:05}", "company": COMPANY} for number in range(20_000)]
    admin[NAME]["task"].insert_many(many)

    async def change() -> None:
        for number in range(10_000):
            await database.database["task"].update_one({"_id": "before"}, {"$set": {"x": number}})
            await asyncio.sleep(0.01)

    changing = asyncio.create_task(change())
    subscription = make_taker(database)(PLAIN, after=token)  # with time enough for a busy machine
    try:
        missed = [await asyncio.wait_for(anext(subscription), SOON) for _ in range(3)]
        assert [result.data["taskChanged"]["id"] for result in missed] == ["second", "00000", "00001"]
    finally:
        changing.cancel()
        await subscription.aclose()


def count_commands(commands: Commands, name: str, collection: Any) -> int:
    """Count how often a command was sent to a collection, or, with 1, to the whole database."""
    return sum(command.get(name) == collection for command in commands.seen)


async def test_an_event_that_can_not_be_answered_at_the_moment_is_delivered_later(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], fail: Fail, commands: Commands
) -> None:
    """The database went away after the event was found."""
    admin[NAME]["project"].insert_one(project(_id="p", name="a project", company=COMPANY))
    subscription = take(CHANGED)
    first = await start_reading(database, subscription)
    fail("find", namespace=f"{NAME}.project", closeConnection=True)
    admin[NAME]["task"].insert_one(task(_id="it", project="p"))
    await wait_until(
        lambda: count_commands(commands, "find", "project") > 2
    )  # the driver's own second attempt failed as well
    assert not first.done()
    fail(mode="off")
    result = await asyncio.wait_for(first, SOON)
    assert result.errors is None
    assert result.data["taskChanged"]["task"] == {"project": {"name": "a project"}}
    await subscription.aclose()


async def test_an_event_that_takes_too_long_three_times_is_an_error_and_the_next_is_delivered(
    database: Database, admin: pymongo.MongoClient[Document], fail: Fail, commands: Commands
) -> None:
    admin[NAME]["project"].insert_one(project(_id="p", name="a project", company=COMPANY))
    subscription = make_taker(database)(CHANGED)
    first = await start_reading(database, subscription)
    fail("find", namespace=f"{NAME}.project", errorCode=TIMED_OUT)
    admin[NAME]["task"].insert_one(task(_id="slow", project="p"))
    [error] = (await asyncio.wait_for(first, SOON)).errors
    assert isinstance(error.original_error, ExecutionTimeout)
    assert count_commands(commands, "find", "project") == 3
    fail(mode="off")
    admin[NAME]["task"].insert_one(task(_id="quick", project="p"))
    result = await asyncio.wait_for(anext(subscription), SOON)
    assert result.errors is None
    assert result.data["taskChanged"]["id"] == "quick"
    await subscription.aclose()


async def test_a_series_starts_again_although_the_database_failed_just_then(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], fail: Fail, commands: Commands
) -> None:
    block = {"_id": "before/a/b/000000", "company": COMPANY, "task": "before", "metric": "a", "variant": "b"}
    admin[NAME]["taskql_series"].insert_one({**block, "number": 0, "points": 3, "is_last": True, "chunks": []})
    subscription = take('subscription { metricsAppended(task: "before") { metric offset values } }')
    first = await start_reading(database, subscription)
    commands.seen.clear()
    fail("find", namespace=f"{NAME}.taskql_series", closeConnection=True)
    admin[NAME]["taskql_series"].delete_many({})
    await wait_until(lambda: count_commands(commands, "find", "taskql_series") > 2)
    assert not first.done()
    fail(mode="off")
    result = await asyncio.wait_for(first, SOON)
    assert result.data == {"metricsAppended": {"metric": "a", "offset": 0, "values": []}}
    await subscription.aclose()


async def test_a_stream_that_fails_but_has_lost_nothing_is_opened_again(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], fail: Fail, commands: Commands
) -> None:
    subscription = take(CHANGED)
    first = await start_reading(database, subscription)
    commands.seen.clear()
    fail("getMore", "aggregate", mode={"times": 2}, errorCode=8)
    await wait_until(
        lambda: count_commands(commands, "aggregate", 1) > 1
    )  # the stream is opened again, at the second try
    admin[NAME]["task"].insert_one(task(_id="it"))
    assert (await asyncio.wait_for(first, SOON)).data["taskChanged"]["id"] == "it"
    await subscription.aclose()


@pytest.mark.parametrize(("maximum", "is_known"), [(5, False), (50, True)])
async def test_a_token_with_more_changes_after_it_than_are_read_is_refused(
    database: Database,
    take: Take,
    admin: pymongo.MongoClient[Document],
    monkeypatch: pytest.MonkeyPatch,
    maximum: int,
    is_known: bool,
) -> None:
    """The whole oplog would have no room in memory."""
    token = await read_token(database, take, admin)
    admin[NAME]["task"].insert_many([task(_id=f"later {number}") for number in range(10)])
    monkeypatch.setattr("models.store.shared_change_stream.MAX_MISSED", maximum)
    subscription = make_taker(database)(PLAIN, after=token)
    result = await asyncio.wait_for(anext(subscription), SOON)
    if is_known:
        assert result.data["taskChanged"]["id"] == "second"
    else:
        [error] = result.errors
        assert error.original_error.extensions == {"code": "BAD_CURSOR", "field": "resumeAfter"}
    await subscription.aclose()


@pytest.mark.parametrize("code", [286, 10334])
async def test_a_stream_that_has_lost_changes_ends_with_an_error_and_the_next_works(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], fail: Fail, code: int
) -> None:
    """The oplog no longer has the change, or the change does not fit into an event."""
    subscription = take(CHANGED)
    first = await start_reading(database, subscription)
    fail("getMore", mode={"times": 1}, errorCode=code)
    [error] = (await asyncio.wait_for(first, SOON)).errors
    assert error.original_error.extensions["code"] == "DATABASE_UNAVAILABLE"
    again = take(CHANGED)
    first = await start_reading(database, again)
    admin[NAME]["task"].insert_one(task(_id="it"))
    assert (await asyncio.wait_for(first, SOON)).data["taskChanged"]["id"] == "it"
    await again.aclose()


async def test_a_new_subscription_does_not_wait_for_one_that_resumes(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], fail: Fail
) -> None:
    """To read earlier changes may take long."""
    token = await read_token(database, take, admin)
    keeping = take('subscription { taskChanged(filter: {id: ["none"]}) { id } }')
    listening = await start_reading(database, keeping)
    fail("aggregate", mode={"times": 1}, blockConnection=True, blockTimeMS=6000)
    resumed = take(CHANGED, after=token)
    second_of_resumed = await start_reading(database, resumed)
    new = take(OTHER)
    first = await start_reading(database, new)
    admin[NAME]["task"].insert_one(task(_id="new"))
    assert (await asyncio.wait_for(first, SOON)).data["taskChanged"]["id"] == "new"
    assert not second_of_resumed.done()
    assert (await asyncio.wait_for(second_of_resumed, SOON)).data["taskChanged"]["id"] == "second"
    listening.cancel()
    await asyncio.wait([listening])
    for subscription in (keeping, resumed, new):
        await subscription.aclose()


async def test_a_subscription_that_resumes_just_as_the_stream_ends_gets_the_error(
    database: Database, take: Take, admin: pymongo.MongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while the subscription waits for the position of its token; missed events are not delivered any more."""
    token = await read_token(database, take, admin)
    keeping = make_taker(database)(OTHER)
    listening = await start_reading(database, keeping)
    changes = database.changes

    async def end(_position: str) -> None:
        for listener in list(changes._listeners):
            listener.end(OplogPositionError("all is gone"))

    monkeypatch.setattr(changes, "wait_until", end)
    resumed = make_taker(database)(PLAIN, after=token)
    for ended in (asyncio.ensure_future(anext(resumed)), listening):
        [error] = (await asyncio.wait_for(ended, SOON)).errors
        assert error.original_error.extensions["code"] == "DATABASE_UNAVAILABLE"
    for subscription in (keeping, resumed):
        await subscription.aclose()


async def test_an_operation_on_a_socket_waits_for_no_command_of_another(uri: str, fail: Fail) -> None:
    """Failed before: all operations of a socket had the turns of one request."""
    app = create_app(Settings(mongodb_uri=SecretStr(uri), mongodb_database=NAME, max_commands=1, max_time_ms=60_000))
    async with app.router.lifespan_context(app), listen(app) as address, open_socket(address) as live:
        fail("aggregate", namespace=f"{NAME}.task", blockConnection=True, blockTimeMS=10_000)
        slow = await live.subscribe("{ tasks { totalCount } }")
        quick = await live.subscribe("{ queues { totalCount } }")
        assert (await quick.next())["totalCount"] >= 0
        assert slow.messages.empty()
