"""Names that nothing else may have: found free, and then held by a field under a unique index."""

from typing import Any

from models.rules import in_force
from models.store.writer import HELD_NAME
from resolvers.errors import ConflictError, ErrorCode
from resolvers.mutations.transaction import Change


async def refuse_taken(change: Change, collection: str, name: str, own: str | None = None) -> None:
    """Raises ConflictError when another document has the name.

    Of tasks it is one that this API wrote, of queues any of the company, of projects a public one as well.
    """
    if not _is_unique(change, collection):
        return
    held = {HELD_NAME: name} if collection == "task" else {}
    find = change.tx.read_visible if collection == "project" else change.tx.read_own
    others = await find(collection, {**held, "name": name, "_id": {"$ne": own}}, {"company": 1})
    if others:
        kind = collection if others[0]["company"] else f"public {collection}"
        message = f"name: the {kind} {name!r} exists; choose another name."
        details = {"field": "name", "name": name, collection: others[0]["_id"]}
        raise ConflictError(ErrorCode.EXPECTED_UNIQUE_DATA, message, **details)


async def held_name(change: Change, collection: str, name: str, own: str | None = None) -> dict[str, Any]:
    """The field by which a document holds its name; none where names may be shared."""
    if not _is_unique(change, collection):
        return {}
    await refuse_taken(change, collection, name, own)
    # a document that another program gave another name does not hold the old one
    await change.tx.update_all(collection, {HELD_NAME: name, "name": {"$ne": name}}, {"$unset": {HELD_NAME: ""}})
    return {HELD_NAME: name}


def _is_unique(change: Change, collection: str) -> bool:
    return collection != "task" or in_force("unique_name", change.rules)
