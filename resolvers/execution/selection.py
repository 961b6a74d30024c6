"""What was selected, as one selection; what the selection needs from the database, as one projection.

Nothing else looks at the selection: loaders and serializer read this selection.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type
from graphql.execution.values import get_argument_values
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.layout import escape, hash_name
from resolvers.criteria.pages import parse_page
from resolvers.execution.arguments import read_arguments
from schema.spec import FieldSpec, ListOf, ObjectSpec, Ref, Spec

OWNER = "company"  # every document that is there has one
MAX_NARROWED = 100  # beyond so many paths the whole map is the smaller request


class Selected(NamedTuple):
    """One field of the selection. `output_field` is None for __typename; `selection` holds the fields below."""

    key: str
    output_field: FieldSpec | None
    arguments: Mapping[str, Any]
    selection: "Selection | None"


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The fields selected of one object type, fragments merged, @skip and @include decided."""

    of: ObjectSpec
    fields: tuple[Selected, ...]

    def has_field(self, *names: str) -> bool:
        """Whether any of these HOCON names is selected here."""
        return any(selected.output_field and selected.output_field.name in names for selected in self.fields)

    def find_below(self, name: str) -> Iterator["Selection"]:
        """The selections of every selection of this field (aliases may give several)."""
        for selected in self.fields:
            if selected.output_field and selected.output_field.name == name and selected.selection:
                yield selected.selection


def read(
    executor: StrawberryGraphQLCoreExecutionContext, spec: Spec, max_page: int, type_: GraphQLOutputType, details: Any
) -> Selection:
    """Walk the selection below a field once; graphql-core itself decides fragments and directives.

    Raises InputError and LimitError for a page that can't be given, whether or not there is anything to page.
    """
    named = get_named_type(type_)
    assert isinstance(named, GraphQLObjectType)
    of = next(found for found in spec.definitions.values()
              if isinstance(found, ObjectSpec) and found.graphql_name == named.name)  # fmt: skip
    fields = []
    for key, nodes in executor.collect_subfields(named, details).grouped_field_set.items():
        name = nodes[0].node.name.value
        if name == "__typename":
            fields.append(Selected(key, None, {}, None))
            continue
        field = named.fields[name]
        output_field = of.output_fields[name]
        arguments = read_arguments(get_argument_values(field, nodes[0].node, executor.variable_values))
        if output_field.related:
            arguments = _by_names(output_field, arguments) | {"page": parse_page(arguments, max_page)}
        below = read(executor, spec, max_page, field.type, nodes) if nodes[0].node.selection_set else None
        fields.append(Selected(key, output_field, arguments, below))
    return Selection(of, tuple(fields))


def _by_names(output_field: FieldSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a loaded field by their HOCON names, null for those that were not given."""
    return {argument.name: arguments.get(argument.graphql_name) for argument in output_field.arguments}


def build_projection(selections: Iterable[Selection], *more: str) -> dict[str, int]:
    """The stored paths that these selections read, and `more`, none of them inside another; always with _id."""
    paths = {"_id", *more, *(path for selection in selections for path in _paths(selection, ""))}
    return {path: 1 for path in sorted(paths) if not any(outer in paths for outer in _outer(path))}


def _outer(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


def _paths(selection: Selection, at: str) -> Iterator[str]:
    for selected in selection.fields:
        output_field = selected.output_field
        if output_field is None:
            continue
        places = output_field.stored_paths or (at + output_field.name,)
        if output_field.related:
            yield OWNER
            yield from output_field.stored_paths
        elif output_field.map_view:
            yield from _narrowed(selected, places[0])
            yield from places[1:]
        elif (
            output_field.stored_paths or output_field.relation or not selected.selection or not _has_parts(output_field)
        ):
            yield from places
        else:
            yield from _inside(selected.selection, places[0])


def _inside(selection: Selection, place: str) -> Iterator[str]:
    """The paths of a selection below a place; the place itself where there are none, to see that it is there."""
    paths = list(_paths(selection, place + "."))
    return iter(paths or [place])


def _has_parts(output_field: FieldSpec) -> bool:
    return isinstance(output_field.type, Ref) or (
        isinstance(output_field.type, ListOf) and isinstance(output_field.type.item, Ref)
    )


def _narrowed(selected: Selected, place: str) -> Iterator[str]:
    """Paths into a stored map: all of it, or just the keys that the arguments name."""
    assert selected.output_field
    assert selected.output_field.map_view
    levels = [None] if _is_read_whole(selected.output_field) else map_keys(selected)
    keys: list[list[str]] = [
        level for level in itertools.takewhile(lambda level: level is not None, levels) if level is not None
    ]
    exact = len(keys) == len(levels) and not selected.output_field.map_view.is_key_value
    count = 1
    for level in keys:
        count *= len(level)
    if not keys or count > MAX_NARROWED:
        yield place
        return
    for path in itertools.product(*keys):
        inside = ".".join((place, *path))
        yield from _inside(selected.selection, inside) if exact and selected.selection else (inside,)


def _is_read_whole(output_field: FieldSpec) -> bool:
    """Whether one entry decides what is shown of another, as the image of a container does of the arguments."""
    assert output_field.map_view
    return output_field.map_view.key_encoding not in IN_PATHS or (
        output_field.map_view.is_key_value and output_field.layout_reader is not None
    )


def map_keys(selected: Selected) -> list[list[str] | None]:
    """For each level of a stored map the keys asked for, or None for all of them.

    An artifact's key is made of several arguments, and older servers store a list: never narrowed.
    """
    output_field = selected.output_field
    assert output_field is not None
    assert output_field.map_view is not None
    make = KEY_OF.get(output_field.map_view.key_encoding)
    if make is None:
        return [None]
    if output_field.map_view.is_key_value and make is _escaped:
        make = _escaped_or_old
    return [_keys(make, selected.arguments.get(argument.graphql_name)) for argument in output_field.arguments]


def _keys(make: Callable[[str], list[str]], values: list[str] | None) -> list[str] | None:
    if values is None:
        return None
    return list(dict.fromkeys(key for value in values for key in make(value)))


def _escaped(name: str) -> list[str]:
    return [escape(name)] if name.strip() and "\0" not in name else []


def _escaped_or_old(name: str) -> list[str]:
    """The key of a name, and the name as it is: older servers had such maps already, and escaped nothing."""
    return _escaped(name) + ([name] if name and not set(name) & set(".$\0") else [])


KEY_OF: Mapping[str, Callable[[str], list[str]]] = {
    "md5": lambda name: [hash_name(name)],
    "escaped": _escaped,
    "plain": lambda name: [name],
}
IN_PATHS = ("md5", "escaped")  # a plain key may hold dots, which a path can't
