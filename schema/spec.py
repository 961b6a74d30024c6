"""The specification as frozen nodes: what the HOCON files say, once read and checked.

`load` writes these nodes, `derive` and the resolvers read them; none of them has behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A GraphQL scalar by its name: String, ID, Int, Long, Float, Boolean, DateTime, JSON."""

    name: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a definition, an object or an enum, by its HOCON name."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; its items may be null where `has_null_items`."""

    item: "TypeSpec"
    has_null_items: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A stored map whose keys are data, not names."""

    value: "TypeSpec"


TypeSpec = ScalarType | Ref | ListOf | MapOf


@dataclass(frozen=True, slots=True)
class MapView:
    """The list that the API shows for a stored map.

    The map has one level for each of `key_fields`, the fields of an item that its keys hold. With `is_key_value` an
    item is a key and its value; otherwise the map holds whole items.
    """

    item_definition: str
    key_fields: tuple[str, ...]
    key_encoding: str
    is_key_value: bool


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A property, an argument, or an output field.

    `stored_paths` start at the root of the document and stand only where they differ from the path of the field itself.
    `layout_reader` names the function of the stored layout that makes one value of the values at these paths,
    `layout_writer` the one that puts a value where newer servers keep it. `usual_size` is the number of items that the
    cost of a query counts for a list. A field with `related` is not stored: resolvers load it under this name.
    """

    name: str
    graphql_name: str
    type: TypeSpec
    description: str | None = None
    is_required: bool = False
    default: Any = None
    relation: str | None = None
    map_view: MapView | None = None
    stored_paths: tuple[str, ...] = ()
    layout_reader: str | None = None
    layout_writer: str | None = None
    filter_operator: str | None = None
    is_sortable: bool = False
    is_indexed: bool = False
    usual_size: int | None = None
    related: str | None = None
    arguments: tuple["FieldSpec", ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A definition with properties.

    `fields` are the properties as written, for inputs and documents. `output_fields` are the fields of the GraphQL
    type, by GraphQL name: a stored relation has two. `sort_fields` are the fields that can order a list, also nested
    ones, by enum value, with their full stored paths.
    """

    name: str
    graphql_name: str
    description: str | None
    fields: tuple[FieldSpec, ...]
    output_fields: Mapping[str, FieldSpec]
    sort_fields: Mapping[str, FieldSpec]
    collection: str | None = None
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class EnumValue:
    name: str
    description: str | None


@dataclass(frozen=True, slots=True)
class EnumSpec:
    """A closed set of strings; `has_unknown` when stored data may hold others, which read UNKNOWN."""

    name: str
    graphql_name: str
    description: str | None
    values: tuple[EnumValue, ...]
    has_unknown: bool = False


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A definition that is only a map; the API has it as the lists made of it."""

    name: str
    description: str | None
    value: TypeSpec


Definition = ObjectSpec | EnumSpec | MapSpec


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint of a service in its highest version; `is_batch` marks a request of many items."""

    service: str
    name: str
    version: str
    description: str | None
    request: ObjectSpec | None
    response: ObjectSpec | None
    is_internal: bool
    is_batch: bool


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """A field of a root type. A mutation for many names the `single_mutation` that it repeats."""

    name: str
    graphql_name: str
    description: str | None
    arguments: tuple[FieldSpec, ...]
    returns: TypeSpec
    is_required: bool
    single_mutation: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    definitions: Mapping[str, Definition]
    endpoints: Mapping[tuple[str, str], EndpointSpec]
    queries: Mapping[str, OperationSpec]
    mutations: Mapping[str, OperationSpec]
    subscriptions: Mapping[str, OperationSpec]

    def get_object(self, name: str) -> ObjectSpec:
        definition = self.definitions[name]
        assert isinstance(definition, ObjectSpec), name
        return definition
