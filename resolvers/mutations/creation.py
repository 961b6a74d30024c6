"""Mutations that create tasks, projects, queues and models, or clone a task."""

from typing import Any

import strawberry

from models import layout
from models.documents.base import MIN_NAME, NAME_TOO_SHORT
from models.documents.model import Model
from models.documents.project import Project
from models.documents.queue import Queue
from models.documents.task import Task
from models.store.writer import Transaction
from models.types import Document
from resolvers.errors import ErrorCode, InputError, limit_exceeded, not_found
from resolvers.execution.arguments import read_arguments
from resolvers.execution.context import Context
from resolvers.mutations.input_values import laid_out, made, refuse_unfitting, signed
from resolvers.mutations.transaction import Change, Payload
from resolvers.mutations.unique_names import held_name, refuse_taken
from resolvers.transitions.effects import select_input_artifacts
from resolvers.transitions.situation import ARCHIVED, DEVELOPMENT

KEPT = ("type", "comment", "report", "tags", "system_tags", "script")
# all but the queue are in the places of today
NOT_KEPT_OF_EXECUTION = ("queue", "parameters", "model", "artifacts", "model_desc", "docker_cmd")

MAX_DEPTH = 100


# -- new tasks -------------------------------------------------------------------------------------


async def create(change: Change) -> Payload:
    return await _store(change, await _new(change, "task_create_input"))


async def validate(info: strawberry.Info[Context, None], input: Any) -> bool:  # noqa: A002 - the argument's public name
    """What `create` finds, short of storing it."""
    context = info.context

    async def look(tx: Transaction) -> None:
        change = Change(context, tx, "task_validate", read_arguments(input))
        task = await _new(change, "task_validate_input")
        await refuse_taken(change, "task", task.name)

    await context.writer.run_without_transaction(look)
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


# -- clones ----------------------------------------------------------------------------------------


async def clone(change: Change) -> Payload:
    id_ = change.asked["task"]
    found = await change.tx.read_visible("task", {"_id": id_})
    if not found:
        raise not_found("task", id_)
    kept = await _kept(change, found[0])
    if change.asked.get("name") is None:
        change.asked = {**change.asked, "name": await _clone_name(change, found[0])}
    values = laid_out(change, "task_clone_input", kept, "task")
    await refuse_unfitting(change, values)
    return await _store(change, made(Task, values, **kept, **_signed(change)))


async def _kept(change: Change, source: Document) -> Document:
    """What a clone has of its source, in the layout of today."""
    execution = _drop_nulls(layout.read_object(source, "execution"))
    kept = {name: source[name] for name in KEPT if source.get(name) is not None}
    tags = source.get("system_tags")
    if isinstance(tags, list):
        kept["system_tags"] = [tag for tag in tags if tag not in (DEVELOPMENT, ARCHIVED)]
    if "script" in kept:
        kept["script"] = _drop_nulls(layout.read_object(source, "script"))
    artifacts = select_input_artifacts(source) or {}
    if isinstance(artifacts, list):
        artifacts = layout.build_artifact_map(item for item in artifacts if isinstance(item.get("key"), str))
    parent, project = source.get("parent"), source.get("project")
    is_orphan = not isinstance(parent, str) or not parent or parent.startswith(layout.DELETED_PREFIX)
    is_there = isinstance(project, str) and await change.tx.read_own("project", {"_id": project}, {"_id": 1})
    return kept | {
        "hyperparams": layout.read_hyperparams(source.get("hyperparams"), execution.get("parameters")),
        "configuration": layout.read_configurations(source.get("configuration"), execution.get("model_desc")),
        "container": {**layout.read_container(source.get("container"), execution.get("docker_cmd"))},
        "models": {"input": layout.read_model_items(layout.read_path(source, "models.input"), execution.get("model"))},
        "output": {"destination": layout.read_path(source, "output.destination")},
        "execution": {name: value for name, value in execution.items() if name not in NOT_KEPT_OF_EXECUTION}
        | {"artifacts": artifacts},
        "parent": source["_id"] if is_orphan else parent,
        "project": project if is_there else None,
    }  # fmt: skip


async def _clone_name(change: Change, source: Document) -> str:
    name = source.get("name")
    first = f"Clone of {name.strip() if isinstance(name, str) else source['_id']}"
    like = await change.tx.read_own("task", {"name": {"$gte": first, "$lt": first + "\uffff"}}, {"name": 1})
    taken = {task["name"] for task in like}
    number, free = 1, first
    while free in taken:
        number += 1
        free = f"{first} ({number})"
    return free


def _drop_nulls(values: Document) -> Document:
    return {name: value for name, value in values.items() if value is not None}


async def create_project(change: Change) -> Payload:
    """The projects around it are made as well, where they are not there yet."""
    parts = _parts(change.asked["name"])
    path: list[str] = []
    for depth in range(1, len(parts)):
        name = "/".join(parts[:depth])
        known = await change.tx.read_own("project", {"name": name}, {"_id": 1})
        path.append(known[0]["_id"] if known else await _add_project(change, name, path, {}))
    values = {name: value for name, value in change.asked.items() if name != "idempotency_key"}
    id_ = await _add_project(change, "/".join(parts), path, values)
    return {"id": id_, "project": id_}


def _parts(name: str) -> list[str]:
    """Split the full name of a project at its slashes; raises ApiError for a name that no project can have."""
    parts = [part.strip() for part in name.split("/")]
    if any(parts) and not all(parts):
        raise _bad_name("a slash separates the names of two projects; remove one that has no name before or after it")
    if len(parts[0]) < MIN_NAME:
        raise _bad_name(f"{NAME_TOO_SHORT}; {parts[0]!r} has {len(parts[0])}")
    if len(parts) > MAX_DEPTH:
        message = f"project names {len(parts)} projects inside one another; the maximum is {MAX_DEPTH}."
        raise limit_exceeded(message, limit="projects", maximum=MAX_DEPTH, actual=len(parts))
    return parts


def _bad_name(reason: str) -> InputError:
    return InputError(ErrorCode.DATA_VALIDATION_ERROR, f"name: {reason}.", field="name")


async def _add_project(change: Change, name: str, path: list[str], values: dict[str, Any]) -> str:
    place = {"basename": name.rpartition("/")[2], "path": [*path], "parent": path[-1] if path else None}
    own = {name: value for name, value in values.items() if value is not None}
    project = made(Project, [], **own | {"name": name} | place, **signed(change))
    held = await held_name(change, "project", project.name)
    await change.tx.insert("project", project.stored() | held)
    return project.id


async def create_queue(change: Change) -> Payload:
    values = laid_out(change, "queue_create_input", {})
    queue = made(Queue, values, company=change.viewer.company, created=change.now, last_update=change.now)
    held = await held_name(change, "queue", queue.name)
    await change.tx.insert("queue", queue.stored() | held)
    return {"id": queue.id, "queue": queue.id}


async def create_model(change: Change) -> Payload:
    values = laid_out(change, "model_create_input", {})
    await refuse_unfitting(change, values)
    model = made(Model, values, **signed(change))
    await change.tx.insert("model", model.stored())
    change.touch(model.project)
    return {"id": model.id, "model": model.id}
