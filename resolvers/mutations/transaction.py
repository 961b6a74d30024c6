"""What mutations share: one transaction, once for each idempotency key, and an answer from what is there afterwards."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
import strawberry
from pymongo.errors import DuplicateKeyError

from models.codecs import TOLERANT
from models.dates import now
from models.documents.transition import TRANSITIONS
from models.status import IN_PROGRESS
from models.store.writer import Transaction
from models.types import Document
from resolvers.errors import ConflictError, ErrorCode, document_too_large, not_found
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.mutations.echo import echo
from resolvers.mutations.idempotency import Key, key_of
from resolvers.transitions.guards import check_owner
from resolvers.transitions.situation import format_status

Payload = dict[str, Any]
MAX_BYTES = 16 * 1024 * 1024  # of a document in MongoDB


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

    @property
    def signature(self) -> dict[str, Any]:
        """What a changed task says of the change."""
        return {"last_change": self.now, "last_changed_by": self.viewer.user}

    def touch(self, project: Any) -> None:
        """What is stored as the project of an odd task may be no id at all."""
        if isinstance(project, str):
            self.projects.add(project)

    async def task(self, id_: str | None = None, fields: Mapping[str, Any] | None = None) -> Document:
        """The viewer's own task; raises InputError when there is none to see and ForbiddenError for a public one."""
        id_ = self.asked["task"] if id_ is None else id_
        found = await self.tx.read_visible("task", {"_id": id_}, fields)
        if not found:
            raise not_found("task", id_)
        if error := check_owner(found[0], self.viewer):
            raise error
        return found[0]

    def expect_status(self, task: Document) -> None:
        """Raises ConflictError when the task has not the status that the input expects."""
        expected = self.asked.get("expected_status")
        if expected is not None and task.get("status") != expected:
            status, expected = format_status(task.get("status")), format_status(expected)
            message = f"The task is now {status}, not {expected}. Read it and try again."
            details = {"task": task["_id"], "status": status, "expected": expected}
            raise ConflictError(ErrorCode.FAILED_CHANGING_TASK_STATUS, message, **details)

    def alive(self, task: Document) -> dict[str, Any]:
        """A sign of life. While the task runs, the time that it has run is known by it."""
        found: dict[str, Any] = {"last_update": self.now, **self.signature}
        started = task.get("started")
        if task.get("status") == IN_PROGRESS and isinstance(started, datetime):
            found["active_duration"] = int((self.now - started).total_seconds())
        return found

    async def write(self, task: Document, set_: Mapping[str, Any], unset: tuple[str, ...] = (), **more: Any) -> Payload:
        """Change the task's document; the `updated` and `fields` of the answer. `more` are other update operators."""
        own = {**_settable(task, set_), **self.signature}
        cleared = [path for path in unset if not any(_overlap(path, other) for other in own)]
        refuse_too_large(task, own, cleared)
        update = {"$set": own, **({"$unset": dict.fromkeys(cleared, "")} if cleared else {}), **more}
        await self.tx.update("task", {"_id": task["_id"]}, update)
        self.touch(task.get("project"))
        return {
            "updated": 1, "fields": echo(self.spec, {**own, **dict.fromkeys(cleared)}), "task": task["_id"],
        }  # fmt: skip

    async def note(self, task: Document, target: str | None, reason: str, message: str) -> None:
        """Append the move to the history of the task; writers of one task wait for each other, so numbers are whole."""
        last = await self.tx.read_last(TRANSITIONS, {"task": task["_id"]}, "number")
        number = last["number"] + 1 if last else 1
        await self.tx.insert(TRANSITIONS, {
            "_id": f"{task['_id']}:{number:09}", "task": task["_id"], "number": number,
            "from": task.get("status"), "to": target, "mutation": self.spec.mutations[self.mutation].graphql_name,
            "actor": self.viewer.user, "reason": reason, "message": message, "force": bool(self.asked.get("force")),
            "at": self.now,
        })  # fmt: skip


def refuse_too_large(task: Document, set_: Mapping[str, Any], unset: Iterable[str]) -> None:
    """Raises LimitError for a change after which MongoDB would not keep the document; found before it is written."""
    before, added = len(bson.encode(task, codec_options=TOLERANT)), len(bson.encode(dict(set_)))
    if before + added > MAX_BYTES and _size_after(task, set_, unset) > MAX_BYTES:
        raise document_too_large()


def _size_after(task: Document, set_: Mapping[str, Any], unset: Iterable[str]) -> int:
    """The bytes of a document after a change."""
    document = dict(task)
    for path in unset:
        _put(document, path.split("."), None)
    for path, value in set_.items():
        _put(document, path.split("."), value)
    return len(bson.encode(document, codec_options=TOLERANT))


def _put(document: Document, path: Sequence[str], value: Any) -> None:
    """Set a value in a copy of each object on its way; None takes it away."""
    first, *rest = path
    if rest:
        inner = document.get(first)
        document[first] = dict(inner) if isinstance(inner, dict) else {}
        _put(document[first], rest, value)
    elif value is None:
        document.pop(first, None)
    else:
        document[first] = value


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

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        key = key_of(context.viewer, self._name, self._asked)
        payload = await perform(context, self._name, self._work, self._asked, key)
        context.forget_documents()
        return (await build_answers(context, selection, [payload]))[0]


def mutation(name: str, work: Work) -> Callable[..., Plan]:
    def resolve(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
        return Mutation(name, work, read_arguments(input))

    return resolve


async def perform(
    context: Context, name: str, work: Work, asked: Mapping[str, Any], key: Key | None = None
) -> Payload:  # fmt: skip
    """Do it, or find that it was done before with the same idempotency key."""

    async def attempt(tx: Transaction) -> tuple[Payload, Change]:
        change = Change(context, tx, name, asked)
        known = await key.known(tx) if key else {}
        if key and (answer := key.answer(known)) is not None:
            return {**answer, "replayed": True}, change
        payload = await work(change)
        if key:
            await key.keep(tx, known, payload, change.now)
        return {**payload, "replayed": False}, change

    try:
        payload, change = await context.writer.transact(attempt)
    except DuplicateKeyError:
        payload, change = await context.writer.transact(attempt)  # another with this key, or this name, was first
    for project in change.projects:
        await context.writer.touch_project(project, change.now)
    return payload
