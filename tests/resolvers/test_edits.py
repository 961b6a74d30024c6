"""Mutations that write the values of an input: all of them are valid, or nothing is written."""

import asyncio
from pathlib import Path
from random import Random
from types import NoneType
from typing import Any

import pytest

from models.dates import now
from tests.support.client import Client
from tests.support.factories import (
    ABSENT,
    COMPANY,
    DAY,
    OTHER_COMPANY,
    PUBLIC,
    Document,
    artifact,
    artifacts,
    hyperparams,
    md5,
    model,
    old_task,
    project,
    put,
    queue,
    task,
)
from tests.support.mutations import TASK, change, get_refusal, mutation, read_documents, read_task
from tests.support.servers import HTTP, serve, standalone

ODD_KEYS = ("a.b", "$x", "pa__ram1", "_x", "100%", "a%2Eb", "é ü")
VALIDATE = "query ($input: TaskValidateInput!) { taskValidate(input: $input) }"


async def read_stored(client: Client, id_: str) -> Document:
    document = await client.database["task"].find_one({"_id": id_})
    assert document
    return document


async def insert(client: Client, **documents: Document | list[Document]) -> None:
    for collection, inserted in documents.items():
        await client.database[collection].insert_many(inserted if isinstance(inserted, list) else [inserted])


# -- create ----------------------------------------------------------------------------------------

FULL = {
    "name": "  train digits  ",
    "type": "TESTING",
    "comment": " as it is ",
    "tags": ["b", "a"],
    "systemTags": ["tool"],
    "parent": "finished",
    "project": "mine",
    "outputDest": " s3://bucket/out ",
    "execution": {
        "queue": "line",
        "model": "net",
        "modelDesc": {"a.b": "x", "$ref": "y", "$id": "z"},
        "framework": "PyTorch",
        "dockerCmd": "python:3.11",
        "modelLabels": [{"key": key, "value": at} for at, key in enumerate(ODD_KEYS)],
        "parameters": [
            *({"name": key, "value": "1"} for key in ODD_KEYS),
            {"section": "Gen.eral", "name": "seed", "value": "7", "type": "int", "description": "luck"},
            {"section": "General", "name": "nothing"},
        ],
        "artifacts": [
            {
                "key": "in.put",
                "type": "dict",
                "mode": "INPUT",
                "uri": "s3://x",
                "contentSize": 2**40,
                "hash": "ff",
                "timestamp": 1_790_000_000,
                "displayData": [["rows", "3"]],
                "typeData": {"preview": "{}", "contentType": "application/json", "dataHash": "ee"},
            },
            {"key": "in.put", "type": "dict"},
        ],
    },
    "script": {
        "repository": " https://example.org/x.git ",
        "entryPoint": " train.py ",
        "diff": "+ x \n",
        "branch": "main",
        "requirements": {"pip": "numpy\n", "a.$b": {"$c": {"d.e": [1, None, True]}}},
    },
}


async def with_others(client: Client) -> None:
    """The documents that FULL refers to."""
    await insert(
        client,
        task=task(_id="finished", name="parent"),
        project=project(_id="mine"),
        model=model(_id="net"),
        queue=queue(_id="line"),
    )


async def test_a_created_task_has_the_values_of_the_input_and_reads_the_same(client: Client) -> None:
    await with_others(client)
    payload = await change(client, "taskCreate", f"id replayed task {{ {TASK} }}", **FULL)
    made = payload["task"]
    assert payload == {"id": made["id"], "replayed": False, "task": await read_task(client, payload["id"])}
    execution = FULL["execution"]
    assert made["execution"]["modelDesc"] == execution["modelDesc"]  # type: ignore[index]
    assert {label["key"]: label["value"] for label in made["execution"]["modelLabels"]} == {
        key: number for number, key in enumerate(ODD_KEYS)
    }
    assert {(item["section"], item["name"]): item["value"] for item in made["execution"]["parameters"]} == {
        **{("Args", key): "1" for key in ODD_KEYS},
        ("Gen.eral", "seed"): "7",
        ("General", "nothing"): None,
    }
    artifacts_shown = made["execution"]["artifacts"]
    assert [(item["key"], item["mode"], item["contentSize"], item["displayData"]) for item in artifacts_shown] == [
        ("in.put", "INPUT", 2**40, [["rows", "3"]]),
        ("in.put", "OUTPUT", None, None),
    ]
    expected = {
        "name": "train digits",
        "type": "TESTING",
        "status": "CREATED",
        "comment": " as it is ",
        "tags": ["b", "a"],
        "systemTags": ["tool"],
        "parentId": "finished",
        "projectId": "mine",
        "companyId": COMPANY,
        "userId": "taskql",
        "lastChangedById": "taskql",
        "lastIteration": 0,
        "lastMetrics": [],
        "statusChanged": None,
        "started": None,
        "models": {"input": [{"name": "Input Model", "modelId": "net"}], "output": []},
        "output": {"destination": "s3://bucket/out", "modelId": None, "result": None, "error": None},
        "script": {
            "binary": "python",
            "repository": "https://example.org/x.git",
            "entryPoint": "train.py",
            "diff": "+ x \n",
            "branch": "main",
            "tag": None,
            "versionNum": None,
            "workingDir": None,
            "requirements": FULL["script"]["requirements"],  # type: ignore[index]
        },
    }
    assert {name: made[name] for name in expected} == expected
    assert made["created"] == made["lastUpdate"] == made["lastChange"]
    assert (made["execution"]["queueId"], made["execution"]["modelId"]) == ("line", "net")


async def test_a_task_is_stored_in_the_layout_of_a_2_3_server_only(client: Client) -> None:
    await with_others(client)
    made = await read_stored(client, (await change(client, "taskCreate", "id", **FULL))["id"])
    assert made["hyperparams"]["Args"].keys() == {"a%2Eb", "%24x", "pa%_%_ram1", "%_x", "100%%", "a%%2Eb", "é ü"}
    assert made["hyperparams"]["Gen%2Eeral"]["seed"]["section"] == "Gen.eral"
    assert made["execution"]["model_labels"].keys() == made["hyperparams"]["Args"].keys()
    assert made["execution"]["artifacts"].keys() == {f"{md5('in.put')}_input", f"{md5('in.put')}_output"}
    assert [item["model"] for item in made["models"]["input"]] == ["net"]
    assert not {"parameters", "model"} & made["execution"].keys()
    assert "model" not in made["output"]
    [entry] = (await client.database["queue"].find_one({"_id": "line"}) or {"entries": [1]})["entries"] or [None]
    assert entry is None  # execution.queue does not enqueue a task


