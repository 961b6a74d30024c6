"""Filters: the query of each, and the rows that it finds."""

import itertools
import math
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.types import Query
from resolvers.criteria.filter_nodes import AllOf, AnyOf, Condition, Not
from resolvers.criteria.filters import find_pattern_fields, refuse_large_filter, write_query
from resolvers.criteria.operators import OPERATORS, read_filter_type
from resolvers.errors import ApiError
from schema.dialect import FILTER_OPERATORS
from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import (
    ABSENT,
    COMPANY,
    OTHER_COMPANY,
    Document,
    hyperparams,
    last_metrics,
    old_task,
    project,
    task,
)
from tests.support.generated import LEAVES
from tests.support.oracle import EVALUATORS, RANGES

Database = AsyncDatabase[Document]
Filter = dict[str, Any]

SPEC = load()
FILTER_TYPE = read_filter_type(SPEC, "task")
FIND = "query($filter: TaskFilter) { tasks(filter: $filter, orderBy: [{field: ID}]) { nodes { id } totalCount } }"
MILLISECOND = timedelta(milliseconds=1)
NO_LIST: Filter = {"$not": {"$type": "array"}}


def utc(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - stored dates are naive UTC


NEW_YEAR = utc(2026, 1, 1)


def build_query(filter_: Filter) -> Query:
    return write_query(FILTER_TYPE.parse(filter_), FILTER_TYPE, {})


async def find_ids(client: Client, filter_: Filter | None) -> list[str]:
    tasks = (await client.data(FIND, filter=filter_))["tasks"]
    assert tasks["totalCount"] == len(tasks["nodes"])
    return [node["id"] for node in tasks["nodes"]]


# -- input → query ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({}, {}),
        ({"id": ["a", "b"]}, {"_id": {"$in": ["a", "b"]}}),
        ({"id": ["-a"]}, {"_id": {"$nin": ["a"]}}),
        ({"user": ["a", "-b"]}, {"$and": [{"user": {"$in": ["a"]}}, {"user": {"$nin": ["b"]}}]}),
        ({"project": ["-a", "-b"]}, {"project": {"$nin": ["a", "b"]}}),
        ({"tags": ["--a", ""]}, {"$and": [{"tags": {"$in": [""]}}, {"tags": {"$nin": ["-a"]}}]}),
        ({"tags": ["-"]}, {"tags": {"$nin": [""]}}),
        ({"system_tags": ["a.b", "$c"]}, {"system_tags": {"$in": ["a.b", "$c"]}}),
        ({"type": ["Training", "-QC"]}, {"$and": [{"type": {"$in": ["training"]}}, {"type": {"$nin": ["qc"]}}]}),
        ({"status": ["created", "failed"]}, {"status": {"$in": ["created", "failed"]}}),
        ({"parent": "-a"}, {"parent": "-a"}),
        ({"name": "a.b"}, {"name": {"$regex": "a.b"}}),
        ({"search_text": '"two words" -third'}, {"$text": {"$search": '"two words" -third'}}),
        (
            {"status_changed": [">=2026-01-01", "<2026-02-01T00:00:00Z"]},
            {
                "$and": [
                    {"status_changed": {"$gte": NEW_YEAR} | NO_LIST},
                    {"status_changed": {"$lt": utc(2026, 2, 1)} | NO_LIST},
                ]
            },
        ),
        (
            {"_any_": {"pattern": "x", "fields": ["name", "script.entryPoint"]}},
            {
                "$or": [
                    {"name": {"$regex": "x", "$options": "i"}},
                    {"script.entry_point": {"$regex": "x", "$options": "i"}},
                ]
            },
        ),
        (
            {"_all_": {"pattern": "x", "fields": ["id", "tags"]}},
            {"$and": [{"_id": {"$regex": "x", "$options": "i"}}, {"tags": {"$regex": "x", "$options": "i"}}]},
        ),
        ({"_all_": {"pattern": "x", "fields": []}, "name": "y"}, {"name": {"$regex": "y"}}),
        ({"name": "y", "parent": "p"}, {"$and": [{"name": {"$regex": "y"}}, {"parent": "p"}]}),
        ({"created": {"gte": NEW_YEAR, "lt": None}}, {"created": {"$gte": NEW_YEAR, **NO_LIST}}),
        (
            {"or": [{"name": "y"}, {"parent": "p", "id": ["a"]}]},
            {"$or": [{"name": {"$regex": "y"}}, {"$and": [{"_id": {"$in": ["a"]}}, {"parent": "p"}]}]},
        ),
        ({"not": {"parent": "p"}}, {"$nor": [{"parent": "p"}]}),
        (
            {"and": [{"parent": "p"}, {}, {"name": None}], "id": ["a"]},
            {"$and": [{"_id": {"$in": ["a"]}}, {"parent": "p"}]},
        ),
        ({"not": {}}, {"$nor": [{}]}),
        ({"or": [{}]}, {"$or": [{}]}),
        ({"is_set": ["status"]}, {"status": {"$type": "string", **NO_LIST}}),
    ],
)
def test_a_filter_becomes_a_query(filter_: Filter, expected: Filter) -> None:
    assert build_query(filter_) == expected


