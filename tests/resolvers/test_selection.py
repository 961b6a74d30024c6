"""The projection reads exactly the stored paths of the selection, and it never changes an answer.

The tests derive both a second time in another way: the stored paths straight from the HOCON files, and the answers by
graphql-core itself over whole documents.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from typing import Any, NamedTuple

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    execute_sync,
    get_named_type,
    is_leaf_type,
    parse,
    value_from_ast_untyped,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhocon import ConfigFactory
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.derived import LOADED
from tests.support.factories import (
    ABSENT,
    COMPANY,
    DAY,
    Document,
    artifact,
    artifacts,
    company,
    hyperparams,
    last_metrics,
    model,
    old_task,
    project,
    put,
    queue,
    task,
    user,
)
from tests.support.paths import ROOT

Database = AsyncDatabase[Document]

# HYPOTHESIS_PROFILE=long for a night's work
EXAMPLES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 200
GENERATED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
FOLDER = ROOT / "schema"
SDL: GraphQLSchema = build_schema((FOLDER / "schema.graphql").read_text())


def get_object_type(name: str) -> GraphQLObjectType:
    found = SDL.get_type(name)
    assert isinstance(found, GraphQLObjectType)
    return found


# -- what HOCON says -------------------------------------------------------------------------------


def merge_nodes(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: merge_nodes(one[key], other[key]) if key in one and key in other else one.get(key, other.get(key))
            for key in {**one, **other}
        }
    return one


@cache
def read_definitions() -> dict[str, Any]:
    files = [ConfigFactory.parse_file(str(path)).as_plain_ordered_dict() for path in sorted(FOLDER.glob("[!_]*.conf"))]
    merged: dict[str, Any] = reduce(merge_nodes, (file.get("_definitions", {}) for file in files))
    return {"".join(map(str.capitalize, name.removesuffix("_enum").split("_"))): node for name, node in merged.items()}


class Property(NamedTuple):
    """A property behind a field; `is_relation` when the field shows the other document, not its id alone."""

    name: str
    node: Mapping[str, Any]
    is_relation: bool

    @property
    def places(self) -> list[str]:
        stored = self.node.get("x-stored", [])
        return [stored] if isinstance(stored, str) else stored


def find_property(type_name: str, field: str) -> Property:
    properties = read_definitions()[type_name]["properties"]
    name = re.sub("([A-Z])", r"_\1", field).lower()
    if name in properties:
        return Property(name, properties[name], "x-relation" in properties[name])
    return Property(name.removesuffix("_id"), properties[name.removesuffix("_id")], is_relation=False)


def hash_name(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()  # noqa: S324 - the stored layout


def escape(name: str) -> str:
    key = name.strip().replace("%", "%%").replace(".", "%2E").replace("$", "%24").replace("__", "%_%_")
    return "%" + key if key.startswith("_") else key


KEYS = {"md5": hash_name, "escaped": escape}


# -- the rule: which stored paths a selection reads ------------------------------------------------


class Request:
    """A parsed document with its variables."""

    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.document = parse(text)
        written = self.document.definitions
        self.fragments = {node.name.value: node for node in written if isinstance(node, FragmentDefinitionNode)}
        [self.selection] = [node.selection_set for node in written if isinstance(node, OperationDefinitionNode)]

    def fields(self, *selections: SelectionSetNode) -> dict[str, list[FieldNode]]:
        """Response key → the nodes that are selected under it."""
        found: dict[str, list[FieldNode]] = {}
        for selection in selections:
            for node in self._flat(selection):
                found.setdefault((node.alias or node.name).value, []).append(node)
        return found

    def _flat(self, selection: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selection.selections:
            if not self._is_on(node):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                yield from self._flat(self.fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                yield from self._flat(node.selection_set)

    def _is_on(self, node: Any) -> bool:
        directives = node.directives or ()
        return all(self.values(directive)["if"] == (directive.name.value == "include") for directive in directives)

    def values(self, node: Any) -> dict[str, Any]:
        return {
            argument.name.value: value_from_ast_untyped(argument.value, dict(self.variables))
            for argument in node.arguments or ()
        }


class Reads(NamedTuple):
    """The paths that a selection reads of its own document, and what it reads of the documents referred to."""

    paths: set[str]
    finds: set[tuple[str, frozenset[str]]]


def find_reads(request: Request, type_name: str, *selections: SelectionSetNode, at: str = "") -> Reads:
    paths: set[str] = set()
    finds: set[tuple[str, frozenset[str]]] = set()
    for nodes in request.fields(*selections).values():
        if nodes[0].name.value == "__typename":
            continue
        found = find_property(type_name, nodes[0].name.value)
        places = found.places or [at + found.name]
        below = [node.selection_set for node in nodes if node.selection_set]
        inner = get_named_type(get_object_type(type_name).fields[nodes[0].name.value].type).name
        if found.is_relation:
            paths |= {*places}
            finds |= find_lookups(request, inner, below)
        elif "x-list" in found.node:
            paths |= {*narrow_map(found, places[0], request, nodes[0], inner), *places[1:]}
        elif below and not found.places:
            deeper = find_reads(request, inner, *below, at=places[0] + ".")
            paths |= deeper.paths
            finds |= deeper.finds
        else:
            paths |= {*places}
            finds |= find_reads(request, inner, *below).finds if below else set()
    return Reads(paths, finds)


def find_lookups(
    request: Request, type_name: str, below: Sequence[SelectionSetNode]
) -> set[tuple[str, frozenset[str]]]:
    found = find_reads(request, type_name, *below)
    projected = drop_inner_paths(found.paths | {"_id"})
    own = {(read_definitions()[type_name]["x-collection"], projected)} if projected != {"_id"} else set()
    return own | found.finds


def narrow_map(found: Property, place: str, request: Request, node: FieldNode, inner: str) -> set[str]:
    """A map is read whole, or only at the keys that are asked for, outer levels first."""
    shown, values = found.node["x-list"], request.values(node)
    paths = [place]
    if shown.get("entries") and "x-read" in found.node:  # one entry decides about another
        return {place}
    for level in shown["by"] if shown["key"] in KEYS else []:
        if values.get(level) is None:
            return {*paths}
        keys = {KEYS[shown["key"]](value) for value in values[level] if value.strip() or shown["key"] == "md5"}
        paths = [f"{path}.{key}" for path in paths for key in keys]
    if shown["key"] not in KEYS or shown.get("entries") or not node.selection_set:
        return {*paths}
    deeper = find_reads(request, inner, node.selection_set).paths
    return {f"{path}.{name}" for path in paths for name in deeper}


def drop_inner_paths(paths: set[str]) -> frozenset[str]:
    return frozenset(path for path in paths if not any(path.startswith(f"{other}.") for other in paths))


# -- the answers: graphql-core over whole documents ------------------------------------------------


class Source(NamedTuple):
    """A part of a document, with the whole of it."""

    value: Mapping[str, Any]
    whole: Mapping[str, Any]


class Reference:
    """Answers a request from whole documents, field by field."""

    def __init__(self, documents: Mapping[str, Sequence[Document]]) -> None:
        self.documents = {name: {row["_id"]: row for row in rows} for name, rows in documents.items()}

    def answer(self, request: Request, root_value: Any) -> dict[str, Any]:
        result = execute_sync(
            SDL, request.document, root_value, variable_values=dict(request.variables), field_resolver=self.resolve
        )
        assert result.errors is None, result.errors
        data: dict[str, Any] = result.data or {}
        return data

    def resolve(self, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        if not isinstance(source, Source):
            return source[info.field_name]
        found = find_property(info.parent_type.name, info.field_name)
        value = self.value(source, found)
        inner = get_named_type(info.return_type)
        if found.is_relation:
            return self.other(found.node["x-relation"], read_id(value))
        if "x-list" in found.node:
            return [Source(item, source.whole) for item in list_items(value, found.node["x-list"], arguments)]
        if isinstance(inner, GraphQLObjectType):
            if value is None and any(
                "x-stored" in node for node in read_definitions()[inner.name]["properties"].values()
            ):
                value = {}  # values from elsewhere in the document are there even so
            return build_sources(
                value, source.whole, is_list=isinstance(unwrap_non_null(info.return_type), GraphQLList)
            )
        return convert_plain(value, info.return_type)

    def value(self, source: Source, found: Property) -> Any:
        if "x-read" in found.node:
            return READERS[found.node["x-read"]](*(read_path(source.whole, place) for place in found.places))
        if found.places:
            return read_path(source.whole, found.places[0])
        return source.value.get(found.name)

    def other(self, collection: str, id_: str | None) -> Source | None:
        if not id_:
            return None
        document = self.documents[collection].get(id_, {"_id": id_})
        return Source(document, document)


def read_path(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def read_id(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def read_hyperparams(new: Any, legacy: Any) -> Any:
    """What an old server stored shows through where the newer place has nothing."""
    found: Document = {}
    for path, value in (legacy or {}).items():
        section, name = ("TF_DEFINE", path[10:]) if path.startswith("TF_DEFINE/") else ("Args", path)
        item = {"section": section, "name": name, "value": None if value is None else str(value), "type": "legacy"}
        found.setdefault(section, {})[escape(name)] = item
    return found | {section: found.get(section, {}) | inner for section, inner in (new or {}).items()}


def read_models(stored: Any, legacy: Any) -> list[Document]:
    return stored or ([{"model": legacy}] if read_id(legacy) else [])


def read_container(new: Any, command: Any) -> Document:
    """The command of an old server counts where there is no image."""
    image, _, arguments = (command or "").strip().partition(" ")
    old = {"image": image, "arguments": arguments} if image else {}
    return (new or {}) | ({} if (new or {}).get("image") else old)


def read_command(new: Any, command: Any) -> str | None:
    shown = read_container(new, command)
    return " ".join(filter(None, [shown["image"], shown.get("arguments")])) if shown.get("image") else None


def read_configuration(new: Any, texts: Any) -> Document:
    return {escape(name): {"name": name, "value": text, "type": "legacy"} for name, text in (texts or {}).items()} | (
        new or {}
    )


def read_texts(new: Any, texts: Any) -> Document | None:
    shown = read_configuration(new, texts).values()
    return {item["name"]: item["value"] for item in shown if item["type"] == "legacy"} or None


READERS: dict[str, Any] = {
    "container": read_container,
    "docker_cmd": read_command,
    "configuration": read_configuration,
    "model_desc": read_texts,
    "hyperparams": read_hyperparams,
    "model_items": read_models,
    "first_model": lambda stored, legacy: next(iter([item["model"] for item in stored or []]), legacy),
    "numbered": lambda stored: [item | {"position": place} for place, item in enumerate(stored, 1)],
    "last_model": lambda stored, legacy: next(reversed([item["model"] for item in stored or []]), legacy),
}


def list_items(value: Any, shown: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[Document]:
    """The items at the bottom of a map, or of an old list, that fit the arguments."""
    if shown["key"] == "artifact":
        found = value if isinstance(value, list) else [*(value or {}).values()]
        modes = arguments.get("mode")
        return [
            item
            for item in found
            if (arguments.get("key") is None or item["key"] in arguments["key"])
            and (modes is None or item.get("mode", "output").upper() in modes)
        ]
    key = KEYS.get(shown["key"], str)
    rows = [("", value or {})]
    for level in shown["by"]:
        asked = arguments.get(level)
        wanted = None if asked is None else {key(value) for value in asked}
        rows = [row for _, inner in rows for row in inner.items() if wanted is None or row[0] in wanted]
    if shown.get("entries"):
        return [{"key": unescape(name), "value": inner} for name, inner in rows]
    return [inner for _, inner in rows]


def unescape(key: str) -> str:
    names = {"%%": "%", "%2E": ".", "%24": "$", "%_": "_"}
    return re.sub("%%|%2E|%24|%_", lambda match: names[match[0]], key)


def build_sources(value: Any, whole: Mapping[str, Any], *, is_list: bool) -> Any:
    if is_list:
        return [Source(item, whole) for item in value] if isinstance(value, list) else None
    return Source(value, whole) if isinstance(value, dict) else None


def unwrap_non_null(type_: Any) -> Any:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def convert_plain(value: Any, type_: Any) -> Any:
    """A stored value of the right type as JSON."""
    type_ = unwrap_non_null(type_)
    if value is None:
        return None
    if isinstance(type_, GraphQLList):
        return [convert_plain(item, type_.of_type) for item in value]
    if isinstance(type_, GraphQLEnumType):
        return value.upper() if value.upper() in type_.values else "UNKNOWN"
    if type_.name == "String" and not isinstance(value, str):
        return str(value)  # cells of tables
    return as_json(value)


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    return value


def sort_maps(value: Any) -> Any:
    """Lists of objects in one order: maps have none, and the order of rows is not what is tested here."""
    if isinstance(value, dict):
        return {key: "…" if "ursor" in key else sort_maps(inner) for key, inner in value.items()}
    if isinstance(value, list):
        found = [sort_maps(item) for item in value]
        return (
            sorted(found, key=lambda item: json.dumps(item, sort_keys=True))
            if found and isinstance(found[0], dict)
            else found
        )
    return value


# -- generated selections --------------------------------------------------------------------------

WORDS = {
    "metric": ["loss", "accuracy", "a.b$/ü", "missing", ""],
    "variant": ["train", "test", "é.$", "missing"],
    "section": ["Args", "General", "TF_DEFINE", "a.b", "missing"],
    "name": ["lr", "batch.size", "batch", "_x__$y", "model.yaml", "missing", "", "100%"],
    "key": ["cat", "do.g", "image", "confusion", "rows", "missing"],
    "mode": ["INPUT", "OUTPUT"],
}


class Writer:
    """Writes a random selection, with the fragments and variables that it needs."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.fragments: list[str] = []
        self.variables: dict[str, tuple[str, Any]] = {}
        self.count = 0

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(1, one_in)) == one_in

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def variable(self, type_: str, value: Any) -> str:
        name = self.new("v")
        self.variables[name] = (type_, value)
        return f"${name}"

    def selection(self, type_: GraphQLObjectType, depth: int) -> str:
        """Something is always selected below a part of a document: without it there would be nothing to project."""
        stored = [name for name in type_.fields if (type_.name, name) not in LOADED]
        leaves = [name for name in stored if is_leaf_type(get_named_type(type_.fields[name].type))]
        usable = leaves if leaves and depth <= 0 else stored
        names = self.draw(st.lists(st.sampled_from(usable), min_size=1, max_size=3 + max(0, depth)))
        chosen = [self.field(type_, name, depth, may_be_off=number > 0) for number, name in enumerate(names)]
        if self.chance(5):
            chosen.append(self.draw(st.sampled_from(["__typename", f"{self.new('t')}: __typename"])))
        return f"{{ {' '.join([chosen[0], *self.grouped(type_, chosen[1:])])} }}"

    def grouped(self, type_: GraphQLObjectType, chosen: list[str], depth: int = 2) -> list[str]:
        """Some of the fields in a fragment."""
        if not chosen or not depth or not self.chance(2):
            return chosen
        cut = self.draw(st.integers(0, len(chosen) - 1))
        inside = " ".join(self.grouped(type_, chosen[cut:], depth - 1))
        kind = self.draw(st.sampled_from(["named", "typed", "bare"]))
        if kind == "named":
            name = self.new("F")
            self.fragments.append(f"fragment {name} on {type_.name} {{ {inside} }}")
            return [*chosen[:cut], f"...{name}{self.directive()}"]
        on = f" on {type_.name}" if kind == "typed" else ""
        return [*chosen[:cut], f"...{on}{self.directive()} {{ {inside} }}"]

    def directive(self) -> str:
        if not self.chance(4):
            return ""
        value = self.draw(st.booleans())
        said = self.variable("Boolean!", value) if self.chance(2) else json.dumps(value)
        return f" @{self.draw(st.sampled_from(['skip', 'include']))}(if: {said})"

    def field(self, type_: GraphQLObjectType, name: str, depth: int, *, may_be_off: bool) -> str:
        field: GraphQLField = type_.fields[name]
        arguments = self.arguments(field) if may_be_off else ""
        alias = f"{self.new('a')}: " if arguments or self.chance(4) else ""
        inner = get_named_type(field.type)
        below = f" {self.selection(inner, depth - 1)}" if isinstance(inner, GraphQLObjectType) else ""
        return f"{alias}{name}{arguments}{self.directive() if may_be_off else ''}{below}"

    def arguments(self, field: GraphQLField) -> str:
        if not field.args or self.chance(3):
            return ""
        said = [f"{name}: {value}" for name, argument in field.args.items() if (value := self.value(name, argument))]
        return f"({', '.join(said)})" if said else ""

    def value(self, name: str, argument: GraphQLArgument) -> str:
        kind = self.draw(st.sampled_from(["absent", "literal", "literal", "variable", "variable", "items", "null"]))
        values = self.draw(st.lists(st.sampled_from(WORDS[name]), max_size=3))
        if kind == "variable":
            return self.variable(str(argument.type), values)
        if kind == "items" and name != "mode":
            return "[" + ", ".join(self.variable("String!", value) for value in values) + "]"
        literal = "[" + ", ".join(values if name == "mode" else map(json.dumps, values)) + "]"
        return {"absent": "", "null": "null"}.get(kind, literal)


