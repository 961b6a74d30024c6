"""The schema: derived types, and resolvers bound to the operations that HOCON names."""

from resolvers.cost import said_sizes
from resolvers.documents import Schema
from resolvers.limits import DEFAULTS, Limits
from resolvers.planned import PlannedExecution
from resolvers.queries import many, one
from schema.derive import CONFIG, Derived
from schema.spec import Spec


def build_schema(spec: Spec, limits: Limits = DEFAULTS, *, introspection: bool = True) -> Schema:
    """The executable schema of a spec; raises ValueError when its operations have no resolvers here."""
    derived = Derived(spec)
    query = derived.query({
        "task": one("task"),
        "tasks": many(spec, "task", default_order="last_update"),
        "project": one("project"),
        "queue": one("queue"),
        "model": one("model"),
        "user": one("user"),
    })  # fmt: skip
    return Schema(
        limits=limits,
        sizes=said_sizes(spec),
        introspection=introspection,
        query=query,
        types=derived.types,
        config=CONFIG,
        execution_context_class=PlannedExecution,
    )
