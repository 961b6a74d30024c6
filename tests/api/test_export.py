"""An export has the rows of all pages of the same list, as a stream whose memory does not grow with it."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from hypothesis import given, settings
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from api.settings import Settings
from models.imports.importer import import_files
from models.store.database import Database as Opened
from models.types import Viewer
from resolvers.queries.export import ExportContext, find_export
from resolvers.root import RELATED_FIELDS, build_schema
from schema.load import load
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.database import NAME
from tests.support.factories import (
    COMPANY,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    hyperparams,
    ids,
    last_metrics,
    project,
    task,
)
from tests.support.generated import GENERATED, rows
from tests.support.paths import DATA
from tests.support.servers import build_env, restore, run, serve, standalone

pytestmark = pytest.mark.slow

Database = AsyncDatabase[Document]

# HYPOTHESIS_PROFILE=long for ten times as many tasks
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
MANY, EXAMPLES = (20_000, 1000) if IS_LONG else (2_000, 20)
TASK = """
  id name kind: type status rawStatus tags comment created started lastIteration activeDuration runtime
  project { id name } parentId parent { name status } user { name }
  execution { framework queue { name } parameters { name value } }
  script { branch requirements }
  lastMetrics { metric variant value minValueIteration } loss: lastMetrics(metric: "loss") { value }
  hyperparams { section name value } series(maxPoints: 10) { metric variant iterations values }
  children(first: 2) { totalCount nodes { id } } availableTransitions { mutation allowed }