async def test_a_minimal_task_has_the_defaults_of_the_schema(client: Client) -> None:
    made = await read_stored(client, (await change(client, "taskCreate", "id", name="abc", type="TRAINING"))["id"])
    expected = {
        "status": "created",
        "tags": [],
        "system_tags": [],
        "last_iteration": 0,
        "last_metrics": {},
        "output": {},
        "hyperparams": {},
        "models": {"input": [], "output": []},
        "company": COMPANY,
        "user": "taskql",
    }
    assert {name: made[name] for name in expected} == expected
    assert not {"script", "project", "parent", "comment", "started", "status_changed", "revision_id"} & made.keys()


async def test_null_and_omitted_are_the_same_in_a_new_task(client: Client) -> None:
    nulls = dict.fromkeys(("comment", "tags", "systemTags", "parent", "project", "outputDest", "execution", "script"))
    task_with_nulls = (
        await change(client, "taskCreate", f"task {{ {TASK} }}", name="nulls", type="TRAINING", **nulls)
    )["task"]
    bare = (await change(client, "taskCreate", f"task {{ {TASK} }}", name="bare", type="TRAINING"))["task"]
    differing = {name for name in task_with_nulls if task_with_nulls[name] != bare[name]}
    assert differing <= {"id", "name", "created", "lastUpdate", "lastChange"}


async def test_a_created_task_sets_the_last_update_of_its_project(client: Client) -> None:
    await insert(client, project=project(_id="mine"))
    await change(client, "taskCreate", "id", name="abc", type="TRAINING", project="mine")
    stored_project = await client.database["project"].find_one({"_id": "mine"})
    assert stored_project
    assert stored_project["last_update"] > DAY


# -- validate --------------------------------------------------------------------------------------


async def test_validation_accepts_a_task_and_stores_nothing(client: Client) -> None:
    await with_others(client)
    before = await read_documents(client.database)
    assert (await client.data(VALIDATE, input=FULL)) == {"taskValidate": True}
    assert await read_documents(client.database) == before


@pytest.mark.slow
def test_validation_needs_no_replica_set(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri, serve(mongodb_uri=uri) as server:
        values = '{ name: "%s", type: TRAINING }'
        assert server.data("{ taskValidate(input: %s) }" % (values % "abc")) == {"taskValidate": True}
        request = {"query": "{ taskValidate(input: %s) }" % (values % "ab")}
        answer = HTTP.post(server.address, json=request).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["DATA_VALIDATION_ERROR"]


# -- bad input -------------------------------------------------------------------------------------


def build_input(**values: Any) -> dict[str, Any]:
    return {"name": "abc", "type": "TRAINING"} | values


def build_execution_input(**values: Any) -> dict[str, Any]:
    return build_input(execution=values)


# what a new task, a valid one and an edited one can't have → the code, and the field that it names
BAD: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "a short name": (build_input(name="ab"), "DATA_VALIDATION_ERROR", "name"),
    "a name of blanks": (build_input(name="   a   "), "DATA_VALIDATION_ERROR", "name"),
    "no name": (build_input(name=""), "DATA_VALIDATION_ERROR", "name"),
    "an unknown parent": (build_input(parent="nobody"), "INVALID_TASK_ID", "parent"),
    "an empty parent": (build_input(parent=""), "INVALID_TASK_ID", "parent"),
    "another company's parent": (build_input(parent="foreign"), "INVALID_TASK_ID", "parent"),
    "a deleted parent": (build_input(parent="__DELETED__x"), "INVALID_TASK_ID", "parent"),
    "an unknown project": (build_input(project="nothing"), "INVALID_PROJECT_ID", "project"),
    "another company's project": (build_input(project="foreign"), "INVALID_PROJECT_ID", "project"),
    "a public project": (build_input(project="public"), "NO_WRITE_PERMISSION", "project"),
    "an unknown model": (build_execution_input(model="nothing"), "INVALID_MODEL_ID", "execution.model"),
    "another company's model": (build_execution_input(model="foreign"), "INVALID_MODEL_ID", "execution.model"),
    "an unknown queue": (build_execution_input(queue="nothing"), "INVALID_QUEUE_ID", "execution.queue"),
    "another company's queue": (build_execution_input(queue="foreign"), "INVALID_QUEUE_ID", "execution.queue"),
    "an unknown destination": (build_input(outputDest="ftp://x/y"), "TASK_VALIDATION_ERROR", "outputDest"),
    "an empty destination": (build_input(outputDest=" "), "TASK_VALIDATION_ERROR", "outputDest"),
    "a parameter without a name": (
        build_execution_input(parameters=[{"name": " "}]),
        "DATA_VALIDATION_ERROR",
        "execution.parameters",
    ),
    "a parameter in an empty section": (
        build_execution_input(parameters=[{"section": "", "name": "x"}]),
        "DATA_VALIDATION_ERROR",
        "execution.parameters",
    ),
    "a parameter with a zero in its name": (
        build_execution_input(parameters=[{"name": "a\0"}]),
        "DATA_VALIDATION_ERROR",
        "execution.parameters",
    ),
    "one parameter twice": (
        build_execution_input(parameters=[{"name": "x"}, {"section": "Args", "name": " x"}]),
        "DATA_VALIDATION_ERROR",
        "execution.parameters",
    ),
    "a label without a name": (
        build_execution_input(modelLabels=[{"key": "", "value": 1}]),
        "DATA_VALIDATION_ERROR",
        "execution.modelLabels",
    ),
    "one label twice": (
        build_execution_input(modelLabels=[{"key": "x", "value": 1}, {"key": "x", "value": 2}]),
        "DATA_VALIDATION_ERROR",
        "execution.modelLabels",
    ),
    "two labels with a number": (
        build_execution_input(modelLabels=[{"key": "x", "value": 1}, {"key": "y", "value": 1}]),
        "DATA_VALIDATION_ERROR",
        "execution.modelLabels",
    ),
    "an artifact without a key": (
        build_execution_input(artifacts=[{"key": "", "type": "x"}]),
        "DATA_VALIDATION_ERROR",
        "execution.artifacts",
    ),
    "one artifact twice": (
        build_execution_input(artifacts=[{"key": "x", "type": "x"}, {"key": "x", "type": "y", "mode": "OUTPUT"}]),
        "DATA_VALIDATION_ERROR",
        "execution.artifacts",
    ),
    "an artifact of an unknown mode": (
        build_execution_input(artifacts=[{"key": "x", "type": "x", "mode": "UNKNOWN"}]),
        "VALIDATION_ERROR",
        None,
    ),
    "a description that is no text": (
        build_execution_input(modelDesc={"a": 1}),
        "DATA_VALIDATION_ERROR",
        "execution.modelDesc",
    ),
    "a description with an empty key": (
        build_execution_input(modelDesc={"": "x"}),
        "DATA_VALIDATION_ERROR",
        "execution.modelDesc",
    ),
    "a requirement with an empty key": (
        build_input(script={"requirements": {"pip": [{"": 1}]}}),
        "DATA_VALIDATION_ERROR",
        "script.requirements",
    ),
    "a requirement with a zero in a key": (
        build_input(script={"requirements": {"a\0": 1}}),
        "DATA_VALIDATION_ERROR",
        "script.requirements",
    ),
    "a number of 64 bits and a sign": (build_input(script={"requirements": {"a": 2**63}}), "VALIDATION_FAILED", None),
    "the type UNKNOWN": (build_input(type="UNKNOWN"), "VALIDATION_ERROR", None),
    "another type": (build_input(type="BAKING"), "VALIDATION_FAILED", None),
    "a name that is a number": (build_input(name=3), "VALIDATION_FAILED", None),
    "tags that are no list": (build_input(tags={"a": 1}), "VALIDATION_FAILED", None),
    "a tag that is null": (build_input(tags=[None]), "VALIDATION_FAILED", None),
    "an unknown field": (build_input(status="CREATED"), "VALIDATION_FAILED", None),
    "an unknown field of the script": (build_input(script={"language": "x"}), "VALIDATION_FAILED", None),
    "an unknown field of the execution": (build_execution_input(test_split=1), "VALIDATION_FAILED", None),
    "a parameter that is a number": (
        build_execution_input(parameters=[{"name": "x", "value": 1}]),
        "VALIDATION_FAILED",
        None,
    ),
    "requirements that are a text": (build_input(script={"requirements": "numpy"}), "VALIDATION_FAILED", None),
    "more than a request may have": (build_input(comment="x" * 4_000_000), "LIMIT_EXCEEDED", None),
}


