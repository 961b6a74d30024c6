"""The selection below a field: one walk over it decides the case of each field, and gives the projection that it needs.

Nothing else looks at the selection: related fields and the serializer read these nodes.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type
from graphql.execution.values import get_argument_values
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.layout import escape, hash_name
from resolvers.criteria.pages import parse_page
from resolvers.execution.arguments import read_arguments
from schema.spec import FieldSpec, MapView, ObjectSpec, Spec

OWNER = "company"  # every stored document has one
MAX_NARROWED = 100  # for more paths the whole map is the smaller request


# -- one type for each case ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class TypeName:
    """`__typename`."""

    name: ClassVar = "__typename"
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class OutputField:
    """A field of a derived type under its key in the answer."""

    key: str
    output_field: FieldSpec

    @property
    def name(self) -> str:
        """The field's HOCON name."""
        return self.output_field.name


@dataclass(frozen=True, slots=True, eq=False)
class PlainField(OutputField):
    """A scalar, an enum value, or a list of them."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectField(OutputField):
    """An object inside the document, or a list of objects."""

    selection: "Selection"


@dataclass(frozen=True, slots=True, eq=False)
class MapField(OutputField):
    """A stored map that is shown as a list; its arguments choose keys of the map."""

    selection: "Selection"
    map_view: MapView
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RelationField(OutputField):
    """Another document, which this document names by its id."""

    selection: "Selection"
    collection: str


@dataclass(frozen=True, slots=True, eq=False)
class RelatedField(OutputField):
    """Documents that a related field finds for all documents of a page at once."""

    selection: "Selection"
    related_name: str
    arguments: Mapping[str, Any]


LoadedField = RelationField | RelatedField
SelectedField = TypeName | PlainField | ObjectField | MapField | LoadedField


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The fields selected of one definition, fragments merged, @skip and @include decided."""

    definition: ObjectSpec
    fields: tuple[SelectedField, ...]

    def has_field(self, *names: str) -> bool:
        """Whether any of these HOCON names is selected here."""
        return any(field.name in names for field in self.fields)

    def find_below(self, name: str) -> Iterator["Selection"]:
        """The selections below the objects of this name; aliases may give several."""
        for field in self.fields:
            if field.name == name and isinstance(field, ObjectField):
                yield field.selection


def build_field(
    key: str, output_field: FieldSpec, arguments: Mapping[str, Any], selection: Selection | None
) -> SelectedField:
    """Decide the case of a field; only a plain one has no selection below it."""
    if selection is None:
        return PlainField(key, output_field)
    if output_field.related:
        return RelatedField(key, output_field, selection, output_field.related, arguments)
    collection = selection.definition.collection
    if output_field.relation and collection:
        return RelationField(key, output_field, selection, collection)
    if output_field.map_view:
        return MapField(key, output_field, selection, output_field.map_view, arguments)
    return ObjectField(key, output_field, selection)


# -- the walk --------------------------------------------------------------------------------------


def read_selection(
    executor: StrawberryGraphQLCoreExecutionContext,
    spec: Spec,
    max_page: int,
    return_type: GraphQLOutputType,
    field_details: Any,
) -> Selection:
    """Walk the selection below a field once; graphql-core itself decides fragments and directives.

    Raises InputError and LimitError for a page that its arguments do not allow, even if there is nothing to page.
    """
    type_ = cast("GraphQLObjectType", get_named_type(return_type))  # a derived field with a selection is an object
    definition = _find_definition(spec, type_.name)
    fields: list[SelectedField] = []
    for key, nodes in executor.collect_subfields(type_, field_details).grouped_field_set.items():
        node = nodes[0].node
        name = node.name.value
        if name == TypeName.name:
            fields.append(TypeName(key))
            continue
        field, output_field = type_.fields[name], definition.output_fields[name]
        arguments = read_arguments(get_argument_values(field, node, executor.variable_values))
        if output_field.related:
            arguments = _complete_arguments(output_field, arguments) | {"page": parse_page(arguments, max_page)}
        below = read_selection(executor, spec, max_page, field.type, nodes) if node.selection_set else None
        fields.append(build_field(key, output_field, arguments, below))
    return Selection(definition, tuple(fields))


def _find_definition(spec: Spec, graphql_name: str) -> ObjectSpec:
    for definition in spec.definitions.values():
        if isinstance(definition, ObjectSpec) and definition.graphql_name == graphql_name:
            return definition
    raise KeyError(graphql_name)


