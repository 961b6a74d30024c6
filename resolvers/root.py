"""The schema: derived types, and resolvers bound to the operations that HOCON names."""

import strawberry
from graphql import GraphQLError
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import ExecutionContext

from resolvers.operation import OneOperation
from resolvers.planned import PlannedExecution
from resolvers.queries import many, one
from schema.derive import CONFIG, Derived
from schema.spec import Spec

CACHED_DOCUMENTS = 128


class Schema(strawberry.Schema):
    """Strawberry's schema, which leaves errors to the view: what clients do wrong is not for the log."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass


def build_schema(spec: Spec) -> Schema:
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
        query=query,
        types=derived.types,
        config=CONFIG,
        execution_context_class=PlannedExecution,
        extensions=[lambda: ParserCache(CACHED_DOCUMENTS), lambda: ValidationCache(CACHED_DOCUMENTS), OneOperation],
    )