ORDERS = {
    "": ["last_update"],
    "orderBy: [{field: ID}]": [],
    "orderBy: [{field: NAME, direction: DESC}]": ["name"],
    "orderBy: [{field: EXECUTION_QUEUE}, {field: STARTED}]": ["execution.queue", "started"],
}
LIST_PARTS = [
    "nodes SELECTION",
    "edges { node SELECTION }",
    "edges { cursor }",
    "edges { cursor node SELECTION }",
    "totalCount",
    "pageInfo { hasNextPage }",
    "pageInfo { startCursor }",
    "pageInfo { hasPreviousPage endCursor }",
    "__typename",
]
TASK = get_object_type("Task")


class Drawn(NamedTuple):
    text: str
    variables: dict[str, Any]
    sort: list[str]


@st.composite
def selections(draw: st.DrawFn) -> Drawn:
    """A request for one task or for all of them."""
    writer = Writer(draw)
    if writer.chance(3):
        sort: list[str] = []
        body = f"task(id: {json.dumps(RICH['_id'])}) {writer.selection(TASK, 4)}"
    else:
        order = draw(st.sampled_from([*ORDERS]))
        sort = ORDERS[order]
        chosen = draw(st.lists(st.sampled_from(LIST_PARTS), min_size=1, max_size=4, unique=True))
        told = [
            part.replace("SELECTION", writer.selection(TASK, 4)) if "SELECTION" in part else part for part in chosen
        ]
        body = f"tasks{f'({order})' if order else ''} {{ {' '.join(told)} }}"
    declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in writer.variables.items())
    text = "\n".join([f"query{f'({declared})' if declared else ''} {{ {body} }}", *writer.fragments])
    return Drawn(text, {name: value for name, (_, value) in writer.variables.items()}, sort)


