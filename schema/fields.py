"""Checked HOCON nodes → objects, fields with their types and output fields, enums."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from schema.dialect import (
    ENUM_VALUE,
    FUNCTION_NAMES,
    KEY_ENCODINGS,
    NAME,
    SCALAR_NAMES,
    SCALAR_OVERRIDES,
    ReportMistake,
)
from schema.sources import HoconNode, TreePath
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


def to_camel_case(name: str) -> str:
    first_word, *words = name.split("_")
    return first_word + "".join(word.capitalize() for word in words)


def to_pascal_case(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.removesuffix("_enum").split("_"))


def read_description(node: HoconNode) -> str | None:
    return inspect.cleandoc(str(node.get("description") or "")) or None


def name_sort_field_enum(collection: str) -> str:
    return f"{collection}_sort_field"


class FieldBuilder:
    """Builds `definitions` from `raw`, the checked nodes of all definitions. `stored` names those within documents."""

    def __init__(
        self,
        raw: Mapping[str, HoconNode],
        collections: Sequence[str],
        stored: set[str],
        report_mistake: ReportMistake,
    ) -> None:
        self.raw = raw
        self.collections = collections
        self.stored = stored
        self.report_mistake = report_mistake
        self.definitions: dict[str, Definition] = {}
        self.inline_enums: dict[str, str] = {}  # name of an enum that a property declares → path of the property

    def define_enum(self, name: str, node: HoconNode, path: TreePath) -> None:
        descriptions = node.get("x-values", {})
        if not node["enum"]:
            self.report_mistake((*path, "enum"), "an enum needs a value")
        values: dict[str, str] = {}
        for value in node["enum"]:
            if not ENUM_VALUE.match(str(value)):
                self.report_mistake((*path, "enum"), f"{value!r} can't be a GraphQL name")
            first = values.setdefault(str(value).upper(), value)
            if first != value:
                self.report_mistake((*path, "enum"), f"{first} and {value} are both {value.upper()} in GraphQL")
        for value in sorted(descriptions.keys() - set(node["enum"])):
            self.report_mistake((*path, "x-values"), f"{value} is not in the enum")
        enum_values = tuple(EnumValue(str(value), descriptions.get(value)) for value in dict.fromkeys(node["enum"]))
        has_unknown = self._is_stored(name, path)
        enum = EnumSpec(name, to_pascal_case(name), read_description(node), enum_values, has_unknown)
        self.definitions[name] = enum

    def build_object(self, name: str, node: HoconNode, path: TreePath) -> ObjectSpec:
        required = node.get("required", [])
        properties: HoconNode = node.get("properties", {})
        for missing in sorted(set(required) - properties.keys()):
            self.report_mistake((*path, "required"), f"property {missing} does not exist")
        fields = tuple(
            self._build_field(key, value, (*path, "properties", key), name, is_required=key in required)
            for key, value in properties.items()
        )
        is_stored = self._is_stored(name, path)
        output_fields: dict[str, FieldSpec] = {}
        for field in fields:
            for output_field in self._build_output_fields(field, is_stored=is_stored):
                graphql_name = output_field.graphql_name
                if not NAME.match(graphql_name) or graphql_name.startswith("__"):
                    message = f"{graphql_name!r} can't be a GraphQL name"
                    self.report_mistake((*path, "properties", field.name), message)
                if graphql_name in output_fields:
                    message = f"{graphql_name} is also the GraphQL name of {output_fields[graphql_name].name}"
                    self.report_mistake((*path, "properties", field.name), message)
                output_fields[graphql_name] = output_field
        collection, description = node.get("x-collection"), read_description(node)
        return ObjectSpec(name, to_pascal_case(name), description, fields, output_fields, {}, collection, is_stored)

    def _is_stored(self, name: str, path: TreePath) -> bool:
        """Whether a definition, or one that a property of it declares, is within a stored document."""
        return name in self.stored or (path[0] == "_definitions" and path[1] in self.stored)

    def _build_output_fields(self, field: FieldSpec, *, is_stored: bool) -> Iterator[FieldSpec]:
        """Build the output fields of a property: a stored relation has one for the object and one for its id.

        A document may lack every property except `id`.
        """
        is_required = field.graphql_name == "id" if is_stored else field.is_required
        if field.relation is None:
            yield replace(field, is_required=is_required or field.map_view is not None)
            return
        yield replace(field, type=Ref(field.relation), is_required=is_required)
        if not is_stored:
            return
        description = f"The id of `{field.graphql_name}`, without a lookup."
        name = field.graphql_name + "Id"
        yield replace(field, graphql_name=name, relation=None, description=description, is_required=is_required)

    # -- properties --------------------------------------------------------------------------------

    def _build_field(self, name: str, node: HoconNode, path: TreePath, owner: str, *, is_required: bool) -> FieldSpec:
        type_ = self.build_type(node, path, f"{owner}_{name}")
        self._check_default(node, type_, path)
        if "x-relation" in node and type_ != ScalarType("ID"):
            self.report_mistake((*path, "x-relation"), "a relation needs type: string, the id of the other document")
        stored = node.get("x-stored", ())
        map_view = self._build_map_view(node, path)
        key_arguments = self._build_key_arguments(map_view) if map_view else ()
        return FieldSpec(
            name=name,
            graphql_name=str(node.get("x-name", to_camel_case(name))),
            type=type_,
            description=read_description(node),
            is_required=is_required,
            default=node.get("default"),
            relation=self._read_one_of(node, "x-relation", self.collections, path),
            map_view=map_view,
            stored_paths=(stored,) if isinstance(stored, str) else tuple(stored),
            layout_reader=self._read_function_name(node, "x-read", path),
            layout_writer=self._read_function_name(node, "x-write", path),
            filter_operator=self._read_function_name(node, "x-filter", path),
            is_sortable=bool(node.get("x-sortable")),
            is_indexed=bool(node.get("x-index")),
            usual_size=self._read_size(node, path),
            related=self._read_related(node, type_, path, owner),
            arguments=key_arguments or self._build_arguments(node, path, f"{owner}_{name}"),
        )

    def _check_default(self, node: HoconNode, type_: TypeSpec, path: TreePath) -> None:
        enum = node.get("enum")
        if enum is None and isinstance(type_, Ref):
            enum = self.raw.get(type_.name, {}).get("enum")
        default = node.get("default")
        if enum is not None and default is not None and default not in enum:
            self.report_mistake((*path, "default"), f"{default!r} is not in the enum")

    def build_type(self, node: HoconNode, path: TreePath, hint: str) -> TypeSpec:  # noqa: PLR0911 - one for each kind of type
        """Build the type of a property; `hint` names a definition that the property declares itself."""
        if "$ref" in node:
            return self._build_ref(node["$ref"], path)
        json_type = node.get("type")
        if json_type == "array":
            return ListOf(self._build_item_type(node, path, hint), has_null_items=bool(node.get("x-null-items")))
        override = self._read_one_of(node, "x-scalar", SCALAR_OVERRIDES, path)
        if override:
            return ScalarType(override)
        if "x-relation" in node and json_type == "string":
            return ScalarType("ID")
        if json_type == "string" and "enum" in node:
            return self._define_inline_enum(node, path, hint)
        if json_type == "object":
            return self._build_map_type(node, path, hint)
        scalar = SCALAR_NAMES.get((str(json_type), node.get("format")))
        if scalar:
            return ScalarType(scalar)
        format_ = f" ({node['format']})" if "format" in node else ""
        self.report_mistake((*path, "type"), f"unknown type {json_type!r}{format_}")
        return ScalarType("JSON")

    def _build_ref(self, ref: str, path: TreePath) -> Ref:
        name = str(ref).rsplit("/", 1)[-1]
        is_defined = name in self.raw or name in map(name_sort_field_enum, self.collections)
        if not str(ref).startswith("#/definitions/") or not is_defined:
            self.report_mistake((*path, "$ref"), f"{ref} names no definition")
        return Ref(name)

    def _build_item_type(self, node: HoconNode, path: TreePath, hint: str) -> TypeSpec:
        items = node.get("items")
        if not isinstance(items, Mapping):
            self.report_mistake((*path, "items"), "an array needs the type of its items")
            return ScalarType("JSON")
        scalar = {"x-scalar": node["x-scalar"]} if "x-scalar" in node else {}
        return self.build_type({**items, **scalar}, (*path, "items"), hint)

    def _define_inline_enum(self, node: HoconNode, path: TreePath, name: str) -> Ref:
        self.inline_enums[name] = ".".join(key for key in path[1:] if key != "properties")
        self.define_enum(name, node, path)
        return Ref(name)

    def _build_map_type(self, node: HoconNode, path: TreePath, hint: str) -> TypeSpec:
        values = node.get("additionalProperties")
        if isinstance(values, Mapping):
            return MapOf(self.build_type(values, (*path, "additionalProperties"), hint))
        if "properties" in node:
            self.definitions[hint] = self.build_object(hint, node, path)
            return Ref(hint)
        return ScalarType("JSON")

    # -- annotations -------------------------------------------------------------------------------

    def _build_map_view(self, node: HoconNode, path: TreePath) -> MapView | None:
        view = node.get("x-list")
        if view is None:
            return None
        view_path = (*path, "x-list")
        items = self.raw.get(view.get("of"), {}).get("properties")
        if items is None:
            self.report_mistake(view_path, f"{view.get('of')} names no definition with properties")
            return None
        for field in view.get("by", []):
            if field not in items:
                self.report_mistake(view_path, f"{view['of']} has no property {field}")
        self._read_one_of(view, "key", KEY_ENCODINGS, view_path)
        return MapView(
            item_definition=view["of"],
            key_fields=tuple(view.get("by", ())),
            key_encoding=view.get("key", "plain"),
            is_key_value=bool(view.get("entries")),
        )

    def _build_key_arguments(self, view: MapView) -> tuple[FieldSpec, ...]:
        """Build the arguments that narrow the list of a map by its keys."""
        items, path = self.raw[view.item_definition]["properties"], ("_definitions", view.item_definition)
        return tuple(
            FieldSpec(
                name=name,
                graphql_name=to_camel_case(name),
                type=ListOf(self.build_type(items[name], path, f"{view.item_definition}_{name}")),
                description=f"Only items with one of these values of {to_camel_case(name)}; all items when omitted.",
            )
            for name in view.key_fields
            if name in items
        )

    def _build_arguments(self, node: HoconNode, path: TreePath, owner: str) -> tuple[FieldSpec, ...]:
        if "x-arguments" in node and "x-related" not in node:
            self.report_mistake((*path, "x-arguments"), "only a related field (x-related) has arguments")
        return self.build_object(f"{owner}_arguments", node.get("x-arguments", {}), (*path, "x-arguments")).fields

    def _read_size(self, node: HoconNode, path: TreePath) -> int | None:
        size = node.get("x-size")
        if size is None:
            return None
        if size < 1 or size != int(size):
            self.report_mistake((*path, "x-size"), f"must be a whole number from 1, not {size}")
        if node.get("type") != "array" and "x-list" not in node:
            self.report_mistake((*path, "x-size"), "only a list has a size")
        return int(size)

    def _read_related(self, node: HoconNode, type_: TypeSpec, path: TreePath, owner: str) -> str | None:
        if "x-related" in node and owner not in self.collections:
            self.report_mistake((*path, "x-related"), "only a definition with x-collection has related fields")
        if "x-related" in node and not isinstance(type_.item if isinstance(type_, ListOf) else type_, Ref):
            message = "a related field is an object or a list of objects; it, or its items, need a $ref"
            self.report_mistake((*path, "x-related"), message)
        return self._read_function_name(node, "x-related", path)

    def _read_function_name(self, node: HoconNode, key: str, path: TreePath) -> str | None:
        hint = "; name a new one in schema/dialect.py first"
        return self._read_one_of(node, key, FUNCTION_NAMES[key], path, hint)

    def _read_one_of(
        self, node: HoconNode, key: str, allowed: Sequence[str], path: TreePath, hint: str = ""
    ) -> str | None:
        value: str | None = node.get(key)
        if value is not None and value not in allowed:
            self.report_mistake((*path, key), f"{value!r} is not one of {', '.join(allowed)}{hint}")
            return None
        return value
