"""The documented rules, a row each: what the specification says beyond what a ClearML server does."""

import re
from collections.abc import Mapping, Sequence

from models.status import DOCUMENTED

URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a scheme has two letters at least: C:\ is a path
SCHEMES = {"file", "s3", "gs", "azure", "http", "https"}

RULES: Mapping[str, str] = {
    "unique_name": "No two tasks that this API wrote have the same name within a company.",
    "parent_completed": "The parent of a task is completed.",
    "project_exists": "The project of a task exists.",
    "output_dest_known": "The destination of the output is in a configured storage, or a path or a known kind of URI.",
    "enqueue_needs_script": "A task that is put into a queue has a script with a repository and an entry point.",
    "enqueue_only_created": "Only a task with the status CREATED is put into a queue.",
    "delete_refused_with_children": "A task with child tasks is only deleted by force; otherwise published ones count.",
}  # fmt: skip


def in_force(rule: str, rules: str) -> bool:
    """Raises KeyError for a rule that is none."""
    return bool(RULES[rule]) and rules == DOCUMENTED


def is_known_destination(destination: str, storages: Sequence[str]) -> bool:
    """Whether output may go there: to one of the storages or, when none is configured, to a path or a known URI."""
    if storages:
        return destination.startswith(tuple(storages))
    if scheme := URI.match(destination):
        return scheme[1].lower() in SCHEMES and destination.startswith("://", len(scheme[1]))
    return "/" in destination or "\\" in destination
