"""Lists of projects, queues, models and users; what projects and queues show of other documents."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from bson import Code
from pymongo.asynchronous.database import AsyncDatabase

from resolvers.criteria.filters import OPERATORS
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
MAKERS = {"project": project, "queue": queue, "model": model, "user": user}
KINDS = [*MAKERS]


def asking(kind: str, selection: str = "nodes { id } totalCount") -> str:
    type_ = kind.capitalize()
    return f"""query($filter: {type_}Filter, $orderBy: [{type_}Order!], $first: Int, $after: String, $last: Int,
      $before: String, $page: Int, $pageSize: Int) {{
      {kind}s(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before,
        page: $page, pageSize: $pageSize) {{ {selection} }}
    }}"""


async def listed(client: Client, kind: str, **arguments: Any) -> list[str]:
    found = (await client.data(asking(kind), **arguments))[f"{kind}s"]
    shown = [node["id"] for node in found["nodes"]]
    if not arguments.keys() - {"filter", "orderBy"}:
        assert found["totalCount"] == len(shown)
    return shown


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
FOUND: list[tuple[str, Filter, list[str]]] = [
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
async def stored(database: Database) -> None:
    for kind, documents in STORED.items():
        await database[kind].insert_many(documents)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("kind", "filter_", "expected"), FOUND, ids=map(str, FOUND))
async def test_a_filter_finds(client: Client, kind: str, filter_: Filter, expected: list[str]) -> None:
    assert await listed(client, kind, filter=filter_, orderBy=[{"field": "ID"}]) == expected


def test_every_filter_field_is_tried_here_and_has_an_operator() -> None:
    for kind in KINDS:
        fields = SPEC.get_object(f"{kind}_filter").fields
        tried = {name for other, filter_, _ in FOUND if other == kind for name in filter_}
        assert {field.graphql_name for field in fields} == tried
    assert OPERATORS.keys() | {"and", "or", "not"} == set(dialect.FILTER_KINDS)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_null_or_empty_asks_for_nothing(client: Client, kind: str) -> None:
    everything = sorted(ids(STORED[kind]))
    nothing: list[Filter | None] = [None, {}, {"name": ""}]
    for field in SPEC.get_object(f"{kind}_filter").fields:
        nothing += [{field.graphql_name: None}, *([{field.graphql_name: []}] if field.filter_kind in LISTS else [])]
    for filter_ in nothing:
        assert await listed(client, kind, filter=filter_, orderBy=[{"field": "ID"}]) == everything, filter_


LISTS = ("listed", "names")


# -- order and pages -------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "by"), [("project", "last_update"), ("model", "last_update")])
async def test_the_newest_update_comes_first_unless_another_order_is_given(
    client: Client, database: Database, kind: str, by: str
) -> None:
    days = {"b": DAY.replace(year=2025), "a": DAY, "c": None, "d": DAY.replace(year=2024)}
    await database[kind].insert_many([MAKERS[kind](_id=id_, **{by: day}) for id_, day in days.items()])
    assert await listed(client, kind) == ["a", "b", "d", "c"]
    assert await listed(client, kind, orderBy=[]) == ["a", "b", "d", "c"]
    assert await listed(client, kind, orderBy=[{"field": "ID", "direction": "DESC"}]) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("kind", ["queue", "user"])
async def test_names_decide_unless_another_order_is_given(client: Client, database: Database, kind: str) -> None:
    names = {"1": "beta", "2": "alpha", "3": ABSENT, "4": "alpha"}
    await database[kind].insert_many([MAKERS[kind](_id=id_, name=name) for id_, name in names.items()])
    assert await listed(client, kind) == ["2", "4", "1", "3"]
    assert await listed(client, kind, orderBy=[{"field": "NAME", "nulls": "FIRST"}]) == ["3", "2", "4", "1"]


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in KINDS for field in SPEC.get_object(kind).sort_fields if field != "id"]
)
async def test_a_list_is_ordered_by_what_a_field_holds_and_then_by_id(
    client: Client, database: Database, kind: str, field: str
) -> None:
    """What is no value of the field's kind counts as none."""
    is_date = SPEC.get_object(kind).sort_fields[field].type == ScalarType("DateTime")
    first, second, third = [DAY.replace(year=year) for year in (2024, 2025, 2026)] if is_date else ["B", "a", "é"]
    values = {"a": second, "b": first, "c": second, "d": None, "e": ABSENT, "f": "B" if is_date else DAY, "g": third}
    await database[kind].insert_many([MAKERS[kind](_id=id_, **{field: value}) for id_, value in values.items()])
    for direction, nulls, expected in (
        ("ASC", "LAST", "bacgdef"),
        ("ASC", "FIRST", "defbacg"),
        ("DESC", "LAST", "gcabfed"),
        ("DESC", "FIRST", "fedgcab"),
    ):
        order = {"field": field.upper(), "direction": direction, "nulls": nulls}
        assert await listed(client, kind, orderBy=[order]) == [*expected], order


