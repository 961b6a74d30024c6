"""The schema: derived types, and resolvers bound to the operations that HOCON names."""

from collections.abc import Mapping
from typing import Any

from models.status import MOVES
from resolvers.compare import compare_tasks
from resolvers.cost import said_sizes
from resolvers.documents import Schema
from resolvers.feeds import metrics_appended, task_changed
from resolvers.limits import DEFAULTS, Limits
from resolvers.metric_names import metric_names
from resolvers.mutations.change import Work, mutation
from resolvers.mutations.edits import EDITS, validate
from resolvers.mutations.many import many as for_many
from resolvers.mutations.metrics import metrics_report
from resolvers.mutations.moves import archive, delete, moves, ping, unarchive
from resolvers.mutations.queues import next_task
from resolvers.mutations.supporting import create_model, create_project, create_queue
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
    "queue_next_task": next_task,
    **EDITS,
    "task_archive": archive,
    "task_unarchive": unarchive,
    "project_create": create_project,
    "queue_create": create_queue,
    "model_create": create_model,
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
        "metric_names": metric_names(spec),
        "compare_tasks": compare_tasks(),
        "server_info": server_info(about or {}),
        "task_validate": validate,
    })  # fmt: skip
    mutation_type = derived.mutation({
        **{name: mutation(name, work) for name, work in MUTATIONS.items()},
        **{name: for_many(name, found.of, MUTATIONS[found.of])
           for name, found in spec.mutations.items() if found.of and found.of in MUTATIONS},
        "metrics_report": metrics_report,
    })  # fmt: skip
    subscription = derived.subscription({"task_changed": task_changed(spec), "metrics_appended": metrics_appended()})
    return Schema(
        limits=limits,
        sizes=said_sizes(spec),
        introspection=introspection,
        query=query,
        mutation=mutation_type,
        subscription=subscription,
        types=derived.types,
        config=CONFIG,
        execution_context_class=PlannedExecution,
    )
