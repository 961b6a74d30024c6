"""Mutations that move a task through its statuses: each looks up its row in MOVES, writes once, notes the move."""

from collections.abc import Awaitable, Callable
from typing import Any

from models.types import Document
from resolvers.mutations.transaction import Change, Payload
from resolvers.transitions.effects import leave_queues
from resolvers.transitions.moves import MOVES, MOVES_OF_ARCHIVE, find_needs
from resolvers.transitions.preconditions import Lookup, read_preconditions
from resolvers.transitions.situation import ARCHIVED, Move, Outcome, Situation, get_system_tags


def build_move(name: str) -> Callable[[Change], Awaitable[Payload]]:
    """Build the mutation that performs a row of the table."""
    move = MOVES[name]

    async def perform_move(change: Change) -> Payload:
        task = await change.task()
        change.expect_status(task)
        situation = await require_move(change, move, task)
        outcome = _begin_outcome(change, move)
        if move.effect:
            await move.effect(situation, change.tx, outcome)
        if situation.target is None:
            return await _note_deletion(change, task, outcome)
        return await _write_move(change, task, situation.target, outcome)

    return perform_move


async def require_move(change: Change, move: Move, task: Document) -> Situation:
    """Read the situation of a task that is to move; raises the weightiest error that force does not override."""
    lookup = Lookup(change.viewer, change.tx.read_visible, change.tx.tally)
    needs = find_needs(move, change.asked)
    [preconditions] = await read_preconditions(lookup, [task], needs, change.asked.get("queue"))
    mutation = change.spec.mutations[change.mutation].graphql_name
    situation = Situation(move, mutation, task, preconditions, change.rules, change.now, change.asked)
    for refusal in situation.find_refusals():
        if not (refusal.is_forcible and change.asked.get("force")):
            raise refusal.error
    return situation


def _begin_outcome(change: Change, move: Move) -> Outcome:
    return Outcome(dict.fromkeys(move.now, change.now), move.cleared)


async def _write_move(change: Change, task: Document, target: Any, outcome: Outcome) -> Payload:
    reason, message = _read_reason(change)
    status = {
        "status": target,
        "status_reason": reason,
        "status_message": message,
        "status_changed": change.now,
        "last_update": change.now,
    }
    written = status | outcome.set
    payload = await change.write(task, written, outcome.unset)
    await change.note(task, target, reason, written["status_message"])
    return payload | outcome.answer


async def _note_deletion(change: Change, task: Document, outcome: Outcome) -> Payload:
    await change.note(task, None, *_read_reason(change))
    change.touch(task.get("project"))
    return outcome.answer


def _read_reason(change: Change) -> tuple[str, str]:
    """Read the reason and the message of the input; an omitted one is empty, and clears the stored one."""
    return change.asked.get("status_reason") or "", change.asked.get("status_message") or ""


# -- without a row of their own --------------------------------------------------------------------


async def archive(change: Change) -> Payload:
    """Archive a task; one that is queued or runs leaves its status first."""
    task = await change.task()
    change.expect_status(task)
    tags = [*(tag for tag in get_system_tags(task) if tag != ARCHIVED), ARCHIVED]
    move = MOVES_OF_ARCHIVE.get(str(task.get("status")))
    if move is None:
        return await _write_tags(change, task, tags)
    await leave_queues(change.tx, task["_id"], change.now)
    outcome = _begin_outcome(change, move)
    outcome.set["system_tags"] = tags
    return await _write_move(change, task, move.target, outcome)


async def unarchive(change: Change) -> Payload:
    task = await change.task()
    change.expect_status(task)
    return await _write_tags(change, task, [tag for tag in get_system_tags(task) if tag != ARCHIVED])


async def _write_tags(change: Change, task: Document, tags: list[Any]) -> Payload:
    reason, message = _read_reason(change)
    values = {
        "system_tags": tags,
        "status_reason": reason,
        "status_message": message,
        "last_update": change.now,
    }
    return await change.write(task, values)


async def ping(change: Change) -> Payload:
    task = await change.task()
    payload = await change.write(task, change.alive(task))
    return {"task": payload["task"]}