@pytest.mark.parametrize("kind", KINDS)
async def test_of_several_orders_the_next_decides_between_equals(client: Client, database: Database, kind: str) -> None:
    rows = {"a": ("x", 2025), "b": ("y", 2024), "c": ("x", 2024), "d": ("y", 2025)}
    made = [MAKERS[kind](_id=id_, name=name, created=DAY.replace(year=year)) for id_, (name, year) in rows.items()]
    await database[kind].insert_many(made)
    by_name, by_day = {"field": "NAME", "direction": "DESC"}, {"field": "CREATED"}
    assert await listed(client, kind, orderBy=[by_name, by_day]) == ["b", "d", "c", "a"]
    assert await listed(client, kind, orderBy=[by_day, by_name]) == ["b", "c", "d", "a"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_order_is_total_and_every_page_of_it_is_the_next_stretch(
    client: Client, database: Database, kind: str
) -> None:
    rows = [MAKERS[kind](_id=f"{number}", name=["x", "y", None][number % 3]) for number in range(7)]
    await database[kind].insert_many(rows)
    for field in SPEC.get_object(kind).sort_fields:
        order = {"orderBy": [{"field": field.upper(), "direction": "DESC"}]}
        whole = await listed(client, kind, **order)
        assert sorted(whole) == sorted(ids(rows))
        assert await by_cursors(client, kind, order, "first", "after", "endCursor") == whole
        backwards = await by_cursors(client, kind, order, "last", "before", "startCursor")
        assert [backwards[start : start + 3] for start in (0, 3, 6)] == [whole[4:], whole[1:4], whole[:1]]
        numbered = [await listed(client, kind, **order, page=page, pageSize=3) for page in range(4)]
        assert numbered == [whole[:3], whole[3:6], whole[6:], []]


async def by_cursors(client: Client, kind: str, order: Any, size: str, place: str, name: str) -> list[str]:
    found: list[str] = []
    at = None
    for _ in range(3):
        query = asking(kind, f"nodes {{ id }} pageInfo {{ {name} }} edges {{ cursor node {{ id }} }}")
        page = (await client.data(query, **order, **{size: 3, place: at}))[f"{kind}s"]
        found += [node["id"] for node in page["nodes"]]
        at = page["pageInfo"][name]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert at in [edge["cursor"] for edge in page["edges"]]
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_is_one_command_with_only_what_is_selected(
    client: Client, database: Database, commands: Commands, kind: str
) -> None:
    await database[kind].insert_many([MAKERS[kind](_id=str(number)) for number in range(500)])
    commands.seen.clear()
    await client.data(f"{{ {kind}s(first: 500) {{ nodes {{ created }} }} }}")
    [command] = commands.seen
    assert {"_id": 1, "created": 1} in [stage.get("$project") for stage in command["pipeline"]]


# -- tenants ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
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
async def test_lists_and_counts_hold_only_the_own_and_the_public(
    client: Client, database: Database, kind: str, arguments: dict[str, Any]
) -> None:
    owners = {"own": COMPANY, "public": PUBLIC, "foreign": OTHER_COMPANY, "nobody": ABSENT, "null": None}
    await database[kind].insert_many([MAKERS[kind](_id=id_, company=owner) for id_, owner in owners.items()])
    found = (await client.data(asking(kind), **arguments))[f"{kind}s"]
    assert sorted(node["id"] for node in found["nodes"]) == ["own", "public"]
    assert found["totalCount"] == 2


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("arguments", "code"), REFUSED, ids=[str(arguments)[:40] for arguments, _ in REFUSED])
async def test_what_can_not_be_is_a_coded_error(
    client: Client, database: Database, kind: str, arguments: dict[str, Any], code: str
) -> None:
    await database[kind].insert_one(MAKERS[kind]())
    assert (await client.error(asking(kind), **arguments))["code"] == code


