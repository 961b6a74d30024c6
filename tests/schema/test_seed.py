"""The seed is met to the last property: what the API shows otherwise is a row of DEPARTURES, with its reason."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, Undefined

from resolvers.root import build_schema
from schema.load import FOLDER, load
from schema.sources import parse_hocon
from schema.spec import ObjectSpec, Spec
from tests.support.paths import DATA

SEED: dict[str, Any] = json.loads((DATA / "seed_shape.json").read_text())
TYPES = {
    ("string", None): "String",
    ("string", "date-time"): "DateTime",
    ("integer", None): "Int",
    ("number", None): "Float",
    ("boolean", None): "Boolean",
    ("object", None): "JSON",
}
NOTHING = object()
READ_OR_CHANGED = {
    "read": ("get_by_id", "get_all", "get_all_ex", "validate"),
    "changed": (
        "create",
        "update",
        "update_batch",
        "edit",
        "reset",
        "delete",
        "started",
        "stop",
        "stopped",
        "failed",
        "close",
        "publish",
        "enqueue",
        "dequeue",
        "set_requirements",
        "completed",
        "ping",
    ),
}
IDS = {"task", "parent", "project", "queue", "model", "id"}
SPELT = {"output__error": "outputError"}
IDENTITY = "an id is an ID, and the one thing that is sure to be there"
RELATION = "a reference is shown as the object, beside its id as …Id"
LIST = "a map is shown as a list, by its keys"
LONG = "it can pass 2^31"
OUTPUT = "`required` binds what is written, not what is stored"
STORED = "stored data may hold values that the API has no name for"
ARGUMENT = "an argument of `tasks`, no filter"
# element of the seed → what the API shows (None for nothing), and why it isn't what the rules make of the seed
DEPARTURES: dict[str, tuple[str | None, str]] = {
    "Task.id": ("ID!", IDENTITY),
    "Task.user": ("User + ID", RELATION),
    "Task.company": ("Company + ID", RELATION),
    "Task.parent": ("Task + ID", RELATION),
    "Task.project": ("Project + ID", RELATION),
    "Execution.queue": ("Queue + ID", RELATION),
    "Execution.model": ("Model + ID", RELATION),
    "Output.model": ("Model + ID", RELATION),
    "Task.lastMetrics": ("(metric, variant): [LastMetricsEvent!]!", LIST),
    "LastMetricsVariants": (None, "Task.lastMetrics shows its items"),
    "Execution.parameters": ("(section, name): [Hyperparam!]!", LIST),
    "Execution.modelLabels": ("(key): [ModelLabel!]!", LIST),
    "Execution.artifacts": ("(key, mode): [Artifact!]!", "a list in the seed, a map where it is stored"),
    "Artifact.key": ("String", OUTPUT),
    "Artifact.type": ("String", OUTPUT),
    "Artifact.contentSize": ("Long", LONG),
    "Artifact.timestamp": ("Long", LONG),
    "Task.lastIteration": ("Long", LONG),
    "TaskType.UNKNOWN": ("value", STORED),
    "ArtifactMode.UNKNOWN": ("value", STORED),
    "TaskCreatePayload.id": ("ID!", IDENTITY),
    "ExecutionInput.parameters": ("[HyperparamInput!]", LIST),
    "ExecutionInput.modelLabels": ("[ModelLabelInput!]", LIST),
    "ArtifactInput.contentSize": ("Long", LONG),
    "ArtifactInput.timestamp": ("Long", LONG),
    "TaskFilter.id": ("[ID!]", "ids"),
    "TaskFilter.user": ("[ID!]", "ids"),
    "TaskFilter.project": ("[ID!]", "ids"),
    "TaskFilter.parent": ("ID", "an id"),
    "TaskFilter.page": (None, ARGUMENT),
    "TaskFilter.pageSize": (None, ARGUMENT),
    "TaskFilter.orderBy": (None, ARGUMENT),
    "TaskFilter.onlyFields": (None, "the selection set says it"),
    "Query.task(task)": (None, "called id, as in every type"),
    "Query.tasks": ("TaskConnection!", "a page, whose nodes are the list"),
}


def to_pascal_case(name: str) -> str:
    return "".join(part.title() for part in name.removesuffix("_enum").split("_"))


def to_camel_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])_+([a-z])", lambda found: found[1].upper(), name)


def flatten(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree by their dotted paths; an empty branch is a leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def find_differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What is found, where it differs from what is expected; None where nothing is."""
    names = expected.keys() | found.keys()
    return {name: found.get(name) for name in names if expected.get(name, NOTHING) != found.get(name, NOTHING)}


