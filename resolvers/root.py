"""The schema: derived types, and every operation and related field with its resolver."""

from collections.abc import Callable, Mapping
from typing import Any

from resolvers.execution.context import LoadRelated
from resolvers.fields.available_transitions import load_available_transitions
from resolvers.fields.related import load_children, load_subprojects, load_transitions
from resolvers.fields.series import load_metric_at, load_series
from resolvers.fields.task_counts import load_task_counts
from resolvers.mutations.batch import build_batch
from resolvers.mutations.creation import clone, create, create_model, create_project, create_queue, validate
from resolvers.mutations.edits import edit, set_requirements, update, update_batch
from resolvers.mutations.metrics_report import plan_metrics_report
from resolvers.mutations.queues import take_next_task
from resolvers.mutations.transaction import Work, build_mutation
from resolvers.mutations.transitions import archive, build_move, ping, unarchive
from resolvers.queries.comparison import build_comparison_resolver
from resolvers.queries.documents import build_document_resolver
from resolvers.queries.lists import build_list_resolver
from resolvers.queries.metric_names import build_metric_names_resolver
from resolvers.queries.server_info import build_server_info_resolver
from resolvers.queries.stats import build_stats_resolver
from resolvers.schema import Schema
from resolvers.subscriptions.metric_points import build_metrics_appended_resolver
from resolvers.subscriptions.task_changes import build_task_changed_resolver
from resolvers.transitions.moves import MOVES
from resolvers.validation.cost import find_usual_sizes
from resolvers.validation.limits import DEFAULT_LIMITS, Limits
from schema.derive import CONFIG, Resolver, StrawberryTypes
from schema.spec import ObjectSpec, Spec

NEWEST = [{"field": "last_update", "direction": "desc"}]
BY_NAME = [{"field": "name"}]
MUTATIONS: Mapping[str, Work] = {
    **{f"task_{name}": build_move(name) for name in MOVES if name != "edit"},
    "task_ping": ping,
    "queue_next_task": take_next_task,
    "task_create": create,
    "task_update": update,
    "task_update_batch": update_batch,
    "task_edit": edit,
    "task_set_requirements": set_requirements,
    "task_clone": clone,
    "task_archive": archive,
    "task_unarchive": unarchive,
    "project_create": create_project,
    "queue_create": create_queue,
    "model_create": create_model,
}
ORDERS = {"task": NEWEST, "project": NEWEST, "queue": BY_NAME, "model": NEWEST, "user": BY_NAME}

RELATED_FIELDS: Mapping[str, LoadRelated] = {
    "subprojects": load_subprojects,
    "task_counts": load_task_counts,
    "children": load_children,
    "transitions": load_transitions,
    "available_transitions": load_available_transitions,
    "series": load_series,
    "metric_at": load_metric_at,
}


def build_schema(
    spec: Spec, limits: Limits = DEFAULT_LIMITS, *, introspection: bool = True, about: Mapping[str, Any] | None = None
) -> Schema:
    """The executable schema of a spec; raises ValueError if an operation or a related field has no function here.

    `about` holds the values of `serverInfo`, by HOCON names.
    """
    _check_related_fields(spec)
    strawberry_types = StrawberryTypes(spec)
    schema = Schema(
        limits=limits,
        usual_sizes=find_usual_sizes(spec),
        introspection=introspection,
        query=strawberry_types.build_query(_build_queries(spec, about or {}, lambda: schema.hash)),
        mutation=strawberry_types.build_mutation(_build_mutations(spec)),
        subscription=strawberry_types.build_subscription(_build_subscriptions(spec)),
        types=strawberry_types.types,
        config=CONFIG,
    )
    return schema


def _check_related_fields(spec: Spec) -> None:
    objects = [definition for definition in spec.definitions.values() if isinstance(definition, ObjectSpec)]
    names = {field.related for definition in objects for field in definition.fields if field.related}
    if missing := names - RELATED_FIELDS.keys():
        raise ValueError(f"RELATED_FIELDS in resolvers/root.py needs a function for {', '.join(sorted(missing))}")


def _build_queries(spec: Spec, about: Mapping[str, Any], read_hash: Callable[[], str]) -> dict[str, Resolver]:
    resolvers: dict[str, Resolver] = {
        "task_stats": build_stats_resolver(spec),
        "metric_names": build_metric_names_resolver(spec),
        "compare_tasks": build_comparison_resolver(),
        "server_info": build_server_info_resolver(about, read_hash),
        "task_validate": validate,
    }
    for name, order in ORDERS.items():
        resolvers[name] = build_document_resolver(name)
        resolvers[f"{name}s"] = build_list_resolver(spec, name, order)
    return resolvers


def _build_mutations(spec: Spec) -> dict[str, Resolver]:
    resolvers: dict[str, Resolver] = {name: build_mutation(name, work) for name, work in MUTATIONS.items()}
    for name, operation in spec.mutations.items():
        single_name = operation.single_mutation
        if single_name and single_name in MUTATIONS:
            resolvers[name] = build_batch(name, single_name, MUTATIONS[single_name])
    return resolvers | {"metrics_report": plan_metrics_report}


def _build_subscriptions(spec: Spec) -> dict[str, Resolver]:
    return {
        "task_changed": build_task_changed_resolver(spec),
        "metrics_appended": build_metrics_appended_resolver(),
    }
