"""What was written, as clients know it: API names, and the values that the next query gives."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models.layout import read_path
from resolvers.execution.selection import Selection, build_field
from resolvers.execution.serializer import Serializer
from schema.spec import FieldSpec, ListOf, ObjectSpec, Ref, Spec


class Shown(NamedTuple):
    """A field of a task: its dotted name in the API, and the definition and stored place of what it is part of."""

    name: str
    output_field: FieldSpec
    of: ObjectSpec
    at: str


def echo(spec: Spec, written: Mapping[str, Any]) -> dict[str, Any]:
    """Stored paths of a task and their values → dotted API names and values; what has no name is left out."""
    fields, serializer, root = _by_path(spec), Serializer(spec), _nested(written)
    answer = {}
    for path in written:
        if shown := fields.get(path) or _view(fields, path):
            selection = Selection(
                shown.of, (build_field("value", shown.output_field, {}, _all_of(spec, shown.output_field)),)
            )
            inner = read_path(root, shown.at) if shown.at else root
            answer[shown.name] = serializer.build(selection)(inner, root, {}).get("value")
    return answer


def _view(fields: Mapping[str, Shown], path: str) -> Shown | None:
    """The field that shows a part of what is stored in another place, such as the image of a container."""
    shown = fields.get(path.rpartition(".")[0])
    return shown if shown and shown.output_field.layout_writer else None


def _by_path(spec: Spec) -> dict[str, Shown]:
    """The fields of a task by where they are stored; of two that show the same value, the first."""
    return dict(reversed([*_fields(spec, spec.get_object("task"), "", "", ())]))


def _fields(spec: Spec, of: ObjectSpec, name: str, at: str, seen: tuple[str, ...]) -> Iterator[tuple[str, Shown]]:
    for graphql_name, output_field in of.output_fields.items():
        if output_field.relation or output_field.related:
            continue
        path = output_field.stored_paths[0] if output_field.stored_paths else at + output_field.name
        for place in (path, *(output_field.stored_paths[1:] if output_field.layout_writer else ())):
            yield place, Shown(name + graphql_name, output_field, of, at.removesuffix("."))
        inner = spec.definitions.get(output_field.type.name) if isinstance(output_field.type, Ref) else None
        if isinstance(inner, ObjectSpec) and inner.name not in seen:
            yield from _fields(spec, inner, f"{name}{graphql_name}.", f"{path}.", (*seen, inner.name))


def _all_of(spec: Spec, output_field: FieldSpec) -> Selection | None:
    """Everything below a field, less what other documents hold."""
    type_ = output_field.type.item if isinstance(output_field.type, ListOf) else output_field.type
    name = (
        output_field.map_view.item_definition if output_field.map_view else type_.name if isinstance(type_, Ref) else ""
    )
    of = spec.definitions.get(name)
    if not isinstance(of, ObjectSpec):
        return None
    output_fields = [
        (key, inner) for key, inner in of.output_fields.items() if not inner.relation and not inner.related
    ]
    return Selection(of, tuple(build_field(key, inner, {}, _all_of(spec, inner)) for key, inner in output_fields))


def _nested(written: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path in sorted(written):  # a whole before its parts
        *outer, key = path.split(".")
        inner = document
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[key] = written[path]
    return document