# Everything refers to something that is there, in circles, so that no look-up ends early.
RICH = task(
    _id="1" * 32,
    user="u",
    parent="2" * 32,
    project="p",
    last_changed_by="u",
    models={
        "input": [{"name": "in", "model": "m", "updated": DAY}, {"name": "in2", "model": "n", "updated": DAY}],
        "output": [{"name": "out", "model": "n", "updated": DAY}],
    },
    hyperparams=hyperparams(
        ("Args", "lr", "0.1"),
        ("Args", "batch.size", "3"),
        ("General", "_x__$y", "z"),
        ("a.b", "lr", "2"),
        ("General", "100%", "all"),
    ),
    last_metrics=last_metrics(("loss", "train", 1.0), ("loss", "test", 2.0), ("a.b$/ü", "é.$", 3.0), ("", "test", 4.0)),
)
RICH = put(RICH, "execution.queue", "q")
RICH = put(RICH, "execution.artifacts", artifacts(artifact("confusion"), artifact("confusion", mode="input")))
TWIN = RICH | {"_id": "2" * 32, "parent": "1" * 32}
OLD = old_task(_id="3" * 32, user="u", parent="1" * 32, project="p")
OLD = put(put(put(OLD, "execution.model", "m"), "output.model", "n"), "execution.queue", "q")
BOTH = RICH | {"_id": "6" * 32, "hyperparams": hyperparams(("General", "seed", "1"))}
BOTH = put(BOTH, "execution.parameters", {"lr": "9", "TF_DEFINE/batch": 3})
BOTH = put(put(BOTH, "execution.docker_cmd", "old --old"), "execution.model_desc", {"design": "old", "more": "x"})
BOTH = put(BOTH, "container", {"arguments": "--new", "setup_shell_script": "apt"})
PLAIN = task(
    _id="4" * 32, status="melted", type="hologram", started=None, last_update=ABSENT, script=ABSENT, name=ABSENT
)
BARE = {"_id": "5" * 32, "company": COMPANY, "models": {}}
STORED: dict[str, list[Document]] = {
    "task": [RICH, TWIN, OLD, BOTH, PLAIN, BARE],
    "project": [project(_id="p", user="u", parent="o"), project(_id="o", user="u", parent="p", path=["p"])],
    "model": [
        model(_id="m", user="u", project="p", parent="n", task="1" * 32),
        model(_id="n", user="u", project="p", parent="m", task="2" * 32),
    ],
    "queue": [queue(_id="q", entries=[{"task": "1" * 32, "added": DAY}, {"task": "2" * 32, "added": DAY}])],
    "user": [user(_id="u")],
    "company": [company()],
}


