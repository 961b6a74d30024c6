"""The `fields` of a payload: the values that a mutation wrote, as the next query shows them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models.layout import read_path
from resolvers.execution.selection import Selection, build_field
from resolvers.execution.serializer import Serializer
from schema.spec import FieldSpec, ListOf, ObjectSpec, Ref, Spec


class TaskField(NamedTuple):
    """A field at any depth of a task: its dotted public name, and its object with the path where that is stored."""

    name: str
    field: FieldSpec
    owner: ObjectSpec
    owner_path: str


def build_written_fields(spec: Spec, written: Mapping[str, Any]) -> dict[str, Any]:
    """Convert stored paths and values to dotted public names and values; paths without a public name are omitted."""
    fields, serializer, task = _map_fields(spec), Serializer(spec), _nest(written)
    values = {}
    for path in written:
        if task_field := fields.get(path) or _find_view(fields, path):
            selected = build_field("value", task_field.field, {}, _select_all(spec, task_field.field))
            serialize = serializer.build(Selection(task_field.owner, (selected,)))
            owner = read_path(task, task_field.owner_path) if task_field.owner_path else task
            values[task_field.name] = serialize(owner, task, {}).get("value")
    return values


def _find_view(fields: Mapping[str, TaskField], path: str) -> TaskField | None:
    """Find the field that shows a value of another object, such as `dockerCmd` the container's image."""
    task_field = fields.get(path.rpartition(".")[0])
    return task_field if task_field and task_field.field.layout_writer else None


def _map_fields(spec: Spec) -> dict[str, TaskField]:
    """Map stored paths to the fields of a task; of two fields that show the same value the first is taken."""
    return dict(reversed([*_walk_fields(spec, spec.get_object("task"), "", "", ())]))


def _walk_fields(
    spec: Spec, owner: ObjectSpec, name: str, owner_path: str, seen: tuple[str, ...]
) -> Iterator[tuple[str, TaskField]]:
    for graphql_name, field in owner.output_fields.items():
        if field.relation or field.related:
            continue
        path = field.stored_paths[0] if field.stored_paths else owner_path + field.name
        older_paths = field.stored_paths[1:] if field.layout_writer else ()
        for stored_path in (path, *older_paths):
            yield stored_path, TaskField(name + graphql_name, field, owner, owner_path.removesuffix("."))
        inner = spec.definitions.get(field.type.name) if isinstance(field.type, Ref) else None
        if isinstance(inner, ObjectSpec) and inner.name not in seen:
            yield from _walk_fields(spec, inner, f"{name}{graphql_name}.", f"{path}.", (*seen, inner.name))


def _select_all(spec: Spec, field: FieldSpec) -> Selection | None:
    """Select everything within a field, except documents of other collections."""
    owner = spec.definitions.get(_find_object_name(field))
    if not isinstance(owner, ObjectSpec):
        return None
    selected = []
    for key, inner in owner.output_fields.items():
        if not inner.relation and not inner.related:
            selected.append(build_field(key, inner, {}, _select_all(spec, inner)))
    return Selection(owner, tuple(selected))


def _find_object_name(field: FieldSpec) -> str:
    if field.map_view:
        return field.map_view.item_definition
    type_ = field.type.item if isinstance(field.type, ListOf) else field.type
    return type_.name if isinstance(type_, Ref) else ""


def _nest(written: Mapping[str, Any]) -> dict[str, Any]:
    """Build a document with the values at their paths."""
    document: dict[str, Any] = {}
    for path in sorted(written):  # an object before its fields
        *outer, key = path.split(".")
        inner = document
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[key] = written[path]
    return document
