"""The documented rules, a row each. The specification states them, and a ClearML server does not have them."""

import re
from collections.abc import Mapping, Sequence

from models.status import DOCUMENTED

URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a scheme has at least two letters, because C:\ is a path
SCHEMES = {"file", "s3", "gs", "azure", "http", "https"}

RULES: Mapping[str, str] = {
    "unique_name": "The names of tasks that this API wrote are unique within a company.",
    "parent_completed": "The parent of a task must be COMPLETED.",
    "project_exists": "The project of a task must exist.",
    "output_dest_known": "outputDest must be in a configured storage or, without one, a path or a URI of a known kind.",
    "enqueue_needs_script": "An enqueued task must have a script with a repository and an entry point.",
    "enqueue_only_created": "Only a task that is CREATED can be enqueued.",
    "delete_refused_with_children": "Deleting a task with children needs force; else only with published children.",
}


def is_in_force(rule: str, rules: str) -> bool:
    """Whether a rule holds under a set of rules; raises KeyError for an unknown rule."""
    return bool(RULES[rule]) and rules == DOCUMENTED


def is_known_destination(destination: str, storages: Sequence[str]) -> bool:
    """Whether a destination is in one of the storages or, without storages, a path or a URI of a known scheme."""
    if storages:
        return destination.startswith(tuple(storages))
    if scheme := URI.match(destination):
        return scheme[1].lower() in SCHEMES and destination.startswith("://", len(scheme[1]))
    return "/" in destination or "\\" in destination