@pytest.fixture
async def stored(database: Database) -> None:
    for name, rows in STORED.items():
        await database[name].insert_many(rows)


@pytest.mark.slow
@GENERATED
@given(drawn=selections())
@pytest.mark.usefixtures("stored")
async def test_what_is_read_is_what_is_selected_and_answers_as_all_of_it_would(
    client: Client, commands: Commands, drawn: Drawn
) -> None:
    request = Request(drawn.text, drawn.variables)
    [[field]] = request.fields(request.selection).values()
    assert field.selection_set
    commands.seen.clear()
    actual = await client.data(drawn.text, **drawn.variables)
    if field.name.value == "task":
        check_find(commands, find_reads(request, "Task", field.selection_set))
    else:
        check_list(commands, list_reads(request, field.selection_set, drawn.sort))
    assert sort_maps(actual) == sort_maps(Reference(STORED).answer(request, root_of(STORED["task"])))


def check_find(commands: Commands, expected: Reads) -> None:
    assert found_by(commands) == {("task", drop_inner_paths(expected.paths | {"_id"})), *expected.finds}
    assert listed_by(commands) == []


def check_list(commands: Commands, expected: Reads) -> None:
    assert found_by(commands) == expected.finds
    projected = {frozenset(projection) for projection in listed_by(commands)}
    assert projected == ({drop_inner_paths(expected.paths)} if expected.paths else set())