def test_every_operator_that_hocon_may_name_has_a_row() -> None:
    """`parse_filter` takes `and`, `or` and `not` itself."""
    without_row = {*FILTER_OPERATORS} - {"and", "or", "not"} - OPERATORS.keys()
    assert not without_row, f"OPERATORS in resolvers/criteria/operators.py needs a row for {without_row}"
    unnamed = OPERATORS.keys() - {*FILTER_OPERATORS}
    assert not unnamed, f"FILTER_OPERATORS in schema/dialect.py needs {unnamed}"


def test_the_oracle_knows_every_filter_of_tasks_but_the_search() -> None:
    """tests/slow/test_oracle.py compares what a filter finds with the oracle; it tries only what is generated."""
    fields = {field.graphql_name for field in FILTER_TYPE.spec.fields} - {"searchText"}
    nested = {"includeSubprojects", "and", "or", "not"}
    not_generated = fields - {*LEAVES, "_all_"} - nested
    assert not not_generated, f"LEAVES in tests/support/generated.py needs values for {not_generated}"
    not_evaluated = fields - EVALUATORS.keys() - RANGES.keys() - nested
    assert not not_evaluated, f"EVALUATORS in tests/support/oracle.py needs {not_evaluated}"


def test_a_filter_is_parsed_into_nodes() -> None:
    """Fields come in the order of HOCON; null makes no node, and each filter of `and` is a node of its own."""
    filter_ = {"and": [{"name": "x"}, {}], "or": [{"parent": "p"}], "not": {"tags": None}, "id": ["a"], "name": None}
    ids_node, named, empty, either, negated = FILTER_TYPE.parse(filter_).nodes
    assert isinstance(ids_node, Condition)
    assert (ids_node.name, ids_node.path, ids_node.operator, ids_node.is_nested) == ("id", "_id", "listed", False)
    assert isinstance(named, AllOf)
    assert [(node.name, node.value, node.is_nested) for node in named.conditions] == [("name", "x", True)]
    assert empty == AllOf(())
    assert isinstance(either, AnyOf)
    assert [inner.find_value("parent") for inner in either.filters] == ["p"]
    assert negated == Not(AllOf(()))


@pytest.mark.parametrize(
    ("filter_", "size"),
    [
        ({}, 0),
        ({"id": ["a"] * 99}, 0),
        ({"id": ["a"] * 100}, 1),
        ({"id": ["a"] * 250, "name": "x", "parent": None}, 3),
        ({"is_set": ["name"] * 7, "is_unset": ["name"] * 3, "status_changed": ["2026-01-01"] * 5}, 15),
        ({"created": {"gte": NEW_YEAR, "lt": NEW_YEAR}}, 3),
        ({"metrics": [{"metric": "m", "variant": "v", "gt": 1.0}, {"metric": "m", "variant": "v"}]}, 7),
        ({"or": [{"name": "x"}, {}], "not": {"not": {"name": "x"}}}, 6),
    ],
)
def test_a_filter_has_a_size_and_a_maximum(filter_: Filter, size: int) -> None:
    """A filter that fills the maximum passes; one more condition is refused. An empty filter inside counts as one."""
    refuse_large_filter(FILTER_TYPE.parse(filter_ | {"and": [{}] * (500 - size)}))
    with pytest.raises(ApiError) as caught:
        refuse_large_filter(FILTER_TYPE.parse(filter_ | {"and": [{}] * (501 - size)}))
    details = {"field": "filter", "limit": "conditions", "maximum": 500, "actual": 501}
    assert caught.value.extensions == {"code": "LIMIT_EXCEEDED"} | details


def test_a_filter_has_a_depth_and_a_maximum() -> None:
    filter_: Filter = {}
    for _ in range(16):
        filter_ = {"not": filter_}
    refuse_large_filter(FILTER_TYPE.parse(filter_))
    for deep in ({"not": filter_}, {"or": [{}, filter_]}, {"and": [filter_]}):
        with pytest.raises(ApiError) as caught:
            refuse_large_filter(FILTER_TYPE.parse(deep))
        details = {"field": "filter", "limit": "filterDepth", "maximum": 16, "actual": 17}
        assert caught.value.extensions == {"code": "LIMIT_EXCEEDED"} | details


@pytest.mark.parametrize(
    ("filter_", "fields"),
    [
        ({"id": ["a"], "tags": ["x"], "search_text": "x"}, set()),
        ({"name": "", "_any_": {}, "hyperparams": [{"section": "s", "name": "n", "eq": "x"}]}, set()),
        ({"name": "x"}, {"name"}),
        ({"_all_": {"pattern": "x", "fields": ["name"]}, "or": [{"name": "x"}]}, {"_all_", "name"}),
        ({"not": {"and": [{"_any_": {"pattern": "x", "fields": []}}]}}, {"_any_"}),
        (
            {"hyperparams": [{"section": "s", "name": "n"}, {"section": "s", "name": "n", "matches": "x"}]},
            {"hyperparams"},
        ),
    ],
)
def test_a_filter_knows_its_fields_with_patterns(filter_: Filter, fields: set[str]) -> None:
    assert find_pattern_fields(FILTER_TYPE.parse(filter_)) == fields


def test_a_pattern_without_upper_and_lower_case_is_a_pattern() -> None:
    assert find_pattern_fields(read_filter_type(SPEC, "project").parse({"name": "x", "id": ["a"]})) == {"name"}


