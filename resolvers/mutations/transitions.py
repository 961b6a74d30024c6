"""Mutations that move a task through its statuses: each looks up its row in MOVES, writes once, notes the move."""

from collections.abc import Awaitable, Callable
from typing import Any

from models.types import Document
from resolvers.mutations.transaction import MutationCall, Payload
from resolvers.transitions.effects import leave_queues
from resolvers.transitions.moves import MOVES, MOVES_OF_ARCHIVE, find_needs
from resolvers.transitions.preconditions import Lookup, read_preconditions
from resolvers.transitions.situation import ARCHIVED, Move, Outcome, Situation, get_system_tags


def build_move(name: str) -> Callable[[MutationCall], Awaitable[Payload]]:
    """Build the mutation that performs a row of the table."""
    move = MOVES[name]

    async def perform_move(call: MutationCall) -> Payload:
        task = await call.read_task()
        call.refuse_other_status(task)
        situation = await require_move(call, move, task)
        outcome = _begin_outcome(call, move)
        if situation.target is None:
            # A subscriber reads the deletion as the last change of the task, so its history is written before.
            await call.append_transition(task, None, *_read_reason(call))
            await move.effect(situation, call.tx, outcome)
            call.touch(task.get("project"))
            return outcome.answer
        await move.effect(situation, call.tx, outcome)
        return await _write_move(call, task, situation.target, outcome)

    return perform_move


async def require_move(call: MutationCall, move: Move, task: Document) -> Situation:
    """Read the situation of a task that is to move; raises the weightiest error that force does not override."""
    lookup = Lookup(call.viewer, call.tx.read_visible, call.tx.tally)
    needs = find_needs(move, call.arguments)
    [preconditions] = await read_preconditions(lookup, [task], needs, call.arguments.get("queue"))
    situation = Situation(move, call.public_name, task, preconditions, call.rules, call.now, call.arguments)
    for refusal in situation.find_refusals():
        if not (refusal.is_forcible and call.arguments.get("force")):
            raise refusal.error
    return situation


def _begin_outcome(call: MutationCall, move: Move) -> Outcome:
    return Outcome(dict.fromkeys(move.now, call.now), move.cleared)


async def _write_move(call: MutationCall, task: Document, target: Any, outcome: Outcome) -> Payload:
    reason, message = _read_reason(call)
    status = {
        "status": target,
        "status_reason": reason,
        "status_message": message,
        "status_changed": call.now,
        "last_update": call.now,
    }
    written = status | outcome.set
    payload = await call.write_task(task, written, outcome.unset)
    await call.append_transition(task, target, reason, written["status_message"])
    return payload | outcome.answer


def _read_reason(call: MutationCall) -> tuple[str, str]:
    """Read the reason and the message of the input; an omitted one is empty, and clears the stored one."""
    return call.arguments.get("status_reason") or "", call.arguments.get("status_message") or ""


# -- without a row of their own --------------------------------------------------------------------


async def archive(call: MutationCall) -> Payload:
    """Archive a task; one that is queued or runs leaves its status first."""
    task = await call.read_task()
    call.refuse_other_status(task)
    tags = [*(tag for tag in get_system_tags(task) if tag != ARCHIVED), ARCHIVED]
    move = MOVES_OF_ARCHIVE.get(str(task.get("status")))
    if move is None:
        return await _write_tags(call, task, tags)
    await leave_queues(call.tx, task["_id"], call.now)
    outcome = _begin_outcome(call, move)
    outcome.set["system_tags"] = tags
    return await _write_move(call, task, move.target, outcome)


async def unarchive(call: MutationCall) -> Payload:
    task = await call.read_task()
    call.refuse_other_status(task)
    return await _write_tags(call, task, [tag for tag in get_system_tags(task) if tag != ARCHIVED])


async def _write_tags(call: MutationCall, task: Document, tags: list[Any]) -> Payload:
    reason, message = _read_reason(call)
    values = {
        "system_tags": tags,
        "status_reason": reason,
        "status_message": message,
        "last_update": call.now,
    }
    return await call.write_task(task, values)


async def ping(call: MutationCall) -> Payload:
    task = await call.read_task()
    payload = await call.write_task(task, call.build_heartbeat(task))
    return {"task": payload["task"]}
