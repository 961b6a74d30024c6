"""Random walks of tasks through their statuses: each move is predicted, done whole or not at all, and recorded."""

import os
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from models.dates import now
from models.status import STATUSES
from tests.support.client import Client
from tests.support.database import aggregate, delete_all
from tests.support.factories import ABSENT, PUBLIC, Document, model, project, queue, task

pytestmark = pytest.mark.slow

# HYPOTHESIS_PROFILE=long for a night's work; each example is walked under both sets of rules. A walk that fails is not
# shortened: trying that against a database takes longer than to read it.
STEPS = 50
EXAMPLES = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 5
GENERATED = settings(
    phases=[Phase.generate],
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

MOVES = (
    "Started",
    "Stop",
    "Stopped",
    "Failed",
    "Close",
    "Completed",
    "Publish",
    "Enqueue",
    "Dequeue",
    "Reset",
    "Delete",
)
NO_FORCE = ("Enqueue", "Dequeue")
TASKS = ("parent", "child", "maker", "bare", "public")
CODES = {
    "Pass force: true": "TASK_CANNOT_BE_DELETED",
    "; this one is": "INVALID_TASK_STATUS",
    "in this queue already": "TASK_ALREADY_QUEUED",
    "a script with": "TASK_VALIDATION_ERROR",
}
SHOWN = "status transitions { totalCount } availableTransitions { mutation target allowed requiresForce reasons }"
History = list[tuple[Any, Any, str, bool]]


class Move(NamedTuple):
    """A call of a mutation; `expected` is the status that the caller expects."""

    name: str
    task: str
    force: bool = False
    expected: str | None = None
    key: str | None = None

    @property
    def arguments(self) -> str:
        values = [f'task: "{self.task}"']
        values += ["force: true"] if self.force else []
        values += [f"expectedStatus: {self.expected.upper()}"] if self.expected else []
        return ", ".join(values)

    def build_document(self) -> str:
        key = f', idempotencyKey: "{self.key}"' if self.key else ""
        below = "replayed" if self.name == "Delete" else f"replayed task {{ {SHOWN} }}"
        return f"mutation {{ done: task{self.name}(input: {{{self.arguments}{key}}}) {{ {below} }} }}"


class Outside(NamedTuple):
    """A change of a task by another program."""

    what: str
    task: str


@st.composite
def draw_move(draw: st.DrawFn) -> Move:
    name = draw(st.sampled_from(MOVES))
    force = name not in NO_FORCE and draw(st.integers(0, 5)) == 5
    expected = draw(st.sampled_from([None] * 30 + [status for status in STATUSES if status != "unknown"]))
    key = draw(st.sampled_from([None] * 20 + ["one", "two"]))
    return Move(name, draw(st.sampled_from(TASKS[:-1] * 3 + TASKS[-1:])), force, expected, key)


OUTSIDE = st.builds(
    Outside, st.sampled_from(["worker", "silence", "model", "ready", "create", "status"]), st.sampled_from(TASKS[:-1])
)
WALKS = st.lists(st.one_of(draw_move(), draw_move(), draw_move(), OUTSIDE), min_size=STEPS, max_size=STEPS)


class World:
    """The stored world, with the history that each task should have."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.database = client.database
        self.histories: dict[str, History] = defaultdict(list)
        self.keys: dict[str, tuple[str, str]] = {}

    async def begin(self) -> None:
        await delete_all(self.database)
        await self.database["queue"].insert_one(queue(_id="q"))
        await self.database["project"].insert_one(project(_id="p"))
        await self.database["task"].insert_many([build_task(name) for name in TASKS])

    async def interfere(self, step: Outside) -> None:
        query, tasks, models = {"_id": step.task}, self.database["task"], self.database["model"]
        match step.what:
            case "worker":
                await self.database["queue"].update_many({}, {"$pull": {"entries": {"task": step.task}}})
                await tasks.update_one(query, {"$set": {"last_worker": "w", "last_update": now()}})
            case "silence":
                await tasks.update_one(query, {"$set": {"last_update": now() - timedelta(hours=1)}})
            case "model":
                made = model(task=step.task, ready=False)
                await models.insert_one(made)
                await tasks.update_one(query, {"$set": {"models.output": [{"name": "net", "model": made["_id"]}]}})
            case "ready":
                await models.update_one({"task": step.task}, {"$set": {"ready": True}})
            case "create" if not await tasks.find_one(query):
                await tasks.insert_one(build_task(step.task))
            case "status":
                await tasks.update_one(query, {"$set": {"status": "publishing"}})

    async def read_shown(self, id_: str) -> Document | None:
        task_shown: Document | None = (await self.client.data(f'{{ task(id: "{id_}") {{ {SHOWN} }} }}'))["task"]
        return task_shown

    async def read_stored(self) -> dict[str, list[Document]]:
        """Read all documents of all collections that are not empty."""
        return await aggregate(self.database, {"$sort": {"_id": 1}})

    async def move(self, step: Move) -> None:
        before, task_ = await self.read_stored(), await self.read_shown(step.task)
        answer = await self.client.answer(step.build_document())
        after = await self.read_shown(step.task)
        codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
        first_call = self.keys.get(step.key or "")
        if first_call:
            self.check_replay(step, first_call, codes, answer)
        else:
            assert codes == self.predict_codes(step, task_), step
        if first_call or codes:
            assert await self.read_stored() == before, step
            return
        assert task_
        self.check_move(step, task_, after)
        assert step.name == "Delete" or answer["data"]["done"] == {"replayed": False, "task": after}
        if step.key:
            self.keys[step.key] = (step.name, step.arguments)

    def check_replay(
        self, step: Move, first_call: tuple[str, str], codes: list[str], answer: Mapping[str, Any]
    ) -> None:
        if first_call == (step.name, step.arguments):
            assert answer["data"]["done"]["replayed"] is True
        else:
            assert codes == ["IDEMPOTENCY_KEY_REUSED"]

    def predict_codes(self, step: Move, task_: Document | None) -> list[str]:
        """Predict the error codes from the available transitions that were shown before."""
        if task_ is None:
            return ["INVALID_TASK_ID"]
        if step.task == "public":
            return ["NO_WRITE_PERMISSION"]
        if step.expected and step.expected.upper() != task_["status"]:
            return ["FAILED_CHANGING_TASK_STATUS"]
        row = find_available(step, task_)
        if row["allowed"] or (step.force and row["requiresForce"]):
            return []
        return [next(code for sentence, code in CODES.items() if sentence in row["reasons"][0])]

    def check_move(self, step: Move, before: Document, after: Document | None) -> None:
        target, history = find_available(step, before)["target"], self.histories[step.task]
        history.append((before["status"], target, f"task{step.name}", step.force))
        if after is None:
            assert target is None
            return
        assert after["status"] == target
        assert after["transitions"]["totalCount"] == len(history)
        assert step.force or before["status"] != "PUBLISHED" or target == "PUBLISHED"

    async def check_histories(self) -> None:
        for id_ in TASKS:
            data = await self.client.data(
                f'{{ task(id: "{id_}") {{ status transitions(first: 500) {{ nodes {{ from to mutation force }} }} }} }}'
            )
            if data["task"]:
                assert [tuple(step.values()) for step in data["task"]["transitions"]["nodes"]] == self.histories[id_]


def build_task(name: str) -> Document:
    parent = {"child": "parent", "maker": "parent"}.get(name)
    script = ABSENT if name == "bare" else {"repository": "r", "entry_point": "e"}
    fields: Document = {"system_tags": ["development"] if name == "bare" else [], "last_worker": ABSENT}
    fields |= {"company": PUBLIC} if name == "public" else {}
    return task(_id=name, status="created", parent=parent, project="p", script=script, **fields)


def find_available(step: Move, task_: Document) -> Document:
    [row] = [row for row in task_["availableTransitions"] if row["mutation"] == f"task{step.name}"]
    available: Document = row
    return available


@GENERATED
@given(walk=WALKS)
async def test_every_move_is_predicted_done_whole_and_recorded(ruled: Client, walk: list[Move | Outside]) -> None:
    world = World(ruled)
    await world.begin()
    for step in walk:
        await (world.move(step) if isinstance(step, Move) else world.interfere(step))
    await world.check_histories()