EMPTY_FILTERS: list[Filter] = [
    *({field.graphql_name: None} for field in FILTER_TYPE.spec.fields),
    *(
        {name: []}
        for name in (
            "id",
            "user",
            "project",
            "type",
            "tags",
            "systemTags",
            "status",
            "statusChanged",
            "isSet",
            "isUnset",
            "metrics",
            "hyperparams",
            "and",
        )
    ),
    {"name": ""},
    {"searchText": ""},
    {"created": {}},
    {"includeSubprojects": True},
    {"and": [{}, {"or": [{}]}]},
    {"metrics": [{"metric": "m", "variant": "v"}]},
    {"hyperparams": [{"section": "s", "name": "n", "matches": ""}]},
    {"_any_": {"pattern": "x", "fields": []}},
    {"_all_": {"pattern": "x", "fields": []}},
]


async def test_null_and_empty_values_match_everything(client: Client, database: Database) -> None:
    await database.task.insert_many([{"_id": "bare", "company": COMPANY}, task(_id="full")])
    for empty in (None, {}, *EMPTY_FILTERS):
        assert await find_ids(client, empty) == ["bare", "full"], empty


def test_patterns_reach_every_text_of_a_task_by_its_name_in_the_api() -> None:
    paths = FILTER_TYPE.text_fields
    expected = {
        "id": "_id",
        "name": "name",
        "comment": "comment",
        "report": "report",
        "status": "status",
        "type": "type",
        "statusReason": "status_reason",
        "statusMessage": "status_message",
        "lastWorker": "last_worker",
        "projectId": "project",
        "userId": "user",
        "parentId": "parent",
        "tags": "tags",
        "systemTags": "system_tags",
        "script.entryPoint": "script.entry_point",
        "script.versionNum": "script.version_num",
        "execution.queueId": "execution.queue",
        "execution.framework": "execution.framework",
        "output.destination": "output.destination",
        "output.error": "output.error",
    }
    assert {name: paths.get(name) for name in expected} == expected
    assert not {"created", "lastIteration", "execution", "runtime", "hyperparams", "script.requirements"} & paths.keys()


# -- includes and excludes -------------------------------------------------------------------------

TAGGED = {
    "a": ["x"],
    "b": ["y"],
    "c": ["x", "y"],
    "d": ["z"],
    "e": [],
    "f": None,
    "g": ABSENT,
    "h": ["-x"],
    "i": [""],
    "j": "x",
    "k": [None, 5, {"x": "x"}],
}


def has_tag(tags: Any, tag: str) -> bool:
    return tag in tags if isinstance(tags, list) else tags == tag


@pytest.mark.parametrize(("name", "stored"), [("tags", "tags"), ("systemTags", "system_tags")])
async def test_tags_include_any_and_exclude_all_after_a_minus(
    client: Client, database: Database, name: str, stored: str
) -> None:
    await database.task.insert_many([task(_id=id_, **{stored: tags}) for id_, tags in TAGGED.items()])
    tokens = ["x", "y", "-x", "-y", "--x", "-", "", "missing"]
    for values in [*itertools.product(tokens), *itertools.permutations(tokens, 2), ("x", "z", "-y"), ("x", "x", "-x")]:
        includes = [tag for tag in values if not tag.startswith("-")]
        excludes = [tag[1:] for tag in values if tag.startswith("-")]
        expected = [
            id_
            for id_, tags in TAGGED.items()
            if (not includes or any(has_tag(tags, tag) for tag in includes))
            and not any(has_tag(tags, tag) for tag in excludes)
        ]
        assert await find_ids(client, {name: list(values)}) == expected, values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["x", "z"], "acdj"),
        (["-x"], "bdefghik"),
        (["-x", "-y"], "defghik"),
        (["x", "-y"], "aj"),
        (["x", "-x"], ""),
        (["--x"], "abcdefgijk"),
        (["-"], "abcdefghjk"),
    ],
)
async def test_tags_follow_the_table_of_the_reference(
    client: Client, database: Database, values: list[str], expected: str
) -> None:
    await database.task.insert_many([task(_id=id_, tags=tags) for id_, tags in TAGGED.items()])
    assert await find_ids(client, {"tags": values}) == list(expected)


@pytest.mark.parametrize("name", ["user", "project"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["x"], "a"),
        (["x", "y"], "ab"),
        (["-x"], "bcd"),
        (["-x", "-y"], "cd"),
        (["x", "-y"], "a"),
        (["x", "-x"], ""),
        (["X"], ""),
        (["--x"], "abcd"),
        (["x", "-x", "y"], "b"),
    ],
)
async def test_ids_of_users_and_projects_are_exact_and_a_minus_also_finds_tasks_without_one(
    client: Client, database: Database, name: str, values: list[str], expected: str
) -> None:
    stored = {"a": "x", "b": "y", "c": None, "d": ABSENT}
    await database.task.insert_many([task(_id=id_, **{name: value}) for id_, value in stored.items()])
    assert await find_ids(client, {name: values}) == list(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a"], "a"),
        (["b", "a", "b"], "ab"),
        (["-a"], "bc"),
        (["a", "-a"], ""),
        (["-a", "-c"], "b"),
        (["a", "b", "-b"], "a"),
        (["A"], ""),
        (["a."], ""),
        (["missing"], ""),
    ],
)
async def test_ids_are_exact(client: Client, database: Database, values: list[str], expected: str) -> None:
    await database.task.insert_many([task(_id=id_) for id_ in "abc"])
    assert await find_ids(client, {"id": values}) == list(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["training"], "a"),
        (["TRAINING", "Testing"], "ab"),
        (["-training"], "bcde"),
        (["-Data_Processing", "-TESTING"], "ade"),
        (["hologram"], "e"),
        (["nothing"], ""),
        (["training", "-testing"], "a"),
    ],
)
async def test_types_compare_in_upper_and_lower_case(
    client: Client, database: Database, values: list[str], expected: str
) -> None:
    types = {"a": "training", "b": "testing", "c": "data_processing", "d": ABSENT, "e": "hologram"}
    await database.task.insert_many([task(_id=id_, type=type_) for id_, type_ in types.items()])
    assert await find_ids(client, {"type": values}) == list(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["CREATED"], "a"),
        (["CREATED", "IN_PROGRESS"], "ab"),
        (["PUBLISHED"], ""),
        (["CREATED", "CREATED"], "a"),
    ],
)
async def test_statuses_are_alternatives(client: Client, database: Database, values: list[str], expected: str) -> None:
    statuses = {"a": "created", "b": "in_progress", "c": "melted", "d": ABSENT}
    await database.task.insert_many([task(_id=id_, status=status) for id_, status in statuses.items()])
    assert await find_ids(client, {"status": values}) == list(expected)


