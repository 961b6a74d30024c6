"""Input that would like to be more than a value: operators, paths, regular expressions, lines of a log."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

from api.settings import CLEARML_COMPANY
from resolvers.errors import ErrorCode
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SCHEMA = build_schema((ROOT / "schema" / "schema.graphql").read_text())
OPERATORS: list[dict[str, Any]] = [
    {"$gt": ""},
    {"$where": "sleep(1000)"},
    {"$regex": ".*"},
    {"$ne": 1},
    {"$expr": {"$eq": [1, 1]}},
    {"$function": {"body": "function() { return true }", "args": [], "lang": "js"}},
]
CODES = {code.name for code in ErrorCode} - {"INTERNAL_ERROR"}
ODD_NAMES = [
    "$where",
    "$",
    "a.b",
    "a.$**",
    "\0",
    "a\0b",
    "",
    ".",
    "__proto__",
    "constructor",
    "__class__",
    "\r\n",
    "x" * 300,
]
TEXTS = {"String", "ID"}
# in an expression of MongoDB a field, a variable, or a mistake
PATHS = ["$", "$$", "$name", "$a.b", "$company", "$$ROOT", "$$NOW"]


def places(
    type_: GraphQLInputType, above: tuple[str, ...] = (), within: tuple[GraphQLInputObjectType, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The paths to all texts in an input type, and in what is of the same type within it."""
    named = get_named_type(type_)
    if named.name in TEXTS:
        yield above
    elif isinstance(named, GraphQLInputObjectType) and within.count(named) < 2:
        for name, field in named.fields.items():
            yield from places(field.type, (*above, name), (*within, named))


def holding(type_: GraphQLInputType, path: tuple[str, ...], value: Any) -> Any:
    """An input of this type that has the value at this path."""
    if is_non_null_type(type_):
        return holding(type_.of_type, path, value)
    if is_list_type(type_):
        return [holding(type_.of_type, path, value)]
    if not path:
        return value
    assert isinstance(type_, GraphQLInputObjectType)
    return smallest(type_) | {path[0]: holding(type_.fields[path[0]].type, path[1:], value)}


def smallest(type_: GraphQLInputType) -> Any:
    """The smallest input of this type that is valid."""
    named = get_named_type(type_)
    if is_list_type(get_nullable_type(type_)):
        return []
    if isinstance(named, GraphQLEnumType):
        return next(iter(named.values))
    if not isinstance(named, GraphQLInputObjectType):
        return "x"
    return {name: smallest(field.type) for name, field in named.fields.items() if is_required_input_field(field)}


def arguments() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every text that a root field takes, as field, argument and path."""
    assert SCHEMA.query_type
    for name, field in SCHEMA.query_type.fields.items():
        for argument in field.args:
            yield from ((name, argument, path) for path in places(field.args[argument].type))


def asking(field: str, argument: str, path: tuple[str, ...], *values: Any) -> tuple[str, dict[str, Any]]:
    """A query with each of these values at this place of a root field's argument, and its variables."""
    assert SCHEMA.query_type
    asked = SCHEMA.query_type.fields[field]
    types = {name: known.type for name, known in asked.args.items() if name == argument or is_required_argument(known)}
    variables = {}
    selected = "" if is_leaf_type(get_named_type(asked.type)) else "{ __typename }"
    if "Connection" in str(asked.type):
        selected = "{ totalCount }"
    declared, fields = [], []
    for number, value in enumerate(values):
        variables |= {f"{name}{number}": smallest(type_) for name, type_ in types.items()}
        variables[f"{argument}{number}"] = holding(types[argument], path, value)
        declared += [f"${name}{number}: {type_}" for name, type_ in types.items()]
        given = ", ".join(f"{name}: ${name}{number}" for name in types)
        fields.append(f"a{number}: {field}({given}) {selected}")
    return f"query ({', '.join(declared)}) {{ {' '.join(fields)} }}", variables