async def test_a_cursor_of_one_kind_of_list_is_none_of_another(client: Client, database: Database) -> None:
    await database.project.insert_many([project(), project()])
    first = await client.data(asking("project", "pageInfo { endCursor }"), first=1, orderBy=[{"field": "NAME"}])
    after = first["projects"]["pageInfo"]["endCursor"]
    filtered = {"filter": {"name": "i"}, "after": after, "orderBy": [{"field": "NAME"}]}
    assert (await client.error(asking("project"), **filtered))["code"] == "BAD_CURSOR"
    assert (await client.error(asking("project"), after=after))["code"] == "BAD_CURSOR"


# -- projects inside projects ----------------------------------------------------------------------


def nested(*names: str, **fields: Any) -> list[Document]:
    """Projects by their full names, in one another as the names say; each has its name for an id."""
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


async def test_subprojects_are_those_directly_inside_by_name(client: Client, database: Database) -> None:
    await database.project.insert_many(nested("a", "a/c", "a/b", "a/b/d", "a/a", "e"))
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


async def test_each_project_has_its_own_first_subprojects(client: Client, database: Database) -> None:
    names = [f"{top}/{number:02}" for top in "ab" for number in range(60)]
    await database.project.insert_many(nested("a", "b", *names))
    data = await client.data("""{ projects(filter: {atTop: true}, orderBy: [{field: NAME}]) { nodes {
      usual: subprojects { name } few: subprojects(first: 3) { name } all: subprojects(first: 60) { name }
    } } }""")
    for top, node in zip("ab", data["projects"]["nodes"], strict=True):
        inside = [{"name": name} for name in names if name.startswith(top)]
        assert node == {"usual": inside[:50], "few": inside[:3], "all": inside}


async def test_subprojects_lead_on_like_any_project(client: Client, database: Database) -> None:
    await database.project.insert_many(nested("a", "a/b", user="u"))
    await database.user.insert_one(user(_id="u"))
    await database.task.insert_one(task(project="a/b"))
    data = await client.data(
        '{ project(id: "a") { subprojects { __typename user { name } parent { name } taskCounts { total } } } }'
    )
    assert data["project"]["subprojects"] == [
        {"__typename": "Project", "user": {"name": "Ada Lovelace"}, "parent": {"name": "a"}, "taskCounts": {"total": 1}}
    ]


async def test_a_project_may_lie_in_itself(client: Client, database: Database) -> None:
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
async def test_a_size_that_can_not_be_is_refused_before_anything_is_read(
    client: Client, commands: Commands, query: str, first: int, code: str
) -> None:
    commands.seen.clear()
    error = await client.error(f"query($first: Int) {query}", first=first)
    assert (error["code"], error["field"]) == (code, "first")
    assert commands.seen == []


# -- counts ----------------------------------------------------------------------------------------

COUNTS = "total byStatus { status count }"


def tasks_of(id_: str, *statuses: Any, **fields: Any) -> list[Document]:
    return [task(project=id_, status=status, **fields) for status in statuses]