@pytest.mark.parametrize(("parent_id", "expected"), [("p", "a"), ("-p", "b"), ("", "c"), ("P", ""), ("x", "")])
async def test_a_parent_matches_exactly(client: Client, database: Database, parent_id: str, expected: str) -> None:
    parents = {"a": "p", "b": "-p", "c": "", "d": None, "e": ABSENT}
    await database.task.insert_many([task(_id=id_, parent=parent) for id_, parent in parents.items()])
    assert await find_ids(client, {"parent": parent_id}) == list(expected)


@pytest.mark.parametrize("single", ["x", 5])
async def test_one_value_stands_for_a_list_of_one(client: Client, database: Database, single: Any) -> None:
    await database.task.insert_many([task(_id="a", user=str(single)), task(_id="b")])
    assert await find_ids(client, {"user": single}) == ["a"]


# -- patterns --------------------------------------------------------------------------------------

NAMES = {"a": "Train digits", "b": "train letters", "c": "Über 100% (v1.2)", "d": "a\nb", "e": ABSENT, "f": 5}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("rain", "ab"),
        ("Train", "a"),
        ("^train", "b"),
        ("s$", "ab"),
        ("(?i)TRAIN", "ab"),
        (".", "abcd"),
        ("v1.2", "c"),
        (r"\(v1\.2\)", "c"),
        ("100%", "c"),
        ("^Ü", "c"),
        ("ü", ""),
        (" ", "abc"),
        ("digits|letters", "ab"),
        ("^b$", ""),
        ("(?m)^b$", "d"),
        (r"\Qv1.2\E", "c"),
        ("t(?=rain)", "b"),
        ("$x", ""),
        ("rain ", "ab"),
    ],
)
async def test_a_name_is_searched_for_a_pattern_anywhere_with_upper_and_lower_case_apart(
    client: Client, database: Database, pattern: str, expected: str
) -> None:
    await database.task.insert_many([task(_id=id_, name=name) for id_, name in NAMES.items()])
    assert await find_ids(client, {"name": pattern}) == list(expected)


PATTERN_ROWS = [
    task(_id="a", name="Digits", comment="first", tags=["red", "Green"], script={"entry_point": "Train.py"}),
    task(_id="b", name="letters", comment="DIGITS", tags=[], script={"entry_point": "eval.py"}),
    task(_id="c", name="words", comment=None, tags=["digits-2"], script=ABSENT),
    {"_id": "d", "company": COMPANY},
    task(_id="e", name="ÉTÉ", comment=5, tags="digits", script="digits", execution={"queue": "digits"}),
]


@pytest.mark.parametrize(
    ("pattern", "fields", "any_", "all_"),
    [
        ("digits", ["name"], "a", "a"),
        ("DIGITS", ["name", "comment"], "ab", ""),
        ("digits", ["name", "comment", "tags"], "abce", ""),
        ("gr", ["tags"], "a", "a"),
        ("^green$", ["tags"], "a", "a"),
        (r"\.py$", ["script.entryPoint"], "ab", "ab"),
        ("i", ["name", "script.entryPoint", "comment"], "ab", "a"),
        ("été", ["name"], "e", "e"),
        ("", ["comment"], "ab", "ab"),
        ("digits", ["execution.queueId"], "e", "e"),
        ("^[a-d]$", ["id", "id"], "abcd", "abcd"),
        ("(?-i)DIGITS", ["comment", "name"], "b", ""),
        ("completed", ["status"], "abce", "abce"),
        ("nothing", ["name", "tags"], "", ""),
    ],
)
async def test_any_and_all_try_a_pattern_on_dotted_fields_in_upper_and_lower_case(
    client: Client, database: Database, pattern: str, fields: list[str], any_: str, all_: str
) -> None:
    await database.task.insert_many(PATTERN_ROWS)
    block = {"pattern": pattern, "fields": fields}
    assert await find_ids(client, {"_any_": block}) == list(any_)
    assert await find_ids(client, {"_all_": block}) == list(all_)


# -- dates -----------------------------------------------------------------------------------------

SAME_MOMENT = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T02:00:00+02:00",
    "2025-12-31T18:30:00-05:30",
    "2026-01-01T00:00:00",
    "2026-01-01 00:00:00",
    "2026-01-01",
    "20260101",
    "20260101T000000Z",
    "2026-01-01T00:00Z",
    "1767225600",
    "1767225600000",
    "1767225600.000",
]