async def with_strangers(client: Client) -> None:
    """Documents of other companies, and a task of the viewer."""
    for company, id_ in ((OTHER_COMPANY, "foreign"), (PUBLIC, "public")):
        fields = {"_id": id_, "company": company}
        await insert(
            client, task=task(**fields), project=project(**fields), model=model(**fields), queue=queue(**fields)
        )
    await insert(client, task=task(_id="draft", name="a draft", status="created"))


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_value_is_refused_with_a_code_and_nothing_is_stored(client: Client, bad: str) -> None:
    """By taskCreate, taskEdit and taskValidate alike."""
    values, code, field = BAD[bad]
    await with_strangers(client)
    errors = [
        await get_refusal(client, "taskCreate", **values),
        await get_refusal(client, "taskEdit", task="draft", **values),
        await client.error(VALIDATE, input=values),
    ]
    assert [(error["code"], error.get("field")) for error in errors] == [(code, field)] * 3


MORE_BAD = {
    "a parent that was deleted": build_input(parent="__DELETED__gone"),
    "a model that was deleted": build_execution_input(model="__DELETED__gone"),
    "a queue that was deleted": build_execution_input(queue="__DELETED__gone"),
    "a project that was deleted": build_input(project="__DELETED__gone"),
    "an empty parent": build_input(parent=""),
    "a parent of the viewer that is a draft": build_input(parent="draft"),
    "a public parent that runs": build_input(parent="running"),
    "a name that another task has": build_input(name=" a held name "),
    "a destination without a scheme": build_input(outputDest="x"),
    "several mistakes": build_input(name="x", parent="no", project="no", execution={"model": "no"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("bad", [*BAD, *MORE_BAD])
async def test_task_validate_has_the_same_error_as_task_create(client: Client, bad: str) -> None:
    values = MORE_BAD[bad] if bad in MORE_BAD else BAD[bad][0]
    await with_strangers(client)
    await insert(client, task=task(_id="running", company=PUBLIC, status="in_progress"))
    await change(client, "taskCreate", "id", name="a held name", type="TRAINING")
    made, validated = await get_refusal(client, "taskCreate", **values), await client.error(VALIDATE, input=values)
    assert validated["message"].replace("TaskValidateInput", "TaskCreateInput") == made["message"]
    assert validated | {"message": ""} == made | {"message": ""}


@pytest.mark.parametrize(
    ("field", "kind", "values"),
    [
        ("parent", "task", {"parent": "__DELETED__gone"}),
        ("project", "project", {"project": "__DELETED__gone"}),
        ("execution.model", "model", {"execution": {"model": "__DELETED__gone"}}),
    ],
)
async def test_a_reference_to_a_deleted_document_is_refused_with_its_own_message(
    client: Client, field: str, kind: str, values: dict[str, Any]
) -> None:
    """As a read task shows it: a delete marks the ids in its children."""
    await insert(client, task=task(_id="t", status="created"))
    errors = [
        await client.error(VALIDATE, input=build_input(**values)),
        await get_refusal(client, "taskCreate", **build_input(**values)),
        await get_refusal(client, "taskEdit", task="t", **values),
        await get_refusal(client, "taskClone", task="t", **values),
    ]
    expected = {
        "message": f"The {kind} with the id 'gone' was deleted; name another one, or none.",
        "field": field,
        "code": f"INVALID_{kind.upper()}_ID",
        kind: "__DELETED__gone",
    }
    assert errors == [expected] * 4


@pytest.mark.parametrize("name", ["a" * 300_000, "$where", "a.b.c", "🚀🚀🚀", "\x00\x00\x00", "<script>", "x\ny"])
async def test_odd_and_long_texts_come_back_as_they_are(client: Client, name: str) -> None:
    payload = await change(
        client,
        "taskCreate",
        f"task {{ {TASK} }}",
        name=name,
        type="TRAINING",
        comment=name,
        execution={"parameters": [{"name": "x", "value": name}]},
    )
    made = payload["task"]
    assert made["name"] == made["comment"] == made["execution"]["parameters"][0]["value"] == name.strip()
    assert await read_task(client, made["id"]) == made


PIECES = (
    "",
    " ",
    "a",
    "b ",
    ".",
    "$",
    "$ref",
    "$id",
    "_",
    "__",
    "%",
    "%%",
    "%2E",
    "%_",
    "\0",
    "🚀",
    "é",
    "\n",
    '"',
    "x" * 99,
)


def draw_text(dice: Random) -> str:
    return "".join(dice.choices(PIECES, k=dice.randint(1, 3)))


def draw_json(dice: Random, depth: int = 0) -> Any:
    leaves = (None, True, 0, -1, 2**40, 2**63, 0.5, draw_text(dice))
    kind = dice.choice("olv" if depth < 3 else "v")
    if kind == "o":
        return {draw_text(dice): draw_json(dice, depth + 1) for _ in range(dice.randint(0, 3))}
    return [draw_json(dice, depth + 1) for _ in range(dice.randint(0, 3))] if kind == "l" else dice.choice(leaves)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_any_value_is_stored_as_it_is_or_refused_with_a_code(client: Client, seed: int) -> None:
    dice, codes = Random(seed), []
    await insert(client, task=task(_id="t", status="created"))
    for _ in range(60):
        named = [{"name": draw_text(dice), "value": draw_text(dice)} for _ in range(dice.randint(0, 2))]
        labels = [{"key": draw_text(dice), "value": number} for number in range(dice.randint(0, 2))]
        needs = {draw_text(dice): draw_json(dice) for _ in range(dice.randint(0, 2))}
        values = {"execution": {"parameters": named, "modelLabels": labels}, "script": {"requirements": needs}}
        before = await read_documents(client.database)
        answer = await client.answer(mutation("taskEdit", f"task {{ {TASK} }}"), input={"task": "t", **values})
        if "errors" in answer:
            codes.append(answer["errors"][0]["extensions"]["code"])
            assert await read_documents(client.database) == before
            continue
        edited = answer["data"]["taskEdit"]["task"]
        assert edited == await read_task(client, "t")
        assert edited["script"]["requirements"] == needs
        assert {(item["name"], item["value"]) for item in edited["hyperparams"]} == {
            (item["name"].strip(), item["value"]) for item in named
        }
        assert {(item["key"], item["value"]) for item in edited["execution"]["modelLabels"]} == {
            (item["key"].strip(), item["value"]) for item in labels
        }
    assert set(codes) <= {"DATA_VALIDATION_ERROR", "VALIDATION_FAILED"}
    assert 10 < len(codes) < 50


CHANGES: dict[str, dict[str, Any]] = {
    "taskUpdate": {"comment": "x"},
    "taskEdit": {"comment": "x"},
    "taskSetRequirements": {"requirements": {}},
    "taskArchive": {},
    "taskUnarchive": {},
    "taskClone": {},
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_task_of_another_company_reads_like_a_missing_one(client: Client, name: str) -> None:
    await with_strangers(client)
    foreign = await get_refusal(client, name, task="foreign", **CHANGES[name])
    missing = await get_refusal(client, name, task="missing", **CHANGES[name])
    assert foreign["code"] == missing["code"] == "INVALID_TASK_ID"
    assert foreign["message"].replace("foreign", "missing") == missing["message"]


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "taskClone"])
async def test_a_public_task_is_read_only(client: Client, name: str) -> None:
    await with_strangers(client)
    error = await get_refusal(client, name, task="public", **CHANGES[name])
    assert error["code"] == "NO_WRITE_PERMISSION"


async def test_an_infinite_number_is_refused(client: Client) -> None:
    await with_strangers(client)
    query = """mutation { taskSetRequirements(input: { task: "draft", requirements: { a: [1e999] } }) { updated } }"""
    assert (await client.error(query))["code"] == "VALIDATION_FAILED"


async def test_a_document_grows_to_16_megabytes_at_most(client: Client) -> None:
    await insert(client, task=task(_id="big", name="a big one", runtime={"all": "x" * 16_700_000}))
    error = await get_refusal(client, "taskUpdate", task="big", comment="x" * 200_000)
    assert (error["code"], error["limit"]) == ("LIMIT_EXCEEDED", "document")


# -- update ----------------------------------------------------------------------------------------


async def test_an_update_changes_the_named_fields_in_any_status(client: Client) -> None:
    await insert(client, task=task(_id="t", status="published"), project=project(_id="p"))
    values = {
        "name": "  another ",
        "comment": "new",
        "tags": [],
        "systemTags": ["x"],
        "project": "p",
        "outputError": "boom",
        "created": "2020-01-01T01:00:00+01:00",
    }
    before = await read_task(client, "t")
    payload = await change(client, "taskUpdate", f"updated fields replayed task {{ {TASK} }}", task="t", **values)
    after = await read_task(client, "t")
    assert payload["task"] == after
    assert (payload["updated"], payload["replayed"]) == (1, False)
    expected = {
        "name": "another",
        "comment": "new",
        "tags": [],
        "systemTags": ["x"],
        "projectId": "p",
        "created": "2020-01-01T00:00:00.000Z",
        "lastChangedById": "taskql",
    }
    assert expected.items() <= after.items()
    assert after["output"] == before["output"] | {"error": "boom"}
    untouched = after.keys() - expected.keys() - {"output", "lastUpdate", "lastChange"}
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert payload["fields"] == {
        **expected,
        "output.error": "boom",
        "lastUpdate": after["lastUpdate"],
        "lastChange": after["lastChange"],
    }


@pytest.mark.parametrize("name", ["taskUpdate", "taskEdit", "taskClone"])
async def test_a_task_that_gets_another_project_sets_the_last_update_of_both(client: Client, name: str) -> None:
    """A clone is made in the other project alone."""
    await insert(
        client,
        task=task(_id="t", status="created", project="old"),
        project=[project(_id=id_, last_update=DAY) for id_ in ("old", "new", "else")],
    )
    before = now()
    await change(client, name, "__typename", task="t", project="new")
    is_touched = {row["_id"]: row["last_update"] >= before for row in await client.database["project"].find().to_list()}
    assert is_touched == {"old": name != "taskClone", "new": True, "else": False}


async def test_a_project_keeps_a_later_last_update(client: Client) -> None:
    """A mutation that was slow does not take it back."""
    later = DAY.replace(year=9000)
    await client.database["task"].insert_one(task(_id="t", project="p"))
    await client.database["project"].insert_one(project(_id="p", last_update=later))
    await change(client, "taskUpdate", "updated", task="t", comment="new")
    stored = await client.database["project"].find_one({"_id": "p"})
    assert stored
    assert stored["last_update"] == later


async def test_null_clears_optional_fields_only(client: Client) -> None:
    await insert(client, task=task(_id="t", project="p"), project=project(_id="p"))
    for name in ("name", "created"):
        error = await get_refusal(client, "taskUpdate", task="t", comment="x", **{name: None})
        assert (error["code"], error["field"]) == ("DATA_VALIDATION_ERROR", name)
    nulls = dict.fromkeys(("comment", "tags", "systemTags", "project", "outputError"))
    payload = await change(client, "taskUpdate", f"fields task {{ {TASK} }}", task="t", **nulls)
    assert {name: payload["fields"][name] for name in ("comment", "tags", "systemTags", "projectId")} == {
        name: payload["task"][name] for name in ("comment", "tags", "systemTags", "projectId")
    }
    assert payload["task"]["comment"] is payload["task"]["projectId"] is payload["task"]["output"]["error"] is None
    assert not {"comment", "tags", "system_tags", "project"} & (await read_stored(client, "t")).keys()


async def test_an_update_of_nothing_writes_nothing(client: Client) -> None:
    await insert(client, task=task(_id="t"))
    before = await read_documents(client.database)
    payload = await change(client, "taskUpdate", "updated fields task { id }", task="t")
    assert payload == {"updated": 0, "fields": {}, "task": {"id": "t"}}
    assert await read_documents(client.database) == before


async def test_updates_edits_and_requirements_are_not_in_the_history(client: Client) -> None:
    await insert(client, task=task(_id="t", status="created"))
    await change(client, "taskUpdate", "updated", task="t", comment="x")
    await change(client, "taskEdit", "updated", task="t", comment="y")
    await change(client, "taskSetRequirements", "updated", task="t", requirements={})
    assert await client.database["taskql_transition"].count_documents({}) == 0


# -- update many -----------------------------------------------------------------------------------

RESULTS = "updated replayed results { id succeeded updated fields task { id name } error { code message details } }"


async def test_a_batch_has_a_result_for_each_item_in_order(client: Client) -> None:
    await insert(client, task=[task(_id="a", name="first"), task(_id="b", name="second")])
    items = [{"task": "b", "name": "other"}, {"task": "a", "outputError": "boom"}, {"task": "a"}]
    payload = await change(client, "taskUpdateBatch", RESULTS, items=items)
    assert payload["updated"] == 2
    assert [(result["updated"], result["task"]["name"], result["error"]) for result in payload["results"]] == [
        (1, "other", None),
        (1, "first", None),
        (0, "first", None),
    ]
    assert payload["results"][1]["fields"]["output.error"] == "boom"
    assert (await read_stored(client, "a"))["output"]["error"] == "boom"


BAD_ITEMS = [{"task": "a", "comment": "x"}, {"task": "nobody", "comment": "x"}, {"task": "a", "name": "x"}]


async def test_one_refused_item_refuses_the_batch(client: Client) -> None:
    await insert(client, task=task(_id="a"))
    for how in ({}, {"allOrNothing": True}, {"allOrNothing": None}):
        error = await get_refusal(client, "taskUpdateBatch", items=BAD_ITEMS, **how)
        assert (error["code"], error["item"], error["task"]) == ("INVALID_TASK_ID", 1, "nobody")


async def test_without_all_or_nothing_a_refused_item_refuses_only_itself(client: Client) -> None:
    await insert(client, task=task(_id="a", name="first"))
    payload = await change(client, "taskUpdateBatch", RESULTS, items=BAD_ITEMS, allOrNothing=False)
    assert payload["updated"] == 1
    assert [
        (result["id"], result["succeeded"], result["error"] and result["error"]["code"])
        for result in payload["results"]
    ] == [
        ("a", True, None),
        ("nobody", False, "INVALID_TASK_ID"),
        ("a", False, "DATA_VALIDATION_ERROR"),
    ]
    assert payload["results"][2]["error"]["details"] == {"field": "name"}
    assert payload["results"][1]["task"] is None
    after = await read_stored(client, "a")
    assert (after["comment"], after["name"]) == ("x", "first")


async def test_items_of_one_batch_can_not_share_a_name(client: Client) -> None:
    await insert(client, task=[task(_id="a"), task(_id="b")])
    items = [{"task": "a", "name": "the one"}, {"task": "b", "name": "the one"}]
    assert (await get_refusal(client, "taskUpdateBatch", items=items))["code"] == "EXPECTED_UNIQUE_DATA"


async def test_a_batch_has_100_items_at_most(client: Client) -> None:
    error = await get_refusal(client, "taskUpdateBatch", items=[{"task": "a"}] * 101)
    assert (error["code"], error["maximum"], error["actual"]) == ("LIMIT_EXCEEDED", 100, 101)
    await insert(client, task=task(_id="a"))
    items = [{"task": "a", "comment": f"{number}"} for number in range(100)]
    assert (await change(client, "taskUpdateBatch", "updated", items=items)) == {"updated": 100}
    assert (await change(client, "taskUpdateBatch", "updated results { updated }", items=[])) == {
        "updated": 0,
        "results": [],
    }


async def test_a_batch_sent_again_with_its_key_has_the_same_answer(client: Client) -> None:
    await insert(client, task=task(_id="a"))
    again = {"items": [{"task": "a", "created": "2020-01-01T00:00:00Z"}], "idempotencyKey": "k"}
    first, second = [await change(client, "taskUpdateBatch", RESULTS, **again) for _ in range(2)]
    assert (first["replayed"], second["replayed"]) == (False, True)
    assert first["results"] == second["results"]


# -- edit ------------------------------------------------------------------------------------------


async def test_an_edit_replaces_the_given_objects_and_keeps_the_others(client: Client) -> None:
    await insert(client, task=task(_id="t", status="created"), model=model(_id="net"))
    before = await read_task(client, "t")
    payload = await change(
        client,
        "taskEdit",
        f"updated fields task {{ {TASK} }}",
        task="t",
        type="TESTING",
        outputDest="/data",
        execution={"parameters": [{"name": "only"}], "model": "net", "modelLabels": [{"key": "one", "value": 1}]},
        script={"branch": "dev", "tag": None},
    )
    after = payload["task"]
    assert after == await read_task(client, "t")
    assert after["type"] == "TESTING"
    assert [item["name"] for item in after["hyperparams"]] == ["only"]
    assert after["execution"]["modelLabels"] == [{"key": "one", "value": 1}]
    assert after["models"]["input"] == [{"name": "Input Model", "modelId": "net"}]
    unchanged = ("framework", "dockerCmd", "modelDesc", "artifacts", "queueId")
    assert {name: after["execution"][name] for name in unchanged} == {
        name: before["execution"][name] for name in unchanged
    }
    assert after["script"] == before["script"] | {"branch": "dev", "tag": None}
    assert after["output"] == before["output"] | {"destination": "/data"}
    fields = payload["fields"]
    assert fields["execution.parameters"] == after["execution"]["parameters"]
    assert fields["execution.modelLabels"] == after["execution"]["modelLabels"]
    assert fields["execution.modelId"] == "net"
    assert (fields["type"], fields["script.branch"], fields["script.tag"]) == ("TESTING", "dev", None)
    assert fields["output.destination"] == "/data"


async def test_null_clears_fields_and_whole_objects(client: Client) -> None:
    full = task(_id="t", status="created", models={"input": [{"name": "x", "model": "net"}], "output": []})
    await insert(client, task=full)
    payload = await change(client, "taskEdit", f"fields task {{ {TASK} }}", task="t", execution=None, script=None)
    edited = payload["task"]
    assert edited["script"] is None
    assert not any(edited["execution"].values())
    assert edited["hyperparams"] == edited["models"]["input"] == []
    assert payload["fields"]["execution.parameters"] == []
    assert payload["fields"]["script"] is None
    error = await get_refusal(client, "taskEdit", task="t", type=None)
    assert (error["code"], error["field"]) == ("DATA_VALIDATION_ERROR", "type")


async def test_a_new_first_model_leaves_the_others(client: Client) -> None:
    items = [{"name": "one", "model": "old"}, {"name": "two", "model": "other"}]
    await insert(client, task=task(_id="t", status="created", models={"input": items}), model=model(_id="net"))
    await change(client, "taskEdit", "updated", task="t", execution={"model": "net"})
    assert [item["model"] for item in (await read_stored(client, "t"))["models"]["input"]] == ["net", "other"]


async def test_an_edited_task_of_a_2019_server_is_stored_in_the_2_3_layout(client: Client) -> None:
    old = old_task(_id="t", status="created", name="an old one")
    await insert(client, task=put(old, "execution.model", "gone"), model=model(_id="net"))
    parts = {"parameters": [{"name": "x", "value": "1"}], "model": "net", "artifacts": [{"key": "k", "type": "t"}]}
    payload = await change(client, "taskEdit", f"task {{ {TASK} }}", task="t", execution=parts)
    after = await read_stored(client, "t")
    assert not {"parameters", "model"} & after["execution"].keys()
    assert list(after["execution"]["artifacts"]) == [f"{md5('k')}_output"]
    assert [item["name"] for item in payload["task"]["execution"]["parameters"]] == ["x"]
    assert payload["task"]["execution"]["modelId"] == "net"


async def test_an_edit_replaces_an_odd_object_of_the_document(client: Client) -> None:
    await insert(client, task=task(_id="t", status="created", script="a text", execution=3, output=None))
    payload = await change(
        client,
        "taskEdit",
        f"task {{ {TASK} }}",
        task="t",
        script={"branch": "x", "tag": None},
        execution={"framework": "JAX", "modelLabels": None},
        outputDest="/data",
    )
    edited = payload["task"]
    assert (edited["script"]["branch"], edited["execution"]["framework"]) == ("x", "JAX")
    assert edited["output"]["destination"] == "/data"


async def test_only_drafts_are_edited_without_force(client: Client) -> None:
    await insert(client, task=task(_id="t", status="completed"))
    error = await get_refusal(client, "taskEdit", task="t", comment="x")
    assert (error["code"], error["status"], error["allowed"]) == ("INVALID_TASK_STATUS", "COMPLETED", ["CREATED"])
    payload = await change(client, "taskEdit", "updated task { status comment }", task="t", comment="x", force=True)
    assert payload == {"updated": 1, "task": {"status": "COMPLETED", "comment": "x"}}


# -- requirements ----------------------------------------------------------------------------------


@pytest.mark.parametrize("requirements", [{}, {"pip": "numpy"}, {"a.b": {"$x": 1, "$ref": "a", "$id": "b"}}])
async def test_requirements_are_replaced_as_a_whole(client: Client, requirements: dict[str, Any]) -> None:
    await insert(client, task=task(_id="t", status="published"))
    selected = "updated fields task { script { requirements branch } }"
    payload = await change(client, "taskSetRequirements", selected, task="t", requirements=requirements)
    assert payload["task"]["script"] == {"requirements": requirements, "branch": "main"}
    assert payload["fields"]["script.requirements"] == requirements


async def test_a_task_without_a_script_needs_nothing(client: Client) -> None:
    await insert(client, task=[task(_id="t", script=ABSENT), task(_id="odd", script="x")])
    for id_ in ("t", "odd"):
        error = await get_refusal(client, "taskSetRequirements", task=id_, requirements={})
        assert (error["code"], error["missing"]) == ("MISSING_TASK_FIELDS", ["script"])
    assert (await get_refusal(client, "taskSetRequirements", task="t"))["code"] == "VALIDATION_FAILED"


# -- clones ----------------------------------------------------------------------------------------


async def test_a_clone_has_the_inputs_of_its_source_and_none_of_its_results(client: Client) -> None:
    source = task(
        _id="t",
        status="published",
        system_tags=["development", "archived", "tool"],
        project="p",
        models={"input": [{"name": "x", "model": "net"}], "output": [{"name": "y", "model": "made"}]},
    )
    source["execution"] |= {"queue": "line", "artifacts": artifacts(artifact("in", mode="input"), artifact("out"))}
    await insert(client, task=source, project=project(_id="p"))
    before = await read_task(client, "t")
    payload = await change(client, "taskClone", f"id replayed task {{ {TASK} }}", task="t")
    made = payload["task"]
    assert made == await read_task(client, payload["id"])
    copied = ("type", "comment", "report", "tags", "projectId", "script", "hyperparams", "configuration", "container")
    assert {name: made[name] for name in copied} == {name: before[name] for name in copied}
    execution = ("modelDesc", "framework", "dockerCmd", "modelLabels", "parameters", "modelId")
    assert {name: made["execution"][name] for name in execution} == {
        name: before["execution"][name] for name in execution
    }
    assert [item["key"] for item in made["execution"]["artifacts"]] == ["in"]
    assert made["models"] == {"input": before["models"]["input"], "output": []}
    assert made["output"] == {"destination": "s3://bucket/out", "modelId": None, "result": None, "error": None}
    gone = ("started", "completed", "published", "statusChanged", "statusReason", "statusMessage", "activeDuration")
    assert [made[name] for name in gone] == [None] * len(gone)
    assert (made["name"], made["status"], made["parentId"]) == ("Clone of train digits", "CREATED", "t")
    assert (made["systemTags"], made["lastMetrics"], made["lastIteration"], made["runtime"]) == (["tool"], [], 0, {})
    assert made["execution"]["queueId"] is None
    assert await read_task(client, "t") == before


async def test_the_input_of_a_clone_replaces_the_values_of_its_source(client: Client) -> None:
    await insert(client, task=[task(_id="t", status="failed"), task(_id="done", name="done")], project=project(_id="p"))
    payload = await change(
        client,
        "taskClone",
        f"task {{ {TASK} }}",
        task="t",
        name="again",
        comment=None,
        tags=["x"],
        systemTags=[],
        project="p",
        parent="done",
        execution={"parameters": [{"name": "lr", "value": "1"}], "framework": None},
    )
    made = payload["task"]
    assert (made["name"], made["comment"], made["tags"], made["systemTags"]) == ("again", None, ["x"], [])
    assert (made["projectId"], made["parentId"], made["execution"]["framework"]) == ("p", "done", None)
    assert made["execution"]["parameters"] == [
        {"section": "Args", "name": "lr", "value": "1", "type": None, "description": None}
    ]
    assert made["execution"]["dockerCmd"] == "python:3.11 --rm"


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("parameters", {"name": "lr", "value": "1"}),
        ("modelLabels", {"key": "x", "value": 7}),
        ("artifacts", {"key": "x", "type": "dict", "mode": "INPUT"}),
    ],
)
async def test_a_list_of_one_replaces_the_whole_list_as_the_schema_says(
    client: Client, field: str, item: dict[str, Any]
) -> None:
    """In a clone and in an edit alike."""
    await insert(client, task=[task(_id="t"), task(_id="draft", status="created")])
    selected = f"task {{ execution {{ {field} {{ {' '.join(item)} }} }} }}"
    for mutation_name, id_ in (("taskClone", "t"), ("taskEdit", "draft")):
        payload = await change(client, mutation_name, selected, task=id_, execution={field: [item]})
        assert payload["task"]["execution"][field] == [item]
    types = '{ __type(name: "ExecutionInput") { inputFields { name description } } }'
    fields = (await client.data(types))["__type"]["inputFields"]
    [description] = [input_field["description"] for input_field in fields if input_field["name"] == field]
    assert "replaces all of them" in description