def _complete_arguments(output_field: FieldSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a related field by their HOCON names, null for those that the request omits."""
    return {argument.name: arguments.get(argument.graphql_name) for argument in output_field.arguments}


# -- the projection --------------------------------------------------------------------------------


def build_projection(selections: Iterable[Selection], *extra_paths: str) -> dict[str, int]:
    """The stored paths that these selections read, _id and the extra paths; none of them inside another."""
    paths = {"_id", *extra_paths}
    for selection in selections:
        paths.update(_find_paths(selection, ""))
    return {path: 1 for path in sorted(paths) if paths.isdisjoint(_find_outer_paths(path))}


def _find_outer_paths(path: str) -> Iterator[str]:
    names = path.split(".")
    return (".".join(names[:end]) for end in range(1, len(names)))


def _find_paths(selection: Selection, prefix: str) -> Iterator[str]:
    for field in selection.fields:
        match field:
            case TypeName():
                pass
            case RelatedField():
                yield OWNER
                yield from field.output_field.stored_paths
            case MapField():
                map_path, *other_paths = _get_stored_paths(field, prefix)
                yield from _find_map_paths(field, map_path)
                yield from other_paths
            case ObjectField() if not field.output_field.stored_paths:
                yield from _find_paths_below(field.selection, prefix + field.name)
            case PlainField() | ObjectField() | RelationField():
                yield from _get_stored_paths(field, prefix)


def _get_stored_paths(field: OutputField, prefix: str) -> tuple[str, ...]:
    return field.output_field.stored_paths or (prefix + field.name,)


def _find_paths_below(selection: Selection, path: str) -> list[str]:
    """The paths of a selection below a path; without any the path itself, to see whether something is there."""
    return list(_find_paths(selection, path + ".")) or [path]


def _find_map_paths(field: MapField, path: str) -> Iterator[str]:
    """The path of a stored map, or the paths of those keys that the arguments name."""
    levels = [None] if _is_read_whole(field) else find_map_keys(field)
    keys_by_level = _take_named_levels(levels)
    if not keys_by_level or math.prod(map(len, keys_by_level)) > MAX_NARROWED:
        yield path
        return
    is_item = len(keys_by_level) == len(levels) and not field.map_view.is_key_value
    for keys in itertools.product(*keys_by_level):
        path_of_keys = ".".join((path, *keys))
        if is_item:
            yield from _find_paths_below(field.selection, path_of_keys)
        else:
            yield path_of_keys


def _take_named_levels(levels: Iterable[list[str] | None]) -> list[list[str]]:
    """The first levels, up to one whose keys no argument names."""
    named_levels = []
    for keys in levels:
        if keys is None:
            break
        named_levels.append(keys)
    return named_levels


def _is_read_whole(field: MapField) -> bool:
    """Whether one entry decides what another shows, as the image of a container does for the arguments."""
    return field.map_view.key_encoding not in KEYS_IN_PATHS or (
        field.map_view.is_key_value and field.output_field.layout_reader is not None
    )


def find_map_keys(field: MapField) -> list[list[str] | None]:
    """For each level of a stored map the keys that the arguments name, or None for all of them.

    An artifact's key is made of several arguments, and older servers store a list: it is never narrowed.
    """
    build_keys = KEY_BUILDERS.get(field.map_view.key_encoding)
    if build_keys is None:
        return [None]
    if field.map_view.is_key_value and build_keys is _build_escaped_keys:
        build_keys = _build_escaped_and_old_keys
    levels = []
    for argument in field.output_field.arguments:
        names = field.arguments.get(argument.graphql_name)
        levels.append(None if names is None else _build_all_keys(build_keys, names))
    return levels


def _build_all_keys(build_keys: Callable[[str], list[str]], names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key for name in names for key in build_keys(name)))


def _build_escaped_keys(name: str) -> list[str]:
    return [escape(name)] if name.strip() and "\0" not in name else []


def _build_escaped_and_old_keys(name: str) -> list[str]:
    """The key of a name, and the name as it is: older servers had such maps already, and escaped nothing."""
    is_old_key = name and not set(name) & set(".$\0")
    return [*_build_escaped_keys(name), name] if is_old_key else _build_escaped_keys(name)


KEY_BUILDERS: Mapping[str, Callable[[str], list[str]]] = {
    "md5": lambda name: [hash_name(name)],
    "escaped": _build_escaped_keys,
    "plain": lambda name: [name],
}
KEYS_IN_PATHS = ("md5", "escaped")  # a plain key may hold dots, which a path can't