@pytest.mark.parametrize("text", SAME_MOMENT)
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (">=", {"$gte": NEW_YEAR}),
        (">", {"$gt": NEW_YEAR}),
        ("<=", {"$lte": NEW_YEAR}),
        ("<", {"$lt": NEW_YEAR}),
        ("", {"$eq": NEW_YEAR}),
    ],
)
def test_a_date_can_be_written_in_many_ways(text: str, operator: str, expected: Filter) -> None:
    for layout in ("{}{}", "{} {}", " {}{} ", "{}\t{}\n"):
        filter_ = {"status_changed": [layout.format(operator, text)]}
        assert build_query(filter_) == {"status_changed": expected | NO_LIST}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", utc(1970, 1, 1)),
        ("-86400", utc(1969, 12, 31)),
        ("1.5", utc(1970, 1, 1, 0, 0, 1, 500_000)),
        ("1767225600.123", NEW_YEAR + 123 * MILLISECOND),
        ("1767225600123", NEW_YEAR + 123 * MILLISECOND),
        ("99999999999", utc(5138, 11, 16, 9, 46, 39)),
        ("100000000000", utc(1973, 3, 3, 9, 46, 40)),
        ("2026-01-01T00:00:00.123Z", NEW_YEAR + 123 * MILLISECOND),
        ("2026-01-01T00:00:00.1", NEW_YEAR + 100 * MILLISECOND),
        ("2026-01-01t00:00:00z", NEW_YEAR),
        ("2024-02-29", utc(2024, 2, 29)),
        ("0001-01-01", utc(1, 1, 1)),
        ("9999-12-31T23:59:59.999Z", utc(9999, 12, 31, 23, 59, 59, 999_000)),
    ],
)
def test_a_date_is_read_to_the_millisecond(text: str, expected: datetime) -> None:
    query = build_query({"status_changed": [text]})
    assert query == {"status_changed": {"$eq": expected} | NO_LIST}


NO_DATES = [
    "",
    " ",
    ">=",
    "<",
    "=",
    "=2026-01-01",
    "==2026-01-01",
    "!=2026-01-01",
    "=>2026-01-01",
    ">>2026-01-01",
    "<>2026-01-01",
    "> =2026-01-01",
    "yesterday",
    "now",
    "Feb 1 2020",
    "2026-13-01",
    "2026-02-30",
    "2026-1-1",
    "2026-01-01T25:00:00Z",
    "01.02.2026",
    "2026/01/01",
    "2026-01-01T00:00:00+99:00",
    "2026-01-01T00:00:00 Z Z",
    "10000-01-01",
    "0000-01-01",
    "20261301",
    "nan",
    "inf",
    "1e9",
    "0x10",
    "9" * 30,
    "9" * 400,
    "-" + "9" * 30,
    "1.2.3",
    "1,5",
    "--5",
    ".",
    "null",
    "{}",
    "\0",
    "2026-01-01\0",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-W01-4",
    "2026W014",
    "2026-001",
    "2026-01",
    "2026-01-01T00",
    "2026-01-01T0000",
    "2026-01-01x00:00:00",
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00+0000",
    "2026-01-01T00:00:00+00:00:01",
    "20260101T00Z",
    "20260101T0000",
    "\u0661\u0667\u0666\u0667\u0662\u0662\u0665\u0666\u0660\u0660",
]


@pytest.mark.parametrize("text", NO_DATES)
def test_a_text_without_a_date_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        build_query({"status_changed": ["2026-01-01", text]})
    assert caught.value.extensions == {"code": "FIELDS_VALUE_ERROR", "field": "statusChanged"}


CHANGED = {
    "a": NEW_YEAR - MILLISECOND,
    "b": NEW_YEAR,
    "c": NEW_YEAR + MILLISECOND,
    "d": utc(2026, 6, 1),
    "e": None,
    "f": ABSENT,
    "g": "2026-01-01T00:00:00Z",
    "h": 1767225600,
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2026-01-01T00:00:00Z"], "b"),
        ([">=2026-01-01T00:00:00Z"], "bcd"),
        ([">2026-01-01T01:00:00+01:00"], "cd"),
        (["<=1767225600"], "ab"),
        (["<1767225600000"], "a"),
        (["> 1767225600.001"], "d"),
        (["1767225600001"], "c"),
        ([">=2026-01-01", "<2026-06-01"], "bc"),
        ([">=2026-01-01", "<2026-06-01", ">2026-01-01"], "c"),
        ([">2026-01-01", ">=2026-05-31T23:59:59.999Z"], "d"),
        ([">=2026-06-01", "<=2026-06-01", "2026-06-01"], "d"),
        (["<2026-01-01", ">2026-01-01"], ""),
        (["20260601"], "d"),
        ([">2025-12-31T23:59:59.9995Z"], "bcd"),
        ([">=2025-12-31T23:59:59.9995Z"], "bcd"),
        (["<2026-01-01T00:00:00.0005Z"], "ab"),
        (["<=2026-01-01T00:00:00.0005Z"], "ab"),
        (["2026-01-01T00:00:00.0005Z"], ""),
    ],
)
async def test_a_status_change_matches_all_of_the_bounds(
    client: Client, database: Database, values: list[str], expected: str
) -> None:
    await database.task.insert_many([task(_id=id_, status_changed=changed) for id_, changed in CHANGED.items()])
    assert await find_ids(client, {"statusChanged": values}) == list(expected)


