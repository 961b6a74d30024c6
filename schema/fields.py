"""Checked trees → fields, their output fields and types, enums."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from schema.dialect import (
    ENUM_VALUE,
    FILTER_KINDS,
    KEY_ENCODINGS,
    LAYOUT_READERS,
    LAYOUT_WRITERS,
    NAME,
    RELATED_NAMES,
    SCALAR_OVERRIDES,
    SCALARS,
    Tell,
)
from schema.sources import At, Node
from schema.spec import (
    Definition,
    EnumSpec,
    EnumValue,
    FieldSpec,
    ListOf,
    MapOf,
    MapView,
    ObjectSpec,
    Ref,
    ScalarType,
    TypeSpec,
)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.removesuffix("_enum").split("_"))


def description_of(node: Node) -> str | None:
    return inspect.cleandoc(str(node.get("description") or "")) or None


def sort_field(collection: str) -> str:
    return f"{collection}_sort_field"


class Fields:
    """Makes nodes of checked trees. `raw` are the definitions as written, `definitions` those made of them."""

    def __init__(self, raw: Mapping[str, Node], collections: Sequence[str], stored: set[str], mistake: Tell) -> None:
        self.raw = raw
        self.collections = collections
        self.stored = stored
        self.mistake = mistake
        self.definitions: dict[str, Definition] = {}
        self.inline: dict[str, str] = {}  # enums written in place, and where

    def define_enum(self, name: str, node: Node, at: At) -> None:
        told = node.get("x-values", {})
        if not node["enum"]:
            self.mistake((*at, "enum"), "an enum has a value")
        shown: dict[str, str] = {}
        for value in node["enum"]:
            if not ENUM_VALUE.match(str(value)):
                self.mistake((*at, "enum"), f"{value!r} can't be a GraphQL name")
            other = shown.setdefault(str(value).upper(), value)
            if other != value:
                self.mistake((*at, "enum"), f"{other} and {value} are both {value.upper()} in GraphQL")
        for value in sorted(told.keys() - set(node["enum"])):
            self.mistake((*at, "x-values"), f"{value} is not in the enum")
        values = tuple(EnumValue(str(value), told.get(value)) for value in dict.fromkeys(node["enum"]))
        tolerant = self._is_stored(name, at)
        self.definitions[name] = EnumSpec(name, pascal(name), description_of(node), values, tolerant)

    def object(self, name: str, node: Node, at: At) -> ObjectSpec:
        required = node.get("required", [])
        properties: Node = node.get("properties", {})
        for other in sorted(set(required) - properties.keys()):
            self.mistake((*at, "required"), f"there is no property {other}")
        fields = tuple(
            self._field(key, value, (*at, "properties", key), name, is_required=key in required)
            for key, value in properties.items()
        )
        outputs: dict[str, FieldSpec] = {}
        is_stored = self._is_stored(name, at)
        for field in fields:
            for output_field in self._build_output_fields(field, is_stored=is_stored):
                if not NAME.match(output_field.graphql_name) or output_field.graphql_name.startswith("__"):
                    self.mistake(
                        (*at, "properties", field.name), f"{output_field.graphql_name!r} can't be a GraphQL name"
                    )
                if output_field.graphql_name in outputs:
                    first = outputs[output_field.graphql_name].name
                    message = f"{output_field.graphql_name} is also the GraphQL name of {first}"
                    self.mistake((*at, "properties", field.name), message)
                outputs[output_field.graphql_name] = output_field
        collection = node.get("x-collection")
        return ObjectSpec(name, pascal(name), description_of(node), fields, outputs, {}, collection, is_stored)

    def _is_stored(self, name: str, at: At) -> bool:
        """Whether a definition, or what is written in place below one, is part of a stored document."""
        return name in self.stored or (at[0] == "_definitions" and at[1] in self.stored)

    def _build_output_fields(self, field: FieldSpec, *, is_stored: bool) -> Iterator[FieldSpec]:
        """A stored relation is shown as the object and as its id. Of stored data only `id` is sure to be there."""
        required = field.graphql_name == "id" if is_stored else field.is_required
        if field.relation is None:
            yield replace(field, is_required=required or field.map_view is not None)
            return
        yield replace(field, type=Ref(field.relation), is_required=required)
        if not is_stored:
            return
        description = f"The id alone of `{field.graphql_name}`; costs no look-up."
        name = field.graphql_name + "Id"
        yield replace(field, graphql_name=name, relation=None, description=description, is_required=required)

    # -- properties --------------------------------------------------------------------------------

    def _field(self, name: str, node: Node, at: At, owner: str, *, is_required: bool) -> FieldSpec:
        type_ = self.type(node, at, f"{owner}_{name}")
        default = node.get("default")
        enum = node.get("enum", self.raw.get(type_.name, {}).get("enum") if isinstance(type_, Ref) else None)
        if enum is not None and default is not None and default not in enum:
            self.mistake((*at, "default"), f"{default!r} is not in the enum")
        if "x-relation" in node and type_ != ScalarType("ID"):
            self.mistake((*at, "x-relation"), "a relation is one string, the id of the other document")
        stored = node.get("x-stored", ())
        shown = self._shown(node, at)
        return FieldSpec(
            name=name,
            graphql_name=str(node.get("x-name", camel(name))),
            type=type_,
            description=description_of(node),
            is_required=is_required,
            default=default,
            relation=self._one_of(node, "x-relation", self.collections, at),
            map_view=shown,
            stored_paths=(stored,) if isinstance(stored, str) else tuple(stored),
            layout_reader=self._one_of(node, "x-read", LAYOUT_READERS, at),
            layout_writer=self._one_of(node, "x-write", LAYOUT_WRITERS, at),
            filter_kind=self._one_of(node, "x-filter", FILTER_KINDS, at),
            is_sortable=bool(node.get("x-sortable")),
            is_indexed=bool(node.get("x-index")),
            usual_size=self._size(node, at),
            related=self._loader(node, type_, at, owner),
            arguments=self._by_arguments(shown) or self._arguments(node, at, f"{owner}_{name}"),
        )

    def type(self, node: Node, at: At, hint: str) -> TypeSpec:  # noqa: PLR0911 - one for each kind of type
        if "$ref" in node:
            return self._ref(node["$ref"], at)
        kind = node.get("type")
        if kind == "array":
            return ListOf(self._item(node, at, hint), has_null_items=bool(node.get("x-null-items")))
        override = self._one_of(node, "x-scalar", SCALAR_OVERRIDES, at)
        if override:
            return ScalarType(override)
        if "x-relation" in node and kind == "string":
            return ScalarType("ID")
        if kind == "string" and "enum" in node:
            return self._inline_enum(node, at, hint)
        if kind == "object":
            return self._map(node, at, hint)
        scalar = SCALARS.get((str(kind), node.get("format")))
        if scalar:
            return ScalarType(scalar)
        self.mistake((*at, "type"), f"unknown type {kind!r}" + (f" ({node['format']})" if "format" in node else ""))
        return ScalarType("JSON")

    def _ref(self, ref: str, at: At) -> Ref:
        name = str(ref).rsplit("/", 1)[-1]
        known = name in self.raw or name in map(sort_field, self.collections)
        if not str(ref).startswith("#/definitions/") or not known:
            self.mistake((*at, "$ref"), f"{ref} names no definition")
        return Ref(name)

    def _item(self, node: Node, at: At, hint: str) -> TypeSpec:
        items = node.get("items")
        if not isinstance(items, Mapping):
            self.mistake((*at, "items"), "an array says the type of its items")
            return ScalarType("JSON")
        scalar = {"x-scalar": node["x-scalar"]} if "x-scalar" in node else {}
        return self.type({**items, **scalar}, (*at, "items"), hint)

    def _inline_enum(self, node: Node, at: At, name: str) -> Ref:
        self.inline[name] = ".".join(part for part in at[1:] if part != "properties")
        self.define_enum(name, node, at)
        return Ref(name)

    def _map(self, node: Node, at: At, hint: str) -> TypeSpec:
        extra = node.get("additionalProperties")
        if isinstance(extra, Mapping):
            return MapOf(self.type(extra, (*at, "additionalProperties"), hint))
        if "properties" in node:
            self.definitions[hint] = self.object(hint, node, at)
            return Ref(hint)
        return ScalarType("JSON")

    def _shown(self, node: Node, at: At) -> MapView | None:
        told = node.get("x-list")
        if told is None:
            return None
        here = (*at, "x-list")
        items = self.raw.get(told.get("of"), {}).get("properties")
        if items is None:
            self.mistake(here, f"{told.get('of')} names no definition with properties")
            return None
        for field in told.get("by", []):
            if field not in items:
                self.mistake(here, f"{told['of']} has no property {field}")
        self._one_of(told, "key", KEY_ENCODINGS, here)
        return MapView(told["of"], tuple(told.get("by", ())), told.get("key", "plain"), bool(told.get("entries")))

    def _size(self, node: Node, at: At) -> int | None:
        size = node.get("x-size")
        if size is not None and (size < 1 or size != int(size)):
            self.mistake((*at, "x-size"), f"{size} is no number of items")
        if size is not None and node.get("type") != "array" and "x-list" not in node:
            self.mistake((*at, "x-size"), "only a list has a size")
        return None if size is None else int(size)

    def _loader(self, node: Node, type_: TypeSpec, at: At, owner: str) -> str | None:
        if "x-related" in node and owner not in self.collections:
            self.mistake((*at, "x-related"), "something is only loaded for a document (x-collection)")
        if "x-related" in node and not isinstance(type_.item if isinstance(type_, ListOf) else type_, Ref):
            self.mistake((*at, "x-related"), "only objects are loaded")
        return self._one_of(node, "x-related", RELATED_NAMES, at)

    def _arguments(self, node: Node, at: At, owner: str) -> tuple[FieldSpec, ...]:
        if "x-arguments" in node and "x-related" not in node:
            self.mistake((*at, "x-arguments"), "only what is loaded (x-related) has arguments")
        return self.object(f"{owner}_arguments", node.get("x-arguments", {}), (*at, "x-arguments")).fields

    def _by_arguments(self, shown: MapView | None) -> tuple[FieldSpec, ...]:
        if shown is None:
            return ()
        items = self.raw[shown.item_definition]["properties"]
        return tuple(
            FieldSpec(
                name=name,
                graphql_name=camel(name),
                type=ListOf(
                    self.type(items[name], ("_definitions", shown.item_definition), f"{shown.item_definition}_{name}")
                ),
                description=f"Only items that have one of these as {camel(name)}; all when omitted.",
            )
            for name in shown.key_fields
            if name in items
        )

    def _one_of(self, node: Node, key: str, known: Sequence[str], at: At) -> str | None:
        value: str | None = node.get(key)
        if value is not None and value not in known:
            self.mistake((*at, key), f"{value!r} is none of {', '.join(known)}")
            return None
        return value
