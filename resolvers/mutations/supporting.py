"""Mutations that make what tasks need: projects, queues and models."""

from typing import Any

from models.model import Model
from models.project import Project
from models.queue import Queue
from models.stored import MIN_NAME, TOO_SHORT
from resolvers.errors import ErrorCode, InputError
from resolvers.limits import exceeded
from resolvers.mutations.change import Change, Payload
from resolvers.mutations.fields import laid_out, made, refuse_unfitting, signed
from resolvers.mutations.names import held_name

MAX_DEPTH = 100


async def create_project(change: Change) -> Payload:
    """The projects around it are made as well, where they are not there yet."""
    parts = _parts(change.asked["name"])
    path: list[str] = []
    for depth in range(1, len(parts)):
        name = "/".join(parts[:depth])
        known = await change.tx.own("project", {"name": name}, {"_id": 1})
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
        raise _bad_name(f"{TOO_SHORT}; {parts[0]!r} has {len(parts[0])}")
    if len(parts) > MAX_DEPTH:
        raise exceeded("projects", "projects inside one another", MAX_DEPTH, len(parts))
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