async def test_clones_without_a_name_are_numbered(client: Client) -> None:
    await insert(client, task=[task(_id="t", name="run (1.*)"), task(name="Clone of run (1.*) (2)")])
    clones = [change(client, "taskClone", "task { name }", task="t") for _ in range(5)]
    names = [payload["task"]["name"] for payload in await asyncio.gather(*clones)]
    assert sorted(names) == sorted(
        ["Clone of run (1.*)", *(f"Clone of run (1.*) ({number})" for number in (3, 4, 5, 6))]
    )
    error = await get_refusal(client, "taskClone", task="t", name=names[0])
    assert error["code"] == "EXPECTED_UNIQUE_DATA"


@pytest.mark.parametrize(("name", "expected"), [("  x ", "Clone of x"), (ABSENT, "Clone of t"), (3, "Clone of t")])
async def test_a_clone_has_a_name_though_its_source_has_none(client: Client, name: Any, expected: str) -> None:
    await insert(client, task=task(_id="t", name=name))
    assert (await change(client, "taskClone", "task { name }", task="t"))["task"] == {"name": expected}


async def test_names_of_public_tasks_do_not_number_a_clone(client: Client) -> None:
    await insert(client, task=[task(_id="t", name="net"), task(name="Clone of net", company=PUBLIC)])
    cloned = await change(client, "taskClone", "id", task="t")
    assert (await read_stored(client, cloned["id"]))["name"] == "Clone of net"