async def counts(client: Client, id_: str, arguments: str = "") -> tuple[int, dict[str | None, int]]:
    data = await client.data(f'{{ project(id: "{id_}") {{ taskCounts{arguments} {{ {COUNTS} }} }} }}')
    found = data["project"]["taskCounts"]
    return found["total"], {row["status"]: row["count"] for row in found["byStatus"]}


async def test_tasks_are_counted_by_status_in_the_order_of_the_statuses(client: Client, database: Database) -> None:
    await database.project.insert_many(nested("a", "b", "c"))
    await database.task.insert_many(
        [
            *tasks_of("a", "failed", "completed", "created", "completed"),
            *tasks_of("b", "queued"),
            task(project=None),
        ]
    )
    assert await counts(client, "a") == (4, {"CREATED": 1, "COMPLETED": 2, "FAILED": 1})
    data = await client.data(f'{{ project(id: "a") {{ taskCounts {{ {COUNTS} }} }} }}')
    assert [row["status"] for row in data["project"]["taskCounts"]["byStatus"]] == ["CREATED", "FAILED", "COMPLETED"]
    assert await counts(client, "b") == (1, {"QUEUED": 1})
    assert await counts(client, "c") == (0, {})


async def test_statuses_without_a_name_here_count_as_unknown_and_missing_ones_as_null(
    client: Client, database: Database
) -> None:
    await database.project.insert_one(project(_id="p"))
    odd: list[Any] = ["melted", "unknown", "Completed", "", None, ABSENT, 5, {"a": 1}, ["created"], DAY]
    await database.task.insert_many(tasks_of("p", "created", *odd))
    assert await counts(client, "p") == (11, {"CREATED": 1, "UNKNOWN": 4, None: 6})


async def test_tasks_of_the_projects_inside_count_when_asked_for(client: Client, database: Database) -> None:
    await database.project.insert_many(nested("a", "a/b", "a/b/c", "a/d", "e"))
    await database.task.insert_many(
        [
            *tasks_of("a", "created"),
            *tasks_of("a/b", "failed", "failed"),
            *tasks_of("a/b/c", "created", "queued"),
            *tasks_of("e", "stopped"),
        ]
    )
    deep = "(includeSubprojects: true)"
    assert await counts(client, "a") == await counts(client, "a", "(includeSubprojects: null)") == (1, {"CREATED": 1})
    assert await counts(client, "a", deep) == (5, {"CREATED": 2, "QUEUED": 1, "FAILED": 2})
    assert await counts(client, "a/b", deep) == (4, {"CREATED": 1, "QUEUED": 1, "FAILED": 2})
    assert await counts(client, "a/d", deep) == (0, {})
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
            *tasks_of("p", "created", "failed", system_tags=["archived", "x"]),
            *tasks_of("p", "failed", system_tags=[]),
            *tasks_of("p", "failed", system_tags=ABSENT),
            *tasks_of("p", "queued", system_tags=["development"]),
        ]
    )
    assert await counts(client, "p", "(archived: false)") == (3, {"FAILED": 2, "QUEUED": 1})
    assert await counts(client, "p", "(archived: true)") == (2, {"CREATED": 1, "FAILED": 1})
    assert await counts(client, "p", "(archived: null)") == (5, {"CREATED": 1, "QUEUED": 1, "FAILED": 3})


# -- both: tenants, dangling references, odd rows, commands, cost ----------------------------------


