"""The schema: derived types, and resolvers bound to the operations that HOCON names."""

from collections.abc import Mapping
from typing import Any

from models.status import MOVES
from resolvers.compare import compare_tasks
from resolvers.cost import said_sizes
from resolvers.documents import Schema
from resolvers.limits import DEFAULTS, Limits
from resolvers.mutations.change import Work, mutation
from resolvers.mutations.moves import delete, moves, ping
from resolvers.planned import PlannedExecution
from resolvers.queries import many, one
from resolvers.server import server_info
from resolvers.stats import task_stats
from schema.derive import CONFIG, Derived
from schema.spec import Spec

NEWEST = [{"field": "last_update", "direction": "desc"}]
BY_NAME = [{"field": "name"}]
MUTATIONS: Mapping[str, Work] = {
    **{f"task_{endpoint}": moves(endpoint) for endpoint in MOVES if endpoint not in ("edit", "delete")},
    "task_delete": delete,
    "task_ping": ping,
}
ORDERS = {"task": NEWEST, "project": NEWEST, "queue": BY_NAME, "model": NEWEST, "user": BY_NAME}


def build_schema(
    spec: Spec, limits: Limits = DEFAULTS, *, introspection: bool = True, about: Mapping[str, Any] | None = None
) -> Schema:
    """The executable schema of a spec; raises ValueError when its operations have no resolvers here.

    `about` is what `serverInfo` tells, by HOCON names.
    """
    derived = Derived(spec)
    query = derived.query({
        **{name: one(name) for name in ORDERS},
        **{f"{name}s": many(spec, name, order) for name, order in ORDERS.items()},
        "task_stats": task_stats(spec),
        "compare_tasks": compare_tasks(),
        "server_info": server_info(about or {}),
    })  # fmt: skip
    mutation_type = derived.mutation({name: mutation(name, work) for name, work in MUTATIONS.items()})
    return Schema(
        limits=limits,
        sizes=said_sizes(spec),
        introspection=introspection,
        query=query,
        mutation=mutation_type,
        types=derived.types,
        config=CONFIG,
        execution_context_class=PlannedExecution,
    )