async def test_a_clone_has_the_parent_of_its_source(client: Client) -> None:
    parents = {"running": "running", None: "t", "": "t", "__DELETED__x": "t"}
    for given_parent, expected in parents.items():
        await insert(client, task=task(_id="t", parent=given_parent))
        payload = await change(client, "taskClone", "task { parentId }", task="t")
        assert payload["task"]["parentId"] == expected
        await client.database["task"].delete_many({})


async def test_a_public_task_is_cloned_into_the_viewers_company(client: Client) -> None:
    await insert(client, task=task(_id="t", company=PUBLIC, project="p"), project=project(_id="p", company=PUBLIC))
    payload = await change(client, "taskClone", "task { companyId projectId parentId userId }", task="t")
    assert payload["task"] == {"companyId": COMPANY, "projectId": None, "parentId": "t", "userId": "taskql"}


async def test_a_task_of_a_2019_server_is_cloned_into_the_2_3_layout(client: Client) -> None:
    old = put(old_task(_id="t", name="old"), "execution.model", "net")
    old["execution"]["artifacts"].append(artifact("in", mode="input"))
    await insert(client, task=old)
    before = await read_task(client, "t")
    payload = await change(client, "taskClone", f"id task {{ {TASK} }}", task="t")
    made = await read_stored(client, payload["id"])
    assert not {"parameters", "model", "queue"} & made["execution"].keys()
    assert list(made["execution"]["artifacts"]) == [f"{md5('in')}_input"]
    assert payload["task"]["hyperparams"] == before["hyperparams"]
    assert payload["task"]["execution"]["modelId"] == "net"


