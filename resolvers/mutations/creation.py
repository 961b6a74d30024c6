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
from resolvers.mutations.input_values import (
    build_document,
    build_owner_fields,
    read_input_values,
    refuse_unfit_values,
)
from resolvers.mutations.transaction import MutationCall, Payload
from resolvers.mutations.unique_names import hold_name, refuse_taken_name
from resolvers.transitions.effects import select_input_artifacts
from resolvers.transitions.situation import ARCHIVED, DEVELOPMENT

COPIED = ("type", "comment", "report", "tags", "system_tags", "script")
# fields of `execution` that a clone has elsewhere, in the 2.3 layout, or not at all
NOT_COPIED = ("queue", "parameters", "model", "artifacts", "model_desc", "docker_cmd")

MAX_DEPTH = 100


# -- new tasks -------------------------------------------------------------------------------------


async def create(call: MutationCall) -> Payload:
    return await _store_task(call, await _build_task(call, "task_create_input"))


async def validate(info: strawberry.Info[Context, None], input: Any) -> bool:  # noqa: A002 - the argument's public name
    """Raise the errors that `create` raises, without storing a task."""
    context = info.context

    async def check(tx: Transaction) -> None:
        call = MutationCall(context, tx, "task_validate", read_arguments(input))
        task = await _build_task(call, "task_validate_input")
        await refuse_taken_name(call, "task", task.name)

    await context.writer.run_without_transaction(check)
    return True


async def _build_task(call: MutationCall, definition: str) -> Task:
    values = read_input_values(call, definition, {})
    await refuse_unfit_values(call, values)
    return build_document(Task, values, **build_owner_fields(call), **call.change_fields)


async def _store_task(call: MutationCall, task: Task) -> Payload:
    held_name = await hold_name(call, "task", task.name)
    await call.tx.insert("task", task.to_raw() | held_name)
    call.touch(task.project)
    return {"id": task.id, "task": task.id}


# -- clones ----------------------------------------------------------------------------------------


async def clone(call: MutationCall) -> Payload:
    id_ = call.arguments["task"]
    tasks = await call.tx.read_visible("task", {"_id": id_})
    if not tasks:
        raise not_found("task", id_)
    source = tasks[0]
    copied = await _copy_fields(call, source)
    if call.arguments.get("name") is None:
        call.arguments = {**call.arguments, "name": await _choose_clone_name(call, source)}
    values = read_input_values(call, "task_clone_input", copied, "task")
    await refuse_unfit_values(call, values)
    fields = copied | build_owner_fields(call) | call.change_fields
    return await _store_task(call, build_document(Task, values, **fields))


async def _copy_fields(call: MutationCall, source: Document) -> Document:
    """Copy the fields that a clone has of its source, converted to the 2.3 layout."""
    execution = _drop_nulls(layout.read_object(source, "execution"))
    copied = {name: source[name] for name in COPIED if source.get(name) is not None}
    if isinstance(source.get("system_tags"), list):
        copied["system_tags"] = [tag for tag in source["system_tags"] if tag not in (DEVELOPMENT, ARCHIVED)]
    if "script" in copied:
        copied["script"] = _drop_nulls(layout.read_object(source, "script"))
    copied_execution = {name: value for name, value in execution.items() if name not in NOT_COPIED}
    input_models = layout.read_model_items(layout.read_path(source, "models.input"), execution.get("model"))
    return copied | {
        "hyperparams": layout.read_hyperparams(source.get("hyperparams"), execution.get("parameters")),
        "configuration": layout.read_configurations(source.get("configuration"), execution.get("model_desc")),
        "container": {**layout.read_container(source.get("container"), execution.get("docker_cmd"))},
        "models": {"input": input_models},
        "output": {"destination": layout.read_path(source, "output.destination")},
        "execution": copied_execution | {"artifacts": _copy_artifacts(source)},
        "parent": _choose_parent(source),
        "project": await _find_own_project(call, source.get("project")),
    }


def _copy_artifacts(source: Document) -> Document:
    artifacts = select_input_artifacts(source) or {}
    if isinstance(artifacts, list):
        return layout.build_artifact_map(item for item in artifacts if isinstance(item.get("key"), str))
    return artifacts


