"""Plain HOCON trees → spec. Every mistake is collected, each with its file and path, before any is raised."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from schema.dialect import NAME, RESERVED_TYPES, check_node, find_newest_version
from schema.fields import FieldBuilder, name_sort_field_enum, read_description, to_camel_case, to_pascal_case
from schema.sources import HoconNode, HoconSources, SchemaError, TreePath
from schema.spec import (
    EndpointSpec,
    EnumSpec,
    EnumValue,
    FieldSpec,
    MapSpec,
    ObjectSpec,
    OperationSpec,
    Ref,
    ScalarType,
    Spec,
)

FOLDER = Path(__file__).parent
CACHE_FOLDER = user_cache_path("taskql")


@cache
def load(folder: Path = FOLDER) -> Spec:
    """Load the specification from the folder's `*.conf` files; raises SchemaError.

    Definitions of all files share one namespace: a file may add properties and enum values to those of another file.
    Files are read in the order of their names; those that start with `_` are only included by others.
    """
    sources = HoconSources(folder, CACHE_FOLDER if folder == FOLDER else None)
    spec = _SpecBuilder(sources).build()
    if sources.mistakes:
        raise SchemaError(sources.mistakes)
    return spec


class _SpecBuilder:
    """Builds the specification: requests and payloads of mutations, definitions, sort fields, endpoints, operations."""

    def __init__(self, sources: HoconSources) -> None:
        self.report_mistake = sources.report_mistake
        self.services = sources.services
        self.endpoints = dict(self._read_endpoints(sources))
        self.raw = {
            name: check_node(node, "definition", ("_definitions", name), self.report_mistake)
            for name, node in sources.definitions.items()
        }

    def build(self) -> Spec:
        mutations = dict(self._build_mutations())
        for name in [name for name, node in self.raw.items() if "x-like" in node]:
            self._copy_request(name)
        collections = [name for name, node in self.raw.items() if "x-collection" in node]
        self.fields = FieldBuilder(self.raw, collections, self._find_stored(list(collections)), self.report_mistake)
        self.definitions = self.fields.definitions
        for name, node in self.raw.items():
            self._define(name, node)
        for name in collections:
            self._add_sort_fields(name)
        endpoints = {path[:2]: self._build_endpoint(path, node) for path, node in self.endpoints.items()}
        queries, subscriptions = self._build_operations("_query"), self._build_operations("_subscription")
        self._check_names()
        return Spec(self.definitions, endpoints, queries, mutations, subscriptions)

    def _read_endpoints(self, sources: HoconSources) -> Iterator[tuple[tuple[str, str, str], HoconNode]]:
        for service, tree in sources.services.items():
            for name, versions in tree.items():
                if name.startswith("_"):
                    continue
                newest = find_newest_version(versions, (service, name), self.report_mistake)
                if newest:
                    number, node = newest
                    yield (service, name, number), node

    # -- mutations ---------------------------------------------------------------------------------

    def _build_mutations(self) -> Iterator[tuple[str, OperationSpec]]:
        """Build the mutations; their input and payload join the endpoint's properties with the mutation's own."""
        for service, tree in self.services.items():
            for name, raw in tree.get("_mutation", {}).items():
                path = (service, "_mutation", name)
                node = check_node(raw, "mutation", path, self.report_mistake)
                endpoint = (self._find_endpoint(node["endpoint"], path) if "endpoint" in node else None) or {}
                request, response = endpoint.get("request", {}), endpoint.get("response", {})
                self.raw[f"{name}_input"] = _join_properties(request, node.get("input", {})) | _describe_input(name)
                self.raw[f"{name}_payload"] = _join_properties(response, node.get("payload", {})) | _describe_payload(
                    name
                )
                yield name, _build_mutation(name, read_description(node) or read_description(endpoint))
                if "many" in node:
                    yield self._build_mutation_for_many(name, node["many"])

    def _build_mutation_for_many(self, single: str, node: HoconNode) -> tuple[str, OperationSpec]:
        """Build a mutation for many tasks: the input of the single one without `task`, and a payload for each task."""
        name, result = f"{single}_many", f"{single}_many_result"
        single_input, single_payload = self.raw[f"{single}_input"], self.raw[f"{single}_payload"]
        common_input = {
            "properties": {key: value for key, value in single_input["properties"].items() if key != "task"},
            "required": [key for key in single_input["required"] if key != "task"],
        }
        results = {
            "type": "array",
            "items": {"$ref": f"#/definitions/{result}"},
            "description": "The result for each id, in the order of the ids.",
            "x-size": 100,
        }
        self.raw[f"{name}_input"] = _join_properties(node.get("input", {}), common_input) | _describe_input(name)
        self.raw[result] = _join_properties(single_payload | {"required": []}, node.get("result", {})) | {
            "description": f"The result of {to_camel_case(name)} for one id."
        }
        self.raw[f"{name}_payload"] = {"properties": {"results": results}} | _describe_payload(name)
        description = f"Does {to_camel_case(single)} {read_description(node)}"
        return name, replace(_build_mutation(name, description), single_mutation=single)

    def _find_endpoint(self, name: str, path: TreePath) -> HoconNode | None:
        for (service, endpoint, _version), node in self.endpoints.items():
            if f"{service}.{endpoint}" == name:
                return node
        self.report_mistake(path, f"endpoint {name} does not exist")
        return None

    # -- definitions -------------------------------------------------------------------------------

    def _copy_request(self, name: str) -> None:
        """Copy the properties of an endpoint's request into the definition with `x-like: service.endpoint`."""
        node, path = self.raw[name], ("_definitions", name, "x-like")
        like = node["x-like"]
        endpoint = self._find_endpoint(like, path)
        if endpoint is None:
            return
        properties = endpoint.get("request", {}).get("properties")
        if properties is None:
            self.report_mistake(path, f"{like} has no request")
            return
        excluded = node.get("x-without", [])
        for missing in sorted(set(excluded) - properties.keys()):
            self.report_mistake(path, f"{like} has no property {missing}")
        copied = {key: value for key, value in properties.items() if key not in excluded}
        for key, value in copied.items():
            if name.endswith("_filter") and "x-filter" not in value:
                self.report_mistake(path, f"{key} needs x-filter")
        node["properties"] = copied | node.get("properties", {})
        node["required"] = [key for key in endpoint["request"].get("required", []) if key in copied]

    def _find_stored(self, names: list[str]) -> set[str]:
        """Find the definitions that these definitions are made of, themselves included."""
        stored: set[str] = set()
        while names:
            name = names.pop()
            if name not in stored and name in self.raw:
                stored.add(name)
                names += _list_definitions(self.raw[name])
        return stored

    def _define(self, name: str, node: HoconNode) -> None:
        path: TreePath = ("_definitions", name)
        graphql_name = to_pascal_case(name)
        if not NAME.match(name) or graphql_name in RESERVED_TYPES:
            self.report_mistake(path, f"{graphql_name!r} can't be the name of a GraphQL type here")
        if name in self.definitions:
            enum = self.fields.inline_enums[name]
            self.report_mistake(path, f"{name} and the enum of {enum} are both {graphql_name} in GraphQL")
        elif "enum" in node:
            self.fields.define_enum(name, node, path)
        elif node.get("properties"):
            self.definitions[name] = self.fields.build_object(name, node, path)
        elif isinstance(node.get("additionalProperties"), Mapping):
            value = self.fields.build_type(node["additionalProperties"], (*path, "additionalProperties"), name)
            self.definitions[name] = MapSpec(name, read_description(node), value)
        else:
            self.report_mistake(path, "needs properties, an enum or a map (additionalProperties)")

    def _check_names(self) -> None:
        definitions: dict[str, str] = {}  # GraphQL name → HOCON name
        for name, definition in self.definitions.items():
            if isinstance(definition, MapSpec):
                continue
            graphql_name = definition.graphql_name
            first = definitions.setdefault(graphql_name, name)
            base = graphql_name.removesuffix("Input")
            if base in definitions and base != graphql_name:
                message = f"{graphql_name} is the name of {definitions[base]} as input"
                self.report_mistake(("_definitions", name), message)
            if first != name:
                self.report_mistake(("_definitions", name), f"{name} and {first} are both {graphql_name} in GraphQL")

    # -- sort fields -------------------------------------------------------------------------------

    def _add_sort_fields(self, name: str) -> None:
        definition = self.definitions.get(name)
        if not isinstance(definition, ObjectSpec):
            return
        sort_fields: dict[str, FieldSpec] = {}
        for value, field in self._walk_sort_fields(definition, (), ()):
            if value in sort_fields:
                self.report_mistake(("_definitions", name), f"two sort fields are {value.upper()}")
            sort_fields[value] = field
        self.definitions[name] = replace(definition, sort_fields=sort_fields)
        if sort_fields:
            values = tuple(EnumValue(value, field.description) for value, field in sort_fields.items())
            description = f"The fields that can order a list of {definition.graphql_name}."
            enum = name_sort_field_enum(name)
            self.definitions[enum] = EnumSpec(enum, to_pascal_case(enum), description, values)

    def _walk_sort_fields(self, owner: ObjectSpec, path: TreePath, owners: TreePath) -> Iterator[tuple[str, FieldSpec]]:
        for field in owner.fields:
            field_path = (*path, field.name)
            inner = self.definitions.get(field.type.name) if isinstance(field.type, Ref) else None
            if field.is_sortable:
                if not isinstance(field.type, ScalarType) and not isinstance(inner, EnumSpec):
                    message = "x-sortable needs a scalar or an enum"
                    self.report_mistake(("_definitions", owner.name, "properties", field.name), message)
                stored_paths = field.stored_paths or (".".join(field_path),)
                yield "_".join(field_path), replace(field, stored_paths=stored_paths[:1])
            is_stored_here = not field.relation and not field.related
            if isinstance(inner, ObjectSpec) and is_stored_here and inner.name not in owners:
                yield from self._walk_sort_fields(inner, field_path, (*owners, inner.name))

    # -- endpoints and operations ------------------------------------------------------------------

    def _build_endpoint(self, path: tuple[str, str, str], node: HoconNode) -> EndpointSpec:
        service, name, version = path
        request, response = (
            self.fields.build_object(f"{service}_{name}_{key}", node[key], (*path, key)) if key in node else None
            for key in ("request", "response")
        )
        is_internal = bool(self.services[service][name].get("internal"))
        is_batch = "batch_request" in node
        return EndpointSpec(service, name, version, read_description(node), request, response, is_internal, is_batch)

    def _build_operations(self, root: str) -> dict[str, OperationSpec]:
        operations: dict[str, OperationSpec] = {}
        names: dict[str, str] = {}  # GraphQL name → HOCON name
        for service, tree in self.services.items():
            for name, node in tree.get(root, {}).items():
                path = (service, root, name)
                operation = self._build_operation(name, check_node(node, "operation", path, self.report_mistake), path)
                first = names.setdefault(operation.graphql_name, name)
                if name in operations or first != name:
                    message = f"{name} and {first} are both {operation.graphql_name} in GraphQL"
                    self.report_mistake(path, message)
                operations[name] = operation
        return operations

    def _build_operation(self, name: str, node: HoconNode, path: TreePath) -> OperationSpec:
        arguments_node, returns_node = node.get("arguments", {}), node.get("returns", {})
        arguments = self.fields.build_object(f"{name}_arguments", arguments_node, (*path, "arguments")).fields
        returns = self.fields.build_type(returns_node, (*path, "returns"), name)
        is_required = bool(node.get("required"))
        return OperationSpec(name, to_camel_case(name), read_description(node), arguments, returns, is_required)


