"""A front end's day: one task from its first draft to its published results, and another that starts from it."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import COMPANY, Document, model, project, queue, user

Database = AsyncDatabase[Document]

TASK = """
  id name status statusReason statusMessage type comment tags systemTags started completed published lastUpdate
  lastWorker
  project { id name } projectId parent { id name } user { id name } lastChangedBy { id }
  execution { queue { id name entries { taskId } } parameters { section name value } }
  script { repository entryPoint } models { output { model { id ready } } }
  availableTransitions { mutation allowed }
  transitions { nodes { from to mutation } totalCount }
"""


class Day:
    """Calls one mutation after the other; each answers with the task as the next query does."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, mutation: str, more: str = "", /, **asked: Any) -> dict[str, Any]:
        type_ = f"{mutation[0].upper()}{mutation[1:]}Input!"
        query = f"mutation($input: {type_}) {{ {mutation}(input: $input) {{ {more} task {{ {TASK} }} }} }}"
        payload: dict[str, Any] = (await self.client.data(query, input=asked))[mutation]
        if payload["task"]:
            assert payload["task"] == await self.task(payload["task"]["id"])
        return payload

    async def task(self, id_: str) -> Any:
        return (await self.client.data(f"query($id: ID!) {{ task(id: $id) {{ {TASK} }} }}", id=id_))["task"]


def allowed(task: dict[str, Any]) -> set[str]:
    return {move["mutation"] for move in task["availableTransitions"] if move["allowed"]}


async def test_a_front_ends_day(client: Client, database: Database) -> None:
    day = Day(client)
    await database.user.insert_one(user(_id="taskql", name="Ada"))
    await database.project.insert_one(project(_id="p", name="digits"))
    await database.queue.insert_one(queue(_id="q", name="gpus", company=COMPANY))

    created = await day.call(
        "taskCreate",
        "id",
        name="train digits",
        type="TRAINING",
        project="p",
        script={"repository": "https://example.org/digits.git", "entryPoint": "train.py"},
        execution={"parameters": [{"section": "Args", "name": "lr", "value": "0.1"}]},
    )
    task, id_ = created["task"], created["id"]
    assert (task["status"], task["project"], task["user"]["name"]) == ("CREATED", {"id": "p", "name": "digits"}, "Ada")
    assert {"taskEnqueue", "taskStarted", "taskEdit", "taskDelete"} <= allowed(task)

    queued = await day.call("taskEnqueue", "queued", task=id_, expectedStatus="CREATED")
    assert (queued["queued"], queued["task"]["status"]) == (1, "QUEUED")
    assert queued["task"]["execution"]["queue"] == {"id": "q", "name": "gpus", "entries": [{"taskId": id_}]}

    taken = await day.call("queueNextTask", queue="q", worker="gpu:0")
    assert (taken["task"]["id"], taken["task"]["status"], taken["task"]["lastWorker"]) == (id_, "QUEUED", "gpu:0")
    assert taken["task"]["execution"]["queue"]["entries"] == []
    assert (await day.call("queueNextTask", queue="q", worker="gpu:0"))["task"] is None

    started = await day.call("taskStarted", "started", task=id_, expectedStatus="QUEUED")
    assert (started["started"], started["task"]["status"]) == (1, "IN_PROGRESS")
    assert started["task"]["started"] == started["task"]["lastUpdate"]
    assert "taskCompleted" in allowed(started["task"])

    await database.model.insert_one(model(_id="m", task=id_, ready=False))
    await database.task.update_one({"_id": id_}, {"$set": {"models.output": [{"name": "net", "model": "m"}]}})
    completed = await day.call("taskCompleted", task=id_, statusMessage="all epochs")
    assert (completed["task"]["status"], completed["task"]["statusMessage"]) == ("COMPLETED", "all epochs")
    assert completed["task"]["completed"]

    published = await day.call("taskPublish", task=id_, statusReason="best so far")
    assert (published["task"]["status"], published["task"]["statusReason"]) == ("PUBLISHED", "best so far")
    assert published["task"]["models"] == {"output": [{"model": {"id": "m", "ready": True}}]}
    moves = [(move["from"], move["to"], move["mutation"]) for move in published["task"]["transitions"]["nodes"]]
    assert moves == [
        ("CREATED", "QUEUED", "taskEnqueue"),
        ("QUEUED", "IN_PROGRESS", "taskStarted"),
        ("IN_PROGRESS", "COMPLETED", "taskCompleted"),
        ("COMPLETED", "PUBLISHED", "taskPublish"),
    ]
    assert not {"taskReset", "taskDelete", "taskEdit"} & allowed(published["task"])

    cloned = await day.call("taskClone", "id", task=id_)
    clone = cloned["task"]
    assert (clone["name"], clone["status"], clone["parent"]["id"]) == ("Clone of train digits", "CREATED", id_)
    assert clone["execution"]["parameters"] == [{"section": "Args", "name": "lr", "value": "0.1"}]
    assert (clone["models"]["output"], clone["lastWorker"], clone["transitions"]["totalCount"]) == ([], None, 0)

    edited = await day.call(
        "taskEdit",
        "fields",
        task=cloned["id"],
        name="train digits slowly",
        comment="half the rate",
        execution={"parameters": [{"section": "Args", "name": "lr", "value": "0.05"}]},
    )
    assert edited["task"]["execution"]["parameters"] == [{"section": "Args", "name": "lr", "value": "0.05"}]
    assert (edited["fields"]["name"], edited["task"]["comment"]) == ("train digits slowly", "half the rate")

    query = "mutation($input: TaskDeleteInput!) { taskDelete(input: $input) { id deleted updatedChildren } }"
    deleted = (await client.data(query, input={"task": cloned["id"]}))["taskDelete"]
    assert deleted == {"id": cloned["id"], "deleted": True, "updatedChildren": 0}
    assert await day.task(cloned["id"]) is None
    assert (await day.task(id_))["status"] == "PUBLISHED"
