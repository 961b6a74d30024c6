"""Mutations that change what a caller gives of a task."""

from copy import copy

from models.store.writer import HELD_NAME
from models.types import Document
from resolvers.errors import ApiError, ConflictError, ErrorCode, limit_exceeded
from resolvers.mutations.input_values import Given, changed, laid_out, refuse_unfitting
from resolvers.mutations.transaction import Change, Payload
from resolvers.mutations.transitions import require_move
from resolvers.mutations.unique_names import held_name
from resolvers.transitions.moves import MOVES

MAX_ITEMS = 100


async def update(change: Change) -> Payload:
    return await _write(change, await change.task(), "task_update_input")


async def edit(change: Change) -> Payload:
    task = await change.task()
    await require_move(change, MOVES["edit"], task)
    return await _write(change, task, "task_edit_input")


async def _write(change: Change, task: Document, of: str) -> Payload:
    values = laid_out(change, of, task, "task")
    if not values:
        return {"updated": 0, "fields": {}, "task": task["_id"]}
    set_, unset = changed(values)
    await refuse_unfitting(change, values)
    if "name" in set_:
        held = await held_name(change, "task", set_["name"], task["_id"])
        set_, unset = (set_ | held, unset) if held else (set_, (*unset, HELD_NAME))
    change.touch(set_.get("project"))
    return await change.write(task, set_ | {"last_update": change.now}, unset)


async def update_batch(change: Change) -> Payload:
    """What is wrong with an item is found before anything of it is written, so the others can go on."""
    items = change.asked["items"]
    if len(items) > MAX_ITEMS:
        message = f"items has {len(items)} items; the maximum is {MAX_ITEMS}. Send several requests."
        raise limit_exceeded(message, limit="items", maximum=MAX_ITEMS, actual=len(items))
    results = []
    for number, item in enumerate(items):
        one = copy(change)
        one.asked = item
        try:
            done = await _write(one, await one.task(), "task_update_item")
        except ApiError as error:
            if change.asked.get("all_or_nothing") is not False:
                error.extensions["item"] = number
                raise
            code, details = error.code.name, {key: value for key, value in error.extensions.items() if key != "code"}
            told = {"code": code, "message": str(error), "details": details}
            done = {"updated": 0, "fields": {}, "error": told}
        results.append({**done, "id": item["task"], "succeeded": "error" not in done})
    return {"updated": sum(result["updated"] for result in results), "results": results}


async def set_requirements(change: Change) -> Payload:
    task = await change.task()
    if not isinstance(task.get("script"), dict):
        message = "The task has no script that could need anything."
        raise ConflictError(ErrorCode.MISSING_TASK_FIELDS, message, task=task["_id"], missing=["script"])
    set_, _ = changed([Given("requirements", "script.requirements", change.asked["requirements"])])
    return await change.write(task, set_ | {"last_update": change.now})
