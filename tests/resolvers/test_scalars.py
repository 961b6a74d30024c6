"""The scalars as clients write them: numbers, ids, free JSON and times, as literals and as variables."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import DAY, Document, last_metrics, task

Database = AsyncDatabase[Document]
METRIC = {"metric": "loss", "variant": "train"}
BY_METRIC = """
query ($v: Float) { tasks(filter: {metrics: [{metric: "loss", variant: "train", eq: $v}]}) { nodes { id } } }"""
REPORT = """
mutation ($points: [MetricsReportPoint!]!) {
  metricsReport(input: {reports: [{task: "t", points: $points}]}) { results { added badPoints { index } } }
}"""
MODEL = 'modelCreate(input: {name: "net", uri: "s3://b/n", design: %s}) { model { design } }'


async def read_codes(client: Client, query: str, **variables: Any) -> set[str]:
    return {error["extensions"]["code"] for error in (await client.answer(query, **variables))["errors"]}


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63, 2**64 + 1, 10**30 + 1, 3, 0.5, 1e300])
async def test_a_float_is_the_nearest_double_as_variable_and_as_literal(
    client: Client, database: Database, number: float
) -> None:
    """Failed before: whole numbers that no double holds were refused as variables."""
    await database.task.insert_one(task(_id="t", last_metrics=last_metrics(("loss", "train", float(number)))))
    expected = {"tasks": {"nodes": [{"id": "t"}]}}
    assert await client.data(BY_METRIC, v=number) == expected
    assert await client.data(BY_METRIC.replace("($v: Float)", "").replace("$v", str(number))) == expected
    assert await client.data(BY_METRIC.replace("Float", f"Float = {number}")) == expected


async def test_a_large_whole_number_is_a_point_like_others(client: Client, database: Database) -> None:
    """Failed before: the whole report was refused."""
    await database.task.insert_one(task(_id="t"))
    values = [0.5, 2**53 + 1, 10**25, -(2**60) - 1]
    points = [METRIC | {"iteration": number, "value": value} for number, value in enumerate(values)]
    [result] = (await client.data(REPORT, points=points))["metricsReport"]["results"]
    assert result == {"added": 4, "badPoints": []}
    task_ = (await client.data('{ task(id: "t") { series { values } } }'))["task"]
    assert task_["series"] == [{"values": [float(value) for value in values]}]


@pytest.mark.parametrize(
    "literal", ["1e400", "-1e400", "9" * 400, f"-{'9' * 310}.5", "1E+309"], ids=lambda text: text[:9]
)
@pytest.mark.parametrize(
    "query",
    [
        BY_METRIC.replace("($v: Float)", ""),
        BY_METRIC.replace("$v: Float", "$w: Float = $v").replace("eq: $v", "eq: $w"),
        '{ tasks(filter: {hyperparams: [{section: "Args", name: "lr", gt: $v}]}) { totalCount } }',
        REPORT.replace("($points: [MetricsReportPoint!]!)", "").replace(
            "$points", '[{metric: "a", variant: "b", iteration: 1, value: $v}]'
        ),
        f"mutation {{ {MODEL % '{a: [$v]}'} }}",
    ],
    ids=["metric", "default", "hyperparameter", "point", "JSON"],
)
async def test_a_number_larger_than_all_doubles_is_refused(client: Client, query: str, literal: str) -> None:
    """Failed before: it acted as infinity."""
    assert await read_codes(client, query.replace("$v", literal)) == {"VALIDATION_FAILED"}
    body = json.dumps({"query": BY_METRIC, "variables": {"v": "N"}}).replace('"N"', literal)
    response = await client.http.post("/graphql", content=body, headers={"content-type": "application/json"})
    expected = "BAD_REQUEST" if "e" in literal.lower() else "VALIDATION_FAILED"
    assert response.json()["errors"][0]["extensions"]["code"] == expected


@pytest.mark.parametrize("id_", [123456789012345678901234567890, -(2**64), 2**64, 2**63, 5, 0])
async def test_an_id_that_is_a_whole_number_is_exactly_its_text(client: Client, database: Database, id_: int) -> None:
    """Failed before: digits of long ids changed on the way."""
    await database.task.insert_many([task(_id=str(id_)), task(_id="other")])
    task_query = "query ($v: ID!) { task(id: $v) { id } }"
    assert await client.data(task_query, v=id_) == {"task": {"id": str(id_)}}
    assert await client.data(task_query.replace("($v: ID!)", "").replace("$v", str(id_))) == {"task": {"id": str(id_)}}
    list_query = "query ($v: [ID!]) { tasks(filter: {id: $v}) { nodes { id } } }"
    if id_ >= 0:  # a leading - excludes
        assert await client.data(list_query, v=[id_]) == {"tasks": {"nodes": [{"id": str(id_)}]}}
    address = f"/graphql?query={quote(task_query)}&variables={quote(json.dumps({'v': id_}))}"
    assert (await client.http.get(address)).json() == {"data": {"task": {"id": str(id_)}}}


@pytest.mark.parametrize("written", ["1.0", "1e3", "1E2", "-1.0", "true", "0.5"])
async def test_an_id_is_neither_a_fraction_nor_a_boolean(client: Client, written: str) -> None:
    """Failed before: the variables 1.0 and 1e3 were the ids 1 and 1000."""
    body = json.dumps({"query": "query ($v: ID!) { task(id: $v) { id } }", "variables": {"v": "N"}})
    response = await client.http.post(
        "/graphql", content=body.replace('"N"', written), headers={"content-type": "application/json"}
    )
    assert response.json()["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED"
    assert await read_codes(client, f"{{ task(id: {written}) {{ id }} }}") == {"VALIDATION_FAILED"}


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**40])
async def test_free_json_refuses_a_whole_number_that_can_not_be_stored(client: Client, number: int) -> None:
    """Failed before: it became a double."""
    query = f"mutation ($v: JSON) {{ {MODEL % '$v'} }}"
    for value in ({"a": number}, {"a": [{"b": [0, number]}]}):
        assert await read_codes(client, query, v=value) == {"VALIDATION_FAILED"}
    assert await read_codes(client, f"mutation {{ {MODEL % f'{{a: [{number}]}}'} }}") == {"VALIDATION_FAILED"}
    assert await read_codes(client, f"mutation ($v: Float) {{ {MODEL % '{a: $v}'} }}", v=number) == {
        "VALIDATION_FAILED"
    }


@pytest.mark.parametrize("value", [{"a": 2**63 - 1}, {"a": -(2**63), "b": 1.0, "c": 2**53 + 1}, {"d": 1e300}])
async def test_free_json_stores_numbers_exactly(client: Client, value: Any) -> None:
    created = await client.data(f"mutation ($v: JSON) {{ {MODEL % '$v'} }}", v=value)
    assert created["modelCreate"]["model"]["design"] == value


@pytest.mark.parametrize(
    ("number", "is_long"),
    [
        (10.0, True),
        (-3.0, True),
        (2.0**53 - 1, True),
        (2.0**53, False),  # 2^53 + 1 is this double as well
        (1e3, True),
        (0.5, False),
        (2.0**53 + 2, False),
        (2**63, False),
    ],
)
async def test_a_long_variable_may_be_a_whole_double(client: Client, number: float, is_long: bool) -> None:
    """Failed before: 10.0 was refused, which an Int takes."""
    query = 'query ($v: Long) { task(id: "t") { series(iterationFrom: $v) { metric } } }'
    answer = await client.answer(query, v=number)
    assert ("errors" not in answer) is is_long
    literal = await client.answer(query.replace("($v: Long)", "").replace("$v", f"{number:.1f}"))
    assert literal["errors"][0]["extensions"]["code"] == "VALIDATION_FAILED"


# -- variables in free JSON ------------------------------------------------------------------------

INSIDE = """
mutation (
  $absent: Int, $null: Int, $whole: Int, $long: Long, $half: Float, $text: String, $digits: ID, $number: ID,
  $status: TaskStatus, $statuses: [TaskStatus!], $yes: Boolean, $when: DateTime, $json: JSON, $range: DateTimeRange,
  $order: TaskOrder, $default: TaskStatus = QUEUED
) { %s }""" % (
    MODEL
    % """{
  absent: $absent, inner: {absent: $absent}, list: [1, $absent, {absent: $absent}], null: $null, whole: $whole,
  long: $long, half: $half, text: $text, digits: $digits, number: $number, status: $status, statuses: $statuses,
  yes: $yes, when: $when, json: $json, range: $range, order: $order, default: $default, literal: CREATED
}"""
)


async def test_variables_inside_free_json_are_the_values_that_the_client_sent(client: Client) -> None:
    """Failed before: absent ones and enum values were objects of Python's, which MongoDB can't keep."""
    sent = {
        "null": None,
        "whole": 1,
        "long": 2**40,
        "half": 0.5,
        "text": "CREATED",
        "digits": "123",
        "number": 7,
        "status": "IN_PROGRESS",
        "statuses": ["CREATED", "QUEUED"],
        "yes": True,
        "when": "2026-01-31T12:00:00.5+01:00",
        "json": {"a": [None, {"b": 2**53 + 1}]},
        "range": {"lt": "2026-01-31T12:00:00Z"},
        "order": {"field": "NAME", "direction": "DESC"},
    }
    created = await client.data(INSIDE, **sent)
    assert created["modelCreate"]["model"]["design"] == sent | {
        "inner": {},
        "list": [1, None, {}],
        "number": "7",
        "default": "QUEUED",
        "literal": "CREATED",
    }


async def test_free_json_may_be_an_absent_variable(client: Client) -> None:
    created = await client.data(f"mutation ($v: JSON) {{ {MODEL % '$v'} }}")
    assert created["modelCreate"]["model"]["design"] in (None, {})


@pytest.mark.parametrize("written", ['"a"', "5", "[1]", "true", "CREATED", "[{a: 1}]"])
async def test_free_json_that_is_no_object_is_refused_with_its_location(client: Client, written: str) -> None:
    [error] = (await client.answer(f"mutation {{ {MODEL % written} }}"))["errors"]
    assert error["extensions"]["code"] == "VALIDATION_FAILED"
    assert error["locations"]
    assert "Argument 'input' has invalid value at .design: JSON is an object" in error["message"]


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "fraction", "expected"),
    [
        ("lt", ".0005", ["before", "at"]),
        ("lt", ".0000000001", ["before", "at"]),
        ("lt", ".000", ["before"]),
        ("lt", ".001", ["before", "at"]),
        ("lt", ".0011", ["before", "at", "after"]),
        ("lte", ".0005", ["before", "at"]),
        ("lte", ".0009999999", ["before", "at"]),
        ("lte", ".000", ["before", "at"]),
        ("gt", ".0005", ["after"]),
        ("gt", ".000", ["after"]),
        ("gt", ".0009999", ["after"]),
        ("gt", ".001", []),
        ("gte", ".0005", ["after"]),
        ("gte", ".0000001", ["after"]),
        ("gte", ".000", ["at", "after"]),
        ("gte", ".0011", []),
    ],
)
async def test_a_bound_between_two_milliseconds_is_exact(
    client: Client, database: Database, operator: str, fraction: str, expected: list[str]
) -> None:
    """Failed before: the bound was cut to milliseconds, so that lt …00.0005 missed a task at …00.000."""
    millisecond = timedelta(milliseconds=1)
    for name, when in (("before", DAY - millisecond), ("at", DAY), ("after", DAY + millisecond)):
        await database.task.insert_one(task(_id=name, created=when, status_changed=when, started=when))
    bound = f"{DAY:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    sign = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}[operator]
    list_query = "query ($v: TaskFilter) { tasks(filter: $v, orderBy: [{field: CREATED}]) { nodes { id } } }"
    for filter_ in (
        {"created": {operator: bound}},
        {"statusChanged": [f"{sign}{bound}"]},
        {"not": {"not": {"started": {operator: bound}}}},
        {"created": {operator: bound, "gte": "0001-01-01T00:00:00Z"}}
        if operator != "gte"
        else {"or": [{"created": {operator: bound}}]},
    ):
        nodes = (await client.data(list_query, v=filter_))["tasks"]["nodes"]
        assert [node["id"] for node in nodes] == expected, filter_


async def test_a_time_between_two_milliseconds_equals_no_stored_time(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="t", status_changed=DAY))
    list_query = "query ($v: [String!]) { tasks(filter: {statusChanged: $v}) { totalCount } }"
    assert await client.data(list_query, v=[f"{DAY:%Y-%m-%dT%H:%M:%S}.000Z"]) == {"tasks": {"totalCount": 1}}
    assert await client.data(list_query, v=[f"{DAY:%Y-%m-%dT%H:%M:%S}.0005Z"]) == {"tasks": {"totalCount": 0}}


async def test_the_last_millisecond_of_the_last_year_has_a_bound_after_it(client: Client, database: Database) -> None:
    last = DAY.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59, microsecond=999000)
    await database.task.insert_one(task(_id="t", created=last))
    list_query = "query ($v: DateTime) { tasks(filter: {created: {lt: $v}}) { totalCount } }"
    assert await client.data(list_query, v="9999-12-31T23:59:59.9995Z") == {"tasks": {"totalCount": 1}}
    assert await client.data(list_query, v="9999-12-31T23:59:59.999Z") == {"tasks": {"totalCount": 0}}


SET_CREATED = 'mutation ($v: DateTime) { taskUpdate(input: {task: "t", created: $v}) { task { created } } }'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31T12:00:00.25z", "2026-01-31T12:00:00.250Z"),
        ("2026-01-31 12:00:00-00:00", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31T12:00:00+23:59", "2026-01-30T12:01:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2016-12-31T15:59:60.25-08:00", "2017-01-01T00:00:00.250Z"),
        ("2012-06-30T23:59:60z", "2012-07-01T00:00:00.000Z"),
        ("2026-01-31T12:00:00.1239999999Z", "2026-01-31T12:00:00.123Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
async def test_a_time_is_read_by_rfc_3339(client: Client, database: Database, written: str, expected: str) -> None:
    """Failed before: a lower-case z and a leap second were refused."""
    await database.task.insert_one(task(_id="t"))
    assert (await client.data(SET_CREATED, v=written))["taskUpdate"]["task"] == {"created": expected}
    literal = SET_CREATED.replace("($v: DateTime)", "").replace("$v", f'"{written}"')
    assert (await client.data(literal))["taskUpdate"]["task"] == {"created": expected}


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31T12:00:00+00:99",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00-00:60",
        "2026-01-31T12:00:00+99:99",
        "2026-01-31T12:00:00Zz",
        "2026-01-31T23:59:61Z",
        "2026-01-30T23:59:60Z",
        "2026-01-31T12:00:60Z",
        "2016-12-31T23:59:60+01:00",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-31T12:00:00.Z",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        " 2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z" + "0" * 5000,
    ],
    ids=lambda text: text[:30],
)
async def test_a_bad_time_is_refused_with_its_location(client: Client, database: Database, written: str) -> None:
    """Failed before: offsets such as +00:99 were taken, and literals had no place in their errors."""
    await database.task.insert_one(task(_id="t", created=DAY))
    literal = SET_CREATED.replace("($v: DateTime)", "").replace("$v", json.dumps(written, ensure_ascii=False))
    for query, variables, named in (
        (literal, {}, "Argument 'input' has invalid value at .created: DateTime is an RFC 3339 time"),
        (SET_CREATED, {"v": written}, "Variable '$v' has invalid value: DateTime is an RFC 3339 time"),
    ):
        [error] = (await client.answer(query, **variables))["errors"]
        assert error["extensions"]["code"] == "VALIDATION_FAILED"
        assert error["locations"]
        assert error["message"].startswith(named)
        assert len(error["message"]) < 300
    list_query = "query ($v: [String!]) { tasks(filter: {statusChanged: $v}) { totalCount } }"
    if written.strip() == written:
        assert await read_codes(client, list_query, v=[f"<{written}"]) == {"FIELDS_VALUE_ERROR"}


# -- messages --------------------------------------------------------------------------------------

PYTHON = re.compile(
    r"Node\b|<class|\bclass '|Undefined|NoneType|be None|object at 0x|<\w+\.\w+|Traceback|Plain\(|\bdict\b"
)
TYPES = {
    "Int": "tasks(first: V) { totalCount }",
    "Float": 'tasks(filter: {metrics: [{metric: "a", variant: "b", gt: V}]}) { totalCount }',
    "Long": 'task(id: "t") { series(iterationFrom: V) { metric } }',
    "ID!": "task(id: V) { id }",
    "String": "tasks(filter: {name: V}) { totalCount }",
    "Boolean": "tasks(filter: {includeSubprojects: V}) { totalCount }",
    "DateTime": "tasks(filter: {created: {lt: V}}) { totalCount }",
    "[TaskStatus!]": "tasks(filter: {status: V}) { totalCount }",
    "JSON": 'taskValidate(input: {name: "abc", type: TRAINING, execution: {modelDesc: V}})',
    "TaskFilter": "tasks(filter: V) { totalCount }",
    "[TaskOrder!]": "tasks(orderBy: V) { totalCount }",
}
WRITTEN = ["5", "1.5", '"a"', "true", "NONE", "null", "[1, null]", '["a", NONE]', "{a: 1}", "{a: [NONE, {b: null}]}"]


@pytest.mark.slow
@pytest.mark.parametrize("type_", TYPES)
async def test_no_message_names_a_class_of_python(client: Client, type_: str) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [(f"{{ {TYPES[type_].replace('V', text)} }}", {}) for text in WRITTEN]
    document = f"query ($v: {type_}) {{ {TYPES[type_].replace('V', '$v')} }}"
    values: list[Any] = [5, 1.5, "a", True, None, [1, None], ["a", "NONE"], {"a": 1}, {"a": ["x", {"b": None}]}, [[]]]
    requests += [(document, {"v": value}) for value in values] + [(document, {})]
    requests += [(document.replace(type_, f"{type_} = {text}"), {}) for text in WRITTEN]
    inner = "query ($v: TaskStatus, $w: Int) {{ {} }}"
    requests += [
        (inner.format(TYPES[type_].replace("V", text)), {"v": "CREATED"})
        for text in ("{a: $v, b: $w}", "[$v, $w]", "$v")
    ]
    for query, variables in requests:
        for error in (await client.answer(query, **variables)).get("errors", ()):
            assert not PYTHON.search(error["message"]), (query, variables)
            assert error["locations"], (query, variables)
            assert error["extensions"]["code"] != "INTERNAL_ERROR", (query, variables)
