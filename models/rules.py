"""The documented rules, a row each: what the specification says beyond what a ClearML server does."""

from collections.abc import Mapping

from models.status import DOCUMENTED

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