def keys(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys in a command, with their values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.fixture
async def two_tasks(client: Client) -> None:
    await client.database["task"].insert_many(
        {"_id": name, "company": CLEARML_COMPANY, "name": name, "type": "training", "status": "created"}
        for name in ("one", "two")
    )


def test_there_are_texts_to_try() -> None:
    assert len(set(arguments())) > 20


@pytest.mark.parametrize("operator", OPERATORS, ids=json.dumps)
async def test_an_operator_in_the_place_of_a_text_is_refused(
    client: Client, commands: Commands, operator: dict[str, Any]
) -> None:
    for place in arguments():
        query, variables = asking(*place, operator)
        assert (await client.error(query, **variables))["code"] == "VALIDATION_FAILED", place
    assert commands.seen == []


async def test_an_operator_in_a_text_stays_a_text(client: Client, commands: Commands) -> None:
    texts = [*PATHS, *(json.dumps(operator) for operator in OPERATORS)]
    for place in arguments():
        query, variables = asking(*place, *texts)
        answer = await client.answer(query, **variables)
        assert {error["extensions"]["code"] for error in answer.get("errors", ())} <= CODES - {"LIMIT_EXCEEDED"}, place
    sent = [str(command) for command in commands.seen]
    assert all(sum(text in command for command in sent) > 10 for text in texts)
    pairs = [pair for command in commands.seen for pair in keys(command)]
    assert not any(pair in pairs for operator in OPERATORS for pair in operator.items())


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_keys_that_are_odd_are_refused(client: Client, commands: Commands, name: str) -> None:
    query = "query ($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }"
    for filter_ in ({name: "1"}, {"_any_": {name: "1"}}):
        assert (await client.error(query, filter=filter_))["code"] == "VALIDATION_FAILED"
    assert commands.seen == []


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_field_paths_that_are_odd_name_nothing(client: Client, commands: Commands, name: str) -> None:
    query = 'query ($fields: [String!]) { tasks(filter: {_any_: {pattern: "a", fields: $fields}}) { totalCount } }'
    for path in (name, f"script.{name}", f"{name}.script", f"hyperparams.{name}"):
        assert (await client.error(query, fields=[path]))["code"] == "INVALID_FIELDS"
    assert commands.seen == []


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_names_of_metrics_and_parameters_are_only_names(client: Client, two_tasks: None, name: str) -> None:  # noqa: ARG001
    query = """query ($name: String!) { tasks { nodes {
      lastMetrics(metric: [$name], variant: [$name]) { value } hyperparams(section: [$name], name: [$name]) { value }
    } } }"""
    nothing = {"lastMetrics": [], "hyperparams": []}
    assert await client.data(query, name=name) == {"tasks": {"nodes": [nothing, nothing]}}


@pytest.mark.parametrize("field", ["last_metrics.$**", "$natural", "_id", "NAME; DROP", {"$gt": ""}])
async def test_an_order_by_anything_but_a_sortable_field_is_refused(
    client: Client, commands: Commands, field: Any
) -> None:
    query = "query ($field: TaskSortField) { tasks(orderBy: [{field: $field}]) { totalCount } }"
    assert (await client.error(query, field=field))["code"] == "VALIDATION_FAILED"
    assert commands.seen == []


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "(.*a){20}",
        "(?i)(A+)+$",
        r"(a+)\1+$",
        "(?<=a)(a+)+$",
        "(?R)?a",
        "a\0",
        "(",
        "a{99999}",
        r"\u{1}",
    ],
)
async def test_a_regular_expression_costs_bounded_time_and_never_a_fault(
    client: Client, beside: Callable[..., Client], pattern: str
) -> None:
    """Without its second, the worst of them would take more than a minute."""
    await client.database["task"].insert_many(
        {"_id": str(number), "company": CLEARML_COMPANY, "name": "a" * 30 + "!"} for number in range(2000)
    )
    query = "query ($p: String) { tasks(filter: {name: $p}) { nodes { id } } }"
    async with asyncio.timeout(30):
        answer = await beside(max_time_ms=1000).answer(query, p=pattern)
    assert {error["extensions"]["code"] for error in answer.get("errors", ())} <= {"TIMEOUT", "INVALID_REGEX_ERROR"}


async def test_a_regular_expression_has_at_most_256_characters(client: Client) -> None:
    query = "query ($p: String) { tasks(filter: {name: $p}) { totalCount } }"
    assert await client.data(query, p="a" * 256) == {"tasks": {"totalCount": 0}}
    assert (await client.error(query, p="a" * 257))["code"] in CODES


async def test_an_operation_name_gets_into_no_header_and_no_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    name = "A\r\nSet-Cookie: a=b\r\nERROR forged"
    with caplog.at_level(logging.DEBUG, logger="taskql"):
        response = await client.http.post("/graphql", json={"query": "query A { __typename }", "operationName": name})
    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert "forged" not in caplog.text + response.text
