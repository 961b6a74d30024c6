"""The history and the children of tasks: pages of each task, for a whole page of tasks at once."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.documents.transition import TRANSITIONS
from tests.support.client import Client
from tests.support.commands import Commands
from tests.support.factories import COMPANY, DAY, OTHER_COMPANY, PUBLIC, Document, ids, model, queue, task, user

Database = AsyncDatabase[dict[str, Any]]
STEPS = [
    ("taskEnqueue", 'statusReason: "go"'),
    ("taskStarted", ""),
    ("taskStarted", 'statusMessage: "again"'),
    ("taskClose", "force: true"),
    ("taskPublish", ""),
]


async def make_moves(client: Client, id_: str, calls: list[tuple[str, str]]) -> None:
    for name, arguments in calls:
        await client.data(f'mutation {{ {name}(input: {{task: "{id_}", {arguments}}}) {{ updated }} }}')


async def test_the_history_of_a_task_has_every_accepted_move_oldest_first(client: Client, database: Database) -> None:
    await database["queue"].insert_one(queue())
    await database["user"].insert_one(user(_id="taskql", name="Ada"))
    await database["task"].insert_one(task(_id="t", status="created"))
    await make_moves(client, "t", STEPS)
    assert (await client.error('mutation { taskClose(input: {task: "t"}) { updated } }'))[
        "code"
    ] == "INVALID_TASK_STATUS"
    data = await client.data(
        '{ task(id: "t") { status statusChanged transitions { totalCount '
        "nodes { from to mutation actor { name } actorId reason message force at } } } }"
    )
    history = data["task"]["transitions"]
    assert [tuple(step.values())[:3] + tuple(step.values())[5:8] for step in history["nodes"]] == [
        ("CREATED", "QUEUED", "taskEnqueue", "go", "", False),
        ("QUEUED", "IN_PROGRESS", "taskStarted", "", "", False),
        ("IN_PROGRESS", "IN_PROGRESS", "taskStarted", "", "again", False),
        ("IN_PROGRESS", "CLOSED", "taskClose", "", "", True),
        ("CLOSED", "PUBLISHED", "taskPublish", "", "", False),
    ]
    assert {(step["actor"]["name"], step["actorId"]) for step in history["nodes"]} == {("Ada", "taskql")}
    assert history["totalCount"] == 5
    assert history["nodes"][-1]["at"] == data["task"]["statusChanged"]


async def test_asking_a_live_worker_to_stop_is_a_transition_to_the_same_status(
    client: Client, database: Database
) -> None:
    await database["task"].insert_one(task(_id="t", status="in_progress", system_tags=[]))
    await client.data('mutation { taskPing(input: {task: "t"}) { replayed } }')
    data = await client.data(
        'mutation { taskStop(input: {task: "t"}) { task { statusMessage '
        "availableTransitions { mutation target allowed } transitions { nodes { from to message } } } } }"
    )
    stopping = data["taskStop"]["task"]
    assert stopping["statusMessage"] == "stopping"
    assert stopping["transitions"]["nodes"] == [{"from": "IN_PROGRESS", "to": "IN_PROGRESS", "message": "stopping"}]
    assert {"mutation": "taskStop", "target": "IN_PROGRESS", "allowed": True} in stopping["availableTransitions"]


async def test_the_history_of_a_deleted_task_stays(client: Client, database: Database) -> None:
    await database["task"].insert_one(task(_id="t", status="created"))
    await client.data('mutation { taskDelete(input: {task: "t", statusReason: "old", force: true}) { deleted } }')
    [step] = await database[TRANSITIONS].find().to_list()
    assert (step["task"], step["from"], step["to"], step["reason"], step["force"]) == (
        "t",
        "created",
        None,
        "old",
        True,
    )


# -- pages -----------------------------------------------------------------------------------------


def build_steps(of: str, count: int, **fields: Any) -> list[Document]:
    return [
        {
            "_id": f"{of}:{number:09}",
            "company": COMPANY,
            "task": of,
            "number": number,
            "from": "created",
            "to": "queued",
            "mutation": f"step{number}",
            "actor": "u",
            "at": DAY,
        }
        | fields
        for number in range(1, count + 1)
    ]


async def test_each_task_of_a_page_has_its_own_first_page_in_one_command(
    client: Client, database: Database, commands: Commands
) -> None:
    await database["task"].insert_many([task(_id=f"t{number}") for number in range(4)])
    await database[TRANSITIONS].insert_many(
        [step for number in range(1, 4) for step in build_steps(f"t{number}", number)]
    )
    commands.seen.clear()
    data = await client.data(
        "{ tasks(orderBy: [{field: ID}]) { nodes { transitions(first: 2) "
        "{ nodes { mutation } edges { node { mutation } } pageInfo { hasNextPage hasPreviousPage } } } } }"
    )
    pages = [node["transitions"] for node in data["tasks"]["nodes"]]
    assert [[step["mutation"] for step in page["nodes"]] for page in pages] == [
        [],
        ["step1"],
        ["step1", "step2"],
        ["step1", "step2"],
    ]
    assert all([edge["node"] for edge in page["edges"]] == page["nodes"] for page in pages)
    assert [page["pageInfo"]["hasNextPage"] for page in pages] == [False, False, False, True]
    assert [command.get("aggregate") for command in commands.seen] == ["task", TRANSITIONS]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_the_pages_of_a_history_have_every_transition_once(client: Client, database: Database, size: int) -> None:
    await database["task"].insert_one(task(_id="t"))
    await database[TRANSITIONS].insert_many([*build_steps("t", 7), *build_steps("other", 7)])
    mutations, after = [], None
    for _ in range(8):
        data = await client.data(
            'query($size: Int, $after: String) { task(id: "t") { transitions(first: $size, after: $after) '
            "{ nodes { mutation } edges { cursor } pageInfo { startCursor endCursor hasNextPage } totalCount } } }",
            size=size,
            after=after,
        )
        page = data["task"]["transitions"]
        mutations += [step["mutation"] for step in page["nodes"]]
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
        assert page["totalCount"] == 7
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert mutations == [f"step{number}" for number in range(1, 8)]


async def test_a_cursor_belongs_to_one_task(client: Client, database: Database) -> None:
    await database["task"].insert_many([task(_id="a"), task(_id="b")])
    await database[TRANSITIONS].insert_many([*build_steps("a", 3), *build_steps("b", 3)])
    data = await client.data('{ task(id: "a") { transitions(first: 1) { pageInfo { endCursor } } } }')
    cursor = data["task"]["transitions"]["pageInfo"]["endCursor"]
    for field in ('task(id: "b") { TRANSITIONS }', "tasks { nodes { TRANSITIONS } }"):
        selection = field.replace("TRANSITIONS", "transitions(after: $after) { totalCount }")
        for after in (cursor, "nonsense"):
            assert (await client.error(f"query($after: String) {{ {selection} }}", after=after))["code"] == "BAD_CURSOR"


@pytest.mark.parametrize(
    ("first", "code"), [(0, "VALIDATION_ERROR"), (-1, "VALIDATION_ERROR"), (501, "LIMIT_EXCEEDED")]
)
async def test_an_invalid_page_is_refused(client: Client, first: int, code: str) -> None:
    for name in ("transitions", "children"):
        query = f'query($first: Int) {{ task(id: "t") {{ {name}(first: $first) {{ totalCount }} }} }}'
        assert (await client.error(query, first=first))["code"] == code


async def test_the_history_of_another_company_is_not_visible(client: Client, database: Database) -> None:
    await database["task"].insert_many([task(_id="t", company=PUBLIC), task(_id="own", parent="foreign")])
    await database["task"].insert_one(task(_id="foreign", company=OTHER_COMPANY))
    await database[TRANSITIONS].insert_many(
        [
            *build_steps("t", 2, company=OTHER_COMPANY),
            *build_steps("foreign", 2, company=OTHER_COMPANY),
        ]
    )
    data = await client.data(
        '{ task(id: "t") { transitions { totalCount nodes { mutation } } } '
        'own: task(id: "own") { parent { id transitions { totalCount } children { totalCount } availableTransitions '
        "{ mutation } } } }"
    )
    assert data["task"]["transitions"] == {"totalCount": 0, "nodes": []}
    assert data["own"]["parent"] == {
        "id": "foreign",
        "transitions": None,
        "children": None,
        "availableTransitions": None,
    }


async def test_the_history_of_another_company_does_not_count(client: Client, database: Database) -> None:
    """A task of another company may have had the same id."""
    await database["task"].insert_one(task(_id="t", status="created"))
    foreign = {"_id": "t:000000007", "task": "t", "number": 7, "company": OTHER_COMPANY}
    await database[TRANSITIONS].insert_one(foreign)
    await make_moves(client, "t", STEPS[1:3])
    own = await database[TRANSITIONS].find({"company": COMPANY}).sort("_id").to_list()
    assert [(step["_id"], step["number"]) for step in own] == [("t:000000001", 1), ("t:000000002", 2)]
    assert await database[TRANSITIONS].find_one({"_id": "t:000000007"}) == foreign


async def test_a_damaged_transition_spoils_no_other(client: Client, database: Database) -> None:
    await database["task"].insert_one(task(_id="t"))
    regular, damaged = build_steps("t", 2)
    await database[TRANSITIONS].insert_many(
        [regular, damaged | {"from": 7, "to": "melted", "force": "yes", "at": "soon"}]
    )
    data = await client.data('{ task(id: "t") { transitions { nodes { from to force at mutation } } } }')
    assert data["task"]["transitions"]["nodes"] == [
        {"from": "CREATED", "to": "QUEUED", "force": None, "at": "2026-01-31T12:00:00.000Z", "mutation": "step1"},
        {"from": None, "to": "UNKNOWN", "force": None, "at": None, "mutation": "step2"},
    ]


# -- children --------------------------------------------------------------------------------------


async def test_children_are_tasks_in_pages_the_newest_update_first(
    client: Client, database: Database, commands: Commands
) -> None:
    await database["user"].insert_one(user(_id="u", name="Ada"))
    times = {"a": DAY.replace(day=3), "b": DAY.replace(day=5), "c": None, "d": DAY.replace(day=4), "e": "no date"}
    await database["task"].insert_many(
        [
            task(_id="p", last_update=DAY),
            task(_id="q"),
            *(task(_id=id_, parent="p", user="u", last_update=time) for id_, time in times.items()),
            task(_id="x", parent="q"),
            task(_id="y", parent="p", company=OTHER_COMPANY),
        ]
    )
    query = """query($after: String) { task(id: "p") { children(first: 2, after: $after) {
      totalCount nodes { id user { name } parent { id } } pageInfo { endCursor hasNextPage hasPreviousPage } } } }"""
    children, after = [], None
    while True:
        page = (await client.data(query, after=after))["task"]["children"]
        assert page["totalCount"] == 5
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert all(node["user"] == {"name": "Ada"} and node["parent"] == {"id": "p"} for node in page["nodes"])
        children += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert children == ["b", "d", "a", "e", "c"]
    commands.seen.clear()
    data = await client.data("{ tasks { nodes { id children { nodes { id children { nodes { id } } } } } } }")
    assert {
        node["id"]: {*ids({"_id": child["id"]} for child in node["children"]["nodes"])}
        for node in data["tasks"]["nodes"]
    } == {"p": {*"abcde"}, "q": {"x"}, **{id_: set() for id_ in "abcdex"}}
    assert len(commands.seen) == 3


# -- available transitions --------------------------------------------------------------------------

AVAILABLE = "availableTransitions { mutation target allowed requiresForce reasons }"


async def read_available(client: Client, id_: str) -> dict[str, Any]:
    data = await client.data(f'{{ task(id: "{id_}") {{ {AVAILABLE} }} }}')
    return {row.pop("mutation"): row for row in data["task"]["availableTransitions"]}


async def test_force_does_not_help_where_one_of_the_reasons_stays(client: Client, database: Database) -> None:
    models = {"input": [], "output": [{"model": "public"}]}
    await database["task"].insert_one(task(_id="t", status="created", models=models))
    await database["model"].insert_one(model(_id="public", company=PUBLIC, ready=False))
    row = (await read_available(client, "t"))["taskPublish"]
    assert (len(row["reasons"]), row["requiresForce"]) == (2, False)
    error = await client.error('mutation { taskPublish(input: {task: "t", force: true}) { updated } }')
    assert error["message"] == row["reasons"][1]


async def test_a_public_task_allows_no_move(client: Client, database: Database) -> None:
    await database["task"].insert_one(task(_id="t", company=PUBLIC, status="stopped"))
    rows = await read_available(client, "t")
    assert {(row["allowed"], row["requiresForce"], *row["reasons"]) for row in rows.values()} == {
        (False, False, "The task is public and read-only for you; choose a task of your company.")
    }
    assert (await client.error('mutation { taskClose(input: {task: "t"}) { updated } }'))[
        "code"
    ] == "NO_WRITE_PERMISSION"


@pytest.mark.parametrize("count", [1, 60])
async def test_available_transitions_of_any_page_cost_three_commands(
    client: Client, database: Database, commands: Commands, count: int
) -> None:
    await database["queue"].insert_one(queue(entries=[{"task": f"t{n}", "added": DAY} for n in range(count)]))
    await database["model"].insert_many([model(_id=f"m{n}", task=f"t{n % 7}") for n in range(count)])
    await database["task"].insert_many(
        [task(_id=f"t{n}", parent=f"t{n % 9}", models={"output": [{"model": f"m{n}"}]}) for n in range(count)]
    )
    commands.seen.clear()
    await client.data(f"{{ tasks(first: 500) {{ nodes {{ {AVAILABLE} again: {AVAILABLE} }} }} }}")
    collections = [command.get("aggregate") or command.get("find") for command in commands.seen]
    assert collections == ["task", "task", "model", "queue"]


ODD: dict[str, tuple[dict[str, Any], str, bool, str]] = {
    "no script": (
        {"status": "created", "script": {"repository": "r"}},
        "taskEnqueue",
        False,
        "must have a script with",
    ),
    "in the queue": ({"_id": "held", "status": "created"}, "taskEnqueue", False, "in this queue already"),
    "a child": ({"_id": "parent", "status": "created"}, "taskDelete", True, "has child tasks"),
    "a published child": ({"_id": "parent", "status": "stopped"}, "taskReset", True, "child task is published"),
    "a ready model": ({"_id": "maker", "status": "stopped"}, "taskReset", True, "is ready"),
    "a ready model that it names": (
        {"status": "created", "models": {"output": [{"model": "named"}]}},
        "taskDelete",
        True,
        "is ready",
    ),
    "an older server's model": (
        {"status": "created", "models": {}, "output": {"model": "named"}},
        "taskDelete",
        True,
        "is ready",
    ),
    "a public draft": (
        {"status": "stopped", "models": {"output": [{"model": "public"}]}},
        "taskPublish",
        False,
        "public and read-only",
    ),
}


@pytest.mark.parametrize(("fields", "name", "by_force", "reason"), ODD.values(), ids=ODD)
async def test_available_transitions_name_the_reason_that_the_mutation_refuses_with(
    client: Client, database: Database, fields: dict[str, Any], name: str, by_force: bool, reason: str
) -> None:
    await database["queue"].insert_one(queue(entries=[{"task": "held", "added": DAY}, "odd", {"added": DAY}]))
    await database["model"].insert_many(
        [
            model(_id="made", task="maker", ready=True),
            model(_id="named", ready=True),
            model(_id="public", company=PUBLIC, ready=False),
        ]
    )
    tasks = [task(**{"_id": "t"} | fields), task(_id="child", parent="parent", status="published")]
    await database["task"].insert_many(tasks)
    id_ = tasks[0]["_id"]
    row = (await read_available(client, id_))[name]
    assert (row["allowed"], row["requiresForce"]) == (False, by_force)
    assert reason in row["reasons"][0]
    error = await client.error(f'mutation {{ {name}(input: {{task: "{id_}"}}) {{ replayed }} }}')
    assert error["message"] == row["reasons"][0]
    if by_force:
        await client.data(f'mutation {{ {name}(input: {{task: "{id_}", force: true}}) {{ replayed }} }}')


@pytest.mark.parametrize(
    ("queues", "code"),
    [
        ([], "NO_DEFAULT_QUEUE"),
        ([queue(_id="a"), queue(_id="b")], "MULTIPLE_DEFAULT_QUEUES"),
        ([queue(_id="a", company=OTHER_COMPANY)], "NO_DEFAULT_QUEUE"),
        ([queue(_id="a", company=PUBLIC)], "NO_DEFAULT_QUEUE"),
    ],
)
async def test_without_one_default_queue_a_queue_must_be_named(
    client: Client, database: Database, queues: list[Document], code: str
) -> None:
    await database["queue"].insert_many([*queues, queue(_id="named", system_tags=[])])
    await database["task"].insert_one(task(_id="t", status="created"))
    error = await client.error('mutation { taskEnqueue(input: {task: "t"}) { queued } }')
    assert error["code"] == code
    assert (await read_available(client, "t"))["taskEnqueue"]["reasons"] == [error["message"]]
    data = await client.data('mutation { taskEnqueue(input: {task: "t", queue: "named"}) { queued } }')
    assert data["taskEnqueue"]["queued"] == 1
    await database["task"].insert_one(task(_id="u", status="created"))
    gone = await client.error('mutation { taskEnqueue(input: {task: "u", queue: "gone"}) { queued } }')
    assert gone["code"] == "INVALID_QUEUE_ID"


async def test_broken_neighbours_spoil_nothing(client: Client, database: Database) -> None:
    await database["queue"].insert_many([queue(entries=7)])
    await database["model"].insert_many([{"_id": 7, "company": COMPANY, "task": ["t"], "ready": True}])
    await database["task"].insert_many(
        [
            task(_id="t", status=7, models=7, output=7, script="s", system_tags="x", last_worker=7, last_update="now"),
            task(_id="$t", status=None, models={"output": [7, {"model": 7}, {"model": "$x"}]}, parent=["t"]),
            {"_id": "bare", "company": COMPANY},
        ]
    )
    for id_ in ("t", "$t", "bare"):
        rows = await read_available(client, id_)
        assert not [name for name, row in rows.items() if row["allowed"]], id_
        assert rows["taskClose"]["reasons"] == [
            "taskClose needs a task that is STOPPED or CLOSED; this one is UNKNOWN."
        ]
        await client.data(f'mutation {{ taskClose(input: {{task: "{id_}", force: true}}) {{ updated }} }}')