async def test_artifacts_of_a_2019_server_that_have_no_name_are_not_cloned(client: Client) -> None:
    old = old_task(_id="t")
    old["execution"]["artifacts"] = [{"mode": "input"}, {"mode": "input", "key": 3}, artifact("in", mode="input")]
    await insert(client, task=old)
    payload = await change(client, "taskClone", "task { execution { artifacts { key } } }", task="t")
    assert payload["task"]["execution"]["artifacts"] == [{"key": "in"}]


PARTS = (
    "script",
    "execution",
    "output",
    "models",
    "hyperparams",
    "execution.artifacts",
    "system_tags",
    "tags",
    "parent",
    "project",
    "type",
    "configuration",
    "container",
    "name",
    "comment",
    "models.input",
    "script.requirements",
    "execution.model_labels",
)
ODD = ("odd", 3, ["x"], {"$gt": ""}, {"x": {"y": 3}}, True, None)


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_odd_documents_can_be_edited_tagged_and_archived(client: Client, odd: Any) -> None:
    await insert(client, model=model(_id="net"))
    for field in PARTS:
        await client.database["task"].delete_many({})
        await insert(client, task=put(task(_id="t", status="created"), field, odd))
        parts = {"parameters": [{"name": "x", "value": "1"}], "model": "net", "modelLabels": [], "framework": None}
        payload = await change(
            client,
            "taskEdit",
            "task { hyperparams { name } execution { modelId framework } output { destination } }",
            task="t",
            execution=parts,
            script={"branch": "x", "tag": None},
            outputDest="/data",
            name="a name",
        )
        assert payload["task"] == {
            "hyperparams": [{"name": "x"}],
            "execution": {"modelId": "net", "framework": None},
            "output": {"destination": "/data"},
        }
        payload = await change(client, "taskArchive", "task { systemTags }", task="t")
        assert "archived" in payload["task"]["systemTags"]
        await change(client, "taskEdit", "updated", task="t", execution=None, script=None, outputDest=None)


