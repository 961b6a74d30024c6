"""Plain HOCON trees → spec. Every mistake is collected, each with its file and path, before any is raised."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from schema.sources import At, Node, SchemaError, Sources
from schema.spec import (
    Definition,
    EndpointSpec,
    EnumSpec,
    EnumValue,
    FieldSpec,
    ListOf,
    MapOf,
    MapSpec,
    ObjectSpec,
    OperationSpec,
    Ref,
    Scalar,
    ShownAsList,
    Spec,
    TypeSpec,
)

FOLDER = Path(__file__).parent
SCALARS = {
    ("string", None): "String",
    ("string", "date-time"): "DateTime",
    ("integer", None): "Int",
    ("number", None): "Float",
    ("boolean", None): "Boolean",
}
OVERRIDES = ("ID", "Long", "JSON")
READS = ("hyperparams", "first_model", "last_model", "model_items")
KEYS = ("md5", "escaped", "artifact", "plain")
FILTERS = (
    "listed", "names", "types", "equal", "pattern", "statuses", "dates", "text", "all_match", "any_match",
)  # fmt: skip
PROPERTY_KEYS = {
    "type", "format", "description", "enum", "default", "properties", "required", "items", "additionalProperties",
    "minimum", "maximum", "pattern", "$ref",
    "x-name", "x-scalar", "x-relation", "x-list", "x-stored", "x-read", "x-filter", "x-sortable", "x-index", "x-values",
}  # fmt: skip
DEFINITION_KEYS = {
    "type", "description", "properties", "required", "enum", "additionalProperties", "dependencies",
    "x-values", "x-collection", "x-like", "x-without",
}  # fmt: skip
OPERATION_KEYS = {"description", "arguments", "returns", "required"}
NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")


@cache
def load(folder: Path = FOLDER) -> Spec:
    """The specification in the folder's `*.conf` files; raises SchemaError.

    Definitions of all files share one namespace: a file may add properties and enum values to another's.
    Files are read in the order of their names; those that start with `_` only serve to be included.
    """
    sources = Sources(folder)
    spec = _Loader(sources).spec()
    if sources.mistakes:
        raise SchemaError(sources.mistakes)
    return spec


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.removesuffix("_enum").split("_"))


def _description(node: Node) -> str | None:
    return inspect.cleandoc(str(node.get("description") or "")) or None


class _Loader:
    def __init__(self, sources: Sources) -> None:
        self.raw = sources.definitions
        self.services = sources.services
        self.mistake = sources.mistake
        self.definitions: dict[str, Definition] = {}
        self.stored: set[str] = set()

    # -- the whole ---------------------------------------------------------------------------------

    def spec(self) -> Spec:
        self._take_over_requests()
        self.stored = self._reachable([name for name, node in self.raw.items() if "x-collection" in node])
        for name, node in self.raw.items():
            self._define(name, node)
        for name in [name for name, found in self.definitions.items() if isinstance(found, ObjectSpec)]:
            self._add_sort_fields(name)
        endpoints = {
            (service, name): self._endpoint(service, name, node)
            for service, tree in self.services.items()
            for name, node in tree.items()
            if not name.startswith("_")
        }
        queries = {
            name: self._operation(name, node, (service, "_query", name))
            for service, tree in self.services.items()
            for name, node in tree.get("_query", {}).items()
        }
        self._check_names()
        return Spec(self.definitions, endpoints, queries)

    def _take_over_requests(self) -> None:
        """`x-like: service.endpoint` gives a definition the properties of that endpoint's request."""
        for name, node in self.raw.items():
            if "x-like" not in node:
                continue
            at = ("_definitions", name, "x-like")
            service, _, endpoint = node["x-like"].partition(".")
            versions = self.services.get(service, {}).get(endpoint)
            if versions is None:
                self.mistake(at, f"there is no endpoint {node['x-like']}")
                continue
            properties = _highest(versions)[1]["request"]["properties"]
            without = node.get("x-without", [])
            for other in sorted(set(without) - properties.keys()):
                self.mistake(at, f"{node['x-like']} has no property {other}")
            taken = {key: value for key, value in properties.items() if key not in without}
            node["properties"] = taken | node.get("properties", {})

    def _reachable(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        while names:
            name = names.pop()
            if name not in found and name in self.raw:
                found.add(name)
                names += _references(self.raw[name])
        return found

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for name, definition in self.definitions.items():
            if isinstance(definition, MapSpec):
                continue
            other = seen.setdefault(definition.graphql_name, name)
            if other != name:
                message = f"{name} and {other} are both {definition.graphql_name} in GraphQL"
                self.mistake(("_definitions", name), message)

    # -- definitions -------------------------------------------------------------------------------

    def _define(self, name: str, node: Node) -> None:
        at: At = ("_definitions", name)
        self._check_keys(node, DEFINITION_KEYS, at)
        if "enum" in node:
            self._define_enum(name, node, at)
        elif "properties" in node:
            self.definitions[name] = self._object(name, node, at)
        elif isinstance(node.get("additionalProperties"), Mapping):
            value = self._type(node["additionalProperties"], (*at, "additionalProperties"), name)
            self.definitions[name] = MapSpec(name, _description(node), value)
        else:
            self.mistake(at, "neither properties, nor an enum, nor a map (additionalProperties)")

    def _define_enum(self, name: str, node: Node, at: At) -> None:
        told = node.get("x-values", {})
        for value in node["enum"]:
            if not NAME.match(str(value)):
                self.mistake((*at, "enum"), f"{value!r} can't be a GraphQL name")
        for value in sorted(told.keys() - set(node["enum"])):
            self.mistake((*at, "x-values"), f"{value} is not in the enum")
        values = tuple(EnumValue(str(value), told.get(value)) for value in dict.fromkeys(node["enum"]))
        tolerant = name in self.stored
        self.definitions[name] = EnumSpec(name, pascal(name), _description(node), values, tolerant)

    def _object(self, name: str, node: Node, at: At) -> ObjectSpec:
        required = node.get("required", [])
        properties: Node = node.get("properties", {})
        for other in sorted(set(required) - properties.keys()):
            self.mistake((*at, "required"), f"there is no property {other}")
        fields = tuple(
            self._field(key, value, (*at, "properties", key), name, is_required=key in required)
            for key, value in properties.items()
        )
        outputs: dict[str, FieldSpec] = {}
        is_stored = name in self.stored
        for field in fields:
            for face in self._faces(field, is_stored=is_stored):
                if not NAME.match(face.graphql_name) or face.graphql_name.startswith("__"):
                    self.mistake((*at, "properties", field.name), f"{face.graphql_name!r} can't be a GraphQL name")
                if face.graphql_name in outputs:
                    message = f"{face.graphql_name} is also the GraphQL name of {outputs[face.graphql_name].name}"
                    self.mistake((*at, "properties", field.name), message)
                outputs[face.graphql_name] = face
        collection = node.get("x-collection")
        return ObjectSpec(name, pascal(name), _description(node), fields, outputs, {}, collection, is_stored)

    def _faces(self, field: FieldSpec, *, is_stored: bool) -> Iterator[FieldSpec]:
        """A relation is shown as the object and as its id. Of stored data only `id` is sure to be there."""
        required = field.graphql_name == "id" if is_stored else field.required
        if field.relation is None:
            yield replace(field, required=required or field.shown is not None)
            return
        yield replace(field, type=Ref(field.relation), required=required)
        description = f"The id alone of `{field.graphql_name}`; costs no look-up."
        name = field.graphql_name + "Id"
        yield replace(field, graphql_name=name, relation=None, description=description, required=required)

    # -- properties --------------------------------------------------------------------------------

    def _field(self, name: str, node: Node, at: At, owner: str, *, is_required: bool) -> FieldSpec:
        self._check_keys(node, PROPERTY_KEYS, at)
        type_ = self._type(node, at, f"{owner}_{name}")
        default = node.get("default")
        if isinstance(node.get("enum"), list) and default is not None and default not in node["enum"]:
            self.mistake((*at, "default"), f"{default!r} is not in the enum")
        stored = node.get("x-stored", ())
        shown = self._shown(node, at)
        return FieldSpec(
            name=name,
            graphql_name=str(node.get("x-name", camel(name))),
            type=type_,
            description=_description(node),
            required=is_required,
            default=default,
            relation=self._one_of(node, "x-relation", self._collections(), at),
            shown=shown,
            stored=(stored,) if isinstance(stored, str) else tuple(stored),
            read=self._one_of(node, "x-read", READS, at),
            filter=self._one_of(node, "x-filter", FILTERS, at),
            sortable=bool(node.get("x-sortable")),
            indexed=bool(node.get("x-index")),
            arguments=self._by_arguments(shown),
        )

    def _type(self, node: Node, at: At, hint: str) -> TypeSpec:  # noqa: PLR0911 - one for each kind of type
        if "$ref" in node:
            return self._ref(node["$ref"], at)
        kind = node.get("type")
        if kind == "array":
            return ListOf(self._item(node, at, hint))
        override = self._one_of(node, "x-scalar", OVERRIDES, at)
        if override:
            return Scalar(override)
        if "x-relation" in node:
            return Scalar("ID")
        if kind == "string" and "enum" in node:
            return self._inline_enum(node, at, hint)
        if kind == "object":
            return self._map(node, at, hint)
        scalar = SCALARS.get((str(kind), node.get("format")))
        if scalar:
            return Scalar(scalar)
        self.mistake((*at, "type"), f"unknown type {kind!r}" + (f" ({node['format']})" if "format" in node else ""))
        return Scalar("JSON")

    def _ref(self, ref: str, at: At) -> Ref:
        name = str(ref).rsplit("/", 1)[-1]
        known = name in self.raw or name in map(_sort_field, self._collections())
        if not str(ref).startswith("#/definitions/") or not known:
            self.mistake((*at, "$ref"), f"{ref} names no definition")
        return Ref(name)

    def _item(self, node: Node, at: At, hint: str) -> TypeSpec:
        items = node.get("items")
        if not isinstance(items, Mapping):
            self.mistake((*at, "items"), "an array says the type of its items")
            return Scalar("JSON")
        scalar = {"x-scalar": node["x-scalar"]} if "x-scalar" in node else {}
        return self._type({**items, **scalar}, (*at, "items"), hint)

    def _inline_enum(self, node: Node, at: At, name: str) -> Ref:
        self._define_enum(name, node, at)
        owner = at[1] if at[0] == "_definitions" else ""
        enum = self.definitions[name]
        assert isinstance(enum, EnumSpec)
        self.definitions[name] = replace(enum, tolerant=owner in self.stored)
        return Ref(name)

    def _map(self, node: Node, at: At, hint: str) -> TypeSpec:
        extra = node.get("additionalProperties")
        if isinstance(extra, Mapping):
            return MapOf(self._type(extra, (*at, "additionalProperties"), hint))
        if "properties" in node:
            self.definitions[hint] = self._object(hint, node, at)
            return Ref(hint)
        return Scalar("JSON")

    def _shown(self, node: Node, at: At) -> ShownAsList | None:
        told = node.get("x-list")
        if told is None:
            return None
        here = (*at, "x-list")
        self._check_keys(told, {"of", "by", "key", "entries"}, here)
        items = self.raw.get(told.get("of"), {}).get("properties")
        if items is None:
            self.mistake(here, f"{told.get('of')} names no definition with properties")
            return None
        for field in told.get("by", []):
            if field not in items:
                self.mistake(here, f"{told['of']} has no property {field}")
        self._one_of(told, "key", KEYS, here)
        return ShownAsList(told["of"], tuple(told.get("by", ())), told.get("key", "plain"), bool(told.get("entries")))

    def _by_arguments(self, shown: ShownAsList | None) -> tuple[FieldSpec, ...]:
        if shown is None:
            return ()
        items = self.raw[shown.of]["properties"]
        return tuple(
            FieldSpec(
                name=name,
                graphql_name=camel(name),
                type=ListOf(self._type(items[name], ("_definitions", shown.of), f"{shown.of}_{name}")),
                description=f"Only items that have one of these as {camel(name)}; all when omitted.",
            )
            for name in shown.by
            if name in items
        )

    def _collections(self) -> list[str]:
        return [name for name, node in self.raw.items() if "x-collection" in node]

    def _one_of(self, node: Node, key: str, known: list[str] | tuple[str, ...], at: At) -> str | None:
        value = node.get(key)
        if value is not None and value not in known:
            self.mistake((*at, key), f"{value!r} is none of {', '.join(known)}")
            return None
        return value

    def _check_keys(self, node: Node, known: set[str], at: At) -> None:
        for key in node:
            if key not in known:
                what = "annotation" if key.startswith("x-") else "key"
                self.mistake((*at, key), f"unknown {what}; known are {', '.join(sorted(known))}")

    # -- order, endpoints, operations --------------------------------------------------------------

    def _add_sort_fields(self, name: str) -> None:
        definition = self.definitions[name]
        assert isinstance(definition, ObjectSpec)
        if definition.collection is None:
            return
        found = dict(self._sortable(definition, (), ()))
        self.definitions[name] = replace(definition, sortable=found)
        if found:
            values = tuple(EnumValue(value, field.description) for value, field in found.items())
            description = f"The fields by which {definition.graphql_name} lists can be ordered."
            enum = _sort_field(name)
            self.definitions[enum] = EnumSpec(enum, pascal(enum), description, values)

    def _sortable(self, owner: ObjectSpec, at: At, seen: At) -> Iterator[tuple[str, FieldSpec]]:
        for field in owner.fields:
            here = (*at, field.name)
            inner = self.definitions.get(field.type.name) if isinstance(field.type, Ref) else None
            if field.sortable:
                if not isinstance(field.type, Scalar) and not isinstance(inner, EnumSpec):
                    self.mistake(("_definitions", owner.name, "properties", field.name), "x-sortable is for one value")
                yield "_".join(here), replace(field, stored=(field.stored or (".".join(here),))[:1])
            if isinstance(inner, ObjectSpec) and not field.relation and inner.name not in seen:
                yield from self._sortable(inner, here, (*seen, inner.name))

    def _endpoint(self, service: str, name: str, versions: Node) -> EndpointSpec:
        version, node = _highest(versions)
        at = (service, name, version)
        parts = {
            part: self._object(f"{service}_{name}_{part}", node[part], (*at, part)) if part in node else None
            for part in ("request", "response")
        }
        internal = bool(versions.get("internal"))
        return EndpointSpec(service, name, version, _description(node), **parts, internal=internal,
                            batch="batch_request" in node)  # fmt: skip

    def _operation(self, name: str, node: Node, at: At) -> OperationSpec:
        self._check_keys(node, OPERATION_KEYS, at)
        arguments = self._object(f"{name}_arguments", node.get("arguments", {}), (*at, "arguments")).fields
        returns = self._type(node.get("returns", {}), (*at, "returns"), name)
        return OperationSpec(name, camel(name), _description(node), arguments, returns, bool(node.get("required")))


def _sort_field(collection: str) -> str:
    return f"{collection}_sort_field"


def _references(node: Any) -> list[str]:
    """Names of the definitions that a raw node is made of (a relation is another document, no part)."""
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, Mapping):
        return []
    own = [str(node["$ref"]).rsplit("/", 1)[-1]] if "$ref" in node else []
    own += [node["x-list"]["of"]] if isinstance(node.get("x-list"), Mapping) and "of" in node["x-list"] else []
    return own + [name for value in node.values() for name in _references(value)]


def _highest(versions: Node) -> tuple[str, Node]:
    numbered = [key for key in versions if key[:1].isdigit()]
    best = max(numbered, key=lambda key: tuple(map(int, key.split("."))))
    return best, versions[best]
