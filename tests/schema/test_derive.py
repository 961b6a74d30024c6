"""Types are derived: what is added to a .conf, and nothing else, is in the SDL, the projections and the answers."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    is_introspection_type,
    is_specified_scalar_type,
)
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette
from strawberry.types import ExecutionResult

from models.types import Viewer
from resolvers.execution.context import Context
from resolvers.root import RELATED_FIELDS, build_schema
from schema.derive import CONFIG, StrawberryTypes
from schema.load import FOLDER, load
from schema.spec import ListOf, ObjectSpec, Spec
from tests.support.commands import Commands

VIEWER = Viewer(user="ann", company="ours", role="admin")
Database = AsyncDatabase[dict[str, Any]]

# what is written into the copied tasks.conf: behind which words, which text
ADDITIONS = {
    r"\n  task \{\n.*?\n    properties \{\n": """
      gpu_hours { type: number, x-sortable: true, description: "Hours on a GPU." }
      exit_code { type: integer, description: "The number with which the program ended." }
      reviewer { type: string, x-relation: user, description: "Who looks at the results." }
      machine { "$ref": "#/definitions/machine", description: "Where the task ran." }
      disks { type: array, items { "$ref": "#/definitions/disk" }, description: "The disks that were used." }
      usage {
        description: "How much was used, by the name of the resource."
        type: object, additionalProperties { "$ref": "#/definitions/usage" }
        x-list { of: usage, by: [name], key: escaped }
      }
      limits {
        description: "How much may be used, by the plain name of the resource."
        type: object, additionalProperties { "$ref": "#/definitions/usage" }
        x-list { of: usage, by: [name] }
      }
      counts {
        description: "How often things happened, by what happened."
        type: object, additionalProperties { type: integer }
        x-list { of: model_label, by: [key], entries: true }
      }
      pauses { type: array, items { type: string, format: "date-time" }, description: "When the task was paused." }
      badge {
        description: "A sign to show."
        type: object
        required: [text]
        properties { text { type: string, description: "The words on it." } }
      }
""",
    r"\n_definitions \{\n": """
  machine {
    description: "A computer."
    type: object
    properties {
      host { type: string, description: "Its name." }
      cores { type: integer, x-sortable: true, description: "Number of its cores." }
      class { type: string, description: "Its kind; a word that Python keeps for itself." }
      state { type: string, enum: [on, off], description: "Whether it is on." }
      disks { type: array, items { "$ref": "#/definitions/disk" }, description: "Its disks." }
    }
  }
  disk {
    description: "A disk."
    type: object
    required: [path]
    properties {
      path { type: string, description: "Where it is mounted." }
      size_gb { type: integer, x-scalar: Long, x-name: gigabytes, description: "Its size." }
    }
  }
  usage {
    description: "How much of a resource was used."
    type: object
    properties {
      name { type: string, description: "The resource." }
      peak { type: number, description: "The most that was used at once." }
    }
  }
""",
    r"\nget_all \{\n.*?\n      properties \{\n": """
        reviewer {
          description: "Tasks that one of these users reviews."
          type: array, items { type: string }
          x-scalar: ID, x-filter: listed
        }
        class { type: string, x-filter: equal, x-stored: machine.class, description: "Tasks that ran on this kind." }
        exit_code { type: integer, x-filter: equal, description: "Tasks that ended with this number." }
        last_iteration { type: integer, x-scalar: Long, x-filter: equal, description: "Tasks that came this far." }
        born { type: string, format: "date-time", x-filter: equal, x-stored: created, description: "Created then." }