def root_of(tasks: list[Document]) -> dict[str, Any]:
    whole = [Source(document, document) for document in tasks]
    connection = {
        "nodes": whole,
        "edges": [{"cursor": "…", "node": node} for node in whole],
        "totalCount": len(whole),
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": "…", "endCursor": "…"},
    }
    return {"task": whole[0], "tasks": connection}


def list_reads(request: Request, selection: SelectionSetNode, sort: list[str]) -> Reads:
    """A list reads its rows once for all of its parts, and the keys of its order where a cursor is selected."""
    found = Reads(set(), set())
    for nodes in request.fields(selection).values():
        below = [node.selection_set for node in nodes if node.selection_set]
        inner = request.fields(*below)
        names = {part[0].name.value: part for part in inner.values()}
        if below:
            found.paths.add("_id")
        if {"cursor", "startCursor", "endCursor"} & {*names}:
            found.paths.update(sort)
        rows = below if nodes[0].name.value == "nodes" else [node.selection_set for node in names.get("node", ())]
        if rows:
            of_rows = find_reads(request, "Task", *filter(None, rows))
            found.paths.update(of_rows.paths)
            found.finds.update(of_rows.finds)
    return found


def found_by(commands: Commands) -> set[tuple[str, frozenset[str]]]:
    return {(command["find"], frozenset(command["projection"])) for command in commands.seen if "find" in command}


