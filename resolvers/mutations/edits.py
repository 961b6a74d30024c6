"""Mutations that change the values of a task that clients write."""

from copy import copy

from models.store.writer import HELD_NAME
from models.types import Document
from resolvers.errors import ApiError, ConflictError, ErrorCode, limit_exceeded
from resolvers.mutations.batch import describe_error
from resolvers.mutations.input_values import InputValue, read_input_values, refuse_unfit_values, split_changes
from resolvers.mutations.transaction import MutationCall, Payload
from resolvers.mutations.transitions import require_move
from resolvers.mutations.unique_names import hold_name
from resolvers.transitions.moves import MOVES

MAX_ITEMS = 100


async def update(call: MutationCall) -> Payload:
    return await _write_values(call, await call.read_task(), "task_update_input")


async def edit(call: MutationCall) -> Payload:
    task = await call.read_task()
    await require_move(call, MOVES["edit"], task)
    return await _write_values(call, task, "task_edit_input")


async def _write_values(call: MutationCall, task: Document, definition: str) -> Payload:
    values = read_input_values(call, definition, task, "task")
    if not values:
        return {"updated": 0, "fields": {}, "task": task["_id"]}
    set_, unset = split_changes(values)
    await refuse_unfit_values(call, values)
    if "name" in set_:
        held_name = await hold_name(call, "task", set_["name"], task["_id"])
        set_ |= held_name
        unset = unset if held_name else (*unset, HELD_NAME)
    call.touch(set_.get("project"))
    return await call.write_task(task, set_ | {"last_update": call.now}, unset)


async def update_batch(call: MutationCall) -> Payload:
    """Update several tasks. An item's errors are found before any write, so the other items can be written."""
    items = call.arguments["items"]
    if len(items) > MAX_ITEMS:
        message = f"items has {len(items)} items; the maximum is {MAX_ITEMS}. Send several requests."
        raise limit_exceeded(message, limit="items", maximum=MAX_ITEMS, actual=len(items))
    results = []
    for number, item in enumerate(items):
        item_call = copy(call)
        item_call.arguments = item
        try:
            result = await _write_values(item_call, await item_call.read_task(), "task_update_item")
        except ApiError as error:
            if call.arguments.get("all_or_nothing") is not False:
                error.extensions["item"] = number
                raise
            result = {"updated": 0, "fields": {}, "error": describe_error(error)}
        results.append({**result, "id": item["task"], "succeeded": "error" not in result})
    return {"updated": sum(result["updated"] for result in results), "results": results}


async def set_requirements(call: MutationCall) -> Payload:
    task = await call.read_task()
    if not isinstance(task.get("script"), dict):
        message = "taskSetRequirements needs a task with a script; this one has none."
        raise ConflictError(ErrorCode.MISSING_TASK_FIELDS, message, task=task["_id"], missing=["script"])
    set_, _ = split_changes([InputValue("requirements", "script.requirements", call.arguments["requirements"])])
    return await call.write_task(task, set_ | {"last_update": call.now})