# -- HOCON against the seed ------------------------------------------------------------------------


def strip_node(node: Any) -> Any:
    """A node less what the seed's shape leaves out: descriptions, patterns of items, annotations."""
    if isinstance(node, list):
        return [strip_node(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {
        key: value.rsplit("/", 1)[-1] if key == "$ref" else strip_node(value)
        for key, value in node.items()
        if (isinstance(value, Mapping) and not key.startswith("x-"))
        or (not key.startswith("x-") and key not in {"description", "pattern"})
    }


def read_shape(folder: Path) -> dict[str, Any]:
    """What tasks.conf says, in the form of the seed's shape."""
    tree, common = parse_hocon(folder / "tasks.conf"), parse_hocon(folder / "_common.conf")
    definitions = {name: strip_node(node) for name, node in tree["_definitions"].items() if name not in common}
    return {"definitions": definitions, "endpoints": dict(walk_endpoints(tree))}


def walk_endpoints(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, versions in tree.items():
        if not name.startswith("_"):
            [version] = [key for key in versions if key[0].isdigit()]
            others = {key: value for key, value in versions.items() if key != version}
            yield name, {"version": version, **strip_node(versions[version]), **others}


def test_hocon_says_what_the_seed_says() -> None:
    assert read_shape(FOLDER) == SEED


# -- the spec against the seed ---------------------------------------------------------------------


def read_rules(node: Mapping[str, Any]) -> dict[str, Any]:
    """Which properties must be given, and what they are otherwise."""
    required = node.get("required", [])
    return {name: (name in required, inner.get("default")) for name, inner in node.get("properties", {}).items()}


def read_seed_rules() -> dict[str, Any]:
    rules = {
        f"definitions.{name}": read_rules(node) for name, node in SEED["definitions"].items() if "properties" in node
    }
    for name, node in SEED["endpoints"].items():
        rules[f"endpoints.{name}"] = {
            "is": (node["version"], node.get("internal", False), "batch_request" in node),
            **{part: read_rules(node[part]) for part in ("request", "response") if part in node},
        }
    return dict(flatten(rules))


def read_spec_rules(spec: Spec) -> dict[str, Any]:
    rules = {
        f"definitions.{name}": read_object_rules(spec.get_object(name), node["properties"])
        for name, node in SEED["definitions"].items()
        if "properties" in node
    }
    for (service, name), endpoint in spec.endpoints.items():
        if service == "tasks":
            parts = {"request": endpoint.request, "response": endpoint.response}
            rules[f"endpoints.{name}"] = {
                "is": (endpoint.version, endpoint.is_internal, endpoint.is_batch),
                **{part: read_object_rules(found) for part, found in parts.items() if found},
            }
    return dict(flatten(rules))


def read_object_rules(definition: ObjectSpec, only: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Of a stored definition only what the seed knows: newer servers store more."""
    return {
        field.name: (field.is_required, field.default)
        for field in definition.fields
        if only is None or field.name in only
    }


def test_the_spec_keeps_every_endpoint_and_what_is_required_and_defaulted() -> None:
    assert read_spec_rules(load()) == read_seed_rules()


# -- the API against the seed ----------------------------------------------------------------------


def write_type(node: Mapping[str, Any], name: str) -> str:
    """The GraphQL type that the rules make of a property; an enum written in its place is called after it."""
    if "$ref" in node:
        return to_pascal_case(node["$ref"])
    if node["type"] == "array":
        return f"[{write_type(node['items'], name)}!]"
    is_enum = "enum" in node and node["type"] == "string"
    return to_pascal_case(name) if is_enum else TYPES[node["type"], node.get("format")]


def build_seed_api() -> dict[str, str]:
    """Every element that the rules make of the seed: types, fields, enum values, and the two ways to read."""
    elements = {}
    for name, node in SEED["definitions"].items():
        elements |= {to_pascal_case(name): "type"} | build_values(name, node)
        for key, inner in node.get("properties", {}).items():
            must = "!" if key in node.get("required", []) else ""
            elements[f"{to_pascal_case(name)}.{to_camel_case(key)}"] = write_type(inner, f"{name}_{key}") + must
            elements |= build_values(f"{name}_{key}", inner)
    one, many = SEED["endpoints"]["get_by_id"], SEED["endpoints"]["get_all"]
    for key, inner in many["request"]["properties"].items():
        elements[f"TaskFilter.{to_camel_case(key)}"] = write_type(inner, key)
    for key, inner in one["request"]["properties"].items():
        elements[f"Query.task({key})"] = write_type(inner, key) + "!" * (key in one["request"]["required"])
    for key, inner in (one["response"]["properties"] | many["response"]["properties"]).items():
        elements[f"Query.{key}"] = write_type(inner, key)
    return elements | build_seed_operations()


def build_seed_operations() -> dict[str, str]:
    """What the rules make of the endpoints that change something, and of what their requests are made of."""
    elements = {"Query.taskValidate": "Boolean!", "Query.taskValidate(input)": "TaskValidateInput!"}
    for name in READ_OR_CHANGED["changed"]:
        operation = f"Task{to_pascal_case(name)}"
        elements[f"Mutation.{to_camel_case('task_' + name)}"] = f"(input): {operation}Payload!"
        elements |= build_fields(SEED["endpoints"][name].get("request", {}), f"{operation}Input", "Input")
        elements |= build_fields(SEED["endpoints"][name]["response"], f"{operation}Payload")
    elements |= build_fields(SEED["endpoints"]["validate"]["request"], "TaskValidateInput", "Input")
    elements |= build_fields(SEED["endpoints"]["update"]["request"], "TaskUpdateItem", "Input")
    for name in ("execution", "script", "artifact", "artifact_type_data"):
        node = SEED["definitions"][name]
        bare_node = {**node, "properties": {key: drop_default(one) for key, one in node["properties"].items()}}
        elements |= build_fields(bare_node, f"{to_pascal_case(name)}Input", "Input", name)
    return elements


def drop_default(node: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of what is stored are applied by taskCreate; the SDL says none."""
    return {key: value for key, value in node.items() if key != "default"}


def build_fields(node: Mapping[str, Any], type_: str, suffix: str = "", owner: str = "") -> dict[str, str]:
    """The fields of an input or a payload: objects of an input are inputs, and ids are IDs."""
    elements = {}
    for key, inner in node.get("properties", {}).items():
        must = "!" if key in node.get("required", []) else ""
        default = f" = {json.dumps(inner['default'])}" if "default" in inner else ""
        found = "ID" if key in IDS else write_type(inner, f"{owner}_{key}" if owner else key)
        is_object = found.strip("[]!") in {
            to_pascal_case(name) for name, one in SEED["definitions"].items() if "enum" not in one
        }
        found = re.sub(r"(\w+)", rf"\1{suffix}", found) if is_object else found
        elements[f"{type_}.{SPELT.get(key) or to_camel_case(key)}"] = found + must + default
    return elements


def build_values(name: str, node: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{to_pascal_case(name)}.{value.upper()}": "value" for value in node.get("enum", []) if isinstance(value, str)
    }


def build_api(schema: GraphQLSchema) -> dict[str, str]:
    """Every element of the API, in the same words."""
    elements = {}
    for name, type_ in schema.type_map.items():
        elements[name] = "type"
        if isinstance(type_, GraphQLEnumType):
            elements |= {f"{name}.{value}": "value" for value in type_.values}
        elif isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            elements |= {f"{name}.{field}": print_field(type_, field) for field in type_.fields}
    for field, inner in schema.type_map["Query"].fields.items():  # type: ignore[attr-defined]
        elements[f"Query.{field}"] = str(inner.type)
        elements |= {f"Query.{field}({key})": str(argument.type) for key, argument in inner.args.items()}
    return elements


def print_field(owner: GraphQLObjectType | GraphQLInputObjectType, name: str) -> str:
    field, twin = owner.fields[name], owner.fields.get(f"{name}Id")
    arguments = f"({', '.join(field.args)}): " if getattr(field, "args", None) else ""
    default = getattr(field, "default_value", Undefined)
    said = "" if default is Undefined else f" = {json.dumps(default, default=str)}"
    return f"{arguments}{field.type}{said}" + (" + ID" if twin and str(twin.type) == "ID" else "")


def find_departures(schema: GraphQLSchema) -> dict[str, str | None]:
    """Where the API isn't what the rules make of the seed. What it has beside the seed is no departure."""
    expected, found = build_seed_api(), build_api(schema)
    enums = {name.partition(".")[0] for name, kind in expected.items() if kind == "value"}
    looked_at = expected.keys() | {f"{enum}.UNKNOWN" for enum in enums}
    return find_differences(expected, {name: kind for name, kind in found.items() if name in looked_at})


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(load())._schema


def test_the_api_shows_every_element_of_the_seed_and_departs_only_where_it_means_to(schema: GraphQLSchema) -> None:
    assert find_departures(schema) == {name: shows for name, (shows, _) in DEPARTURES.items()}


def test_what_is_no_filter_field_is_an_argument(schema: GraphQLSchema) -> None:
    found = build_api(schema)
    assert {"Query.tasks(page)": "Int", "Query.tasks(pageSize)": "Int"}.items() <= found.items()
    assert found["Query.tasks(orderBy)"].startswith("[")
    assert found["Query.tasks(filter)"] == "TaskFilter"
    assert found["Query.task(id)"] == "ID!"


def test_a_page_of_tasks_holds_the_list_that_the_seed_answers(schema: GraphQLSchema) -> None:
    [answered] = SEED["endpoints"]["get_all"]["response"]["properties"].values()
    assert build_api(schema)["TaskConnection.nodes"] == write_type(answered, "tasks") + "!"


def test_every_endpoint_of_the_seed_reads_or_changes() -> None:
    assert {name for names in READ_OR_CHANGED.values() for name in names} == SEED["endpoints"].keys()


# -- these tests can fail --------------------------------------------------------------------------

# what is changed in tasks.conf → by which words, and where that is noticed
CHANGES: dict[str, tuple[str, str, set[str]]] = {
    "a property is gone": (
        r"      last_worker \{\n.*?\n      \}\n",
        "",
        {"definitions.task.properties.last_worker.type", "definitions.task.last_worker", "Task.lastWorker"},
    ),
    "a property has another name": (
        r"working_dir \{ type",
        "work_dir { type",
        {
            "definitions.script.properties.working_dir.type",
            "definitions.script.properties.work_dir.type",
            "definitions.script.working_dir",
            "Script.workingDir",
            "ScriptInput.workingDir",
        },
    ),
    "a property has another type": (
        r"version_num \{ type: string",
        "version_num { type: integer",
        {"definitions.script.properties.version_num.type", "Script.versionNum", "ScriptInput.versionNum"},
    ),
    "a property has another format": (
        r'last_worker_report \{ type: string, format: "date-time"',
        "last_worker_report { type: string",
        {"definitions.task.properties.last_worker_report.format", "Task.lastWorkerReport"},
    ),
    "a property has another definition": (
        r'"\$ref": "#/definitions/artifact_type_data"',
        '"$ref": "#/definitions/artifact"',
        {
            "definitions.artifact.properties.type_data.$ref",
            "Artifact.typeData",
            "ArtifactInput.typeData",
            # then nothing asks for this
            *(f"ArtifactTypeDataInput.{name}" for name in ("preview", "contentType", "dataHash")),
        },
    ),
    "a list has other items": (
        r"display_data \{(.*?)items \{ type: string \}",
        r"display_data {\1items { type: number }",
        {
            "definitions.artifact.properties.display_data.items.items.type",
            "Artifact.displayData",
            "ArtifactInput.displayData",
        },
    ),
    "a property has another default": (
        r"default: python$",
        "default: python3",
        {"definitions.script.properties.binary.default", "definitions.script.binary"},
    ),
    "a property is no longer required": (
        r"required: \[key, type\]",
        "required: [key]",
        {"definitions.artifact.required", "definitions.artifact.type", "ArtifactInput.type"},
    ),
    "an enum value has another name": (
        r"all_in_frame",
        "in_frame",
        {"definitions.output_rois_enum.enum", "OutputRois.ALL_IN_FRAME"},
    ),
    "an endpoint has another version": (
        r'completed \{\n  "2\.2"',
        'completed {\n  "2.3"',
        {"endpoints.completed.version", "endpoints.completed.is"},
    ),
    "an argument is no longer required": (
        r"required: \[task, requirements\]",
        "required: [task]",
        {
            "endpoints.set_requirements.request.required",
            "endpoints.set_requirements.request.requirements",
            "TaskSetRequirementsInput.requirements",
        },
    ),
    "an argument has another default": (
        r"move_to_trash \{(.*?)default: false",
        r"move_to_trash {\1default: true",
        {
            "endpoints.delete.request.properties.move_to_trash.default",
            "endpoints.delete.request.move_to_trash",
            "TaskDeleteInput.moveToTrash",
        },
    ),
    "a filter has another type": (
        r"type: string, x-filter: text",
        "type: integer, x-filter: text",
        {
            "endpoints.get_all.request.properties.search_text.type",
            "TaskFilter.searchText",
            "endpoints.get_all_ex.request.properties.search_text.type",
        },
    ),
    "a property is no longer Long": (
        r"content_size \{ type: integer, x-scalar: Long",
        "content_size { type: integer",
        {"Artifact.contentSize", "ArtifactInput.contentSize"},
    ),
    "a property is no longer a relation": (
        r"x-relation: project, x-sortable: true",
        "x-sortable: true",
        {"Task.project"},
    ),
    "a map is no longer a list": (
        r"\n *x-list \{ of: model_label[^\n]*",
        "",
        {"Execution.modelLabels", "ExecutionInput.modelLabels"},
    ),
    "a field has another name": (
        r"docker_cmd \{\n",
        "docker_cmd {\n        x-name: docker\n",
        {"Execution.dockerCmd", "ExecutionInput.dockerCmd"},
    ),
}


@pytest.fixture(scope="module")
def noticed_changes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """All that is noticed of a folder with all the changes."""
    folder = tmp_path_factory.mktemp("changed") / "schema"
    shutil.copytree(FOLDER, folder)
    file = folder / "tasks.conf"
    text = file.read_text()
    for pattern, replacement, _ in CHANGES.values():
        assert re.search(pattern, text, re.DOTALL | re.MULTILINE), pattern
        text = re.sub(pattern, replacement, text, flags=re.DOTALL | re.MULTILINE)
    file.write_text(text)
    spec = load(folder)
    meant = {name: shows for name, (shows, _) in DEPARTURES.items()}
    return {
        *find_differences(dict(flatten(SEED)), dict(flatten(read_shape(folder)))),
        *find_differences(read_seed_rules(), read_spec_rules(spec)),
        *find_differences(meant, find_departures(build_schema(spec)._schema)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_seed_is_noticed(noticed_changes: set[str], change: str) -> None:
    *_, expected = CHANGES[change]
    assert expected - noticed_changes == set()


@pytest.mark.slow
def test_nothing_else_is_noticed(noticed_changes: set[str]) -> None:
    assert set().union(*(expected for *_, expected in CHANGES.values())) == noticed_changes