""",
    r"\n    enum: \[created, ": "paused, ",
    r"\n    enum: \[training, ": "tuning, ",
}
ADDED = {
    "Task.gpuHours": "Float",
    "Task.exitCode": "Int",
    "Task.reviewer": "User",
    "Task.reviewerId": "ID",
    "Task.machine": "Machine",
    "Task.disks": "[Disk!]",
    "Task.usage": "[Usage!]!",
    "Task.usage(name)": "[String!]",
    "Task.limits": "[Usage!]!",
    "Task.limits(name)": "[String!]",
    "Task.counts": "[ModelLabel!]!",
    "Task.counts(key)": "[String!]",
    "Task.pauses": "[DateTime!]",
    "Task.badge": "TaskBadge",
    "TaskBadge.text": "String",
    "Machine.host": "String",
    "Machine.cores": "Int",
    "Machine.class": "String",
    "Machine.state": "MachineState",
    "MachineState.ON": "value",
    "MachineState.OFF": "value",
    "MachineState.UNKNOWN": "value",
    "Machine.disks": "[Disk!]",
    "Disk.path": "String",
    "Disk.gigabytes": "Long",
    "Usage.name": "String",
    "Usage.peak": "Float",
    "TaskFilter.reviewer": "[ID!]",
    "TaskFilter.class": "String",
    "TaskFilter.exitCode": "Int",
    "TaskFilter.lastIteration": "Long",
    "TaskFilter.born": "DateTime",
    "TaskStatus.PAUSED": "value",
    "TaskType.TUNING": "value",
    "TaskSortField.GPU_HOURS": "value",
    "TaskSortField.MACHINE_CORES": "value",
}
NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - naive UTC, as it is stored
DOCUMENTS = [
    {
        "_id": "one",
        "company": "ours",
        "status": "paused",
        "type": "training",
        "reviewer": "bob",
        "gpu_hours": 2.5,
        "exit_code": 0,
        "last_iteration": 2**40,
        "created": NOON,
        "pauses": [NOON, "later"],
        "badge": {"text": "new"},
        "machine": {
            "host": "m1",
            "cores": 8,
            "class": "big",
            "state": "off",
            "disks": [{"path": "/", "size_gb": 2**33, "serial": "x"}],
        },
        "disks": [{"path": "/data", "size_gb": 20}, {"size_gb": "many"}],
        "usage": {"gpu%2E0": {"name": "gpu.0", "peak": 0.5}, "ram": {"name": "ram", "peak": 3.0}},
        "limits": {"cpu": {"name": "cpu", "peak": 1.0}, "ram.gb": {"name": "ram.gb", "peak": 4.0}},
        "counts": {"cat": 3, "dog.big": 1},
    },
    {
        "_id": "two",
        "company": "ours",
        "status": "created",
        "type": "tuning",
        "gpu_hours": 4.5,
        "exit_code": 2**31,
        "last_iteration": 2**62,
        "machine": {"cores": 2, "class": "small", "state": "asleep"},
        "badge": {},
    },
    {"_id": "three", "company": "ours", "status": "moved", "type": "training", "gpu_hours": "long", "machine": 5},
]


class Ask(Protocol):
    async def __call__(self, query: str, **variables: Any) -> ExecutionResult: ...


@pytest.fixture(scope="module")
def plain_schema() -> GraphQLSchema:
    return build_schema(load())._schema


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    """The repository's schema with the additions, which are made in tasks.conf alone."""
    folder = tmp_path_factory.mktemp("extended") / "schema"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (folder / "tasks.conf").read_text()
    for words, addition in ADDITIONS.items():
        [found] = re.finditer(words, text, re.DOTALL)
        text = text[: found.end()] + addition + text[found.end() :]
    (folder / "tasks.conf").write_text(text)
    return load(folder)


@pytest.fixture(scope="module")
def executable(extended: Spec) -> strawberry.Schema:
    return build_schema(extended)


@pytest.fixture
async def ask(app: Starlette, database: Database, extended: Spec, executable: strawberry.Schema) -> Ask:
    """Asks the extended schema about the three tasks and the one user."""
    await database["task"].insert_many([{**document} for document in DOCUMENTS])
    await database["user"].insert_one({"_id": "bob", "company": "ours", "name": "Bob"})

    async def execute(query: str, **variables: Any) -> ExecutionResult:
        context = Context(
            VIEWER,
            app.state.database.create_reader(VIEWER),
            app.state.database.create_writer(VIEWER),
            app.state.database.changes,
            extended,
            500,
            related_fields=RELATED_FIELDS,
        )
        return await executable.execute(query, variable_values=variables, context_value=context)

    return execute