# -- text ------------------------------------------------------------------------------------------

BARE_SCRIPT = {"repository": "https://example.org/x.git", "entry_point": "x.py"}
TEXT_ROWS = [
    task(_id="a", name="training networks", comment="the quick brown fox", script=BARE_SCRIPT, report=ABSENT),
    task(_id="b", name="evaluation", comment="a brown, quick dog; Caf\u00e9", script=BARE_SCRIPT, report=ABSENT),
    task(
        _id="c",
        name="cleanup",
        comment=None,
        report="foxes everywhere",
        script={"repository": "https://example.org/walrus.git", "entry_point": "tidy.py"},
    ),
    task(_id="d", name="nothing", comment=5, script=ABSENT, report=ABSENT),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quick", "ab"),
        ("Networks", "a"),
        ("network", "a"),
        ("trained", "a"),
        ("fox", "ac"),
        ("dog walrus", "bc"),
        ('"quick brown"', "a"),
        ('"brown fox" walrus', "a"),
        ("brown -fox", "b"),
        ("-fox", ""),
        ("qui", ""),
        ("the", ""),
        ("tidy", "c"),
        ("tidy.py", "abc"),
        ("cafe", "b"),
        ("CLEANUP", "c"),
        ("missing", ""),
        (" ", ""),
        ('"', ""),
        ("$where", ""),
        ("-", ""),
    ],
)
async def test_a_search_finds_whole_english_words(client: Client, database: Database, text: str, expected: str) -> None:
    await database.task.insert_many(TEXT_ROWS)
    assert await find_ids(client, {"searchText": text}) == list(expected)


async def test_a_search_finds_an_id(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id="0123456789abcdef0123456789abcdef"), task(_id="f" * 32)])
    assert await find_ids(client, {"searchText": "0123456789abcdef0123456789abcdef"}) == [
        "0123456789abcdef0123456789abcdef"
    ]


SEARCH = """query($text: String, $orderBy: [TaskOrder!], $first: Int, $after: String, $page: Int, $pageSize: Int) {
  tasks(filter: {searchText: $text}, orderBy: $orderBy,
        first: $first, after: $after, page: $page, pageSize: $pageSize) {
    nodes { id } pageInfo { hasNextPage endCursor } totalCount } }"""
SCORED = [
    task(_id=f"{name} {comment}", name=name, comment=comment, script=ABSENT, report=ABSENT, status=status)
    for name, comment, status in [
        ("zebra", "zebra", "created"),
        ("zebra", "lion", "created"),
        ("lion", "a zebra", "completed"),
        ("zebra zebra", "zebra", "completed"),
        ("two words", "zebra and other animals here", "created"),
        ("lion", "lion", "created"),
    ]
]
BEST_FIRST = [
    "zebra zebra zebra",
    "zebra zebra",
    "zebra lion",
    "lion a zebra",
    "two words zebra and other animals here",
]


@pytest.mark.parametrize("direction", [{}, {"direction": "DESC"}, {"direction": "ASC", "nulls": "FIRST"}])
async def test_a_search_can_put_the_best_matches_first(client: Client, database: Database, direction: Filter) -> None:
    await database.task.insert_many(SCORED)
    by_score = [{"textScore": True, **direction}]
    tasks = (await client.data(SEARCH, text="zebra", orderBy=by_score))["tasks"]
    assert ([node["id"] for node in tasks["nodes"]], tasks["totalCount"]) == (BEST_FIRST, 5)
    for size in (1, 2, 4):
        by_number = [
            node["id"]
            for page in range(5)
            for node in (await client.data(SEARCH, text="zebra", orderBy=by_score, page=page, pageSize=size))["tasks"][
                "nodes"
            ]
        ]
        assert by_number == BEST_FIRST
        assert await read_by_cursor(client, size, by_score) == BEST_FIRST


async def test_a_score_decides_among_equals_of_other_keys(client: Client, database: Database) -> None:
    await database.task.insert_many(SCORED)
    by_status = [{"field": "STATUS"}, {"textScore": True}]
    expected = [BEST_FIRST[index] for index in (0, 3, 1, 2, 4)]
    assert await read_by_cursor(client, 5, by_status) == expected
    assert await read_by_cursor(client, 2, by_status) == expected


async def read_by_cursor(client: Client, size: int, order_by: list[Filter]) -> list[str]:
    collected, after = [], None
    while True:
        tasks = (await client.data(SEARCH, text="zebra", orderBy=order_by, first=size, after=after))["tasks"]
        collected += [node["id"] for node in tasks["nodes"]]
        if not tasks["pageInfo"]["hasNextPage"]:
            return collected
        after = tasks["pageInfo"]["endCursor"]


# -- sub-projects ----------------------------------------------------------------------------------