def _choose_parent(source: Document) -> Any:
    """A clone has the parent of its source, else the source itself."""
    parent = source.get("parent")
    has_parent = isinstance(parent, str) and parent and not parent.startswith(layout.DELETED_PREFIX)
    return parent if has_parent else source["_id"]


async def _find_own_project(call: MutationCall, project: Any) -> str | None:
    """Find the project of the viewer's company with this id, which in odd tasks is not a text."""
    if isinstance(project, str) and await call.tx.read_own("project", {"_id": project}, {"_id": 1}):
        return project
    return None


async def _choose_clone_name(call: MutationCall, source: Document) -> str:
    """Choose the first of `Clone of …`, `Clone of … (2)`, … that is free."""
    name = source.get("name")
    base = f"Clone of {name.strip() if isinstance(name, str) else source['_id']}"
    tasks = await call.tx.read_own("task", {"name": {"$gte": base, "$lt": base + "\uffff"}}, {"name": 1})
    taken = {task["name"] for task in tasks}
    number, free = 1, base
    while free in taken:
        number += 1
        free = f"{base} ({number})"
    return free


def _drop_nulls(values: Document) -> Document:
    return {name: value for name, value in values.items() if value is not None}


# -- projects, queues, models ----------------------------------------------------------------------


async def create_project(call: MutationCall) -> Payload:
    """Create a project, and the projects around it that are missing."""
    names = _split_project_name(call.arguments["name"])
    path: list[str] = []
    for depth in range(1, len(names)):
        name = "/".join(names[:depth])
        stored = await call.tx.read_own("project", {"name": name}, {"_id": 1})
        path.append(stored[0]["_id"] if stored else await _add_project(call, name, path, {}))
    values = {name: value for name, value in call.arguments.items() if name != "idempotency_key"}
    id_ = await _add_project(call, "/".join(names), path, values)
    return {"id": id_, "project": id_}


def _split_project_name(name: str) -> list[str]:
    """Split the full name of a project at its slashes; raises ApiError for a name that a project can't have."""
    names = [basename.strip() for basename in name.split("/")]
    if any(names) and not all(names):
        reason = "a slash separates the names of two projects; remove one that has no name before or after it"
        raise _invalid_name(reason)
    if len(names[0]) < MIN_NAME:
        raise _invalid_name(f"{NAME_TOO_SHORT}; {names[0]!r} has {len(names[0])}")
    if len(names) > MAX_DEPTH:
        message = f"name has {len(names)} projects inside one another; the maximum is {MAX_DEPTH}."
        raise limit_exceeded(message, limit="projects", maximum=MAX_DEPTH, actual=len(names))
    return names


def _invalid_name(reason: str) -> InputError:
    return InputError(ErrorCode.DATA_VALIDATION_ERROR, f"name: {reason}.", field="name")


async def _add_project(call: MutationCall, name: str, path: list[str], values: dict[str, Any]) -> str:
    fields = _drop_nulls(values) | build_owner_fields(call)
    fields |= {
        "name": name,
        "basename": name.rpartition("/")[2],
        "path": [*path],
        "parent": path[-1] if path else None,
    }
    project = build_document(Project, [], **fields)
    held_name = await hold_name(call, "project", project.name)
    await call.tx.insert("project", project.to_raw() | held_name)
    return project.id


async def create_queue(call: MutationCall) -> Payload:
    values = read_input_values(call, "queue_create_input", {})
    queue = build_document(Queue, values, company=call.viewer.company, created=call.now, last_update=call.now)
    held_name = await hold_name(call, "queue", queue.name)
    await call.tx.insert("queue", queue.to_raw() | held_name)
    return {"id": queue.id, "queue": queue.id}


async def create_model(call: MutationCall) -> Payload:
    values = read_input_values(call, "model_create_input", {})
    await refuse_unfit_values(call, values)
    model = build_document(Model, values, **build_owner_fields(call))
    await call.tx.insert("model", model.to_raw())
    call.touch(model.project)
    return {"id": model.id, "model": model.id}