# of what a clone takes over as it is; other parts are left out where they are odd
TYPES: dict[str, Any] = {
    "system_tags": list | None,
    "tags": list | None,
    "type": str,
    "comment": str | None,
    "script.requirements": dict | None,
    "execution.model_labels": NoneType,
}
NO_ITEM = {"x": {"y": 3}}
NOT_CLONED = {"_id", "name", "taskql_name", "created", "last_update", "last_change", "status_changed"}


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_an_odd_source_is_cloned_without_its_odd_fields_or_refused(client: Client, odd: Any) -> None:
    """All other fields are those of a clone of a regular task."""
    regular = await clone_of(client, task(_id="t"))
    for field in PARTS:
        clone = await clone_of(client, put(task(_id="t"), field, odd))
        is_no_item = field in ("configuration", "container") and odd == NO_ITEM
        if is_no_item or not isinstance(odd, TYPES.get(field, object)):
            assert clone == "DATA_VALIDATION_ERROR", field
        else:
            assert without(clone, field) == without(regular, field), field


async def clone_of(client: Client, source: Document) -> Any:
    """Return the stored clone, or the code of the error; delete all clones."""
    await insert(client, task=source)
    answer = await client.answer(mutation("taskClone", "id"), input={"task": "t"})
    clones = await client.database["task"].find({"_id": {"$ne": "t"}}).to_list()
    await client.database["task"].delete_many({})
    if "errors" in answer:
        assert not clones
        return answer["errors"][0]["extensions"]["code"]
    [clone] = clones
    return clone