async def query_nodes(ask: Ask, selection: str, **arguments: Any) -> list[Any]:
    """The tasks as they are answered, without an error."""
    query = f"""query ($filter: TaskFilter, $orderBy: [TaskOrder!] = {{field: ID}}) {{
      tasks(filter: $filter, orderBy: $orderBy) {{ nodes {{ {selection} }} }} }}"""
    result = await ask(query, **arguments)
    assert result.errors is None
    assert result.data
    found: list[Any] = result.data["tasks"]["nodes"]
    return found


def list_projections(commands: Commands) -> list[dict[str, int]]:
    """What the reading commands project, in their order."""
    sent = [command for command in commands.seen if "aggregate" in command or "find" in command]
    return [
        command["projection"]
        if "find" in command
        else next(stage["$project"] for stage in command["pipeline"] if "$project" in stage)
        for command in sent
    ]


def list_elements(schema: GraphQLSchema) -> dict[str, str]:
    """Fields, arguments and enum values by their paths, with their types."""
    found = {}
    for type_ in walk_own_types(schema):
        if isinstance(type_, GraphQLEnumType):
            found |= {f"{type_.name}.{value}": "value" for value in type_.values}
        if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                found[f"{type_.name}.{name}"] = str(field.type)
                arguments = getattr(field, "args", {})
                found |= {f"{type_.name}.{name}({key})": str(value.type) for key, value in arguments.items()}
    return found


def walk_own_types(schema: GraphQLSchema) -> Iterator[Any]:
    for type_ in schema.type_map.values():
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_):
            yield type_


# -- additions -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_added_to_hocon_is_added_to_the_sdl_and_nothing_else(
    plain_schema: GraphQLSchema, executable: strawberry.Schema
) -> None:
    before, after = list_elements(plain_schema), list_elements(executable._schema)
    assert {name: kind for name, kind in after.items() if name not in before} == ADDED
    assert before == {name: kind for name, kind in after.items() if name in before}


def test_what_is_added_is_described_as_hocon_says(executable: strawberry.Schema) -> None:
    task, machine = executable._schema.type_map["Task"], executable._schema.type_map["Machine"]
    assert isinstance(task, GraphQLObjectType)
    assert (task.fields["gpuHours"].description, machine.description) == ("Hours on a GPU.", "A computer.")


async def test_an_added_scalar_is_projected_and_answered(ask: Ask, commands: Commands) -> None:
    assert await query_nodes(ask, "gpuHours") == [{"gpuHours": 2.5}, {"gpuHours": None}, {"gpuHours": 4.5}]
    assert list_projections(commands) == [{"_id": 1, "gpu_hours": 1}]


async def test_an_added_definition_is_projected_and_answered(ask: Ask, commands: Commands) -> None:
    answered = await query_nodes(ask, "id machine { host cores class disks { path gigabytes } }")
    assert answered == [
        {
            "id": "one",
            "machine": {
                "host": "m1",
                "cores": 8,
                "class": "big",
                "disks": [{"path": "/", "gigabytes": 2**33}],
            },
        },
        {"id": "three", "machine": None},
        {"id": "two", "machine": {"host": None, "cores": 2, "class": "small", "disks": None}},
    ]
    parts = ["_id", "machine.class", "machine.cores", "machine.disks.path", "machine.disks.size_gb", "machine.host"]
    assert list_projections(commands) == [dict.fromkeys(parts, 1)]


async def test_a_list_of_an_added_definition_is_projected_and_answered(ask: Ask, commands: Commands) -> None:
    answered = await query_nodes(ask, "disks { path gigabytes }", filter={"id": ["one", "two"]})
    assert answered == [
        {"disks": [{"path": "/data", "gigabytes": 20}, {"path": None, "gigabytes": None}]},
        {"disks": None},
    ]
    assert list_projections(commands) == [{"_id": 1, "disks.path": 1, "disks.size_gb": 1}]


