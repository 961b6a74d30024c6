"""The base of all mutations: one transaction, once for each idempotency key, and an answer that is read afterwards."""

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
from resolvers.mutations.idempotency import IdempotencyKey, read_idempotency_key
from resolvers.mutations.written_fields import build_written_fields
from resolvers.transitions.guards import check_owner
from resolvers.transitions.situation import format_status

Payload = dict[str, Any]
MAX_BYTES = 16 * 1024 * 1024  # of a document in MongoDB


class MutationCall:
    """One call of a mutation within its transaction; `arguments` are the input's values by HOCON names."""

    def __init__(self, context: Context, tx: Transaction, mutation: str, arguments: Mapping[str, Any]) -> None:
        self.tx = tx
        self.mutation = mutation
        self.arguments = arguments
        self.viewer = context.viewer
        self.rules = context.rules
        self.storages = context.storages
        self.spec = context.spec
        self.now: datetime = now()
        self.projects: set[str] = set()  # their last update becomes `now` after the transaction

    @property
    def public_name(self) -> str:
        return self.spec.mutations[self.mutation].graphql_name

    @property
    def change_fields(self) -> dict[str, Any]:
        """The fields of a changed task that name the time and the user of the change."""
        return {"last_change": self.now, "last_changed_by": self.viewer.user}

    def touch(self, project: Any) -> None:
        """Note the project of a changed task; odd tasks store a value that is not an id."""
        if isinstance(project, str):
            self.projects.add(project)

    async def read_task(self, id_: str | None = None, fields: Mapping[str, Any] | None = None) -> Document:
        """Read a task of the company; raises InputError when there is none and ForbiddenError for a public one."""
        id_ = self.arguments["task"] if id_ is None else id_
        tasks = await self.tx.read_visible("task", {"_id": id_}, fields)
        if not tasks:
            raise not_found("task", id_)
        if error := check_owner(tasks[0], self.viewer):
            raise error
        return tasks[0]

    def refuse_other_status(self, task: Document) -> None:
        """Raises ConflictError when the input expects a status and the task has another one."""
        expected = self.arguments.get("expected_status")
        if expected is not None and task.get("status") != expected:
            status, expected = format_status(task.get("status")), format_status(expected)
            message = f"The task is now {status}, not {expected}. Read it and try again."
            details = {"task": task["_id"], "status": status, "expected": expected}
            raise ConflictError(ErrorCode.FAILED_CHANGING_TASK_STATUS, message, **details)

    def build_heartbeat(self, task: Document) -> dict[str, Any]:
        """Build the fields that a sign of life sets; of a task in progress also its active duration in seconds."""
        fields: dict[str, Any] = {"last_update": self.now, **self.change_fields}
        started = task.get("started")
        if task.get("status") == IN_PROGRESS and isinstance(started, datetime):
            fields["active_duration"] = int((self.now - started).total_seconds())
        return fields

    async def write_task(self, task: Document, set_: Mapping[str, Any], unset: tuple[str, ...] = ()) -> Payload:
        """Update the task; returns the answer's `updated`, `fields` and `task`."""
        values = {**_replace_non_objects(task, set_), **self.change_fields}
        cleared = [path for path in unset if not any(_is_overlap(path, written) for written in values)]
        refuse_too_large(task, values, cleared)
        update: dict[str, Any] = {"$set": values}
        if cleared:
            update["$unset"] = dict.fromkeys(cleared, "")
        await self.tx.update("task", {"_id": task["_id"]}, update)
        self.touch(task.get("project"))
        fields = build_written_fields(self.spec, {**values, **dict.fromkeys(cleared)})
        return {"updated": 1, "fields": fields, "task": task["_id"]}

    async def append_transition(self, task: Document, target: str | None, reason: str, message: str) -> None:
        """Append a move to the history of the task. Transactions on one task run in turn, so no number is missing."""
        last = await self.tx.read_last(TRANSITIONS, {"task": task["_id"]}, "number")
        number = last["number"] + 1 if last else 1
        transition = {
            "_id": f"{task['_id']}:{number:09}",
            "task": task["_id"],
            "number": number,
            "from": task.get("status"),
            "to": target,
            "mutation": self.public_name,
            "actor": self.viewer.user,
            "reason": reason,
            "message": message,
            "force": bool(self.arguments.get("force")),
            "at": self.now,
        }
        await self.tx.insert(TRANSITIONS, transition)