def _build_mutation(name: str, description: str | None) -> OperationSpec:
    argument = FieldSpec("input", "input", Ref(f"{name}_input"), "The input of the mutation.", is_required=True)
    return OperationSpec(name, to_camel_case(name), description, (argument,), Ref(f"{name}_payload"), is_required=True)


def _describe_input(name: str) -> dict[str, str]:
    return {"description": f"The input of {to_camel_case(name)}."}


def _describe_payload(name: str) -> dict[str, str]:
    return {"description": f"The payload of {to_camel_case(name)}."}


def _join_properties(first: HoconNode, second: HoconNode) -> dict[str, Any]:
    """Join the properties of two nodes, and the names of those that are required."""
    return {
        "type": "object",
        "properties": first.get("properties", {}) | second.get("properties", {}),
        "required": [*first.get("required", []), *second.get("required", [])],
    }


def _list_definitions(node: Any) -> list[str]:
    """List the definitions that a raw node refers to, without those of related fields, which are not stored in it."""
    if isinstance(node, list):
        return [name for item in node for name in _list_definitions(item)]
    if not isinstance(node, Mapping) or "x-related" in node:
        return []
    names = [str(node["$ref"]).rsplit("/", 1)[-1]] if "$ref" in node else []
    view = node.get("x-list")
    if isinstance(view, Mapping) and "of" in view:
        names.append(view["of"])
    for value in node.values():
        names += _list_definitions(value)
    return names