async def test_an_added_map_is_answered_as_a_list(ask: Ask) -> None:
    selection = "usage { name peak } limits { peak } counts { key value }"
    assert await query_nodes(ask, selection, filter={"id": ["one", "two"]}) == [
        {
            "usage": [{"name": "gpu.0", "peak": 0.5}, {"name": "ram", "peak": 3.0}],
            "limits": [{"peak": 1.0}, {"peak": 4.0}],
            "counts": [{"key": "cat", "value": 3}, {"key": "dog.big", "value": 1}],
        },
        {"usage": [], "limits": [], "counts": []},
    ]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ('usage(name: ["gpu.0"]) { peak }', [{"peak": 0.5}]),
        ('limits(name: ["ram.gb"]) { peak }', [{"peak": 4.0}]),
        ('counts(key: ["dog.big"]) { value }', [{"value": 1}]),
    ],
    ids=["escaped keys", "plain keys", "plain keys of entries"],
)
async def test_the_arguments_of_an_added_map_choose_its_items(ask: Ask, selection: str, expected: list[Any]) -> None:
    [found] = await query_nodes(ask, selection, filter={"id": ["one"]})
    assert expected == next(iter(found.values()))


async def test_only_the_chosen_items_of_an_added_map_are_projected(ask: Ask, commands: Commands) -> None:
    await query_nodes(ask, 'usage(name: ["gpu.0"]) { peak }')
    assert list_projections(commands) == [{"_id": 1, "usage.gpu%2E0.peak": 1}]


async def test_an_added_list_of_scalars_leaves_out_what_it_can_not_read(ask: Ask) -> None:
    assert await query_nodes(ask, "pauses", filter={"id": ["one"]}) == [{"pauses": ["2026-01-31T12:00:00.000Z"]}]


async def test_an_object_written_in_its_place_is_answered(ask: Ask) -> None:
    badges = [{"text": "new"}, None, {"text": None}]
    assert badges == [node["badge"] for node in await query_nodes(ask, "badge { text }")]


async def test_an_added_relation_is_answered_as_the_object_and_as_its_id(ask: Ask, commands: Commands) -> None:
    answered = await query_nodes(ask, "reviewer { name } reviewerId", filter={"id": ["one", "two"]})
    assert answered == [
        {"reviewer": {"name": "Bob"}, "reviewerId": "bob"},
        {"reviewer": None, "reviewerId": None},
    ]
    assert list_projections(commands) == [{"_id": 1, "reviewer": 1}, {"_id": 1, "name": 1}]


async def test_added_enum_values_are_answered_and_what_is_still_unknown_reads_unknown(ask: Ask) -> None:
    assert await query_nodes(ask, "status type machine { state }") == [
        {"status": "PAUSED", "type": "TRAINING", "machine": {"state": "OFF"}},
        {"status": "UNKNOWN", "type": "TRAINING", "machine": None},
        {"status": "CREATED", "type": "TUNING", "machine": {"state": "UNKNOWN"}},
    ]


async def test_lists_can_be_ordered_by_an_added_field(ask: Ask) -> None:
    by_hours = {"field": "GPU_HOURS", "direction": "DESC"}
    assert await query_nodes(ask, "id", orderBy=by_hours) == [{"id": "two"}, {"id": "one"}, {"id": "three"}]