def without(clone: Document, field: str) -> Document:
    outer = field.partition(".")[0]
    return {name: value for name, value in clone.items() if name not in NOT_CLONED | {outer}}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"name": "x"}, "DATA_VALIDATION_ERROR"),
        ({"parent": "no"}, "INVALID_TASK_ID"),
        ({"project": "no"}, "INVALID_PROJECT_ID"),
        ({"execution": {"model": "no"}}, "INVALID_MODEL_ID"),
    ],
)
async def test_a_clone_is_checked_as_a_new_task_is(client: Client, bad: dict[str, Any], code: str) -> None:
    await insert(client, task=task(_id="t"))
    assert (await get_refusal(client, "taskClone", task="t", **bad))["code"] == code


# -- archive ---------------------------------------------------------------------------------------

STATUSES = (
    "created",
    "queued",
    "in_progress",
    "stopped",
    "publishing",
    "published",
    "closed",
    "failed",
    "completed",
    "unknown",
)


@pytest.mark.parametrize("status", STATUSES)
async def test_an_archived_task_is_neither_queued_nor_in_progress(client: Client, status: str) -> None:
    waiting = [{"task": "t", "added": DAY}, {"task": "other", "added": DAY}]
    await insert(client, queue=queue(_id="line", entries=waiting))
    await insert(client, task=put(task(_id="t", status=status, completed=ABSENT), "execution.queue", "line"))
    payload = await change(
        client,
        "taskArchive",
        f"updated fields task {{ {TASK} }}",
        task="t",
        statusReason="old",
        statusMessage="dust",
        expectedStatus=status.upper() if status != "unknown" else None,
    )
    archived = payload["task"]
    assert archived == await read_task(client, "t")
    target = {"queued": "CREATED", "in_progress": "STOPPED"}.get(status, status.upper())
    assert (archived["status"], archived["systemTags"]) == (target, ["development", "archived"])
    assert (archived["statusReason"], archived["statusMessage"]) == ("old", "dust")
    assert payload["fields"]["systemTags"] == ["development", "archived"]
    history = await client.database["taskql_transition"].find().to_list()
    moved = status in ("queued", "in_progress")
    assert [(step["from"], step["to"].upper(), step["mutation"]) for step in history] == (
        [(status, target, "taskArchive")] if moved else []
    )
    line = await client.database["queue"].find_one({"_id": "line"})
    assert line
    assert [entry["task"] for entry in line["entries"]] == (["other"] if moved else ["t", "other"])
    if status == "queued":
        assert archived["execution"]["queueId"] is None
    if status == "in_progress":
        assert archived["completed"] == archived["statusChanged"]


async def test_archiving_twice_adds_one_tag_and_unarchiving_removes_it(client: Client) -> None:
    await insert(client, task=task(_id="t", system_tags=ABSENT))
    for _ in range(2):
        payload = await change(client, "taskArchive", "updated task { systemTags status }", task="t")
        assert payload == {"updated": 1, "task": {"systemTags": ["archived"], "status": "COMPLETED"}}
    payload = await change(client, "taskUnarchive", "updated task { systemTags status }", task="t")
    assert payload == {"updated": 1, "task": {"systemTags": [], "status": "COMPLETED"}}


async def test_a_batch_archives_each_task_in_its_own_transaction(client: Client) -> None:
    await insert(client, task=[task(_id="a", status="queued"), task(_id="b", status="published")])
    answer = await change(client, "taskArchiveMany", "results { id succeeded task { status } }", ids=["a", "no", "b"])
    assert [
        (result["id"], result["succeeded"], result["task"] and result["task"]["status"]) for result in answer["results"]
    ] == [
        ("a", True, "CREATED"),
        ("no", False, None),
        ("b", True, "PUBLISHED"),
    ]


@pytest.mark.parametrize("name", ["taskArchive", "taskUnarchive"])
async def test_archiving_refuses_another_status_than_the_expected_one(client: Client, name: str) -> None:
    await insert(client, task=task(_id="t", status="queued"))
    error = await get_refusal(client, name, task="t", expectedStatus="CREATED")
    assert (error["code"], error["status"]) == ("FAILED_CHANGING_TASK_STATUS", "QUEUED")


# -- idempotency -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("taskCreate", {"name": "abc", "type": "TRAINING"}),
        ("taskClone", {"task": "t"}),
        ("projectCreate", {"name": "a project"}),
        ("queueCreate", {"name": "a queue"}),
        ("modelCreate", {"name": "a model", "uri": "x"}),
    ],
)
async def test_requests_with_one_key_create_one_document(client: Client, name: str, values: dict[str, Any]) -> None:
    await insert(client, task=task(_id="t"))
    calls = [change(client, name, "id replayed", idempotencyKey="k", **values) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    assert len({answer["id"] for answer in answers}) == 1
    assert sorted(answer["replayed"] for answer in answers) == [False] + [True] * 4


async def test_hyperparams_that_are_not_replaced_stay(client: Client) -> None:
    await insert(client, task=task(_id="t", status="created", hyperparams=hyperparams(("A", "x", "1"))))
    await change(client, "taskEdit", "updated", task="t", execution={"framework": "JAX"})
    assert (await read_stored(client, "t"))["hyperparams"] == hyperparams(("A", "x", "1"))