async def test_sub_projects_are_found_by_one_more_command(
    client: Client, database: Database, commands: Commands
) -> None:
    paths = {"top": [], "mid": ["top"], "low": ["top", "mid"], "else": []}
    await database.project.insert_many([project(_id=id_, path=path) for id_, path in paths.items()])
    await database.project.insert_one(project(_id="foreign", path=["top"], company=OTHER_COMPANY))
    await database.task.insert_many([task(_id=f"in {id_}", project=id_) for id_ in (*paths, "foreign", None)])
    commands.seen.clear()
    nested = {"or": [{"project": ["mid"], "includeSubprojects": True}, {"project": ["else"]}, {"project": ["top"]}]}
    filter_ = {"not": {"project": ["-top"], "includeSubprojects": True}, "and": [nested]}
    assert await find_ids(client, filter_) == ["in low", "in mid", "in top"]
    assert [command.get("find", command.get("aggregate")) for command in commands.seen] == ["project", "task", "task"]
    commands.seen.clear()
    assert await find_ids(client, {"project": ["top"], "includeSubprojects": False}) == ["in top"]
    assert [command.get("aggregate") for command in commands.seen] == ["task", "task"]


async def test_a_cursor_stays_valid_while_projects_come_and_go(client: Client, database: Database) -> None:
    await database.project.insert_many([project(_id="top"), project(_id="mid", path=["top"])])
    await database.task.insert_many([task(_id=f"{number}", project="mid") for number in range(4)])
    query = """query($after: String) {
      tasks(filter: {project: ["top"], includeSubprojects: true}, orderBy: [{field: ID}], first: 2, after: $after) {
        nodes { id } pageInfo { endCursor } } }"""
    page = (await client.data(query))["tasks"]
    await database.project.insert_one(project(_id="new", path=["top"]))
    await database.task.insert_one(task(_id="3 new", project="new"))
    nodes = (await client.data(query, after=page["pageInfo"]["endCursor"]))["tasks"]["nodes"]
    assert [node["id"] for node in nodes] == ["2", "3"]
    other = query.replace('["top"]', '["mid"]')
    assert (await client.error(other, after=page["pageInfo"]["endCursor"]))["code"] == "BAD_CURSOR"
    without = query.replace("includeSubprojects: true", "includeSubprojects: false")
    assert (await client.error(without, after=page["pageInfo"]["endCursor"]))["code"] == "BAD_CURSOR"


async def test_projects_with_odd_paths_have_no_sub_projects(client: Client, database: Database) -> None:
    for number, path in enumerate([None, ABSENT, "top", 5, [None, 5], {"top": 1}]):
        await database.project.insert_one(project(_id=f"{number}", path=path))
        await database.task.insert_one(task(_id=f"in {number}", project=f"{number}"))
    await database.project.insert_many(
        [
            project(_id=777, path=["top"]),
            project(_id="-top", path=["top", {"a": 1}]),
            project(_id="in -", path=["-x"]),
        ]
    )
    await database.task.insert_many([task(_id="in 777", project=777), task(_id="in -top", project="-top")])
    assert await find_ids(client, {"project": ["top"], "includeSubprojects": True}) == ["in -top"]
    outside = await find_ids(client, {"project": ["-top"], "includeSubprojects": True})
    assert outside == ["in 0", "in 1", "in 2", "in 3", "in 4", "in 5", "in 777"]


async def test_sub_projects_have_a_maximum(client: Client, database: Database) -> None:
    """Each filter that includes them counts them again, since each writes them into the query."""
    inner = [{"_id": f"{number}", "company": COMPANY, "path": ["top"]} for number in range(10_000)]
    await database.project.insert_many(inner)
    await database.task.insert_one(task(_id="it", project="9999"))
    wide = {"project": ["top"], "includeSubprojects": True}
    refused = {"field": "includeSubprojects", "limit": "subprojects", "maximum": 10_000}
    assert await find_ids(client, wide) == ["it"]
    assert (await client.error(FIND, filter={"or": [wide, wide]})).items() >= refused.items()
    await database.project.insert_one({"_id": "one more", "company": COMPANY, "path": ["top"]})
    assert (await client.error(FIND, filter=wide)).items() >= refused.items()


# -- parameters of older servers -------------------------------------------------------------------


async def test_parameters_of_older_servers_are_found_and_sorted_as_they_are_shown(
    client: Client, database: Database
) -> None:
    def build_old_task(id_: str, **parameters: Any) -> Document:
        return old_task(_id=id_, execution={"parameters": parameters})

    await database.task.insert_many(
        [
            build_old_task("a", lr="0.5"),
            build_old_task("b", lr=0.25),
            build_old_task("c", lr="auto"),
            build_old_task("d", **{"TF_DEFINE/lr": "9"}),
            build_old_task("e"),
            old_task(_id="f", execution={"parameters": {"lr": "1"}}, hyperparams=hyperparams(("Args", "lr", "0.125"))),
        ]
    )
    lr = {"section": "Args", "name": "lr"}
    assert await find_ids(client, {"hyperparams": [lr | {"lt": 0.5}]}) == ["b", "f"]
    assert await find_ids(client, {"hyperparams": [lr | {"in": ["0.25", "0.5", "1"]}]}) == ["a", "b"]
    assert await find_ids(client, {"hyperparams": [lr | {"isSet": False}]}) == ["d", "e"]
    assert await find_ids(client, {"hyperparams": [{"section": "TF_DEFINE", "name": "lr", "eq": "9"}]}) == ["d"]
    query = "query($orderBy: [TaskOrder!]) { tasks(orderBy: $orderBy) { nodes { id } } }"
    tasks = (await client.data(query, orderBy=[{"hyperparam": lr}, {"field": "ID"}]))["tasks"]
    assert [node["id"] for node in tasks["nodes"]] == ["f", "b", "a", "c", "d", "e"]