"""
ODD = """{ tasks { nodes { id name status project { name } tags lastIteration started execution { queue { id } }
  hyperparams { value } lastMetrics { value } } } }"""
QUERY = "{ tasks { nodes { id } } }"


async def fetch_export(client: Client, query: str, form: str = "jsonl", **variables: Any) -> httpx.Response:
    params = {"query": query, "variables": json.dumps(variables), "format": form}
    response = await client.http.get("/export", params=params)
    assert response.status_code == 200, response.text
    return response


async def read_lines(client: Client, query: str, **variables: Any) -> list[Document]:
    return [json.loads(line) for line in (await fetch_export(client, query, **variables)).text.splitlines()]


async def read_table(client: Client, query: str, **variables: Any) -> tuple[list[str], list[list[str]]]:
    text = (await fetch_export(client, query, "csv", **variables)).text
    assert text.endswith("\r\n")
    names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return names, rows


async def read_pages(client: Client, selected: str, arguments: str = "") -> list[Document]:
    """Read all that `tasks` lists, in pages of three."""
    nodes: list[Document] = []
    query = f"query($after: String) {{ tasks(first: 3, after: $after{arguments}) {{ nodes {{ {selected} }}"
    query += " pageInfo { hasNextPage endCursor } } }"
    after = None
    while True:
        page = (await client.data(query, after=after))["tasks"]
        nodes += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes
        after = page["pageInfo"]["endCursor"]


# -- the same rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        ', filter: {status: [COMPLETED, FAILED], tags: ["-baseline"]}',
        ', filter: {project: ["fa9466b2eda844859d70aa72b912d165"], includeSubprojects: true}, orderBy: [{field: NAME}]',
        ', orderBy: [{metric: {metric: "accuracy", variant: "test", stat: MAX}, direction: DESC}, {field: STATUS}]',
        ', orderBy: [{hyperparam: {section: "General", name: "alpha"}, nulls: FIRST}]',
        ', filter: {searchText: "digits"}, orderBy: [{textScore: true}]',
        ', filter: {id: ["nobody"]}',
    ],
)
async def test_an_export_of_real_tasks_has_the_rows_of_all_pages(
    client: Client, database: Database, arguments: str
) -> None:
    await import_files(database, [DATA], company=Settings().company, user="test", shown_fields={})
    expected = await read_pages(client, TASK, arguments)
    argument_list = f"({arguments.removeprefix(', ')})" if arguments else ""
    query = f"{{ tasks{argument_list} {{ nodes {{ {TASK} }} }} }}"
    assert await read_lines(client, query) == expected
    names, table_rows = await read_table(client, query)
    assert names[:4] == ["id", "name", "kind", "status"]
    assert {"project.name", "execution.queue.name", "children.totalCount", "lastMetrics"} <= {*names}
    assert [dict(zip(names, cells, strict=True)) for cells in table_rows] == [flatten(row, names) for row in expected]


def flatten(row: Document, names: list[str]) -> dict[str, str]:
    """Return the cells of a row, by the documentation of exports."""
    cells = {}
    for name in names:
        value: Any = row
        for key in name.split("."):
            value = value and value[key]
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        cells[name] = "" if value is None else text
    return cells


@settings(GENERATED, max_examples=EXAMPLES)
@given(rows=rows())
async def test_odd_rows_are_exported_as_they_are_listed(
    client: Client, database: Database, rows: list[Document]
) -> None:
    await database.task.insert_many(rows)
    try:
        listed = (await client.data(ODD))["tasks"]["nodes"]
        assert await read_lines(client, ODD) == listed
        names, table_rows = await read_table(client, ODD)
        assert [dict(zip(names, cells, strict=True)) for cells in table_rows] == [flatten(row, names) for row in listed]
    finally:
        await database.task.delete_many({})


async def test_any_list_can_be_exported_by_any_query_for_it(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p", name="digits"))
    query = """query Nothing { tasks { totalCount } }
      query Of($name: String) { found: projects(filter: {name: $name}) { ...Nodes @include(if: true) } }
      fragment Nodes on ProjectConnection { rows: nodes { called: name } }"""
    request = {"query": query, "operationName": "Of", "variables": {"name": "DIG"}}
    response = await client.http.post("/export", json=request)
    assert (response.text, response.headers["content-disposition"]) == (
        "called\r\ndigits\r\n",
        'attachment; filename="projects.csv"',
    )


async def test_an_empty_list_is_a_line_of_names_or_nothing(client: Client) -> None:
    assert (
        await fetch_export(client, "{ tasks { nodes { id project { name } } } }", "csv")
    ).text == "id,project.name\r\n"
    assert (await fetch_export(client, QUERY)).text == ""


async def test_others_tasks_are_not_exported_and_public_ones_are(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p", name="secret", company=OTHER_COMPANY))
    await database.task.insert_many(
        [
            task(_id="own", project="p"),
            task(_id="public", company=PUBLIC),
            task(_id="theirs", company=OTHER_COMPANY),
        ]
    )
    rows = await read_lines(client, "{ tasks(orderBy: [{field: ID}]) { nodes { id project { name } } } }")
    assert rows == [{"id": "own", "project": {"name": None}}, {"id": "public", "project": None}]


# -- in batches ------------------------------------------------------------------------------------


async def test_a_long_list_is_read_in_pages_and_answered_in_batches(
    client: Client, database: Database, commands: Commands
) -> None:
    await database.project.insert_many([project(_id=f"p{number}") for number in range(7)])
    await database.task.insert_many(
        [
            {"_id": f"{number:04}", "company": COMPANY, "project": f"p{number % 7}", "last_update": DAY}
            for number in range(1001)
        ]
    )
    commands.seen.clear()
    rows = await read_lines(client, "{ tasks { nodes { id project { name } } } }")
    assert ids([{"_id": row["id"]} for row in rows]) == [f"{number:04}" for number in reversed(range(1001))]
    lists = [command for command in commands.seen if command.get("aggregate") == "task"]
    assert [command["pipeline"][-1] for command in lists] == [{"$limit": 500}] * 3
    related = [command for command in commands.seen if command.get("find") == "project"]
    assert len(related) == 21
    assert all(command["limit"] <= 7 for command in related)


@pytest.fixture
async def still(app: Starlette, database: Database) -> AsyncIterator[ExportContext]:  # noqa: ARG001 - to be empty
    opened, viewer = app.state.database, Viewer("u", COMPANY, "admin")
    assert isinstance(opened, Opened)
    async with opened.open_snapshot(viewer, 60_000) as reader:
        yield ExportContext(
            viewer, reader, opened.create_writer(viewer), opened.changes, load(), 2, related_fields=RELATED_FIELDS
        )


async def test_tasks_that_move_while_they_are_exported_come_once_and_as_they_were(
    still: ExportContext, database: Database
) -> None:
    made = [task(_id=f"{number}", last_update=DAY - timedelta(hours=number)) for number in range(7)]
    await database.task.insert_many(made)
    result = await build_schema(load()).execute("{ tasks { nodes { id comment } } }", context_value=still)
    rows = []
    async for batch in find_export(still, result.data or {}).batches:
        rows += batch
        await database.task.update_many({}, {"$set": {"comment": "changed"}})
        await database.task.update_one({"_id": "5"}, {"$set": {"last_update": DAY + timedelta(hours=1)}})
        await database.task.delete_one({"_id": "6"})
    assert rows == [{"id": f"{number}", "comment": "a comment"} for number in range(7)]


async def test_a_client_that_leaves_ends_the_reading(app: Starlette, client: Client, commands: Commands) -> None:
    await client.database.task.insert_many([{"_id": f"{number}", "company": COMPANY} for number in range(1500)])
    commands.seen.clear()
    has_begun, leaves = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            has_begun.set()
            await asyncio.sleep(3600)

    work = asyncio.ensure_future(app(build_scope(QUERY), receive, send))
    await asyncio.wait_for(has_begun.wait(), 20)
    leaves.set()
    await asyncio.wait_for(work, 20)
    assert len(commands.seen) == 1


async def test_an_export_counts_among_the_requests_that_are_worked_on_at_once(
    beside: Callable[..., Client], database: Database
) -> None:
    await database.task.insert_one(task(_id="a"))
    client, has_begun, goes_on, sent = beside(max_requests=1), asyncio.Event(), asyncio.Event(), []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)
        has_begun.set()
        await goes_on.wait()

    app = client.http._transport.app  # type: ignore[attr-defined]
    work = asyncio.ensure_future(app(build_scope(QUERY), receive, send))
    await asyncio.wait_for(has_begun.wait(), 20)
    assert (await client.error("{ tasks { totalCount } }"))["code"] == "LIMIT_EXCEEDED"
    assert (await client.http.get("/export", params={"query": QUERY})).status_code == 503
    goes_on.set()
    await work
    assert b"".join(message.get("body", b"") for message in sent) == b"id\r\na\r\n"
    await client.data("{ tasks { totalCount } }")


def build_scope(query: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/export",
        "headers": [(b"host", b"localhost")],
        "query_string": str(httpx.QueryParams(query=query)).encode(),
    }


# -- cells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        (" =1", " =1"),
        ("a,b", "a,b"),
        ('a"b', 'a"b'),
        ("a\r\nb", "a\r\nb"),
        ("é 🙂 \0 \u2028", "é 🙂 \0 \u2028"),
        ("", ""),
        (None, ""),
        (5, ""),
    ],
)
async def test_a_cell_is_the_text_and_never_a_formula(
    client: Client, database: Database, stored: Any, expected: str
) -> None:
    await database.task.insert_one(task(_id="a", comment=stored, hyperparams=hyperparams(("s", "=n", "=v"))))
    names, [cells] = await read_table(client, "{ tasks { nodes { comment hyperparams { name value } end: id } } }")
    assert names == ["comment", "hyperparams", "end"]
    assert cells == [expected, '[{"name":"=n","value":"=v"}]', "a"]


async def test_numbers_are_written_as_such_and_null_is_empty(client: Client, database: Database) -> None:
    await database.task.insert_one(
        task(
            _id="a",
            last_iteration=-5,
            active_duration=None,
            started=DAY,
            project=None,
            runtime={"=a": -1.5, "b": None},
            tags=["=x"],
            last_metrics=last_metrics(("m", "v", -1e-7), ("m", "w", float("nan"))),
        )
    )
    query = """{ tasks { nodes { lastIteration activeDuration started project { name user { name } } runtime tags
      lastMetrics { value } availableTransitions { __typename } task: __typename } } }"""
    names, [cells] = await read_table(client, query)
    row = dict(zip(names, cells, strict=True))
    assert row.pop("availableTransitions").startswith('[{"__typename":"AvailableTransition"}')
    assert row == {
        "lastIteration": "-5",
        "activeDuration": "",
        "started": "2026-01-31T12:00:00.000Z",
        "project.name": "",
        "project.user.name": "",
        "runtime": '{"=a":-1.5,"b":null}',
        "tags": '["=x"]',
        "lastMetrics": '[{"value":-1e-7},{"value":null}]',
        "task": "Task",
    }


# -- what is refused -------------------------------------------------------------------------------


COSTLY = "{ tasks { nodes { children(first: 500) { nodes { children(first: 500) { nodes { id } } } } } } }"


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({}, 400, "BAD_REQUEST"),
        ({"query": "{"}, 400, "PARSE_FAILED"),
        ({"query": "{ tasks { nodes { nothing } } }"}, 400, "VALIDATION_FAILED"),
        ({"query": "{ tasks { nodes } }"}, 400, "VALIDATION_FAILED"),
        ({"query": QUERY, "variables": "["}, 400, "BAD_REQUEST"),
        ({"query": QUERY, "format": "xml"}, 400, "BAD_REQUEST"),
        ({"query": QUERY, "format": ""}, 400, "BAD_REQUEST"),
        (
            {"query": "query($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }", "variables": '{"f": {"no": 1}}'},
            400,
            "VALIDATION_FAILED",
        ),
        ({"query": '{ tasks(filter: {name: "["}) { nodes { id } } }'}, 400, "INVALID_REGEX_ERROR"),
        ({"query": "{ tasks(filter: {or: []}) { nodes { id } } }"}, 400, "FIELDS_VALUE_ERROR"),
        ({"query": "{ tasks(orderBy: [{}]) { nodes { id } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks(first: 50) { nodes { id } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": '{ tasks(after: "x") { nodes { id } } }'}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks(pageSize: 500) { nodes { id } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks { nodes { id } totalCount } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks { edges { node { id } } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks { nodes { id } } projects { nodes { id } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks { nodes { id } } __typename }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ tasks { nodes @skip(if: true) { id } } }"}, 400, "VALIDATION_ERROR"),
        ({"query": '{ task(id: "a") { id } }'}, 400, "VALIDATION_ERROR"),
        ({"query": "{ serverInfo { version } }"}, 400, "VALIDATION_ERROR"),
        ({"query": "{ __typename }"}, 400, "VALIDATION_ERROR"),
        ({"query": "query A { tasks { nodes { id } } } query B { tasks { nodes { id } } }"}, 400, "BAD_REQUEST"),
        ({"query": 'mutation { taskPing(input: {task: "a"}) { __typename } }'}, 400, "BAD_REQUEST"),
        ({"query": "{ tasks { nodes { children(first: 501) { nodes { id } } } } }"}, 400, "LIMIT_EXCEEDED"),
        (
            {"query": COSTLY},
            400,
            "LIMIT_EXCEEDED",
        ),
        (
            {"query": f"{{ tasks {{ nodes {{ {' '.join(f'a{number}: id' for number in range(101))} }} }} }}"},
            400,
            "LIMIT_EXCEEDED",
        ),
        ({"query": "{ tasks { nodes { series(maxPoints: 10001) { metric } } } }"}, 400, "LIMIT_EXCEEDED"),
    ],
)
async def test_a_query_that_cannot_be_exported_is_refused_before_the_first_byte(
    client: Client, database: Database, params: dict[str, str], status: int, code: str
) -> None:
    await database.task.insert_one(task(_id="a"))
    assert_refused(await client.http.get("/export", params=params), status, code)


async def test_an_error_names_the_argument_and_its_place(client: Client) -> None:
    response = await client.http.get("/export", params={"query": "{ tasks(first: 5) { nodes { id } } }"})
    [error] = response.json()["errors"]
    assert (error["path"], error["extensions"]["field"]) == (["tasks"], "first")
    response = await client.http.get("/export", params={"query": "{ tasks { nodes { a b } } }"})
    assert len(response.json()["errors"]) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('mutation { taskPing(input: {task: "a"}) { __typename } }', "Only a query can be exported."),
        ("subscription { taskChanged { kind } }", "Only a query can be exported."),
        ("{ metricNames { nodes { metric } } }", "one list of tasks, projects, queues, models or users"),
    ],
)
async def test_a_refusal_names_the_operations_that_can_be_exported(client: Client, query: str, message: str) -> None:
    for response in (
        await client.http.get("/export", params={"query": query}),
        await client.http.post("/export", json={"query": query}),
    ):
        assert response.status_code == 400
        assert message in response.json()["errors"][0]["message"]


async def test_a_format_in_the_body_is_refused_and_not_ignored(client: Client) -> None:
    response = await client.http.post("/export", json={"query": QUERY, "format": "jsonl"})
    assert_refused(response, 400, "BAD_REQUEST")
    assert "/export?format=jsonl" in response.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods_are_not_served(client: Client, method: str) -> None:
    response = await client.http.request(method, "/export", params={"query": QUERY})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_a_mutation_beside_the_exported_query_is_refused(client: Client, database: Database) -> None:
    await database.task.insert_one(task(_id="a", status="created"))
    params = {"query": 'mutation M { taskDelete(input: {task: "a"}) { deleted } } query Q { tasks { nodes { id } } }'}
    assert_refused(await client.http.get("/export", params=params | {"operationName": "M"}), 400, "BAD_REQUEST")
    assert (await client.http.get("/export", params=params | {"operationName": "Q"})).text == "id\r\na\r\n"


async def test_foreign_hosts_are_refused_and_only_allowed_origins_may_read(
    beside: Callable[..., Client],
    database: Database,  # noqa: ARG001 - to be empty
) -> None:
    client = beside(allowed_origins="http://front.example")
    params = {"query": QUERY}
    assert_refused(await client.http.get("/export", params=params, headers={"host": "evil"}), 400, "BAD_REQUEST")
    for origin, allowed in (("http://front.example", "http://front.example"), ("http://evil.example", None)):
        response = await client.http.get("/export", params=params, headers={"origin": origin})
        assert response.headers.get("access-control-allow-origin") == allowed


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert "content-disposition" not in response.headers
    errors = response.json()["errors"]
    assert {error["extensions"]["code"] for error in errors} == {code}
    assert all(error["message"] for error in errors)


# -- over HTTP -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "form", "expected"),
    [
        (None, None, "text/csv"),
        ("*/*", None, "text/csv"),
        ("text/html,*/*;q=0.8", None, "text/csv"),
        ("application/jsonl", None, "application/jsonl"),
        ("text/csv;q=0.1, application/*", None, "application/jsonl"),
        ("application/jsonl", "csv", "text/csv"),
        ("text/html", "jsonl", "application/jsonl"),
        ("text/html", None, None),
        ("text/csv;q=0", None, None),
    ],
)
async def test_the_format_is_the_one_that_is_named_or_liked_best(
    client: Client, accept: str | None, form: str | None, expected: str | None
) -> None:
    headers = {"accept": accept} if accept else {}
    params = {"query": QUERY} | ({"format": form} if form else {})
    client.http.headers.pop("accept", None)
    response = await client.http.get("/export", params=params, headers=headers)
    if expected is None:
        assert_refused(response, 406, "BAD_REQUEST")
        return
    ending = "csv" if expected == "text/csv" else "jsonl"
    assert response.headers["content-type"] == f"{expected}; charset=utf-8"
    assert response.headers["content-disposition"] == f'attachment; filename="tasks.{ending}"'
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_stream_is_compressed(client: Client, database: Database) -> None:
    await database.task.insert_many([task(_id=f"{number}") for number in range(120)])
    query = "{ tasks { nodes { id name comment } } }"
    response = await client.http.get("/export", params={"query": query}, headers={"accept-encoding": "gzip"})
    plain = await client.http.get("/export", params={"query": query}, headers={"accept-encoding": "identity"})
    assert (response.headers["content-encoding"], "content-length" in response.headers) == ("gzip", False)
    assert response.text == plain.text
    assert len(plain.text.splitlines()) == 121


def fill(uri: str, count: int, size: int, database: str = "backend") -> None:
    """Tasks with a text of so many characters each."""
    with pymongo.MongoClient[Document](uri) as client:
        for start in range(0, count, 500):
            client[database].task.insert_many(
                task(_id=f"{number:05}", comment=f"{number:05} " + "x" * size, last_update=DAY)
                for number in range(start, min(count, start + 500))
            )


def test_a_database_that_is_lost_midway_leaves_an_incomplete_answer_and_the_server_well(tmp_path: Path) -> None:
    url = {"query": "{ tasks { nodes { id comment } } }", "format": "jsonl"}
    with ExitStack() as until_the_end:
        with standalone(tmp_path) as uri:
            fill(uri, 2500, 10_000)  # more than the buffers on the way hold
            server = until_the_end.enter_context(serve(mongodb_uri=uri))
            address = server.address.replace("/graphql", "/export")
            stream = until_the_end.enter_context(
                httpx.stream("GET", address, params=url, headers={"accept-encoding": "identity"}, timeout=60)
            )
            received = stream.iter_bytes()
            assert b'"id"' in next(received)
        assert stream.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            for _ in received:
                pass
        stderr = " ".join(server.read_stderr().split())
        assert "an export ended early: The database can't be reached." in stderr
        assert "Traceback" not in stderr
        assert_refused(httpx.get(address, params={"query": QUERY}, timeout=60), 503, "DATABASE_UNAVAILABLE")


def test_a_standalone_server_is_exported_as_well(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri:
        restore(uri, DATA / "clearml-backend")
        completed = run("export", "{ tasks { nodes { id name } } }", "--format", "jsonl", mongodb_uri=uri)
    assert completed.returncode == 0, completed.stderr
    assert len(completed.stdout.splitlines()) == 10


def test_a_long_export_takes_no_more_memory_than_a_short_one(mongodb_uri: str) -> None:
    """Tasks have some 10 KB each; an export that is held in memory would be seen."""
    with serve(mongodb_uri=mongodb_uri, mongodb_database="taskql_export") as server:
        address, query = server.address.replace("/graphql", "/export"), "{ tasks { nodes { id comment name tags } } }"

        def size() -> int:
            with httpx.stream("GET", address, params={"query": query}, timeout=120) as response:
                return sum(map(len, response.iter_bytes()))

        def memory() -> int:
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
            return int(peak) * 1024

        try:
            fill(mongodb_uri, 600, 10_000, "taskql_export")
            size()
            before = memory()
            with pymongo.MongoClient[Document](mongodb_uri) as client:
                client.drop_database("taskql_export")
            fill(mongodb_uri, MANY, 10_000, "taskql_export")
            assert size() > MANY * 10_000
            assert memory() - before < 10_000_000
        finally:
            with pymongo.MongoClient[Document](mongodb_uri) as client:
                client.drop_database("taskql_export")


# -- on the command line ---------------------------------------------------------------------------


def test_the_command_writes_the_bytes_that_the_server_sends(tmp_path: Path) -> None:
    query, data = "{ tasks(filter: {status: [COMPLETED]}) { nodes { id name project { name } } } }", tmp_path / "data"
    (tmp_path / "query.graphql").write_text(query)
    with serve(data_dir=data) as server:
        assert run("import", "--sample", data_dir=data).returncode == 0
        sent = httpx.get(server.address.replace("/graphql", "/export"), params={"query": query}).text
        beside = run("export", query, data_dir=data)
    alone = run("export", f"@{tmp_path / 'query.graphql'}", "--output", tmp_path / "tasks.csv", data_dir=data)
    assert (beside.returncode, beside.stderr, alone.returncode, alone.stdout, alone.stderr) == (0, "", 0, "", "")
    assert beside.stdout == sent.replace("\r\n", "\n")  # a text of universal newlines
    assert (tmp_path / "tasks.csv").read_bytes() == sent.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "query.graphql", "tasks.csv"]


VARIED = "query($name: String) { tasks(filter: {name: $name}) { nodes { id } } }"


def test_a_refused_export_is_one_paragraph_and_leaves_the_file_as_it_was(mongodb_uri: str, tmp_path: Path) -> None:
    options = {"mongodb_uri": mongodb_uri, "mongodb_database": NAME + "_empty"}
    target = tmp_path / "tasks.csv"
    target.write_text("before")
    for arguments, message in (
        (["{ tasks { nodes { nothing } } }"], "VALIDATION_FAILED: Cannot query field 'nothing'"),
        ([VARIED, "--variables", "[]"], "BAD_REQUEST: variables must be an object."),
        ([f"@{tmp_path / 'nothing'}"], "nothing: No such file or directory."),
        (["mutation { taskPing { id } }"], "Only a query can be exported."),
    ):
        refused = run("export", *arguments, "--output", target, **options)
        assert (refused.returncode, refused.stdout) == (1, ""), message
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert message in refused.stderr
        assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
    refused = run("export", QUERY, "--output", tmp_path / "no" / "tasks.csv", **options)
    assert (refused.returncode, "folder" in refused.stderr and "does not exist" in refused.stderr) == (1, True)


def test_a_file_gets_the_format_of_its_name_unless_an_option_names_one(mongodb_uri: str, tmp_path: Path) -> None:
    options = {"mongodb_uri": mongodb_uri, "mongodb_database": NAME + "_empty"}
    for name, form, written in (("a.jsonl", [], ""), ("a.csv", [], "id\n"), ("b.jsonl", ["--format", "csv"], "id\n")):
        completed = run("export", "{ tasks { nodes { id } } }", "--output", tmp_path / name, *form, **options)
        assert (completed.returncode, (tmp_path / name).read_text()) == (0, written)


def test_a_reader_that_leaves_and_an_end_by_signal_are_no_success(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri:
        fill(uri, 2000, 2000)
        for ends in ("reader", "signal"):
            command = [sys.executable, "-m", "api", "export", "{ tasks { nodes { id comment } } }"]
            with subprocess.Popen(
                command, env=build_env(mongodb_uri=uri), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                assert process.stdout
                assert process.stderr
                process.stdout.readline()
                if ends == "signal":
                    process.terminate()
                    process.stdout.read()
                process.stdout.close()
                stderr = process.stderr.read()
                status = process.wait(30)
            assert (status, stderr) == (143 if ends == "signal" else 1, b"")
