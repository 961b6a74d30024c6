"""What mutations share: one transaction, once for each idempotency key, and an answer from what is there afterwards."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
import strawberry
from pymongo.errors import DuplicateKeyError

from models.reading import Document
from models.stored import now
from models.writing import KEYS, TRANSITIONS, Transaction
from resolvers.arguments import given
from resolvers.context import Context
from resolvers.errors import ConflictError, ErrorCode, ForbiddenError, InputError
from resolvers.mutations.echo import echo
from resolvers.planned import Plan, Report, answers
from resolvers.selection import Tree

Payload = dict[str, Any]
MAX_KEY = 128


class Change:
    """What a mutation has at hand within its transaction: the input by HOCON names, who asks, and when."""

    def __init__(self, context: Context, tx: Transaction, mutation: str, asked: Mapping[str, Any]) -> None:
        self.tx = tx
        self.mutation = mutation
        self.asked = asked
        self.viewer = context.viewer
        self.rules = context.rules
        self.storages = context.storages
        self.spec = context.spec
        self.now: datetime = now()
        self.projects: set[str] = set()  # whose last update is now, once all this is done

    def touch(self, project: Any) -> None:
        """What is stored as the project of an odd task may be no id at all."""
        if isinstance(project, str):
            self.projects.add(project)

    async def task(self, id_: str | None = None) -> Document:
        """The viewer's own task; raises InputError when there is none to see and ForbiddenError for a public one."""
        id_ = self.asked["task"] if id_ is None else id_
        found = await self.tx.visible("task", {"_id": id_})
        if not found:
            raise InputError(ErrorCode.INVALID_TASK_ID, f"There is no task {id_!r}.", field="task", task=id_)
        if found[0]["company"] != self.viewer.company:
            message = "A public task is not changed by those who read it."
            raise ForbiddenError(ErrorCode.NO_WRITE_PERMISSION, message, task=id_)
        return found[0]

    def expect_status(self, task: Document) -> None:
        """Raises ConflictError when the task has not the status that the input expects."""
        expected = self.asked.get("expected_status")
        if expected is not None and task.get("status") != expected:
            details = {"task": task["_id"], "status": str(task.get("status")).upper(), "expected": expected.upper()}
            message = f"The task is {details['status']} by now, not {details['expected']}."
            raise ConflictError(ErrorCode.FAILED_CHANGING_TASK_STATUS, message, **details)

    async def write(self, task: Document, set_: Mapping[str, Any], unset: tuple[str, ...] = (), **more: Any) -> Payload:
        """Change the task's document; the `updated` and `fields` of the answer. `more` are other update operators."""
        own = {**_settable(task, set_), "last_change": self.now, "last_changed_by": self.viewer.user}
        cleared = [path for path in unset if not any(_overlap(path, other) for other in own)]
        update = {"$set": own, **({"$unset": dict.fromkeys(cleared, "")} if cleared else {}), **more}
        await self.tx.update("task", {"_id": task["_id"]}, update)
        self.touch(task.get("project"))
        return {
            "updated": 1, "fields": echo(self.spec, {**own, **dict.fromkeys(cleared)}), "task": task["_id"],
        }  # fmt: skip

    async def note(self, task: Document, target: str, reason: str, message: str) -> None:
        """Append the move to the history of the task; writers of one task wait for each other, so numbers are whole."""
        last = await self.tx.last(TRANSITIONS, {"task": task["_id"]}, "number")
        number = last["number"] + 1 if last else 1
        await self.tx.insert(TRANSITIONS, {
            "_id": f"{task['_id']}:{number:09}", "task": task["_id"], "number": number,
            "from": task.get("status"), "to": target, "mutation": self.mutation, "actor": self.viewer.user,
            "reason": reason, "message": message, "force": bool(self.asked.get("force")), "at": self.now,
        })  # fmt: skip


def _settable(task: Document, set_: Mapping[str, Any]) -> dict[str, Any]:
    """MongoDB sets no part of what is no object; then the whole is set."""
    settable: dict[str, Any] = {}
    for path, value in set_.items():
        outer, _, inner = path.partition(".")
        if inner and outer in task and not isinstance(task[outer], dict):
            settable[outer] = settable.get(outer, {}) | {inner: value}
        else:
            settable[path] = value
    return settable


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


Work = Callable[[Change], Awaitable[Payload]]


class Mutation(Plan):
    """One mutation: what it does, and the answer, whose documents are read when all is done."""

    def __init__(self, name: str, work: Work, asked: Mapping[str, Any]) -> None:
        self._name = name
        self._work = work
        self._asked = asked

    async def answer(self, context: Context, tree: Tree, _report: Report) -> Any:
        payload = await perform(context, self._name, self._work, self._asked)
        context.forget()
        return (await answers(context, tree, [payload]))[0]


def mutation(name: str, work: Work) -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
        return Mutation(name, work, given(input))

    return resolve


async def perform(context: Context, name: str, work: Work, asked: Mapping[str, Any]) -> Payload:
    """Do it, or find that it was done before with the same idempotency key."""
    key = _key(context, asked)

    async def attempt(tx: Transaction) -> tuple[Payload, set[Any], datetime]:
        change = Change(context, tx, name, asked)
        if key and (stored := await tx.own(KEYS, {"_id": key})):
            return _replayed(stored[0], name, asked), set(), change.now
        payload = await work(change)
        if key:
            request = _fingerprint(name, asked)
            await tx.insert(KEYS, {"_id": key, "request": request, "payload": orjson.dumps(payload), "at": change.now})
        return {**payload, "replayed": False}, change.projects, change.now

    try:
        payload, projects, at = await context.writer.transact(attempt)
    except DuplicateKeyError:
        # another request with this key, or this name, was first
        payload, projects, at = await context.writer.transact(attempt)
    for project in projects:
        await context.writer.touch_project(project, at)
    return payload


def _key(context: Context, asked: Mapping[str, Any]) -> str | None:
    key = asked.get("idempotency_key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY:
        message = f"idempotencyKey has 1 to {MAX_KEY} characters."
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field="idempotencyKey")
    return _digest([context.viewer.company, context.viewer.user, key])


def _replayed(stored: Document, name: str, asked: Mapping[str, Any]) -> Payload:
    if stored["request"] != _fingerprint(name, asked):
        message = "This idempotencyKey was given with another request; use a new one."
        raise ConflictError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, field="idempotencyKey")
    payload: Payload = orjson.loads(stored["payload"])
    return {**payload, "replayed": True}


def _fingerprint(name: str, asked: Mapping[str, Any]) -> str:
    return _digest([name, {key: value for key, value in asked.items() if key != "idempotency_key"}])


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
