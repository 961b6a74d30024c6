"""Idempotency keys: who has them, how long they are, and how long they hold."""

from collections.abc import Callable

from models.store.writer import IDEMPOTENCY_KEYS
from tests.support.client import Client
from tests.support.factories import COMPANY, OTHER_COMPANY, task
from tests.support.mutations import change, get_refusal


async def test_a_key_belongs_to_one_user_of_one_company(client: Client, beside: Callable[..., Client]) -> None:
    """Others may use the same key for the same request."""
    for viewer in (client, beside(user="somebody else"), beside(company=OTHER_COMPANY)):
        model = {"name": "a model", "uri": "x", "idempotencyKey": "k"}
        answers = [await change(viewer, "modelCreate", "id replayed", **model) for _ in range(2)]
        assert [answer["replayed"] for answer in answers] == [False, True]
        assert answers[0]["id"] == answers[1]["id"]
    models = await client.database["model"].find().to_list()
    assert sorted((row["company"], row["user"]) for row in models) == sorted(
        [(COMPANY, "taskql"), (COMPANY, "somebody else"), (OTHER_COMPANY, "taskql")]
    )


async def test_a_key_belongs_to_one_mutation(client: Client) -> None:
    """Also where another one has the same input."""
    await client.database["task"].insert_one(task(_id="t", status="stopped"))
    await change(client, "taskClose", "updated", task="t", idempotencyKey="k")
    assert (await get_refusal(client, "taskStopped", task="t", idempotencyKey="k"))["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_has_128_characters_at_most(client: Client) -> None:
    await change(client, "queueCreate", "id", name="short", idempotencyKey="k" * 128)
    query = 'mutation($key: String!) { queueCreate(input: {name: "long", idempotencyKey: $key}) { id } }'
    assert (await client.error(query, key="k" * 129))["field"] == "idempotencyKey"
    assert await client.database["queue"].count_documents({}) == 1


async def test_a_key_holds_for_a_day(client: Client) -> None:
    """MongoDB deletes it afterwards."""
    await change(client, "queueCreate", "id", name="first", idempotencyKey="k")
    indexes = await client.database[IDEMPOTENCY_KEYS].index_information()
    assert indexes["at_1"]["expireAfterSeconds"] == 24 * 60 * 60
