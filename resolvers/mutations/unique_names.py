"""Unique names: a document holds its name by a field under a unique index."""

from typing import Any

from models.rules import is_in_force
from models.store.writer import HELD_NAME
from resolvers.errors import ConflictError, ErrorCode
from resolvers.mutations.transaction import MutationCall


async def hold_name(call: MutationCall, collection: str, name: str, id_: str | None = None) -> dict[str, Any]:
    """Build the field by which the document `id_` holds its name; empty where names need not be unique.

    Raises ConflictError when another document has the name.
    """
    if not _is_unique(call, collection):
        return {}
    await refuse_taken_name(call, collection, name, id_)
    # a document that another program renamed does not hold its old name
    await call.tx.update_all(collection, {HELD_NAME: name, "name": {"$ne": name}}, {"$unset": {HELD_NAME: ""}})
    return {HELD_NAME: name}


async def refuse_taken_name(call: MutationCall, collection: str, name: str, id_: str | None = None) -> None:
    """Raises ConflictError when a document other than `id_` has the name.

    Only tasks that this API wrote count, but all queues of the company, and all its projects and the public ones.
    """
    if not _is_unique(call, collection):
        return
    held = {HELD_NAME: name} if collection == "task" else {}
    find = call.tx.read_visible if collection == "project" else call.tx.read_own
    holders = await find(collection, {**held, "name": name, "_id": {"$ne": id_}}, {"company": 1})
    if holders:
        label = collection if holders[0]["company"] else f"public {collection}"
        message = f"name: the {label} {name!r} exists; choose another name."
        details = {"field": "name", "name": name, collection: holders[0]["_id"]}
        raise ConflictError(ErrorCode.EXPECTED_UNIQUE_DATA, message, **details)


def _is_unique(call: MutationCall, collection: str) -> bool:
    return collection != "task" or is_in_force("unique_name", call.rules)