def listed_by(commands: Commands) -> list[dict[str, Any]]:
    """The projections of every part of every list (a count has none)."""
    pipelines = [command["pipeline"] for command in commands.seen if "aggregate" in command]
    pipelines += [
        stage["$unionWith"]["pipeline"] for pipeline in pipelines for stage in pipeline if "$unionWith" in stage
    ]
    return [stage["$project"] for pipeline in pipelines for stage in pipeline if "$project" in stage]


# -- what it costs ---------------------------------------------------------------------------------


def names(commands: Commands) -> list[tuple[str, str]]:
    return [next(iter(command.items())) for command in commands.seen]


async def test_500_tasks_with_their_projects_users_parents_and_queues_are_five_commands(
    client: Client, database: Database, commands: Commands
) -> None:
    def row(number: int) -> Document:
        ids = {"user": f"u{number % 50}", "project": f"p{number % 30}", "parent": f"{number // 2:032x}"}
        return put({"_id": f"{number:032x}", "company": COMPANY} | ids, "execution.queue", f"q{number % 7}")

    await database.task.insert_many([row(number) for number in range(500)])
    await database.user.insert_many([user(_id=f"u{number}") for number in range(50)])
    await database.project.insert_many([project(_id=f"p{number}") for number in range(30)])
    await database.queue.insert_many([queue(_id=f"q{number}") for number in range(7)])
    commands.seen.clear()
    data = await client.data("""{
      tasks(first: 500) {
        nodes { id project { name } user { name } parent { name status } execution { queue { name } } }
        pageInfo { hasNextPage endCursor }
      }
    }""")
    assert len(data["tasks"]["nodes"]) == 500
    assert all(node["project"]["name"] == "vision/digits" for node in data["tasks"]["nodes"])
    assert sorted(names(commands)) == [
        ("aggregate", "task"),
        *(("find", name) for name in ("project", "queue", "task", "user")),
    ]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    "selection",
    [
        "project { id }",
        "user { id __typename }",
        "parent { __typename }",
        "company { id }",
        "execution { queue { id } }",
        "execution { model { id } modelId }",
        "output { model { i: id } }",
        "models { input { model { id } } }",
        "projectId userId parentId companyId lastChangedById",
    ],
)
async def test_only_the_id_of_a_relation_costs_no_look_up(client: Client, commands: Commands, selection: str) -> None:
    commands.seen.clear()
    await client.data(f"{{ tasks {{ nodes {{ {selection} }} }} }}")
    assert names(commands) == [("aggregate", "task")]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    "selection",
    [
        "nodes { a: project { name } b: project { name } }",
        "nodes { project { name } } edges { node { project { name } } }",
        "nodes { a: project { name, id } b: project { n: name, __typename } }",
        "a: nodes { project { name } } b: nodes { id project { name } }",
    ],
)
async def test_relations_of_which_the_same_is_asked_share_a_look_up(
    client: Client, commands: Commands, selection: str
) -> None:
    commands.seen.clear()
    await client.data(f"{{ tasks {{ {selection} }} }}")
    assert names(commands) == [("aggregate", "task"), ("find", "project")]