async def test_lists_can_be_ordered_by_a_field_of_an_added_definition(ask: Ask) -> None:
    by_cores = [{"field": "MACHINE_CORES", "direction": "DESC", "nulls": "FIRST"}]
    assert await query_nodes(ask, "id", orderBy=by_cores) == [{"id": "three"}, {"id": "one"}, {"id": "two"}]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"reviewer": ["bob"]}, ["one"]),
        ({"reviewer": ["-bob"]}, ["three", "two"]),
        ({"class": "small"}, ["two"]),
        ({"exitCode": 0}, ["one"]),
        ({"lastIteration": 2**62}, ["two"]),
        ({"born": "2026-01-31T13:00:00+01:00"}, ["one"]),
        ({"status": ["PAUSED"]}, ["one"]),
        ({"type": ["tuning"]}, ["two"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, Mapping) else "",
)
async def test_lists_can_be_filtered_by_what_is_added(ask: Ask, asked: dict[str, Any], expected: list[str]) -> None:
    assert expected == [node["id"] for node in await query_nodes(ask, "id", filter=asked)]


async def test_texts_of_an_added_definition_can_be_searched_by_pattern(ask: Ask) -> None:
    asked = {"_any_": {"pattern": "^BIG$", "fields": ["machine.class"]}}
    assert await query_nodes(ask, "id", filter=asked) == [{"id": "one"}]


# -- scalars ---------------------------------------------------------------------------------------


async def test_whole_numbers_outside_their_range_are_null_and_long_ones_exact(ask: Ask) -> None:
    assert await query_nodes(ask, "exitCode lastIteration") == [
        {"exitCode": 0, "lastIteration": 2**40},
        {"exitCode": None, "lastIteration": None},
        {"exitCode": None, "lastIteration": 2**62},
    ]


NO_DATE_TIME = [
    "",
    "yesterday",
    "12:00:00Z",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-02-30T12:00:00Z",
    "2026-01-31T24:30:00Z",
    5,
    0.5,
    True,
    ["2026-01-31T12:00:00Z"],
    {},
    # ISO 8601, but not RFC 3339
    "20260131T120000Z",
    "2026-W05-6T12:00:00Z",
    "2026-01-31T12Z",
    "2026-01-31T12:00Z",
    "2026-01-31T12:00:00,5Z",
    "2026-01-31T12:00:00+01",
    "2026-01-31T12:00:00+0100",
    "2026-01-31T12:00:00+01:00:30",
    "2026-01-31_12:00:00Z",
    # outside the years that there are, once in UTC
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-01:00",
]
NO_LONG = [2**63, -(2**63) - 1, 1.5, 2.0**53 + 2, 1e300, "1", True, [1], {}]
NO_INT = [2**31, -(2**31) - 1, 1.5, "1", True]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("born", value) for value in NO_DATE_TIME),
        *(("lastIteration", value) for value in NO_LONG),
        *(("exitCode", value) for value in NO_INT),
    ],
    ids=repr,
)
async def test_a_value_that_is_none_of_its_scalar_is_refused(ask: Ask, field: str, value: object) -> None:
    scalar = {"born": "DateTime", "lastIteration": "Long", "exitCode": "Int"}[field]
    result = await ask("query ($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }", filter={field: value})
    assert result.data is None
    assert result.errors
    [error] = result.errors
    assert "$filter" in error.message
    assert f"{scalar} is " in error.message or f"{scalar} cannot represent" in error.message


@pytest.mark.parametrize(
    "literal",
    [
        'born: "2026-01-31"',
        "born: 5",
        "lastIteration: 9223372036854775808",
        "lastIteration: 1.5",
        'exitCode: "1"',
    ],
)
async def test_a_literal_that_is_none_of_its_scalar_is_refused(ask: Ask, literal: str) -> None:
    result = await ask(f"{{ tasks(filter: {{{literal}}}) {{ totalCount }} }}")
    assert result.data is None
    assert result.errors
    [error] = result.errors
    assert re.search(r"(DateTime|Long|Int) (is|cannot represent)", error.message)


@pytest.mark.parametrize(
    "value", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z", "2026-01-31T07:00:00.0000-05:00"]
)
async def test_a_date_time_of_any_offset_is_the_same_moment(ask: Ask, value: str) -> None:
    assert await query_nodes(ask, "created", filter={"born": value}) == [{"created": "2026-01-31T12:00:00.000Z"}]


