"""Subscriptions over an odd database: odd documents are skipped, and lost collections end the subscriptions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from models.documents.block import SERIES
from models.metrics.blocks import pack_points
from models.store.database import Database, connect
from tests.support.client import Client
from tests.support.factories import COMPANY, Document, hyperparams, task
from tests.support.live import Socket, Subscription, listen, open_socket, wait_for_groups
from tests.support.mutations import TASK

NAME = "taskql_live_odd"
CHANGED = f"subscription ($after: String) {{ taskChanged(resumeAfter: $after) {{ resumeToken id fields moves {{ from to reason at }} task {{ {TASK} }} }} }}"  # noqa: E501
NAMED = """subscription {
  taskChanged(filter: {name: "digits$", hyperparams: [{section: "Args", name: "lr", matches: "1$"}]}) { id }
}"""
APPENDED = 'subscription { metricsAppended(task: "it") { metric offset values } }'
HISTORY = "taskql_transition"
Stored = AsyncDatabase[Document]
Act = Callable[[Stored], Awaitable[Any]]
BROKEN = b"\xff\xfe\xfd\xfc"  # not UTF-8


def broken(document: Document) -> RawBSONDocument:
    """The document with bytes that are not UTF-8 wherever it has BBBB."""
    return RawBSONDocument(bson.encode(document).replace(b"BBBB", BROKEN))


def block(number: int = 0, /, *values: float, **fields: Any) -> Document:
    chunk = pack_points([0] * len(values), [0] * len(values), values).tobytes()
    return {
        "_id": f"it/loss/train/{number:06}",
        "company": COMPANY,
        "task": "it",
        "metric": "loss",
        "variant": "train",
        "number": number,
        "points": len(values),
        "is_last": True,
        "chunks": [chunk],
        **fields,
    }


@pytest.fixture
async def database(mongodb_uri: str) -> AsyncIterator[Database]:
    async with connect(mongodb_uri, NAME) as found:
        await found.database.client.drop_database(NAME)
        await found.database["task"].insert_one(task(_id="it"))
        await found.database[SERIES].insert_one(block(0, 1.0))
        await found.database[HISTORY].insert_one({"_id": "it/1"})
        yield found


@pytest.fixture
def stored(database: Database) -> Stored:
    return database.database


@pytest.fixture
async def client(database: Database, beside: Callable[..., Client]) -> Client:
    return beside(database)


@pytest.fixture
def other(client: Client) -> Starlette:
    """An application beside the one that all tests share, whose collections stay."""
    found: Starlette = client.http._transport.app  # type: ignore[attr-defined]
    return found


@pytest.fixture
async def live(other: Starlette) -> AsyncIterator[Socket]:
    async with listen(other) as address, open_socket(address) as found:
        yield found


async def until(subscription: Subscription, id_: str) -> list[Any]:
    """The events up to one of this task."""
    found = [await subscription.next()]
    while found[-1]["id"] != id_:
        found.append(await subscription.next())
    return found


async def subscribed(other: Starlette, live: Socket) -> list[Subscription]:
    """Subscriptions to tasks, to tasks whose names fit a pattern, and to series; each has begun."""
    found = [await live.subscribe(query) for query in (CHANGED, NAMED, APPENDED)]
    await wait_for_groups(other, len(found))
    return found


# -- odd documents ---------------------------------------------------------------------------------

IDS: Mapping[str, Any] = {
    "JavaScript": bson.Code("it"),
    "JavaScript with a scope": bson.Code("it", {"a": 1}),
    "null": None,
    "boolean": True,
    "int": 1,
    "long": bson.Int64(2**40),
    "double": 1.5,
    "NaN": float("nan"),
    "decimal": bson.Decimal128("1.25"),
    "ObjectId": bson.ObjectId(),
    "object": {"a": {"b": 1}},
    "reference": bson.DBRef("task", "it"),
    "bytes": b"it",
    "UUID": bson.Binary(b"u" * 16, 4),
    "old UUID": bson.Binary(b"u" * 16, 3),
    "no UUID": bson.Binary(b"u" * 5, 4),
    "date": datetime(2026, 1, 1),  # noqa: DTZ001 - stored dates are naive UTC
    "date beyond years": DatetimeMS(2**62),
    "timestamp": bson.Timestamp(1, 1),
    "MinKey": bson.MinKey(),
    "MaxKey": bson.MaxKey(),
    "broken UTF-8": "BBBB",
    "empty": "",
    "zero": "a\0b",
    "20 KB": "i" * 20_000,
    "6 MB": "i" * 6_000_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
async def test_a_document_with_an_odd_id_is_passed_over(
    other: Starlette, live: Socket, stored: Stored, name: str
) -> None:
    """Of tasks, of their histories and of blocks of series; also by a subscription that resumes later."""
    tasks, _, series = await subscribed(other, live)
    await stored["task"].update_one({"_id": "it"}, {"$set": {"name": "first"}})
    token = (await tasks.next())["resumeToken"]
    for collection in ("task", HISTORY, SERIES):
        odd = broken({"_id": IDS[name], "task": "it" if name == "6 MB" else IDS[name], "company": COMPANY})
        await stored[collection].insert_one(odd)
        await stored[collection].update_many({"_id": {"$ne": "it"}}, {"$set": {"name": "other"}})
        await stored[collection].delete_many({"name": "other"})
    await stored["task"].update_one({"_id": "it"}, {"$set": {"name": "last"}})
    await stored[SERIES].insert_one(block(7, 2.0, metric="accuracy"))
    assert (await until(tasks, "it"))[-1]["task"]["name"] == "last"
    event = await series.next()
    while event["metric"] != "accuracy":
        event = await series.next()
    assert event["values"] == [2.0]
    resumed = await live.subscribe(CHANGED, after=token)
    assert (await until(resumed, "it"))[-1]["task"]["name"] == "last"


async def come_and_go(stored: Stored) -> None:
    await stored.create_collection("new")
    await stored["new"].insert_one({})
    await stored["new"].rename("newer")
    await stored["newer"].drop()
    await stored["project"].insert_one({})
    await stored["project"].drop()
    await stored[HISTORY].drop()
    await stored["task"].create_index("odd")
    await stored.command("collMod", "task", validator={})


ODD: Mapping[str, Act] = {
    "companies that are not text": lambda stored: stored["task"].insert_many(
        [task(company=[COMPANY]), task(company=1), task(company=bson.Code(COMPANY)), task(company={"a": COMPANY})]
    ),
    "fields of other types": lambda stored: stored["task"].insert_many(
        [
            task(_id="list", status=["created"], type={"a": 1}, name=bson.Code("x"), created=float("nan"), tags="a"),
            task(_id="date", started=DatetimeMS(2**62), completed="yesterday", last_metrics=[1], hyperparams="x"),
            task(
                _id="null", last_metrics={"a": None, "b": {"c": [1]}}, models=5, output=[], execution="x", runtime=b"x"
            ),
        ]
    ),
    "text that is not UTF-8": lambda stored: stored["task"].insert_one(
        broken(task(_id="broken", name="BBBB digits", comment="BBBB", tags=["BBBB"], hyperparams={"BBBB": {"BBBB": 1}}))
    ),
    "a hyperparameter that is not UTF-8": lambda stored: stored["task"].insert_one(
        broken(task(_id="broken", hyperparams=hyperparams(("Args", "lr", "BBBB 0.1"))))
    ),
    "a document of 16 MB": lambda stored: stored["task"].insert_one(
        {"_id": "large", "company": COMPANY, "comment": "c" * (16 * 1024 * 1024 - 100)}
    ),
    "an update of 8 MB": lambda stored: stored["task"].update_one({"_id": "it"}, {"$set": {"large": "c" * 2**23}}),
    "odd names of fields": lambda stored: stored["task"].update_one(
        {"_id": "it"},
        [
            {"$replaceWith": {"$setField": {"field": {"$literal": name}, "input": "$$ROOT", "value": 1}}}
            for name in ("", ".", "..", "a.b", "$set", "$a.b", " ", "é")
        ],
    ),
    "a name of a field that is not UTF-8": lambda stored: stored.command(
        {"update": "task", "updates": [{"q": {"_id": "it"}, "u": broken({"$set": {"BBBB": 1}})}]}
    ),
    "an array that was cut short": lambda stored: stored["task"].update_one(
        {"_id": "it"}, [{"$set": {"tags": list("abcdefghijkl") * 50}}, {"$set": {"tags": ["a"]}}]
    ),
    "many fields": lambda stored: stored["task"].update_one(
        {"_id": "it"}, {"$set": {f"field {number}": 1 for number in range(3000)}}
    ),
    "transitions that are damaged": lambda stored: stored[HISTORY].insert_many(
        [
            {"_id": "odd/1", "$ref": "task", "$id": "it"},
            {"_id": "odd/2", "task": ["it"]},
            {"_id": "odd/3", "task": bson.Code("it")},
            {"_id": "odd/4", "task": "it", "company": [COMPANY]},
            {
                "_id": "odd/5",
                "task": "it",
                "company": COMPANY,
                "from": ["x"],
                "to": {"a": 1},
                "mutation": 5,
                "at": "noon",
                "reason": bson.Code("x"),
            },
            {"_id": "odd/6", "task": "it", "company": COMPANY, "at": DatetimeMS(-(2**62)), "reason": None},
        ]
    ),
    "a transition of 16 MB": lambda stored: stored[HISTORY].insert_one(
        {"_id": "s" * 9000, "task": "it", "company": COMPANY, "reason": "r" * (16 * 1024 * 1024 - 9200)}
    ),
    "blocks that are damaged": lambda stored: stored[SERIES].insert_many(
        [
            block(1, 1.0, _id="it/odd/1", metric=["loss"]),
            block(1, 1.0, _id="it/odd/2", variant=bson.Code("train")),
            block(1, 1.0, _id="it/odd/3", points="many"),
            block(1, 1.0, _id="it/odd/4", points=-1),
            block(1, 1.0, _id="it/odd/5", points=2**62),
            block(1, 1.0, _id="it/odd/6", task=["it"]),
            block(1, 1.0, _id="it/odd/7", metric="odd", number="x"),
            block(1, 1.0, _id="it/odd/8", metric="odd", chunks=1),
            block(1, 1.0, _id="it/odd/9", metric="odd", chunks=[b"x"]),
            block(1, 1.0, _id="it/odd/10", chunks=["x"]),
            {"_id": "it/odd/11", "company": COMPANY, "task": "it"},
        ]
    ),
    "collections that come and go": come_and_go,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
async def test_odd_documents_neither_end_nor_stall_a_subscription(
    other: Starlette, live: Socket, stored: Stored, name: str
) -> None:
    tasks, named, series = await subscribed(other, live)
    await ODD[name](stored)
    await stored["task"].insert_one(task(_id="new"))
    await stored[SERIES].insert_one(block(7, 2.0, metric="accuracy"))
    assert (await until(tasks, "new"))[-1]["task"]["name"] == "train digits"
    await until(named, "new")
    event = await series.next()
    while event["metric"] != "accuracy":
        event = await series.next()
    assert (event["offset"], event["values"]) == (0, [2.0])


async def test_an_odd_block_hides_no_series(client: Client, stored: Stored) -> None:
    await ODD["blocks that are damaged"](stored)
    data = await client.data('{ task(id: "it") { series { metric values } } }')
    assert {"metric": "loss", "values": [1.0]} in data["task"]["series"]


# -- lost collections ------------------------------------------------------------------------------


async def _drop_and_create(stored: Stored) -> None:
    await stored["task"].drop()
    await stored["task"].insert_one(task(_id="it"))


async def _rename_onto(stored: Stored) -> None:
    await stored["others"].insert_one(task(_id="it"))
    await stored["others"].rename("task", dropTarget=True)


async def _away_to_another_database(stored: Stored) -> None:
    target = f"{NAME}_target"
    await stored.client.drop_database(target)
    await stored.client.admin.command("renameCollection", f"{NAME}.task", to=f"{target}.task")
    await stored.client.drop_database(target)


LOSSES: Mapping[str, Act] = {
    "the database is dropped": lambda stored: stored.client.drop_database(stored.name),
    "the collection is dropped": lambda stored: stored["task"].drop(),
    "it is dropped and created again": _drop_and_create,
    "it is renamed": lambda stored: stored["task"].rename("tasks_of_yesterday"),
    "another takes its name": _rename_onto,
    "it is moved to another database": _away_to_another_database,
    "an aggregation replaces it": lambda stored: stored["task"].aggregate([{"$match": {}}, {"$out": "task"}]),
}


@pytest.mark.parametrize("name", LOSSES)
async def test_subscriptions_end_when_the_collection_of_tasks_is_lost(
    other: Starlette, live: Socket, stored: Stored, name: str
) -> None:
    """With the same error, however it was lost; new subscriptions follow the new collection."""
    subscriptions = await subscribed(other, live)
    await stored["task"].update_one({"_id": "it"}, {"$set": {"comment": "x"}})
    token = (await subscriptions[0].next())["resumeToken"]
    await subscriptions[1].next()
    await LOSSES[name](stored)
    for subscription in subscriptions:
        error = await subscription.error()
        assert error == {
            "code": "DATABASE_UNAVAILABLE",
            "message": "MongoDB no longer knows what changed. Read the current state, then subscribe again.",
        }
    again = await live.subscribe("subscription { taskChanged { id } }")
    await wait_for_groups(other)
    await stored["task"].insert_one(task(_id="after"))
    assert (await again.next())["id"] == "after"
    resumed = await live.subscribe(CHANGED, after=token)
    assert (await resumed.error())["code"] == "BAD_CURSOR"


async def _rename_blocks_onto(stored: Stored) -> None:
    await stored["others"].insert_many([block(0, 5.0, 6.0), block(0, 7.0, _id="it/odd", metric=["odd"])])
    await stored["others"].rename(SERIES, dropTarget=True)


@pytest.mark.parametrize(
    ("loss", "values"),
    [
        (lambda stored: stored[SERIES].drop(), []),
        (lambda stored: stored[SERIES].rename("curves_of_yesterday"), []),
        (_rename_blocks_onto, [5.0, 6.0]),
    ],
)
async def test_series_start_again_when_their_collection_is_replaced(
    other: Starlette, live: Socket, stored: Stored, loss: Act, values: list[float]
) -> None:
    """Subscriptions of tasks get nothing of it."""
    tasks, _, series = await subscribed(other, live)
    await loss(stored)
    assert await series.next() == {"metric": "loss", "offset": 0, "values": values}
    await stored[SERIES].insert_one(block(1, 8.0))
    assert await series.next() == {"metric": "loss", "offset": len(values), "values": [8.0]}
    await stored["task"].update_one({"_id": "it"}, {"$set": {"comment": "x"}})
    assert (await tasks.next())["id"] == "it"