async def test_a_pattern_looks_at_numbers_of_older_servers_as_they_are_shown(
    client: Client, database: Database
) -> None:
    stored = {"whole": 5, "long": 2**40, "double": 2.0, "large": 1e15, "broken": 0.25, "small": 1e-7, "huge": 1.5e300}
    await database.task.insert_many(
        [old_task(_id=id_, execution={"parameters": {"lr": value}}) for id_, value in (stored | {"none": None}).items()]
    )
    for id_, value in stored.items():
        pattern = f"^{re.escape(str(value))}$"
        assert await find_ids(client, {"hyperparams": [{"section": "Args", "name": "lr", "matches": pattern}]}) == [id_]


@pytest.mark.parametrize("text", ["$name", "$company", "$$ROOT", "$$NOW", "$a.b", "$", "$$"])
async def test_a_parameter_that_looks_like_a_path_of_mongodb_is_a_text(
    client: Client, database: Database, text: str
) -> None:
    """MongoDB reads no field by it, although tasks have parameters that are their own name or company."""
    await database.task.insert_many(
        [
            task(_id="it", name="other", hyperparams=hyperparams(("Args", "x", text))),
            task(_id="named", name="name", hyperparams=hyperparams(("Args", "x", "name"))),
            task(_id="owned", name="a", hyperparams=hyperparams(("Args", "x", COMPANY))),
        ]
    )
    x = {"section": "Args", "name": "x"}
    assert await find_ids(client, {"hyperparams": [x | {"eq": text}]}) == ["it"]
    assert await find_ids(client, {"hyperparams": [x | {"in": [text, "none"]}]}) == ["it"]
    is_an_end = not text.strip("$")  # as a pattern, $ is the end of a text, after which nothing comes
    assert await find_ids(client, {"hyperparams": [x | {"matches": text}]}) == ["it", "named", "owned"] * is_an_end
    assert await find_ids(client, {"hyperparams": [x | {"matches": f"^{re.escape(text)}$"}]}) == ["it"]


async def test_no_parameter_is_one_of_no_texts(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="it", hyperparams=hyperparams(("Args", "x", "1"))))
    x = {"section": "Args", "name": "x"}
    assert await find_ids(client, {"hyperparams": [x | {"in": []}]}) == []
    assert await find_ids(client, {"hyperparams": [x | {"in": None}]}) == ["it"]


async def test_bounds_of_a_metric_compare_finite_numbers_only(client: Client, database: Database) -> None:
    """MongoDB itself also compares infinity, and the items of a list."""
    for id_, value in {"number": 0.5, "infinity": math.inf, "list": [0.5], "text": "0.5", "nan": math.nan}.items():
        stored = last_metrics(("loss", "train", 0.5))
        for variants in stored.values():
            for statistics in variants.values():
                statistics["value"] = value
        await database.task.insert_one(task(_id=id_, last_metrics=stored))
    loss = {"metric": "loss", "variant": "train"}
    for bounds in ({"gt": 0}, {"gte": 0.5}, {"gt": 0, "lt": 1}):
        assert await find_ids(client, {"metrics": [loss | bounds]}) == ["number"]


# -- several conditions ----------------------------------------------------------------------------

MATCHING: Document = {
    "_id": "it",
    "name": "train digits",
    "user": "u",
    "project": "p",
    "type": "training",
    "tags": ["x"],
    "system_tags": ["s"],
    "status": "completed",
    "parent": "q",
    "comment": "zebra",
    "status_changed": NEW_YEAR,
}
EVERYTHING: Filter = {
    "id": ["it", "other", "-third"],
    "name": "^train",
    "user": ["u"],
    "project": ["p", "-r"],
    "type": ["Training"],
    "tags": ["x", "-y"],
    "systemTags": ["s"],
    "status": ["COMPLETED", "CREATED"],
    "parent": "q",
    "searchText": "zebra",
    "statusChanged": [">=2026-01-01", "<2026-01-02"],
    "_all_": {"pattern": "i", "fields": ["name", "type"]},
    "_any_": {"pattern": "DIGITS", "fields": ["name", "comment"]},
}
DIFFERENT: Document = {
    "_id": "unasked",
    "name": "Train digits",
    "user": "v",
    "project": "r",
    "type": "testing",
    "tags": ["x", "y"],
    "system_tags": [],
    "status": "failed",
    "parent": None,
    "comment": "lion",
    "status_changed": NEW_YEAR - MILLISECOND,
}


async def test_all_conditions_must_match(client: Client, database: Database) -> None:
    await database.task.insert_many([task(**MATCHING), task(_id="other")])
    assert await find_ids(client, EVERYTHING) == ["it"]


@pytest.mark.parametrize("name", DIFFERENT)
async def test_one_condition_that_does_not_match_is_enough(client: Client, database: Database, name: str) -> None:
    await database.task.insert_one(task(**MATCHING | {name: DIFFERENT[name]}))
    assert await find_ids(client, EVERYTHING) == []


async def test_both_patterns_must_match(client: Client, database: Database) -> None:
    await database.task.insert_many(
        [task(_id="a", name="red one"), task(_id="b", name="red two"), task(_id="c", name="one")]
    )
    red, one = {"pattern": "red", "fields": ["name"]}, {"pattern": "one", "fields": ["name"]}
    assert await find_ids(client, {"_any_": red, "_all_": one}) == ["a"]
    assert await find_ids(client, {"_any_": red, "name": "two"}) == ["b"]