@pytest.mark.parametrize("name", ["DateTime", "Long", "JSON"])
def test_scalars_say_where_they_are_specified(plain_schema: GraphQLSchema, name: str) -> None:
    scalar = plain_schema.type_map[name]
    assert isinstance(scalar, GraphQLScalarType)
    assert (scalar.specified_by_url or "").startswith("https://")
    assert f'scalar {name} @specifiedBy(url: "{scalar.specified_by_url}")' in build_schema(load()).as_str()


# -- defaults --------------------------------------------------------------------------------------

DEFAULTS = """
_definitions {
  thing {
    type: object
    x-collection: thing
    properties { id { type: string, x-scalar: ID }, colour { type: string, default: red } }
  }
  speed_enum { type: string, enum: [fast, slow] }
  choice {
    type: object
    properties { limit { type: integer, default: 5 }, speed { "$ref": "#/definitions/speed_enum", default: slow } }
  }
}
_query.things {
  arguments.properties {
    choice { "$ref": "#/definitions/choice" }
    like { "$ref": "#/definitions/thing" }
    deep { type: boolean, default: false }
  }
  returns { "$ref": "#/definitions/thing" }
}
"""


@pytest.fixture
def defaults_sdl(tmp_path: Path) -> str:
    (tmp_path / "things.conf").write_text(DEFAULTS)

    def things(**_arguments: Any) -> None:
        pass

    types = StrawberryTypes(load(tmp_path))
    return strawberry.Schema(query=types.build_query({"things": things}), types=types.types, config=CONFIG).as_str()


@pytest.mark.parametrize("line", ["limit: Int = 5", "speed: Speed = SLOW"])
def test_the_sdl_tells_defaults_of_inputs(defaults_sdl: str, line: str) -> None:
    assert f"  {line}\n" in defaults_sdl


def test_the_sdl_tells_defaults_of_arguments(defaults_sdl: str) -> None:
    assert "deep: Boolean = false" in defaults_sdl


def test_the_sdl_is_silent_about_defaults_of_what_is_stored(defaults_sdl: str) -> None:
    assert "input ThingInput {\n  id: ID\n  colour: String\n}" in defaults_sdl


# -- the whole schema ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sdl_is_the_same_each_time() -> None:
    again = load.__wrapped__(FOLDER)
    assert build_schema(load()).as_str() == build_schema(again).as_str()


def is_id(owner: str, name: str, _field: GraphQLField, _spec: Spec) -> bool:
    return name == "id" and owner != "Query"


def is_map_view(owner: str, name: str, _field: GraphQLField, spec: Spec) -> bool:
    found = [item for item in spec.definitions.values() if isinstance(item, ObjectSpec) and item.graphql_name == owner]
    return any(item.output_fields[name].map_view is not None for item in found)


def is_not_stored(owner: str, _name: str, _field: GraphQLField, spec: Spec) -> bool:
    stored = {
        item.graphql_name for item in spec.definitions.values() if isinstance(item, ObjectSpec) and item.is_stored
    }
    return owner not in stored


NON_NULL: list[Callable[[str, str, GraphQLField, Spec], bool]] = [is_id, is_map_view, is_not_stored]


@pytest.fixture(params=["as it is", "extended"])
def derived_schema(request: pytest.FixtureRequest, extended: Spec) -> tuple[Spec, GraphQLSchema]:
    spec = load() if request.param == "as it is" else extended
    return spec, build_schema(spec)._schema


def test_of_stored_fields_only_ids_and_lists_of_maps_are_required(
    derived_schema: tuple[Spec, GraphQLSchema],
) -> None:
    spec, schema = derived_schema
    wrong = {
        f"{type_.name}.{name}": str(field.type)
        for type_, name, field in walk_output_fields(schema)
        if isinstance(field.type, GraphQLNonNull)
        and not any(reason(type_.name, name, field, spec) for reason in NON_NULL)
    }
    assert wrong == {}


