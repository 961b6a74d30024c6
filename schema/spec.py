"""The specification as frozen nodes: what the HOCON files say, once read and checked.

`load` writes these nodes, `derive` and the resolvers read them; none of them has behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scalar:
    """A GraphQL scalar by its name: String, ID, Int, Long, Float, Boolean, DateTime, JSON."""

    name: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A definition, object or enum, by its HOCON name."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `holes` its items may be null."""

    item: "TypeSpec"
    holes: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A stored map whose keys are data, not names."""

    value: "TypeSpec"


TypeSpec = Scalar | Ref | ListOf | MapOf


@dataclass(frozen=True, slots=True)
class ShownAsList:
    """A stored map (of maps, one level for each of `by`) that the API shows as a list of `of`."""

    of: str
    by: tuple[str, ...]
    key: str
    entries: bool


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A property, an argument, or one face of a relation.

    `read` names the function of the stored layout that brings the values at `stored` together, and `write` the one that
    puts a value where newer servers keep it.

    `stored` holds paths from the root of the document, where they differ from the field's own place; `size` is how many
    items a list is taken to have when the cost of a query is worked out. A field with a `loader` is not stored at all.
    """

    name: str
    graphql_name: str
    type: TypeSpec
    description: str | None = None
    required: bool = False
    default: Any = None
    relation: str | None = None
    shown: ShownAsList | None = None
    stored: tuple[str, ...] = ()
    read: str | None = None
    write: str | None = None
    filter: str | None = None
    sortable: bool = False
    indexed: bool = False
    size: int | None = None
    loader: str | None = None
    arguments: tuple["FieldSpec", ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A definition with properties.

    `fields` are as written (inputs, documents); `outputs` are the faces shown, by GraphQL name;
    `sortable` are all fields one may order by, nested ones too, by enum value, with full stored paths.
    """

    name: str
    graphql_name: str
    description: str | None
    fields: tuple[FieldSpec, ...]
    outputs: Mapping[str, FieldSpec]
    sortable: Mapping[str, FieldSpec]
    collection: str | None = None
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class EnumValue:
    name: str
    description: str | None


@dataclass(frozen=True, slots=True)
class EnumSpec:
    """A closed set of strings; `tolerant` when stored data may hold others, which then read UNKNOWN."""

    name: str
    graphql_name: str
    description: str | None
    values: tuple[EnumValue, ...]
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A definition that is only a map; it shows itself through the lists made of it."""

    name: str
    description: str | None
    value: TypeSpec


Definition = ObjectSpec | EnumSpec | MapSpec


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint of a service in its highest version; `batch` marks a request of many items."""

    service: str
    name: str
    version: str
    description: str | None
    request: ObjectSpec | None
    response: ObjectSpec | None
    internal: bool
    batch: bool


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """A field of a root type; `of` is the mutation that it does for many."""

    name: str
    graphql_name: str
    description: str | None
    arguments: tuple[FieldSpec, ...]
    returns: TypeSpec
    required: bool
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    definitions: Mapping[str, Definition]
    endpoints: Mapping[tuple[str, str], EndpointSpec]
    queries: Mapping[str, OperationSpec]
    mutations: Mapping[str, OperationSpec]
    subscriptions: Mapping[str, OperationSpec]

    def object(self, name: str) -> ObjectSpec:
        found = self.definitions[name]
        assert isinstance(found, ObjectSpec), name
        return found