@pytest.mark.usefixtures("stored")
async def test_relations_of_one_collection_that_ask_the_same_share_a_look_up(
    client: Client, commands: Commands
) -> None:
    commands.seen.clear()
    selection = "user { name } lastChangedBy { name } execution { model { uri } } output { model { uri } }"
    await client.data(f'{{ task(id: "{RICH["_id"]}") {{ {selection} }} }}')
    assert sorted(names(commands)) == [("find", "model"), ("find", "task"), ("find", "user")]


@pytest.mark.usefixtures("stored")
async def test_tasks_by_id_in_one_request_share_a_look_up(client: Client, commands: Commands) -> None:
    commands.seen.clear()
    data = await client.data(f'{{ a: task(id: "{"1" * 32}") {{ id name }} b: task(id: "{"2" * 32}") {{ name id }} }}')
    assert [data["a"]["id"], data["b"]["id"]] == ["1" * 32, "2" * 32]
    assert names(commands) == [("find", "task")]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("selection", "stages"),
    [
        ("nodes { id }", ["$project"]),
        ("totalCount", ["$group"]),
        ("a: totalCount b: totalCount", ["$group"]),
        ("nodes { id } totalCount @skip(if: true)", ["$project"]),
        ("nodes { id } totalCount", ["$group", "$project"]),
        ("__typename", []),
    ],
)
async def test_a_part_of_a_list_that_is_not_selected_costs_nothing(
    client: Client, commands: Commands, selection: str, stages: list[str]
) -> None:
    commands.seen.clear()
    await client.data(f"{{ tasks {{ {selection} }} }}")
    asked = [{name for stage in command["pipeline"] for name in stage} for command in commands.seen]
    assert sorted(name for found in asked for name in found & {"$group", "$project"}) == stages


# -- next to nothing selected ----------------------------------------------------------------------


