"""`execution.dockerCmd` and `modelDesc` are views of `container` and `configuration`, as on a 2.3 server."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imports.importer import import_files
from tests.support.client import Client
from tests.support.factories import ABSENT, COMPANY, Document, old_task, put, task
from tests.support.generated import GENERATED
from tests.support.mutations import change, get_refusal

SHOWN = "execution { dockerCmd modelDesc framework } container { key value } configuration { name value type }"
SCRIPT = {"setup_shell_script": "apt install x"}
YAML = {"name": "model.yaml", "value": "a: 1", "type": "yaml", "description": "d"}


def build_legacy_item(name: str, text: str) -> Document:
    return {"name": name, "value": text, "type": "legacy"}


def new_task(command: str | None, texts: Mapping[str, str], **fields: Any) -> Document:
    """A task as a 2.3 server stores it, with more in its container and configuration than older ones know."""
    image, _, arguments = (command or "").partition(" ")
    container = {"image": image, "arguments": arguments} if command else {}
    items = {name: build_legacy_item(name, text) for name, text in texts.items()}
    own = {"container": SCRIPT | container, "configuration": {"model%2Eyaml": YAML} | items}
    return task(**own | fields)


def aged_task(command: str | None, texts: Mapping[str, str], **fields: Any) -> Document:
    """A task as a server of 2019 stored it."""
    return put(put(old_task(**fields), "execution.docker_cmd", command), "execution.model_desc", dict(texts))


def mixed_task(command: str | None, texts: Mapping[str, str], **fields: Any) -> Document:
    """A task in both layouts, which contradict each other: the newer places count."""
    found = new_task(command, texts, **fields)
    stale = {name: f"stale {text}" for name, text in texts.items()}
    return put(
        put(found, "execution.docker_cmd", "stale:1 --stale" if command else None), "execution.model_desc", stale
    )


AGES = {"new": new_task, "old": aged_task, "both": mixed_task}


async def insert(client: Client, *tasks: Document) -> None:
    await client.database["task"].insert_many(tasks)


async def read_task(client: Client, id_: str = "t") -> Document:
    found: Document = (await client.data(f"query ($id: ID!) {{ task(id: $id) {{ {SHOWN} }} }}", id=id_))["task"]
    return found


async def read_stored(client: Client, id_: str = "t") -> Document:
    found = await client.database["task"].find_one({"_id": id_})
    assert found
    return found


def list_container(found: Document) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in found["container"]}


def list_legacy_texts(found: Document) -> dict[str, Any]:
    return {item["name"]: item["value"] for item in found["configuration"] if item["type"] == "legacy"}


def assert_views(found: Document, command: str | None, texts: Mapping[str, str]) -> None:
    """Both views and both places show these values."""
    image, _, arguments = (command or "").partition(" ")
    assert found["execution"]["dockerCmd"] == command
    assert (list_container(found).get("image"), list_container(found).get("arguments")) == (
        (image, arguments) if command else (None, None)
    )
    assert found["execution"]["modelDesc"] == (dict(texts) or None)
    assert list_legacy_texts(found) == dict(texts)


# -- read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("command", ["python:3.12 --ipc=host -e A=1", "python:3.12", None])
@pytest.mark.parametrize("texts", [{"design": "resnet"}, {"a": "1", "b": "2"}, {}])
async def test_a_task_of_any_age_reads_alike_in_both_places(
    client: Client, age: str, command: str | None, texts: dict[str, str]
) -> None:
    await insert(client, AGES[age](command, texts, _id="t"))
    assert_views(await read_task(client), command, texts)


@pytest.mark.parametrize(
    ("container", "command", "expected"),
    [
        ({"image": "new"}, "old --x", "new"),
        ({"image": "new", "arguments": None}, "old --x", "new"),
        ({"arguments": "--new"}, "old --x", "old --x"),
        ({"image": "", "arguments": "--new"}, "old", "old"),
        ({"arguments": "--new"}, None, None),
        ({"image": "new", "arguments": "--a  b "}, None, "new --a  b "),
        ({}, "  old   --x ", "old   --x"),
        ({"image": 5}, "old --x", "old --x"),
        ("odd", "old --x", "old --x"),
        (["image"], "old", "old"),
        (None, 5, None),
        ({}, " \t ", None),
        ({"image": "new", "arguments": 5}, None, "new"),
    ],
)
async def test_a_command_matches_a_pattern_of_its_output(
    client: Client, container: Any, command: Any, expected: str | None
) -> None:
    """The command that MongoDB matches is the one in the answer, whatever is stored."""
    await insert(client, put(task(_id="t", container=container), "execution.docker_cmd", command))
    assert (await read_task(client))["execution"]["dockerCmd"] == expected
    pattern = "^" + "".join(f"[{char}]" for char in expected or "") + "$"
    assert await found(client, pattern) == (["t"] if expected else [])
    assert await found(client, ".*") == (["t"] if expected else [])
    assert await found(client, "no such image") == []


async def found(client: Client, pattern: str, operator: str = "_any_") -> list[str]:
    condition = {operator: {"pattern": pattern, "fields": ["execution.dockerCmd"]}}
    query = "query ($filter: TaskFilter) { tasks(filter: $filter) { nodes { id } } }"
    return sorted(node["id"] for node in (await client.data(query, filter=condition))["tasks"]["nodes"])


async def test_patterns_find_commands_of_every_age_beside_other_fields(client: Client) -> None:
    made = [make("python:3.12 --IPC=host", {}, _id=age) for age, make in AGES.items()]
    await insert(client, *made, new_task("alpine", {}, _id="other"), new_task(None, {}, _id="none"))
    for operator in ("_any_", "_all_"):
        assert await found(client, "3.12 --ipc", operator) == ["both", "new", "old"]
        assert await found(client, "^(?!python)", operator) == ["other"]
    condition = {"_any_": {"pattern": "alpine|train digits", "fields": ["name", "execution.dockerCmd"]}}
    query = "query ($filter: TaskFilter) { tasks(filter: $filter) { totalCount } }"
    assert (await client.data(query, filter=condition))["tasks"]["totalCount"] == 5
    assert (await client.data(query, filter={"not": condition}))["tasks"]["totalCount"] == 0
    wrong = {"_any_": {"pattern": "(", "fields": ["execution.dockerCmd"]}}
    assert (await client.error(query, filter=wrong))["code"] == "INVALID_REGEX_ERROR"


@pytest.mark.parametrize("age", AGES)
async def test_a_selection_of_a_container_or_configuration_equals_that_of_all_of_it(client: Client, age: str) -> None:
    await insert(client, AGES[age]("python:3.12 --rm", {"a.b": "1"} if age == "old" else {"design": "1"}, _id="t"))
    whole = await read_task(client)
    query = """query ($keys: [String!], $names: [String!]) {
      task(id: "t") { container(key: $keys) { key value } configuration(name: $names) { name value type } } }"""
    for key in ("image", "arguments", "setup_shell_script"):
        part = (await client.data(query, keys=[key], names=[]))["task"]
        assert part == {"container": [row for row in whole["container"] if row["key"] == key], "configuration": []}
    for name in ("design", "a.b", "model.yaml"):
        part = (await client.data(query, keys=[], names=[name]))["task"]["configuration"]
        assert part == [row for row in whole["configuration"] if row["name"] == name]


async def test_other_values_than_texts_in_an_old_description_are_null_or_their_text(client: Client) -> None:
    texts = {"number": 3, "float": 0.5, "list": [1], "none": None, "text": "x"}
    await insert(client, put(old_task(_id="t"), "execution.model_desc", texts))
    expected = {"number": "3", "float": "0.5", "list": None, "none": None, "text": "x"}
    assert (await read_task(client))["execution"]["modelDesc"] == list_legacy_texts(await read_task(client)) == expected


async def test_an_export_shows_the_same(client: Client) -> None:
    await insert(client, *(make("python:3.12 --rm", {"design": "x"}, _id=age) for age, make in AGES.items()))
    query = "{ tasks { nodes { id execution { dockerCmd modelDesc } } } }"
    response = await client.http.get("/export", params={"query": query, "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {row["execution.dockerCmd"] for row in rows} == {"python:3.12 --rm"}
    assert {row["execution.modelDesc"] for row in rows} == {'{"design":"x"}'}
    assert len(rows) == 3


async def test_a_comparison_of_both_ages_finds_no_difference_but_a_real_one(client: Client) -> None:
    kept = {"hyperparams": ABSENT, "execution": ABSENT, "script": ABSENT, "last_metrics": ABSENT}
    await insert(
        client,
        put(task(_id="old", **kept | {"configuration": ABSENT}), "execution.model_desc", {"design": "x", "a.b": "y"}),
        task(
            _id="new",
            **kept,
            configuration={"design": build_legacy_item("design", "x"), "a%2Eb": build_legacy_item("a.b", "z")},
        ),
    )
    query = """{ compareTasks(ids: ["old", "new"]) { items { section path values { value } } } }"""
    [item] = (await client.data(query))["compareTasks"]["items"]
    assert item == {"section": "CONFIGURATION", "path": ["a.b"], "values": [{"value": "y"}, {"value": "z"}]}


# -- written ---------------------------------------------------------------------------------------


async def test_a_new_task_has_its_command_and_description_where_a_2_3_server_looks(client: Client) -> None:
    execution = {"dockerCmd": "python:3.12 --ipc=host -v /a:/b", "modelDesc": {"design": "hello", "a.b": "x"}}
    payload = await change(
        client, "taskCreate", f"id task {{ {SHOWN} }}", name="written here", type="TRAINING", execution=execution
    )
    document = await read_stored(client, payload["id"])
    assert document["container"] == {"image": "python:3.12", "arguments": "--ipc=host -v /a:/b"}
    assert document["configuration"] == {
        "design": build_legacy_item("design", "hello"),
        "a%2Eb": build_legacy_item("a.b", "x"),
    }
    assert not {"docker_cmd", "model_desc"} & document["execution"].keys()
    assert_views(payload["task"], execution["dockerCmd"], execution["modelDesc"])  # type: ignore[arg-type]


async def test_an_image_without_arguments_has_empty_ones(client: Client) -> None:
    payload = await change(
        client, "taskCreate", "id", name="written here", type="TRAINING", execution={"dockerCmd": " python:3.12\n"}
    )
    assert (await read_stored(client, payload["id"]))["container"] == {"image": "python:3.12", "arguments": ""}


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("mutation", ["taskEdit", "taskClone"])
async def test_written_values_replace_those_of_a_task_of_any_age(client: Client, age: str, mutation: str) -> None:
    """The rest of the container and of the configuration stays, and nothing stays in the older places."""
    await insert(client, AGES[age]("python:3.9 --ipc=host", {"design": "old", "gone": "x"}, _id="t", status="created"))
    before = await read_task(client)
    given_ = {"dockerCmd": "python:3.12", "modelDesc": {"design": "new", "more": "y"}}
    payload = await change(client, mutation, f"task {{ id {SHOWN} }}", task="t", execution=given_)
    assert_views(payload["task"], "python:3.12", {"design": "new", "more": "y"})
    kept = [item for item in before["configuration"] if item["type"] != "legacy"]
    assert [item for item in payload["task"]["configuration"] if item["type"] != "legacy"] == kept
    assert list_container(payload["task"]).get("setup_shell_script") == list_container(before).get("setup_shell_script")
    document = await read_stored(client, payload["task"]["id"])
    assert not {"docker_cmd", "model_desc"} & document["execution"].keys()
    assert {name: document["container"][name] for name in ("image", "arguments")} == {
        "image": "python:3.12",
        "arguments": "",
    }


@pytest.mark.parametrize("age", AGES)
async def test_a_clone_has_the_layout_of_today(client: Client, age: str) -> None:
    await insert(client, AGES[age]("python:3.9 --ipc=host", {"design": "x"}, _id="t"))
    payload = await change(client, "taskClone", f"id task {{ {SHOWN} }}", task="t")
    assert payload["task"] == await read_task(client)
    document = await read_stored(client, payload["id"])
    assert not {"docker_cmd", "model_desc"} & document["execution"].keys()
    assert (document["container"]["image"], document["container"]["arguments"]) == ("python:3.9", "--ipc=host")
    assert document["configuration"]["design"] == build_legacy_item("design", "x")


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize(
    ("given_", "command", "texts"),
    [
        ({"dockerCmd": None}, None, {"design": "x"}),
        ({"dockerCmd": " "}, None, {"design": "x"}),
        ({"modelDesc": None}, "old:1 --rm", {}),
        ({"modelDesc": {}}, "old:1 --rm", {}),
        ({"framework": "JAX"}, "old:1 --rm", {"design": "x"}),
        ({"dockerCmd": "new"}, "new", {"design": "x"}),
        ({"modelDesc": {"y": "z"}}, "old:1 --rm", {"y": "z"}),
        (None, None, {}),
    ],
)
async def test_a_partial_edit_keeps_the_rest_and_null_clears(
    client: Client, age: str, given_: Any, command: str | None, texts: dict[str, str]
) -> None:
    await insert(client, AGES[age]("old:1 --rm", {"design": "x"}, _id="t", status="created"))
    before = await read_task(client)
    payload = await change(client, "taskEdit", f"fields task {{ {SHOWN} }}", task="t", execution=given_)
    assert_views(payload["task"], command, texts)
    assert list_container(payload["task"]).get("setup_shell_script") == list_container(before).get("setup_shell_script")
    others = [item for item in before["configuration"] if item["type"] != "legacy"]
    assert [item for item in payload["task"]["configuration"] if item["type"] != "legacy"] == others
    if given_ and "framework" not in given_:
        [name] = given_
        assert payload["fields"][f"execution.{name}"] == payload["task"]["execution"][name]


async def test_a_reset_keeps_both(client: Client) -> None:
    await insert(client, *(make("old:1 --rm", {"design": "x"}, _id=age) for age, make in AGES.items()))
    for age in AGES:
        payload = await change(client, "taskReset", f"task {{ {SHOWN} }}", task=age)
        assert_views(payload["task"], "old:1 --rm", {"design": "x"})


async def test_a_text_takes_the_place_of_a_configuration_of_its_name(client: Client) -> None:
    await insert(client, new_task(None, {}, _id="t", status="created"))
    texts = {"model.yaml": "b: 2"}
    payload = await change(client, "taskEdit", f"task {{ {SHOWN} }}", task="t", execution={"modelDesc": texts})
    assert payload["task"]["configuration"] == [{"name": "model.yaml", "value": "b: 2", "type": "legacy"}]


@pytest.mark.parametrize("texts", [{"a": 1}, {"a": None}, {"a": ["x"]}, {"": "x"}, {" ": "x"}, {"a": "x", " a": "y"}])
async def test_a_description_with_other_values_than_named_texts_is_refused(
    client: Client, texts: dict[str, Any]
) -> None:
    await insert(client, task(_id="t", status="created"))
    for name, more in (
        ("taskEdit", {"task": "t"}),
        ("taskClone", {"task": "t"}),
        ("taskCreate", {"name": "abc", "type": "TRAINING"}),
    ):
        error = await get_refusal(client, name, **more, execution={"modelDesc": texts})
        assert (error["code"], error["field"]) == ("DATA_VALIDATION_ERROR", "execution.modelDesc")


@pytest.mark.parametrize("odd", ["odd", 3, ["x"], {"image": {"x": 1}}, {"design": 3}, None, True], ids=str)
@pytest.mark.parametrize("place", ["container", "configuration"])
async def test_odd_stored_values_hinder_no_edit(client: Client, place: str, odd: Any) -> None:
    await insert(client, put(task(_id="t", status="created"), place, odd))
    given_ = {"dockerCmd": "python:3.12 --rm", "modelDesc": {"a": "b"}}
    payload = await change(client, "taskEdit", f"task {{ {SHOWN} }}", task="t", execution=given_)
    assert_views(payload["task"], "python:3.12 --rm", {"a": "b"})
    payload = await change(client, "taskEdit", f"task {{ {SHOWN} }}", task="t", execution=None)
    assert_views(payload["task"], None, {})


# -- imported --------------------------------------------------------------------------------------


async def test_dumps_of_either_age_are_read_alike(client: Client, tmp_path: Path) -> None:
    line = {
        "company": COMPANY,
        "user": "taskql",
        "name": "as ClearML stores it",
        "type": "training",
        "status": "created",
        "created": {"$date": "2026-01-01T00:00:00Z"},
        "hyperparams": {},
        "script": {"repository": "r", "entry_point": "e"},
    }
    new = line | {
        "_id": "new",
        "container": {"image": "python:3.9", "arguments": "--ipc=host"},
        "execution": {"artifacts": {}},
        "configuration": {"design": {"name": "design", "type": "legacy", "value": "old"}},
    }
    old = line | {
        "_id": "old",
        "execution": {"docker_cmd": "python:3.9 --ipc=host", "model_desc": {"design": "old"}},
    }
    (tmp_path / "task.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in (new, old)))
    await import_files(client.database, [tmp_path], company=COMPANY, user="test", shown_fields={})
    for id_ in ("new", "old"):
        assert_views(await read_task(client, id_), "python:3.9 --ipc=host", {"design": "old"})
        execution = {"dockerCmd": "python:3.12", "modelDesc": {"design": "new"}}
        payload = await change(client, "taskClone", f"task {{ {SHOWN} }}", task=id_, execution=execution)
        assert_views(payload["task"], "python:3.12", {"design": "new"})


# -- any of them -----------------------------------------------------------------------------------

WORDS = st.text("ab:/-=.$%_é", min_size=1, max_size=6)
COMMANDS = st.none() | st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
TEXTS = st.dictionaries(st.text("ab._$%é", min_size=1, max_size=4), st.text("xyz\n: ", max_size=6), max_size=3)
AGED_TEXTS = st.dictionaries(st.sampled_from(["design", "prototxt"]), st.text("xyz", max_size=3), max_size=2)


@pytest.mark.slow
@GENERATED
@given(age=st.sampled_from([*AGES]), before=st.tuples(COMMANDS, AGED_TEXTS), command=COMMANDS, texts=TEXTS)
async def test_written_values_come_back_from_both_places(
    client: Client, age: str, before: tuple[str | None, dict[str, str]], command: str | None, texts: dict[str, str]
) -> None:
    try:
        await insert(client, AGES[age](*before, _id="t", status="created"))
        assert_views(await read_task(client), *before)
        execution = {"dockerCmd": command, "modelDesc": texts}
        await change(client, "taskEdit", "updated", task="t", execution=execution)
        assert_views(await read_task(client), command, texts)
        payload = await change(client, "taskClone", f"task {{ {SHOWN} }}", task="t")
        assert_views(payload["task"], command, texts)
    finally:
        await client.database["task"].delete_many({})