def test_ids_and_lists_of_maps_are_required(derived_schema: tuple[Spec, GraphQLSchema]) -> None:
    spec, schema = derived_schema
    wrong = {
        f"{type_.name}.{name}": str(field.type)
        for type_, name, field in walk_output_fields(schema)
        if not isinstance(field.type, GraphQLNonNull)
        and (is_id(type_.name, name, field, spec) or is_map_view(type_.name, name, field, spec))
    }
    assert wrong == {}


def test_items_of_lists_are_never_null(derived_schema: tuple[Spec, GraphQLSchema]) -> None:
    spec, schema = derived_schema
    holes = {
        (of.graphql_name, output_field.graphql_name)
        for of in (spec.get_object("metric_series"), spec.get_object("metrics_chunk"))
        for output_field in of.fields
        if isinstance(output_field.type, ListOf) and output_field.type.has_null_items
    }
    assert holes == {("MetricSeries", "values"), ("MetricsChunk", "values")}
    kinds = {
        f"{type_.name}.{name}": field.type
        for type_, name, field in walk_output_fields(schema)
        if (type_.name, name) not in holes
    }
    assert {name: str(kind) for name, kind in kinds.items() if not has_required_items(kind)} == {}


def has_required_items(type_: Any) -> bool:
    if isinstance(type_, GraphQLNonNull):
        return has_required_items(type_.of_type)
    if isinstance(type_, GraphQLList):
        return isinstance(type_.of_type, GraphQLNonNull) and has_required_items(type_.of_type)
    return True


def walk_output_fields(schema: GraphQLSchema) -> Iterator[tuple[GraphQLObjectType, str, GraphQLField]]:
    for type_ in walk_own_types(schema):
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                yield type_, name, field


def walk_descriptions(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    for type_ in walk_own_types(schema):
        yield type_.name, type_.description
        if isinstance(type_, GraphQLEnumType):
            yield from ((f"{type_.name}.{name}", value.description) for name, value in type_.values.items())
        if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field.description
                for key, argument in getattr(field, "args", {}).items():
                    yield f"{type_.name}.{name}({key})", argument.description


def test_every_type_field_argument_and_enum_value_is_described(plain_schema: GraphQLSchema) -> None:
    assert [path for path, description in walk_descriptions(plain_schema) if not description] == []


NAMES = {
    "type": re.compile(r"([A-Z][a-z0-9]*)+(?<!Enum)|JSON"),
    "field": re.compile(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)*|_all_|_any_"),
    "enum value": re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"),
}


def walk_names(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    for type_ in walk_own_types(schema):
        yield "type", type_.name
        if isinstance(type_, GraphQLEnumType):
            yield from (("enum value", name) for name in type_.values)
        if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                yield "field", name
                yield from (("field", key) for key in getattr(field, "args", {}))


def test_names_are_spelled_as_graphql_spells_them(plain_schema: GraphQLSchema) -> None:
    assert [(kind, name) for kind, name in walk_names(plain_schema) if not NAMES[kind].fullmatch(name)] == []


# -- resolvers -------------------------------------------------------------------------------------


def test_a_field_of_query_without_a_resolver_is_named() -> None:
    resolvers = dict.fromkeys(load().queries.keys() - {"tasks"}, lambda: None)
    with pytest.raises(ValueError, match=r"Query .*\['tasks'\]"):
        StrawberryTypes(load()).build_query(resolvers)


def test_a_resolver_without_a_field_of_query_is_named() -> None:
    resolvers = dict.fromkeys([*load().queries, "weather"], lambda: None)
    with pytest.raises(ValueError, match=r"Query .*\['weather'\]"):
        StrawberryTypes(load()).build_query(resolvers)


def test_a_related_field_without_a_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: function for name, function in RELATED_FIELDS.items() if name not in ("children", "series")}
    monkeypatch.setattr("resolvers.root.RELATED_FIELDS", others)
    with pytest.raises(ValueError, match=r"RELATED_FIELDS in resolvers/root.py needs a function for children, series"):
        build_schema(load())