def places(type_: GraphQLObjectType, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every object below a type, a relation's and a loaded one included but not what is below those."""
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLObjectType) and (type_.name, name) not in LOADED:
            yield (*at, name)
            if not find_property(type_.name, name).is_relation and (type_.name, name) not in LOADED:
                yield from places(inner, (*at, name))


def last_of(value: Any, way: Sequence[str]) -> Any:
    for name in way:
        value = value[name][-1] if isinstance(value[name], list) else value[name]
    return value


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("way", [*places(TASK)], ids=".".join)
async def test_the_name_of_a_type_can_be_all_that_is_asked(client: Client, way: tuple[str, ...]) -> None:
    type_: Any = TASK
    for name in way:
        type_ = get_named_type(type_.fields[name].type)
    below = " { ".join([*way, "__typename"]) + " }" * len(way)
    data = await client.data(f'{{ task(id: "{RICH["_id"]}") {{ {below} }} }}')
    assert last_of(data["task"], way) == {"__typename": type_.name}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("__typename", {"__typename": "TaskConnection"}),
        ("nodes { __typename }", {"nodes": [{"__typename": "Task"}] * 6}),
        ("edges { __typename }", {"edges": [{"__typename": "TaskEdge"}] * 6}),
        ("edges { node { t: __typename } }", {"edges": [{"node": {"t": "Task"}}] * 6}),
        ("pageInfo { __typename }", {"pageInfo": {"__typename": "PageInfo"}}),
    ],
)
async def test_the_name_of_a_type_can_be_all_that_is_asked_of_a_list(
    client: Client, selection: str, expected: dict[str, Any]
) -> None:
    assert await client.data(f"{{ __typename tasks {{ {selection} }} }}") == {"__typename": "Query", "tasks": expected}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ('lastMetrics(metric: ["loss"], variant: ["train"]) { __typename }', {"lastMetrics": ["LastMetricsEvent"]}),
        ('hyperparams(section: ["General"], name: ["100%"]) { __typename }', {"hyperparams": ["Hyperparam"]}),
        ('configuration(name: ["model.yaml"]) { __typename }', {"configuration": ["ConfigurationItem"]}),
        ('container(key: ["image"]) { __typename }', {"container": ["ContainerEntry"]}),
        (
            'execution { parameters(section: ["a.b"], name: ["lr"]) { __typename } }',
            {"execution": {"parameters": ["Hyperparam"]}},
        ),
        ('execution { modelLabels(key: ["cat"]) { __typename } }', {"execution": {"modelLabels": ["ModelLabel"]}}),
        (
            'execution { artifacts(key: ["confusion"], mode: [INPUT]) { __typename } }',
            {"execution": {"artifacts": ["Artifact"]}},
        ),
        ("execution { modelLabels(key: []) { key } }", {"execution": {"modelLabels": []}}),
        ('execution { modelLabels(key: [""]) { key } }', {"execution": {"modelLabels": []}}),
        ("lastMetrics(metric: []) { value }", {"lastMetrics": []}),
        ("execution { queueId @skip(if: true) }", {"execution": {}}),
        ("execution { ... @include(if: false) { queueId } }", {"execution": {}}),
        ("project { name @skip(if: true) }", {"project": {}}),
        ('lastMetrics(metric: ["loss"], variant: ["train"]) { value @skip(if: true) }', {"lastMetrics": [{}]}),
        ("name @skip(if: true)", {}),
    ],
)
async def test_what_asks_for_no_stored_value_is_answered_all_the_same(
    client: Client, selection: str, expected: dict[str, Any]
) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return value.get("__typename") or {key: named(inner) for key, inner in value.items()}
        return [named(item) for item in value] if isinstance(value, list) else value

    data = await client.data(f'{{ task(id: "{RICH["_id"]}") {{ {selection} }} }}')
    assert named(data["task"]) == expected


@pytest.mark.usefixtures("stored")
async def test_more_keys_than_are_worth_naming_are_answered_as_well(client: Client) -> None:
    many = [f"metric {number}" for number in range(60)]
    data = await client.data(
        """query($ids: [ID!], $many: [String!]) {
          tasks(filter: {id: $ids}) { nodes { lastMetrics(metric: $many, variant: $many) { value } } }
        }""",
        ids=[RICH["_id"]],
        many=[*many, "loss", "test"],
    )
    assert data["tasks"]["nodes"] == [{"lastMetrics": [{"value": 2.0}]}]
