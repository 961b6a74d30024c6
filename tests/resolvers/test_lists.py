"""Lists of projects, queues, models and users, with the related fields of projects and queues."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from bson import Code
from pymongo.asynchronous.database import AsyncDatabase

from resolvers.root import RELATED_FIELDS
from schema import dialect
from schema.load import load
from schema.spec import ScalarType
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import (
    ABSENT,
    COMPANY,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    ids,
    model,
    project,
    queue,
    task,
    user,
)

Database = AsyncDatabase[Document]
Filter = dict[str, Any]

SPEC = load()
BUILDERS = {"project": project, "queue": queue, "model": model, "user": user}
COLLECTIONS = [*BUILDERS]


def build_list_text(collection: str, selection: str = "nodes { id } totalCount") -> str:
    type_ = collection.capitalize()
    return f"""query($filter: {type_}Filter, $orderBy: [{type_}Order!], $first: Int, $after: String, $last: Int,
      $before: String, $page: Int, $pageSize: Int) {{
      {collection}s(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before,
        page: $page, pageSize: $pageSize) {{ {selection} }}
    }}"""


async def list_ids(client: Client, collection: str, **arguments: Any) -> list[str]:
    answer = (await client.data(build_list_text(collection), **arguments))[f"{collection}s"]
    node_ids = [node["id"] for node in answer["nodes"]]
    if not arguments.keys() - {"filter", "orderBy"}:
        assert answer["totalCount"] == len(node_ids)
    return node_ids


# -- filters ---------------------------------------------------------------------------------------

STORED: Mapping[str, list[Document]] = {
    "project": [
        project(_id="top", name="Vision", parent=None, path=[], tags=["a"], system_tags=[]),
        project(_id="mid", name="Vision/Digits", parent="top", path=["top"], tags=["a", "b"], system_tags=["hidden"]),
        project(_id="low", name="Vision/Digits/MNIST", parent="mid", path=["top", "mid"], tags=[], system_tags=[]),
        project(_id="old", name="speech.en", parent=ABSENT, path=ABSENT, tags=ABSENT, system_tags=ABSENT),
        project(_id="blank", name="texts", parent="", path=[], tags=["c"], system_tags=[]),
    ],
    "queue": [
        queue(_id="q1", name="default", tags=[], system_tags=["default"]),
        queue(_id="q2", name="GPU large", tags=["gpu"], system_tags=[]),
        queue(_id="q3", name="gpu.small", tags=["gpu", "old"], system_tags=ABSENT),
    ],
    "model": [
        model(_id="m1", name="Digits net", project="p", task="t1", framework="PyTorch", uri="s3://b/1.pt", ready=True),
        model(
            _id="m2",
            name="digits",
            project="p",
            task="t2",
            framework="Keras",
            uri="/models/2.h5",
            ready=False,
            tags=["a", "b"],
        ),
        model(
            _id="m3",
            name="words",
            project="q",
            task=ABSENT,
            framework=None,
            uri=None,
            ready=ABSENT,
            tags=ABSENT,
            system_tags=["archived"],
        ),
    ],
    "user": [user(_id="u1", name="Ada Lovelace"), user(_id="u2", name="Émile Borel"), user(_id="u3", name="ada.bot")],
}
FILTER_CASES: list[tuple[str, Filter, list[str]]] = [
    ("project", {"id": ["top", "low", "gone"]}, ["low", "top"]),
    ("project", {"id": ["-top", "-mid"]}, ["blank", "low", "old"]),
    ("project", {"name": "DIGITS"}, ["low", "mid"]),
    ("project", {"name": "^vision/"}, ["low", "mid"]),
    ("project", {"name": "h.en$"}, ["old"]),
    ("project", {"name": r"\."}, ["old"]),
    ("project", {"parent": ["top"]}, ["mid"]),
    ("project", {"parent": ["top", "mid"]}, ["low", "mid"]),
    ("project", {"parent": ["-top"]}, ["blank", "low", "old", "top"]),
    ("project", {"ancestor": ["top"]}, ["low", "mid"]),
    ("project", {"ancestor": ["mid"]}, ["low"]),
    ("project", {"ancestor": ["top", "-mid"]}, ["mid"]),
    ("project", {"atTop": True}, ["blank", "old", "top"]),
    ("project", {"atTop": False}, ["low", "mid"]),
    ("project", {"tags": ["b", "c"]}, ["blank", "mid"]),
    ("project", {"tags": ["a", "-b"]}, ["top"]),
    ("project", {"systemTags": ["-hidden"]}, ["blank", "low", "old", "top"]),
    ("project", {"atTop": False, "tags": ["a"], "name": "digits"}, ["mid"]),
    ("queue", {"id": ["q2"]}, ["q2"]),
    ("queue", {"name": "gpu"}, ["q2", "q3"]),
    ("queue", {"tags": ["gpu", "-old"]}, ["q2"]),
    ("queue", {"systemTags": ["default"]}, ["q1"]),
    ("queue", {"systemTags": ["-default"]}, ["q2", "q3"]),
    ("model", {"id": ["-m1"]}, ["m2", "m3"]),
    ("model", {"name": "DIGITS"}, ["m1", "m2"]),
    ("model", {"project": ["p"]}, ["m1", "m2"]),
    ("model", {"project": ["-p"]}, ["m3"]),
    ("model", {"task": ["t1", "t2"]}, ["m1", "m2"]),
    ("model", {"task": ["-t1"]}, ["m2", "m3"]),
    ("model", {"framework": ["PyTorch"]}, ["m1"]),
    ("model", {"framework": ["pytorch"]}, []),
    ("model", {"framework": ["-PyTorch"]}, ["m2", "m3"]),
    ("model", {"uri": ["/models/2.h5", "s3://b/1.pt"]}, ["m1", "m2"]),
    ("model", {"uri": ["s3://b"]}, []),
    ("model", {"ready": True}, ["m1"]),
    ("model", {"ready": False}, ["m2"]),
    ("model", {"tags": ["a"]}, ["m2"]),
    ("model", {"systemTags": ["-archived"], "ready": True}, ["m1"]),
    ("user", {"id": ["u1", "u3"]}, ["u1", "u3"]),
    ("user", {"name": "ADA"}, ["u1", "u3"]),
    ("user", {"name": "^émile"}, ["u2"]),
]


@pytest.fixture
async def stored_documents(database: Database) -> None:
    for collection, documents in STORED.items():
        await database[collection].insert_many(documents)


@pytest.mark.usefixtures("stored_documents")
@pytest.mark.parametrize(("collection", "filter_", "expected"), FILTER_CASES, ids=map(str, FILTER_CASES))
async def test_a_filter_finds(client: Client, collection: str, filter_: Filter, expected: list[str]) -> None:
    assert await list_ids(client, collection, filter=filter_, orderBy=[{"field": "ID"}]) == expected


def test_every_filter_field_has_a_case_here() -> None:
    for collection in COLLECTIONS:
        fields = SPEC.get_object(f"{collection}_filter").fields
        tried = {
            name for case_collection, filter_, _ in FILTER_CASES if case_collection == collection for name in filter_
        }
        missing = {field.graphql_name for field in fields} - tried
        assert not missing, (
            f"FILTER_CASES needs a filter of {collection} with each of {missing}, and the ids that it finds"
        )


@pytest.mark.usefixtures("stored_documents")
@pytest.mark.parametrize("collection", COLLECTIONS)
async def test_null_and_empty_values_match_everything(client: Client, collection: str) -> None:
    everything = sorted(ids(STORED[collection]))
    nothing: list[Filter | None] = [None, {}, {"name": ""}]
    for field in SPEC.get_object(f"{collection}_filter").fields:
        nothing += [
            {field.graphql_name: None},
            *([{field.graphql_name: []}] if field.filter_operator in LIST_OPERATORS else []),
        ]
    for filter_ in nothing:
        assert await list_ids(client, collection, filter=filter_, orderBy=[{"field": "ID"}]) == everything, filter_


LIST_OPERATORS = ("listed", "names")


# -- order and pages -------------------------------------------------------------------------------


@pytest.mark.parametrize(("collection", "date"), [("project", "last_update"), ("model", "last_update")])
async def test_the_newest_update_comes_first_by_default(
    client: Client, database: Database, collection: str, date: str
) -> None:
    days = {"b": DAY.replace(year=2025), "a": DAY, "c": None, "d": DAY.replace(year=2024)}
    await database[collection].insert_many([BUILDERS[collection](_id=id_, **{date: day}) for id_, day in days.items()])
    assert await list_ids(client, collection) == ["a", "b", "d", "c"]
    assert await list_ids(client, collection, orderBy=[]) == ["a", "b", "d", "c"]
    assert await list_ids(client, collection, orderBy=[{"field": "ID", "direction": "DESC"}]) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("collection", ["queue", "user"])
async def test_names_order_by_default(client: Client, database: Database, collection: str) -> None:
    names = {"1": "beta", "2": "alpha", "3": ABSENT, "4": "alpha"}
    await database[collection].insert_many([BUILDERS[collection](_id=id_, name=name) for id_, name in names.items()])
    assert await list_ids(client, collection) == ["2", "4", "1", "3"]
    assert await list_ids(client, collection, orderBy=[{"field": "NAME", "nulls": "FIRST"}]) == ["3", "2", "4", "1"]


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        (collection, field)
        for collection in COLLECTIONS
        for field in SPEC.get_object(collection).sort_fields
        if field != "id"
    ],
)
async def test_a_list_is_ordered_by_a_field_and_then_by_id(
    client: Client, database: Database, collection: str, field: str
) -> None:
    """A value of another type counts as null."""
    is_date = SPEC.get_object(collection).sort_fields[field].type == ScalarType("DateTime")
    first, second, third = [DAY.replace(year=year) for year in (2024, 2025, 2026)] if is_date else ["B", "a", "é"]
    values = {"a": second, "b": first, "c": second, "d": None, "e": ABSENT, "f": "B" if is_date else DAY, "g": third}
    await database[collection].insert_many(
        [BUILDERS[collection](_id=id_, **{field: value}) for id_, value in values.items()]
    )
    for direction, nulls, expected in (
        ("ASC", "LAST", "bacgdef"),
        ("ASC", "FIRST", "defbacg"),
        ("DESC", "LAST", "gcabfed"),
        ("DESC", "FIRST", "fedgcab"),
    ):
        order = {"field": field.upper(), "direction": direction, "nulls": nulls}
        assert await list_ids(client, collection, orderBy=[order]) == [*expected], order


@pytest.mark.parametrize("collection", COLLECTIONS)
async def test_the_next_order_decides_between_equals(client: Client, database: Database, collection: str) -> None:
    rows = {"a": ("x", 2025), "b": ("y", 2024), "c": ("x", 2024), "d": ("y", 2025)}
    documents = [
        BUILDERS[collection](_id=id_, name=name, created=DAY.replace(year=year)) for id_, (name, year) in rows.items()
    ]
    await database[collection].insert_many(documents)
    by_name, by_day = {"field": "NAME", "direction": "DESC"}, {"field": "CREATED"}
    assert await list_ids(client, collection, orderBy=[by_name, by_day]) == ["b", "d", "c", "a"]
    assert await list_ids(client, collection, orderBy=[by_day, by_name]) == ["b", "c", "d", "a"]


@pytest.mark.parametrize("collection", COLLECTIONS)
async def test_every_order_is_total_and_its_pages_follow_each_other(
    client: Client, database: Database, collection: str
) -> None:
    rows = [BUILDERS[collection](_id=f"{number}", name=["x", "y", None][number % 3]) for number in range(7)]
    await database[collection].insert_many(rows)
    for field in SPEC.get_object(collection).sort_fields:
        order = {"orderBy": [{"field": field.upper(), "direction": "DESC"}]}
        all_ids = await list_ids(client, collection, **order)
        assert sorted(all_ids) == sorted(ids(rows))
        assert await read_by_cursors(client, collection, order, "first", "after", "endCursor") == all_ids
        backward_ids = await read_by_cursors(client, collection, order, "last", "before", "startCursor")
        assert [backward_ids[start : start + 3] for start in (0, 3, 6)] == [all_ids[4:], all_ids[1:4], all_ids[:1]]
        numbered_pages = [await list_ids(client, collection, **order, page=page, pageSize=3) for page in range(4)]
        assert numbered_pages == [all_ids[:3], all_ids[3:6], all_ids[6:], []]


async def read_by_cursors(client: Client, collection: str, order: Any, size: str, start: str, end: str) -> list[str]:
    collected: list[str] = []
    cursor = None
    for _ in range(3):
        query = build_list_text(collection, f"nodes {{ id }} pageInfo {{ {end} }} edges {{ cursor node {{ id }} }}")
        page = (await client.data(query, **order, **{size: 3, start: cursor}))[f"{collection}s"]
        collected += [node["id"] for node in page["nodes"]]
        cursor = page["pageInfo"][end]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert cursor in [edge["cursor"] for edge in page["edges"]]
    return collected


@pytest.mark.parametrize("collection", COLLECTIONS)
async def test_a_list_is_one_command_with_only_what_is_selected(
    client: Client, database: Database, commands: Commands, collection: str
) -> None:
    await database[collection].insert_many([BUILDERS[collection](_id=str(number)) for number in range(500)])
    commands.seen.clear()
    await client.data(f"{{ {collection}s(first: 500) {{ nodes {{ created }} }} }}")
    [command] = commands.seen
    assert {"_id": 1, "created": 1} in [stage.get("$project") for stage in command["pipeline"]]


# -- tenants ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"first": 2},
        {"last": 2},
        {"page": 0, "pageSize": 2},
        {"orderBy": [{"field": "CREATED"}]},
        {"filter": {"id": ["own", "public", "foreign", "nobody"]}},
        {"filter": {"id": ["-x"]}},
        {"filter": {"name": "[AEIOU]"}},
    ],
    ids=json.dumps,
)
async def test_lists_and_counts_hold_only_own_and_public_documents(
    client: Client, database: Database, collection: str, arguments: dict[str, Any]
) -> None:
    owners = {"own": COMPANY, "public": PUBLIC, "foreign": OTHER_COMPANY, "nobody": ABSENT, "null": None}
    await database[collection].insert_many(
        [BUILDERS[collection](_id=id_, company=owner) for id_, owner in owners.items()]
    )
    answer = (await client.data(build_list_text(collection), **arguments))[f"{collection}s"]
    assert sorted(node["id"] for node in answer["nodes"]) == ["own", "public"]
    assert answer["totalCount"] == 2


# -- bad input -------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"filter": {"name": "("}}, "INVALID_REGEX_ERROR"),
    ({"filter": {"name": "a\0"}}, "INVALID_REGEX_ERROR"),
    ({"filter": {"name": "x" * 257}}, "LIMIT_EXCEEDED"),
    ({"first": 0}, "VALIDATION_ERROR"),
    ({"first": 501}, "LIMIT_EXCEEDED"),
    ({"first": 1, "last": 1}, "VALIDATION_ERROR"),
    ({"first": 1, "page": 1}, "VALIDATION_ERROR"),
    ({"page": 1}, "MISSING_REQUIRED_FIELDS"),
    ({"after": "x"}, "BAD_CURSOR"),
    ({"filter": {"nmae": "x"}}, "VALIDATION_FAILED"),
    ({"filter": {"id": [None]}}, "VALIDATION_FAILED"),
    ({"orderBy": [{}]}, "VALIDATION_FAILED"),
    ({"orderBy": [{"field": "COMPANY"}]}, "VALIDATION_FAILED"),
]


@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize(("arguments", "code"), REFUSED, ids=[str(arguments)[:40] for arguments, _ in REFUSED])
async def test_bad_arguments_are_refused_with_a_code(
    client: Client, database: Database, collection: str, arguments: dict[str, Any], code: str
) -> None:
    await database[collection].insert_one(BUILDERS[collection]())
    assert (await client.error(build_list_text(collection), **arguments))["code"] == code


async def test_a_cursor_of_another_filter_or_order_is_refused(client: Client, database: Database) -> None:
    await database.project.insert_many([project(), project()])
    first = await client.data(
        build_list_text("project", "pageInfo { endCursor }"), first=1, orderBy=[{"field": "NAME"}]
    )
    after = first["projects"]["pageInfo"]["endCursor"]
    filtered = {"filter": {"name": "i"}, "after": after, "orderBy": [{"field": "NAME"}]}
    assert (await client.error(build_list_text("project"), **filtered))["code"] == "BAD_CURSOR"
    assert (await client.error(build_list_text("project"), after=after))["code"] == "BAD_CURSOR"


# -- sub-projects ----------------------------------------------------------------------------------


def build_nested_projects(*names: str, **fields: Any) -> list[Document]:
    """Projects inside one another by their full names, which are also their ids."""
    return [
        project(
            _id=name,
            name=name,
            parent=name.rpartition("/")[0] or None,
            path=["/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 1)],
            **fields,
        )
        for name in names
    ]


async def test_sub_projects_are_directly_inside_and_ordered_by_name(client: Client, database: Database) -> None:
    await database.project.insert_many(build_nested_projects("a", "a/c", "a/b", "a/b/d", "a/a", "e"))
    data = await client.data("""{ projects(filter: {atTop: true}, orderBy: [{field: NAME}]) { nodes {
      id subprojects { id name subprojects { id } }
      few: subprojects(first: 2) { id } one: subprojects(first: 1) { name }
    } } }""")
    assert data["projects"]["nodes"] == [
        {
            "id": "a",
            "subprojects": [
                {"id": "a/a", "name": "a/a", "subprojects": []},
                {"id": "a/b", "name": "a/b", "subprojects": [{"id": "a/b/d"}]},
                {"id": "a/c", "name": "a/c", "subprojects": []},
            ],
            "few": [{"id": "a/a"}, {"id": "a/b"}],
            "one": [{"name": "a/a"}],
        },
        {"id": "e", "subprojects": [], "few": [], "one": []},
    ]


async def test_each_project_has_its_own_first_sub_projects(client: Client, database: Database) -> None:
    names = [f"{top}/{number:02}" for top in "ab" for number in range(60)]
    await database.project.insert_many(build_nested_projects("a", "b", *names))
    data = await client.data("""{ projects(filter: {atTop: true}, orderBy: [{field: NAME}]) { nodes {
      usual: subprojects { name } few: subprojects(first: 3) { name } all: subprojects(first: 60) { name }
    } } }""")
    for top, node in zip("ab", data["projects"]["nodes"], strict=True):
        inner = [{"name": name} for name in names if name.startswith(top)]
        assert node == {"usual": inner[:50], "few": inner[:3], "all": inner}


async def test_sub_projects_have_the_fields_of_projects(client: Client, database: Database) -> None:
    await database.project.insert_many(build_nested_projects("a", "a/b", user="u"))
    await database.user.insert_one(user(_id="u"))
    await database.task.insert_one(task(project="a/b"))
    data = await client.data(
        '{ project(id: "a") { subprojects { __typename user { name } parent { name } taskCounts { total } } } }'
    )
    assert data["project"]["subprojects"] == [
        {"__typename": "Project", "user": {"name": "Ada Lovelace"}, "parent": {"name": "a"}, "taskCounts": {"total": 1}}
    ]


async def test_a_project_may_be_inside_itself(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p", parent="p", path=["p"]))
    await database.task.insert_one(task(project="p"))
    data = await client.data("""{ project(id: "p") {
      subprojects { id subprojects { id } } taskCounts(includeSubprojects: true) { total }
    } }""")
    assert data["project"] == {"subprojects": [{"id": "p", "subprojects": [{"id": "p"}]}], "taskCounts": {"total": 1}}


@pytest.mark.parametrize(
    ("first", "code"), [(0, "VALIDATION_ERROR"), (-1, "VALIDATION_ERROR"), (501, "LIMIT_EXCEEDED")]
)
@pytest.mark.parametrize(
    "query",
    [
        "{ projects { nodes { subprojects(first: $first) { id } } } }",
        '{ task(id: "gone") { project { subprojects { subprojects(first: $first) { id } } } } }',
    ],
)
async def test_a_bad_size_is_refused_before_anything_is_read(
    client: Client, commands: Commands, query: str, first: int, code: str
) -> None:
    commands.seen.clear()
    error = await client.error(f"query($first: Int) {query}", first=first)
    assert (error["code"], error["field"]) == (code, "first")
    assert commands.seen == []


# -- counts ----------------------------------------------------------------------------------------

COUNTS = "total byStatus { status count }"


def build_tasks(id_: str, *statuses: Any, **fields: Any) -> list[Document]:
    return [task(project=id_, status=status, **fields) for status in statuses]


async def read_counts(client: Client, id_: str, arguments: str = "") -> tuple[int, dict[str | None, int]]:
    data = await client.data(f'{{ project(id: "{id_}") {{ taskCounts{arguments} {{ {COUNTS} }} }} }}')
    task_counts = data["project"]["taskCounts"]
    return task_counts["total"], {row["status"]: row["count"] for row in task_counts["byStatus"]}


async def test_tasks_are_counted_by_status_in_the_order_of_the_statuses(client: Client, database: Database) -> None:
    await database.project.insert_many(build_nested_projects("a", "b", "c"))
    await database.task.insert_many(
        [
            *build_tasks("a", "failed", "completed", "created", "completed"),
            *build_tasks("b", "queued"),
            task(project=None),
        ]
    )
    assert await read_counts(client, "a") == (4, {"CREATED": 1, "COMPLETED": 2, "FAILED": 1})
    data = await client.data(f'{{ project(id: "a") {{ taskCounts {{ {COUNTS} }} }} }}')
    assert [row["status"] for row in data["project"]["taskCounts"]["byStatus"]] == ["CREATED", "FAILED", "COMPLETED"]
    assert await read_counts(client, "b") == (1, {"QUEUED": 1})
    assert await read_counts(client, "c") == (0, {})


async def test_other_statuses_count_as_unknown_and_missing_ones_as_null(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p"))
    odd: list[Any] = ["melted", "unknown", "Completed", "", None, ABSENT, 5, {"a": 1}, ["created"], DAY]
    await database.task.insert_many(build_tasks("p", "created", *odd))
    assert await read_counts(client, "p") == (11, {"CREATED": 1, "UNKNOWN": 4, None: 6})


async def test_include_subprojects_counts_the_tasks_of_inner_projects(client: Client, database: Database) -> None:
    await database.project.insert_many(build_nested_projects("a", "a/b", "a/b/c", "a/d", "e"))
    await database.task.insert_many(
        [
            *build_tasks("a", "created"),
            *build_tasks("a/b", "failed", "failed"),
            *build_tasks("a/b/c", "created", "queued"),
            *build_tasks("e", "stopped"),
        ]
    )
    deep = "(includeSubprojects: true)"
    assert (
        await read_counts(client, "a")
        == await read_counts(client, "a", "(includeSubprojects: null)")
        == (1, {"CREATED": 1})
    )
    assert await read_counts(client, "a", deep) == (5, {"CREATED": 2, "QUEUED": 1, "FAILED": 2})
    assert await read_counts(client, "a/b", deep) == (4, {"CREATED": 1, "QUEUED": 1, "FAILED": 2})
    assert await read_counts(client, "a/d", deep) == (0, {})
    data = await client.data(f"{{ projects {{ nodes {{ id taskCounts{deep} {{ total }} }} }} }}")
    assert {node["id"]: node["taskCounts"]["total"] for node in data["projects"]["nodes"]} == {
        "a": 5,
        "a/b": 4,
        "a/b/c": 2,
        "a/d": 0,
        "e": 1,
    }


async def test_archived_tasks_can_be_left_out_or_counted_alone(client: Client, database: Database) -> None:
    await database.project.insert_one(project(_id="p"))
    await database.task.insert_many(
        [
            *build_tasks("p", "created", "failed", system_tags=["archived", "x"]),
            *build_tasks("p", "failed", system_tags=[]),
            *build_tasks("p", "failed", system_tags=ABSENT),
            *build_tasks("p", "queued", system_tags=["development"]),
        ]
    )
    assert await read_counts(client, "p", "(archived: false)") == (3, {"FAILED": 2, "QUEUED": 1})
    assert await read_counts(client, "p", "(archived: true)") == (2, {"CREATED": 1, "FAILED": 1})
    assert await read_counts(client, "p", "(archived: null)") == (5, {"CREATED": 1, "QUEUED": 1, "FAILED": 3})


# -- sub-projects and counts: tenants, dangling references, odd rows, commands, cost ---------------


async def test_documents_of_other_companies_are_neither_shown_nor_counted(client: Client, database: Database) -> None:
    await database.project.insert_many(
        [
            *build_nested_projects("a", "a/own"),
            *build_nested_projects("a/public", company=PUBLIC),
            *build_nested_projects("a/foreign", "a/foreign/x", company=OTHER_COMPANY),
            *build_nested_projects("a/nobody", company=ABSENT),
        ]
    )
    for company in (COMPANY, PUBLIC, OTHER_COMPANY, ABSENT, None):
        for id_ in ("a", "a/own", "a/public", "a/foreign/x"):
            await database.task.insert_one(task(project=id_, company=company))
    data = await client.data("""{ project(id: "a") {
      subprojects { id } taskCounts { total byStatus { count } } deep: taskCounts(includeSubprojects: true) { total }
    } }""")
    assert data["project"] == {
        "subprojects": [{"id": "a/own"}, {"id": "a/public"}],
        "taskCounts": {"total": 2, "byStatus": [{"count": 2}]},
        "deep": {"total": 6},
    }


@pytest.mark.parametrize("owner", [OTHER_COMPANY, None, "nowhere"])
async def test_a_missing_project_shows_only_its_id(client: Client, database: Database, owner: str | None) -> None:
    if owner != "nowhere":
        await database.project.insert_one(project(_id="p", company=owner))
    await database.project.insert_many([project(_id="inside", parent="p", path=["p"]), project(_id="own")])
    await database.task.insert_many([task(_id="t", project="p"), task(_id="other", project="own")])
    data = await client.data("""{ tasks(orderBy: [{field: ID, direction: DESC}]) { nodes {
      project { id subprojects { id } taskCounts(includeSubprojects: true) { total } }
    } } }""")
    assert [node["project"] for node in data["tasks"]["nodes"]] == [
        {"id": "p", "subprojects": None, "taskCounts": None},
        {"id": "own", "subprojects": [], "taskCounts": {"total": 1}},
    ]


async def test_odd_rows_leave_the_others_intact(client: Client, database: Database) -> None:
    odd: list[Any] = [5, ["a"], ["a", "b"], [Code("a"), "a"], Code("a"), {"a": 1}, True, DAY, 1.5, {"$x": []}]
    await database.project.insert_many(
        [
            *build_nested_projects("a", "a/b"),
            *(project(**{name: value}) for value in odd for name in ("parent", "path", "name")),
            project(_id="flat", path="a"),
            project(path=["a", 5, {"x": 1}, ["a"], Code("a"), None]),
            project(_id=7, parent="a", path=["a"]),
            project(_id={"x": 1}, path=["a"]),
        ]
    )
    await database.task.insert_many(
        [
            *build_tasks("a", "created"),
            *build_tasks("a/b", "failed"),
            *build_tasks("flat", "queued"),
            *(task(project=value) for value in odd),
        ]
    )
    query = """{ projects(first: 100) { nodes {
      id name parentId subprojects { id } taskCounts { total } deep: taskCounts(includeSubprojects: true) { total }
    } } }"""
    nodes = {node.pop("id"): node for node in (await client.data(query))["projects"]["nodes"]}
    assert len(nodes) == 36
    assert nodes["a"] == {
        "name": "a",
        "parentId": None,
        "subprojects": [{"id": "a/b"}, {"id": "7"}],
        "taskCounts": {"total": 1},
        "deep": {"total": 2},
    }
    assert nodes["7"] == {
        "name": "vision/digits",
        "parentId": "a",
        "subprojects": None,
        "taskCounts": None,
        "deep": None,
    }


@pytest.mark.parametrize("number", [1, 500])
async def test_each_related_field_is_one_command_for_all_projects(
    client: Client, database: Database, commands: Commands, number: int
) -> None:
    names = [f"{top:03}" for top in range(number)]
    await database.project.insert_many(
        build_nested_projects(*names, *(f"{name}/{inner}" for name in names for inner in "ab"))
    )
    statuses = ("created", "queued", "in_progress", "stopped", "published", "failed", "completed")
    await database.task.insert_many(
        [
            {"_id": f"{name} {status}", "company": COMPANY, "project": name, "status": status}
            for name in names
            for status in statuses
        ]
    )
    for selection, expected in {
        "id": ["project"],
        f"taskCounts {{ {COUNTS} }}": ["project", "task"],
        f"taskCounts {{ {COUNTS} }} again: taskCounts {{ total }}": ["project", "task"],
        "taskCounts { total } active: taskCounts(archived: false) { total }": ["project", "task", "task"],
        f"taskCounts(includeSubprojects: true) {{ {COUNTS} }}": ["project", "project", "task"],
        "subprojects { name }": ["project", "project"],
        "subprojects { name taskCounts { total } }": ["project", "project", "task"],
        f"subprojects {{ name }} taskCounts {{ {COUNTS} }} user {{ name }}": ["project", "project", "task"],
    }.items():
        commands.seen.clear()
        data = await client.data(f"{{ projects(first: 500, filter: {{atTop: true}}) {{ nodes {{ {selection} }} }} }}")
        assert len(data["projects"]["nodes"]) == number
        seen = [str(command.get("aggregate") or command.get("find")) for command in commands.seen]
        assert sorted(seen) == expected, selection


async def test_nodes_and_edges_share_their_related_documents(
    client: Client, database: Database, commands: Commands
) -> None:
    await database.project.insert_many(build_nested_projects("a", "b"))
    commands.seen.clear()
    selection = "taskCounts { total } subprojects { id }"
    data = await client.data(f"{{ projects {{ nodes {{ {selection} }} edges {{ node {{ {selection} }} }} }} }}")
    assert [edge["node"] for edge in data["projects"]["edges"]] == data["projects"]["nodes"]
    assert len(commands.seen) == 3


async def read_cost(client: Client, query: str) -> int:
    response = await client.http.post("/graphql", json={"query": query, "extensions": {"cost": True}})
    requested: int = response.json()["extensions"]["cost"]["requested"]
    return requested


async def test_lists_in_lists_cost_their_maximum_size(client: Client, commands: Commands) -> None:
    assert await read_cost(client, "{ projects(first: 20) { nodes { subprojects { id } } } }") == 1 + 20 * 51
    assert await read_cost(client, "{ projects(first: 20) { nodes { subprojects(first: 3) { id } } } }") == 1 + 20 * 4
    nodes = "subprojects(first: 3) { taskCounts { total } }"
    assert await read_cost(client, f"{{ projects(first: 20) {{ nodes {{ {nodes} }} }} }}") == 1 + 20 * (1 + 3 * 2)
    nodes = "taskCounts { byStatus { count } }"
    assert await read_cost(client, f"{{ projects(first: 500) {{ nodes {{ {nodes} }} }} }}") == 1 + 500 * 13
    commands.seen.clear()
    query = "{ projects(first: 500) { nodes { subprojects(first: 500) { subprojects(first: 2) { id } } } } }"
    error = await client.error(query)
    assert (error["code"], error["limit"], error["actual"]) == ("LIMIT_EXCEEDED", "cost", 1 + 500 * (1 + 500 * 3))
    assert commands.seen == []


def test_every_related_field_that_hocon_may_name_exists() -> None:
    assert {*dialect.RELATED_NAMES} == RELATED_FIELDS.keys()


# -- queues ----------------------------------------------------------------------------------------


async def test_entries_of_a_queue_have_their_position_and_their_task(client: Client, database: Database) -> None:
    entries = [{"task": "t2", "added": DAY}, {"task": "gone", "added": DAY}, "broken", {"task": "t1"}]
    await database.queue.insert_many(
        [
            queue(_id="q", name="b", entries=entries),
            queue(name="c", entries={"task": "t1"}),
            queue(name="a", entries=[]),
        ]
    )
    await database.task.insert_many([task(_id="t1", name="one"), task(_id="t2", name="two")])
    data = await client.data("{ queues { nodes { name entries { position added taskId task { id name } } } } }")
    now = "2026-01-31T12:00:00.000Z"
    assert data["queues"]["nodes"] == [
        {"name": "a", "entries": []},
        {
            "name": "b",
            "entries": [
                {"position": 1, "added": now, "taskId": "t2", "task": {"id": "t2", "name": "two"}},
                {"position": 2, "added": now, "taskId": "gone", "task": {"id": "gone", "name": None}},
                {"position": 4, "added": None, "taskId": "t1", "task": {"id": "t1", "name": "one"}},
            ],
        },
        {"name": "c", "entries": None},
    ]
