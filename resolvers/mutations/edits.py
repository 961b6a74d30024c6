"""Mutations that write what a caller gives of a task: all of it is found to be right before anything is written."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import strawberry

from models import layout
from models.reading import Document
from models.task import Task
from models.writing import HELD_NAME, Transaction
from resolvers.arguments import given
from resolvers.context import Context
from resolvers.errors import ApiError, ConflictError, ErrorCode, InputError
from resolvers.guards import ARCHIVED, DEVELOPMENT
from resolvers.limits import exceeded
from resolvers.mutations.change import Change, Payload, Work
from resolvers.mutations.fields import Given, changed, laid_out, made, refuse_unfitting, signed
from resolvers.mutations.moves import allowed, input_artifacts
from resolvers.mutations.names import held_name, refuse_taken

MAX_ITEMS = 100
KEPT = ("type", "comment", "report", "tags", "system_tags", "script")
# all but the queue are in the places of today
NOT_KEPT_OF_EXECUTION = ("queue", "parameters", "model", "artifacts", "model_desc", "docker_cmd")


# -- new tasks -------------------------------------------------------------------------------------


async def create(change: Change) -> Payload:
    return await _store(change, await _new(change, "task_create_input"))


async def validate(info: strawberry.Info[Context, None], input: Any) -> bool:  # noqa: A002 - the argument's public name
    """What `create` finds, short of storing it."""
    context = info.context

    async def look(tx: Transaction) -> None:
        change = Change(context, tx, "task_validate", given(input))
        task = await _new(change, "task_validate_input")
        await refuse_taken(change, "task", task.name)

    await context.writer.look(look)
    return True


async def _new(change: Change, of: str) -> Task:
    values = laid_out(change, of, {})
    await refuse_unfitting(change, values)
    return made(Task, values, **_signed(change))


def _signed(change: Change) -> dict[str, Any]:
    return signed(change) | change.signature


async def _store(change: Change, task: Task) -> Payload:
    held = await held_name(change, "task", task.name)
    await change.tx.insert("task", task.stored() | held)
    change.touch(task.project)
    return {"id": task.id, "task": task.id}


# -- changes of tasks ------------------------------------------------------------------------------


async def update(change: Change) -> Payload:
    return await _write(change, await change.task(), "task_update_input")


async def edit(change: Change) -> Payload:
    task = await change.task()
    await allowed(change, "edit", task)
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
        raise exceeded("items", "items", MAX_ITEMS, len(items))
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


# -- clones ----------------------------------------------------------------------------------------


async def clone(change: Change) -> Payload:
    id_ = change.asked["task"]
    found = await change.tx.visible("task", {"_id": id_})
    if not found:
        raise InputError(ErrorCode.INVALID_TASK_ID, f"There is no task {id_!r}.", field="task", task=id_)
    kept = await _kept(change, found[0])
    if change.asked.get("name") is None:
        change.asked = {**change.asked, "name": await _clone_name(change, found[0])}
    values = laid_out(change, "task_clone_input", kept, "task")
    await refuse_unfitting(change, values)
    return await _store(change, made(Task, values, **kept, **_signed(change)))


async def _kept(change: Change, source: Document) -> Document:
    """What a clone has of its source, in the layout of today."""
    execution, models, output = (_part(source, name) for name in ("execution", "models", "output"))
    kept = {name: source[name] for name in KEPT if source.get(name) is not None}
    tags = source.get("system_tags")
    if isinstance(tags, list):
        kept["system_tags"] = [tag for tag in tags if tag not in (DEVELOPMENT, ARCHIVED)]
    if "script" in kept:
        kept["script"] = _part(source, "script")
    artifacts = input_artifacts(source) or {}
    if isinstance(artifacts, list):
        artifacts = layout.artifact_map(item for item in artifacts if isinstance(item.get("key"), str))
    parent, project = source.get("parent"), source.get("project")
    is_orphan = not isinstance(parent, str) or not parent or parent.startswith(layout.DELETED_MARK)
    is_there = isinstance(project, str) and await change.tx.own("project", {"_id": project}, {"_id": 1})
    return kept | {
        "hyperparams": layout.hyperparams(source.get("hyperparams"), execution.get("parameters")),
        "configuration": layout.configuration(source.get("configuration"), execution.get("model_desc")),
        "container": {**layout.container(source.get("container"), execution.get("docker_cmd"))},
        "models": {"input": layout.model_items(models.get("input"), execution.get("model"))},
        "output": {"destination": output.get("destination")},
        "execution": {name: value for name, value in execution.items() if name not in NOT_KEPT_OF_EXECUTION}
        | {"artifacts": artifacts},
        "parent": source["_id"] if is_orphan else parent,
        "project": project if is_there else None,
    }  # fmt: skip


async def _clone_name(change: Change, source: Document) -> str:
    name = source.get("name")
    first = f"Clone of {name.strip() if isinstance(name, str) else source['_id']}"
    like = await change.tx.own("task", {"name": {"$gte": first, "$lt": first + "\uffff"}}, {"name": 1})
    taken = {task["name"] for task in like}
    number, free = 1, first
    while free in taken:
        number += 1
        free = f"{first} ({number})"
    return free


def _part(document: Document, name: str) -> Document:
    """What has a value in a part of the document."""
    part = document.get(name)
    return {name: value for name, value in part.items() if value is not None} if isinstance(part, dict) else {}


EDITS: Mapping[str, Work] = {
    "task_create": create, "task_update": update, "task_update_batch": update_batch, "task_edit": edit,
    "task_set_requirements": set_requirements, "task_clone": clone,
}  # fmt: skip