# -- updates that MongoDB accepts ------------------------------------------------------------------


def refuse_too_large(task: Document, set_: Mapping[str, Any], unset: Iterable[str]) -> None:
    """Raises LimitError for an update after which the document exceeds MongoDB's maximum."""
    before, added = len(bson.encode(task, codec_options=TOLERANT)), len(bson.encode(dict(set_)))
    if before + added > MAX_BYTES and _measure_updated(task, set_, unset) > MAX_BYTES:
        raise document_too_large()


def _measure_updated(task: Document, set_: Mapping[str, Any], unset: Iterable[str]) -> int:
    """Measure the bytes of a document after an update."""
    document = dict(task)
    for path in unset:
        _set_path(document, path.split("."), None)
    for path, value in set_.items():
        _set_path(document, path.split("."), value)
    return len(bson.encode(document, codec_options=TOLERANT))


def _set_path(document: Document, path: Sequence[str], value: Any) -> None:
    """Set a value in a copy of each object on its path; None removes it."""
    first, *rest = path
    if rest:
        inner = document.get(first)
        document[first] = dict(inner) if isinstance(inner, dict) else {}
        _set_path(document[first], rest, value)
    elif value is None:
        document.pop(first, None)
    else:
        document[first] = value


def _replace_non_objects(task: Document, set_: Mapping[str, Any]) -> dict[str, Any]:
    """Set a new object where the task stores another type: MongoDB can't set a field within that."""
    settable: dict[str, Any] = {}
    for path, value in set_.items():
        outer, _, inner = path.partition(".")
        if inner and outer in task and not isinstance(task[outer], dict):
            settable[outer] = settable.get(outer, {}) | {inner: value}
        else:
            settable[path] = value
    return settable


def _is_overlap(path: str, written: str) -> bool:
    return path == written or path.startswith(f"{written}.") or written.startswith(f"{path}.")


# -- performing ------------------------------------------------------------------------------------

Work = Callable[[MutationCall], Awaitable[Payload]]


class MutationPlan(Plan):
    """Performs one mutation, and reads the documents of its answer afterwards."""

    def __init__(self, name: str, work: Work, arguments: Mapping[str, Any]) -> None:
        self._name = name
        self._work = work
        self._arguments = arguments

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        key = read_idempotency_key(context.viewer, self._name, self._arguments)
        payload = await perform(context, self._name, self._work, self._arguments, key)
        context.forget_documents()
        return (await build_answers(context, selection, [payload]))[0]


def build_mutation(name: str, work: Work) -> Callable[..., Plan]:
    """Build the resolver of a mutation."""

    def resolve(info: strawberry.Info[Context, None], input: Any) -> Plan:  # noqa: A002, ARG001 - the argument's public name
        return MutationPlan(name, work, read_arguments(input))

    return resolve


async def perform(
    context: Context, name: str, work: Work, arguments: Mapping[str, Any], key: IdempotencyKey | None
) -> Payload:
    """Perform a mutation, or find the answer that is stored for its idempotency key."""

    async def attempt(tx: Transaction) -> tuple[Payload, MutationCall]:
        call = MutationCall(context, tx, name, arguments)
        entries = await key.read_entries(tx) if key else {}
        if key and (answer := key.find_answer(entries)) is not None:
            return {**answer, "replayed": True}, call
        payload = await work(call)
        if key:
            await key.store_answer(tx, entries, payload, call.now)
        return {**payload, "replayed": False}, call

    try:
        payload, call = await context.writer.transact(attempt)
    except DuplicateKeyError:
        # another request with this key, or this name, was first
        payload, call = await context.writer.transact(attempt)
    for project in call.projects:
        await context.writer.touch_project(project, call.now)
    return payload
