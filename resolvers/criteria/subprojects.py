"""Projects inside other projects."""

from collections.abc import Sequence
from typing import Any

from models.store.reader import Reader
from resolvers.errors import limit_exceeded

MAX_SUBPROJECTS = 10_000


async def read_subprojects(projects: Sequence[str], reader: Reader) -> dict[str, list[str]]:
    """For each of these projects the ids of all projects inside it, at any depth, by one command."""
    query = {"path": {"$in": list(projects)}}
    documents = await reader.read_all("project", query, {"path": 1}, limit=MAX_SUBPROJECTS + 1)
    refuse_many_subprojects(len(documents))
    subprojects: dict[str, list[str]] = {project: [] for project in projects}
    for document in documents:
        if type(document["_id"]) is not str:
            continue
        for outer in _find_texts(document["path"]) & subprojects.keys():
            subprojects[outer].append(document["_id"])
    return subprojects


def refuse_many_subprojects(count: int) -> None:
    """Raises LimitError."""
    if count > MAX_SUBPROJECTS:
        message = f"includeSubprojects finds more than {MAX_SUBPROJECTS} projects; name fewer projects."
        raise limit_exceeded(message, field="includeSubprojects", limit="subprojects", maximum=MAX_SUBPROJECTS)


def _find_texts(values: Any) -> set[str]:
    """The texts of a stored list, which can be ids."""
    return {value for value in values if type(value) is str} if isinstance(values, list) else set()