async def test_what_the_viewer_may_not_see_is_neither_shown_nor_counted(client: Client, database: Database) -> None:
    await database.project.insert_many(
        [
            *nested("a", "a/own"),
            *nested("a/public", company=PUBLIC),
            *nested("a/foreign", "a/foreign/x", company=OTHER_COMPANY),
            *nested("a/nobody", company=ABSENT),
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
async def test_of_a_project_that_is_not_there_nothing_is_told(
    client: Client, database: Database, owner: str | None
) -> None:
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


async def test_odd_rows_harm_no_others(client: Client, database: Database) -> None:
    odd: list[Any] = [5, ["a"], ["a", "b"], [Code("a"), "a"], Code("a"), {"a": 1}, True, DAY, 1.5, {"$x": []}]
    await database.project.insert_many(
        [
            *nested("a", "a/b"),
            *(project(**{name: value}) for value in odd for name in ("parent", "path", "name")),
            project(_id="flat", path="a"),
            project(path=["a", 5, {"x": 1}, ["a"], Code("a"), None]),
            project(_id=7, parent="a", path=["a"]),
            project(_id={"x": 1}, path=["a"]),
        ]
    )
    await database.task.insert_many(
        [
            *tasks_of("a", "created"),
            *tasks_of("a/b", "failed"),
            *tasks_of("flat", "queued"),
            *(task(project=value) for value in odd),
        ]
    )
    query = """{ projects(first: 100) { nodes {
      id name parentId subprojects { id } taskCounts { total } deep: taskCounts(includeSubprojects: true) { total }
    } } }"""
    found = {node.pop("id"): node for node in (await client.data(query))["projects"]["nodes"]}
    assert len(found) == 36
    assert found["a"] == {
        "name": "a",
        "parentId": None,
        "subprojects": [{"id": "a/b"}, {"id": "7"}],
        "taskCounts": {"total": 1},
        "deep": {"total": 2},
    }
    assert found["7"] == {
        "name": "vision/digits",
        "parentId": "a",
        "subprojects": None,
        "taskCounts": None,
        "deep": None,
    }


@pytest.mark.parametrize("number", [1, 500])
async def test_however_many_projects_each_kind_is_one_command_more(
    client: Client, database: Database, commands: Commands, number: int
) -> None:
    names = [f"{top:03}" for top in range(number)]
    await database.project.insert_many(nested(*names, *(f"{name}/{inside}" for name in names for inside in "ab")))
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


async def test_nodes_and_edges_share_what_is_loaded(client: Client, database: Database, commands: Commands) -> None:
    await database.project.insert_many(nested("a", "b"))
    commands.seen.clear()
    selection = "taskCounts { total } subprojects { id }"
    data = await client.data(f"{{ projects {{ nodes {{ {selection} }} edges {{ node {{ {selection} }} }} }} }}")
    assert [edge["node"] for edge in data["projects"]["edges"]] == data["projects"]["nodes"]
    assert len(commands.seen) == 3


async def cost(client: Client, query: str) -> int:
    response = await client.http.post("/graphql", json={"query": query, "extensions": {"cost": True}})
    requested: int = response.json()["extensions"]["cost"]["requested"]
    return requested


async def test_lists_in_lists_cost_what_they_may_hold(client: Client, commands: Commands) -> None:
    assert await cost(client, "{ projects(first: 20) { nodes { subprojects { id } } } }") == 1 + 20 * 51
    assert await cost(client, "{ projects(first: 20) { nodes { subprojects(first: 3) { id } } } }") == 1 + 20 * 4
    nodes = "subprojects(first: 3) { taskCounts { total } }"
    assert await cost(client, f"{{ projects(first: 20) {{ nodes {{ {nodes} }} }} }}") == 1 + 20 * (1 + 3 * 2)
    nodes = "taskCounts { byStatus { count } }"
    assert await cost(client, f"{{ projects(first: 500) {{ nodes {{ {nodes} }} }} }}") == 1 + 500 * 13
    commands.seen.clear()
    query = "{ projects(first: 500) { nodes { subprojects(first: 500) { subprojects(first: 2) { id } } } } }"
    error = await client.error(query)
    assert (error["code"], error["limit"], error["actual"]) == ("LIMIT_EXCEEDED", "cost", 1 + 500 * (1 + 500 * 3))
    assert commands.seen == []


def test_every_loader_that_hocon_may_name_is_there() -> None:
    assert {*dialect.RELATED_NAMES} == RELATED_FIELDS.keys()


# -- queues ----------------------------------------------------------------------------------------


async def test_entries_of_a_queue_have_their_place_and_their_task(client: Client, database: Database) -> None:
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
