"""Plain HOCON trees → spec. Every mistake is collected, each with its file and path, before any is raised."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from schema.dialect import NAME, RESERVED, checked, highest
from schema.fields import Fields, camel, description_of, pascal, sort_field
from schema.sources import At, Node, SchemaError, Sources
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
KEPT = user_cache_path("taskql")


@cache
def load(folder: Path = FOLDER) -> Spec:
    """The specification in the folder's `*.conf` files; raises SchemaError.

    Definitions of all files share one namespace: a file may add properties and enum values to another's.
    Files are read in the order of their names; those that start with `_` only serve to be included.
    """
    sources = Sources(folder, KEPT if folder == FOLDER else None)
    spec = _Loader(sources).spec()
    if sources.mistakes:
        raise SchemaError(sources.mistakes)
    return spec


class _Loader:
    """The whole: definitions, what they take over from endpoints, orders, endpoints and operations."""

    def __init__(self, sources: Sources) -> None:
        self.mistake = sources.mistake
        self.services = sources.services
        self.endpoints = dict(self._endpoints(sources))
        self.raw = {
            name: checked(node, "definition", ("_definitions", name), self.mistake)
            for name, node in sources.definitions.items()
        }

    # -- the whole ---------------------------------------------------------------------------------

    def spec(self) -> Spec:
        mutations = dict(self._mutations())
        for name in [name for name, node in self.raw.items() if "x-like" in node]:
            self._take_over_request(name)
        collections = [name for name, node in self.raw.items() if "x-collection" in node]
        self.fields = Fields(self.raw, collections, self._reachable(list(collections)), self.mistake)
        self.definitions = self.fields.definitions
        for name, node in self.raw.items():
            self._define(name, node)
        for name in collections:
            self._add_sort_fields(name)
        endpoints = {at[:2]: self._endpoint(at, node) for at, node in self.endpoints.items()}
        queries, subscriptions = self._operations("_query"), self._operations("_subscription")
        self._check_names()
        return Spec(self.definitions, endpoints, queries, mutations, subscriptions)

    def _endpoints(self, sources: Sources) -> Iterator[tuple[tuple[str, str, str], Node]]:
        for service, tree in sources.services.items():
            for name, versions in tree.items():
                if not name.startswith("_") and (found := highest(versions, (service, name), self.mistake)):
                    yield (service, name, found[0]), found[1]

    def _take_over_request(self, name: str) -> None:
        """`x-like: service.endpoint` gives a definition the properties of that endpoint's request."""
        node, at = self.raw[name], ("_definitions", name, "x-like")
        like = node["x-like"]
        if (found := self._find_endpoint(like, at)) is None:
            return
        properties = found.get("request", {}).get("properties")
        if properties is None:
            self.mistake(at, f"{like} has no request")
            return
        for other in sorted(set(node.get("x-without", [])) - properties.keys()):
            self.mistake(at, f"{like} has no property {other}")
        taken = {key: value for key, value in properties.items() if key not in node.get("x-without", [])}
        for key, value in taken.items():
            if name.endswith("_filter") and "x-filter" not in value:
                self.mistake(at, f"{key} says nothing of how it filters (x-filter)")
        node["properties"] = taken | node.get("properties", {})
        node["required"] = [key for key in found["request"].get("required", []) if key in taken]

    def _find_endpoint(self, name: str, at: At) -> Node | None:
        found = next((inner for where, inner in self.endpoints.items() if ".".join(where[:2]) == name), None)
        if found is None:
            self.mistake(at, f"there is no endpoint {name}")
        return found

    def _mutations(self) -> Iterator[tuple[str, OperationSpec]]:
        """Each takes one input and answers with one payload: what its endpoint says, and what is said beside it."""
        for service, tree in self.services.items():
            for name, raw in tree.get("_mutation", {}).items():
                at = (service, "_mutation", name)
                node = checked(raw, "mutation", at, self.mistake)
                endpoint = (self._find_endpoint(node["endpoint"], at) if "endpoint" in node else None) or {}
                description = description_of(node) or description_of(endpoint)
                for part, said, verb in (("input", "request", "takes"), ("payload", "response", "answers")):
                    self.raw[f"{name}_{part}"] = _together(endpoint.get(said, {}), node.get(part, {})) | _said(
                        name, verb
                    )
                yield name, _mutation(name, description)
                if "many" in node:
                    yield self._many(name, node["many"])

    def _many(self, single: str, node: Node) -> tuple[str, OperationSpec]:
        """A mutation for many: it takes what the single one takes, less `task`, and has the payload of each."""
        name, result = f"{single}_many", f"{single}_many_result"
        takes, answers = self.raw[f"{single}_input"], self.raw[f"{single}_payload"]
        takes = {
            "properties": {key: value for key, value in takes["properties"].items() if key != "task"},
            "required": [key for key in takes["required"] if key != "task"],
        }
        results = {
            "type": "array", "items": {"$ref": f"#/definitions/{result}"},
            "description": "What became of each, in the order of the ids.", "x-size": 100,
        }  # fmt: skip
        self.raw[f"{name}_input"] = _together(node.get("input", {}), takes) | _said(name, "takes")
        self.raw[result] = _together(answers | {"required": []}, node.get("result", {})) | {
            "description": f"What {camel(name)} answers for one id."
        }
        self.raw[f"{name}_payload"] = {"properties": {"results": results}} | _said(name, "answers")
        description = f"What {camel(single)} does, {description_of(node)}"
        return name, replace(_mutation(name, description), single_mutation=single)

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
            base = definition.graphql_name.removesuffix("Input")
            if base in seen and base != definition.graphql_name:
                self.mistake(("_definitions", name), f"{definition.graphql_name} is the name of {seen[base]} as input")
            if other != name:
                message = f"{name} and {other} are both {definition.graphql_name} in GraphQL"
                self.mistake(("_definitions", name), message)

    # -- definitions -------------------------------------------------------------------------------

    def _define(self, name: str, node: Node) -> None:
        at: At = ("_definitions", name)
        if not NAME.match(name) or pascal(name) in RESERVED:
            self.mistake(at, f"{pascal(name)!r} can't be the name of a GraphQL type here")
        if name in self.definitions:
            self.mistake(at, f"{name} and the enum of {self.fields.inline[name]} are both {pascal(name)} in GraphQL")
        elif "enum" in node:
            self.fields.define_enum(name, node, at)
        elif node.get("properties"):
            self.definitions[name] = self.fields.object(name, node, at)
        elif isinstance(node.get("additionalProperties"), Mapping):
            value = self.fields.type(node["additionalProperties"], (*at, "additionalProperties"), name)
            self.definitions[name] = MapSpec(name, description_of(node), value)
        else:
            self.mistake(at, "neither properties, nor an enum, nor a map (additionalProperties)")

    # -- order, endpoints, operations --------------------------------------------------------------

    def _add_sort_fields(self, name: str) -> None:
        definition = self.definitions.get(name)
        if not isinstance(definition, ObjectSpec):
            return
        found: dict[str, FieldSpec] = {}
        for value, field in self._sortable(definition, (), ()):
            if value in found:
                self.mistake(("_definitions", name), f"two fields are {value.upper()} to order by")
            found[value] = field
        self.definitions[name] = replace(definition, sort_fields=found)
        if found:
            values = tuple(EnumValue(value, field.description) for value, field in found.items())
            description = f"The fields by which {definition.graphql_name} lists can be ordered."
            enum = sort_field(name)
            self.definitions[enum] = EnumSpec(enum, pascal(enum), description, values)

    def _sortable(self, owner: ObjectSpec, at: At, seen: At) -> Iterator[tuple[str, FieldSpec]]:
        for field in owner.fields:
            here = (*at, field.name)
            inner = self.definitions.get(field.type.name) if isinstance(field.type, Ref) else None
            if field.is_sortable:
                if not isinstance(field.type, ScalarType) and not isinstance(inner, EnumSpec):
                    self.mistake(("_definitions", owner.name, "properties", field.name), "x-sortable is for one value")
                yield "_".join(here), replace(field, stored_paths=(field.stored_paths or (".".join(here),))[:1])
            if isinstance(inner, ObjectSpec) and not field.relation and inner.name not in seen:
                yield from self._sortable(inner, here, (*seen, inner.name))

    def _endpoint(self, at: tuple[str, str, str], node: Node) -> EndpointSpec:
        service, name, version = at
        request, response = (
            self.fields.object(f"{service}_{name}_{part}", node[part], (*at, part)) if part in node else None
            for part in ("request", "response")
        )
        internal = bool(self.services[service][name].get("internal"))
        batch = "batch_request" in node
        return EndpointSpec(service, name, version, description_of(node), request, response, internal, batch)

    def _operations(self, root: str) -> dict[str, OperationSpec]:
        found: dict[str, OperationSpec] = {}
        for service, tree in self.services.items():
            for name, node in tree.get(root, {}).items():
                at = (service, root, name)
                made = self._operation(name, checked(node, "operation", at, self.mistake), at)
                other = next((known for known in found.values() if known.graphql_name == made.graphql_name), None)
                if other:
                    self.mistake(at, f"{name} and {other.name} are both {made.graphql_name} in GraphQL")
                found[name] = made
        return found

    def _operation(self, name: str, node: Node, at: At) -> OperationSpec:
        arguments = self.fields.object(f"{name}_arguments", node.get("arguments", {}), (*at, "arguments")).fields
        returns = self.fields.type(node.get("returns", {}), (*at, "returns"), name)
        return OperationSpec(name, camel(name), description_of(node), arguments, returns, bool(node.get("required")))


def _mutation(name: str, description: str | None) -> OperationSpec:
    takes = FieldSpec("input", "input", Ref(f"{name}_input"), "What to do, and to what.", is_required=True)
    return OperationSpec(name, camel(name), description, (takes,), Ref(f"{name}_payload"), is_required=True)


def _said(name: str, verb: str) -> dict[str, str]:
    return {"description": f"What {camel(name)} {verb}."}


def _together(one: Node, other: Node) -> dict[str, Any]:
    """The properties of both, and what either requires."""
    return {
        "type": "object",
        "properties": one.get("properties", {}) | other.get("properties", {}),
        "required": [*one.get("required", []), *other.get("required", [])],
    }


def _references(node: Any) -> list[str]:
    """Names of the definitions that a raw node is made of (what is related or loaded is no part)."""
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, Mapping) or "x-related" in node:
        return []
    own = [str(node["$ref"]).rsplit("/", 1)[-1]] if "$ref" in node else []
    own += [node["x-list"]["of"]] if isinstance(node.get("x-list"), Mapping) and "of" in node["x-list"] else []
    return own + [name for value in node.values() for name in _references(value)]
