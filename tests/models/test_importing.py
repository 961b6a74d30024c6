import asyncio
import json
import math
import shutil
import stat
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import bson
import pytest
from bson import Code, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp, json_util
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from models.imports.files import ImportLimits, ImportProblem, ProblemCode, Row
from models.imports.importer import Progress, Report, Tally, _build_operations, import_files
from models.layout import build_artifact_key, hash_name
from models.metrics.last_metrics import LastMetrics
from tests.support.database import delete_all
from tests.support.paths import DATA, ROOT

DUMP = DATA / "clearml-backend"
SESSIONS = DATA / "offline-sessions"
SESSION = SESSIONS / "offline-7a70962c15aa4db19beac381e5f162ac.zip"
SAMPLE = ROOT / "api" / "sample"
COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"

RAW: Any = bson.CodecOptions(document_class=RawBSONDocument)

Database = AsyncDatabase[dict[str, Any]]
ID = "0123456789abcdef0123456789abcdef"
TASK = {"id": f"offline-{ID}", "name": "a task", "type": "training"}


async def import_paths(database: Database, *paths: Path, **options: Any) -> Report:
    return await import_files(database, paths, **{"company": COMPANY, "user": "me", "shown_fields": {}, **options})


async def read_everything(database: Database) -> dict[str, list[bytes]]:
    """All that is stored, to the byte."""
    found = {}
    for name in await database.list_collection_names():
        raw: Any = database.get_collection(name, RAW)
        found[name] = [bytes(document.raw) async for document in raw.find().sort("_id")]
    return {name: documents for name, documents in found.items() if documents}


async def read_stored(database: Database, collection: str, key: str) -> dict[str, Any]:
    document = await database[collection].find_one({"_id": key})
    assert document is not None
    return document


def write_dump(folder: Path, *documents: Any, collection: str = "task") -> Path:
    file = folder / f"{collection}.jsonl"
    file.write_text("".join(json_util.dumps(document) + "\n" for document in documents))
    return file


def write_session(
    folder: Path,
    task: Any = TASK,
    metrics: Iterable[Any] = (),
    log: Iterable[Any] = (),
    edit: Callable[[ZipFile], None] = lambda _: None,
) -> Path:
    file = folder / "session.zip"
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr(ZipInfo("task.json", (2026, 1, 2, 3, 4, 6)), json.dumps(task))
        archive.writestr("metrics.jsonl", "\n".join(map(json.dumps, metrics)))
        archive.writestr("log.jsonl", "\n".join(map(json.dumps, log)))
        edit(archive)
    return file


def list_codes(report: Report) -> list[ProblemCode]:
    return [problem.code for problem in report.problems]


async def test_a_dump_is_stored_as_it_is(database: Database) -> None:
    """Each line of a dump becomes the document that it says."""
    report = await import_paths(database, DUMP)

    assert report.problems == []
    for file in sorted(DUMP.glob("*.jsonl")):
        options = json_util.JSONOptions(tz_aware=False)
        lines = [json_util.loads(line, json_options=options) for line in file.read_text().splitlines()]
        assert [document async for document in database[file.stem].find().sort("$natural", 1)] == lines
        assert report.collections[file.stem] == Tally(imported=len(lines))


@pytest.mark.parametrize("mode", [json_util.CANONICAL_JSON_OPTIONS, json_util.RELAXED_JSON_OPTIONS])
async def test_both_forms_of_extended_json_keep_the_types(
    database: Database, tmp_path: Path, mode: json_util.JSONOptions
) -> None:
    """Every type of MongoDB comes out of a dump as it went in, dates beyond Python's years included."""
    document = {
        "_id": "x",
        "date": datetime(2026, 1, 2, 3, 4, 5, 678000),  # noqa: DTZ001
        "far": bson.DatetimeMS(10**15),
        "int": 5,
        "long": Int64(2**40),
        "float": 1.5,
        "nan": math.nan,
        "oid": ObjectId(),
        "decimal": Decimal128("1.10"),
        "bytes": b"\0\1",
        "regex": Regex("a", "i"),
        "code": Code("f()", {"x": 1}),
        "timestamp": Timestamp(1, 2),
        "max": MaxKey(),
        "nested": [{"a.b": {"$x": None}}],
    }
    (tmp_path / "task.jsonl").write_text(json_util.dumps(document, json_options=mode))

    await import_paths(database, tmp_path / "task.jsonl")

    assert await read_everything(database) == {"task": [bson.encode(document)]}


async def test_a_folder_is_searched_for_dumps_and_sessions(database: Database, tmp_path: Path) -> None:
    """A folder of both is one import, and the sessions land in the projects of the dump."""
    shutil.copytree(DUMP, tmp_path / "b" / "dump")
    shutil.copytree(SESSIONS, tmp_path / "a")

    report = await import_paths(database, tmp_path)

    assert report.problems == []
    assert report.collections["task"] == Tally(imported=13)
    assert report.collections["project"] == Tally(imported=4)
    by_name = {project["name"]: project["_id"] async for project in database["project"].find()}
    task = await read_stored(database, "task", SESSION.stem.removeprefix("offline-"))
    assert task["project"] == by_name["baselines/cancer"]


async def test_the_sample_is_importable(database: Database) -> None:
    """The sample that comes with the program is small, sound, and all of one company."""
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]

    report = await import_paths(database, SAMPLE)

    assert sum(path.stat().st_size for path in files) < 128 * 1024
    assert (report.problems, report.not_visible) == ([], 0)
    assert report.collections["task"] == Tally(imported=12)


async def test_sessions_find_the_projects_of_a_dump_named_after_them(database: Database) -> None:
    """Dumps are imported before sessions, however they are named on the command line."""
    await import_paths(database, SESSIONS, DUMP)

    assert await database["project"].count_documents({}) == 4


async def test_a_session_becomes_a_task(database: Database) -> None:
    """A real session is stored in the 2.3 layout, with what its events say."""
    with ZipFile(SESSION) as archive:
        source = json.loads(archive.read("task.json"))
        batches = [json.loads(line) for line in archive.read("metrics.jsonl").splitlines()]
        log = [json.loads(line) for line in archive.read("log.jsonl").splitlines()]
    times = [event["timestamp"] for batch in [*batches, *log] for event in batch]
    metrics = LastMetrics()
    for batch in batches:
        metrics.add_events(batch)

    report = await import_paths(database, SESSION)

    task = await read_stored(database, "task", source["id"].removeprefix("offline-"))
    assert report.problems == []
    assert {name: task[name] for name in ("name", "type", "comment", "tags", "script")} == {
        name: source[name] for name in ("name", "type", "comment", "tags", "script")
    }
    assert (task["company"], task["user"], task["status"]) == (COMPANY, "me", "completed")
    assert {count_milliseconds(task[name]) for name in ("created", "started")} == {min(times)}
    ends = ("completed", "status_changed", "last_update", "last_change")
    assert {count_milliseconds(task[name]) for name in ends} == {max(times)}
    assert task["active_duration"] == (max(times) - min(times)) // 1000
    assert task["last_metrics"] == metrics.last_metrics
    assert task["unique_metrics"] == metrics.unique_metrics
    assert task["last_iteration"] == max(event["iter"] for batch in batches for event in batch)
    assert task["hyperparams"]["General"]["data%2Ename"] == source["hyperparams"]["General"]["data.name"]
    assert task["configuration"] == source["configuration"]
    [artifact] = source["execution"]["artifacts"]
    assert task["execution"]["artifacts"] == {build_artifact_key("report", "output"): artifact}
    assert task["execution"].keys() == {"artifacts", "model_labels"}
    assert task["models"] == {"input": [], "output": []}
    assert "offline_output_models" not in task
    assert report.not_mapped["task", "offline_folder"] == 1


def count_milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1)) // timedelta(milliseconds=1)  # noqa: DTZ001


async def test_older_fields_of_a_session_are_put_in_the_new_layout(database: Database, tmp_path: Path) -> None:
    """Legacy parameters and an input model go where a 2.3 server keeps them, and keys are escaped."""
    execution = {"parameters": {"a.b": 1}, "model": "m", "model_labels": {"_cat": 1}, "docker_cmd": "image --rm -it"}
    execution["model_desc"] = {"a.b": "text"}
    task = TASK | {"execution": execution, "container": {"a.b": "c"}, "configuration": {"$c": {"value": "1"}}}

    await import_paths(database, write_session(tmp_path, task))

    found = await read_stored(database, "task", ID)
    assert found["hyperparams"] == {
        "Args": {"a%2Eb": {"section": "Args", "name": "a.b", "value": "1", "type": "legacy"}}
    }
    assert found["execution"] == {"model_labels": {"%_cat": 1}}
    assert found["models"] == {"input": [{"model": "m"}], "output": []}
    assert found["container"] == {"a%2Eb": "c", "image": "image", "arguments": "--rm -it"}
    assert found["configuration"] == {
        "%24c": {"value": "1"},
        "a%2Eb": {"name": "a.b", "value": "text", "type": "legacy"},
    }


async def test_a_session_without_events_has_the_time_of_its_zip(database: Database, tmp_path: Path) -> None:
    """With nothing reported, the times are those of the packed task.json, so that they are the same next time."""
    report = await import_paths(database, write_session(tmp_path))

    task = await read_stored(database, "task", ID)
    assert report.problems == []
    assert task["created"] == task["completed"] == datetime(2026, 1, 2, 3, 4, 6)  # noqa: DTZ001
    assert (task["active_duration"], task["last_iteration"], task["last_metrics"]) == (0, 0, {})
    assert not {"script", "project"} & task.keys()


async def test_values_that_are_no_numbers_are_counted(database: Database, tmp_path: Path) -> None:
    """NaN, as the SDK writes it, is left out of the last metrics and appears in the report."""
    scalar = {"type": "training_stats_scalar", "metric": "m", "variant": "v", "iter": 1, "timestamp": 1}
    metrics = [[scalar | {"value": math.nan}, scalar | {"value": math.inf}], [scalar | {"value": 5}]]

    report = await import_paths(database, write_session(tmp_path, metrics=metrics))

    task = await read_stored(database, "task", ID)
    assert report.skipped_values == 2
    assert task["last_metrics"][hash_name("m")][hash_name("v")]["count"] == 1


async def test_every_event_counts_for_iteration_and_times(database: Database, tmp_path: Path) -> None:
    """Log lines reach as far as metrics do, in whatever order events are written."""
    day = 86_400_000
    metrics = [[{"type": "plot", "iter": 3, "timestamp": 2 * day}, {"type": "plot", "timestamp": day}], []]
    log = [[{"type": "log", "iter": 7, "timestamp": 3 * day + 1999}, {"type": "log", "timestamp": "now"}]]

    await import_paths(database, write_session(tmp_path, metrics=metrics, log=log))

    task = await read_stored(database, "task", ID)
    assert task["last_iteration"] == 7
    assert (count_milliseconds(task["started"]), count_milliseconds(task["completed"])) == (day, 3 * day + 1999)
    assert task["active_duration"] == 2 * 86_400 + 1


async def test_metrics_beyond_the_cap_are_counted(database: Database, tmp_path: Path) -> None:
    """A task keeps 2,000 metrics and variants, and the report tells of the others."""
    metrics = [[{"type": "training_stats_scalar", "metric": str(n), "value": n} for n in range(2005)]]

    report = await import_paths(database, write_session(tmp_path, metrics=metrics))

    assert report.values_beyond_maximum == 5
    assert len((await read_stored(database, "task", ID))["unique_metrics"]) == 2000


async def test_a_project_is_made_with_its_ancestors(database: Database, tmp_path: Path) -> None:
    """A session whose project is not there brings it, below its parents."""
    report = await import_paths(database, write_session(tmp_path, TASK | {"project_name": "a/ b //c"}))

    a, ab, abc = [project async for project in database["project"].find().sort("name")]
    task = await read_stored(database, "task", ID)
    assert report.collections["project"] == Tally(imported=3)
    assert [project["name"] for project in (a, ab, abc)] == ["a", "a/b", "a/b/c"]
    assert [project["path"] for project in (a, ab, abc)] == [[], [a["_id"]], [a["_id"], ab["_id"]]]
    assert [project.get("parent") for project in (a, ab, abc)] == [None, a["_id"], ab["_id"]]
    assert task["project"] == abc["_id"]
    assert (
        abc
        | {
            "basename": "c",
            "description": "",
            "company": COMPANY,
            "user": "me",
            "tags": [],
            "system_tags": [],
            "created": task["created"],
            "last_update": task["last_update"],
        }
        == abc
    )


async def test_a_project_is_found_by_name_within_the_company(database: Database, tmp_path: Path) -> None:
    """Of projects with one name the oldest of the own company is taken."""
    day = datetime(2026, 1, 1)  # noqa: DTZ001
    await database["project"].insert_many(
        [
            {"_id": "other", "name": "p", "company": "other", "created": day.replace(year=2020)},
            {"_id": "newer", "name": "p", "company": COMPANY, "created": day.replace(month=2)},
            {"_id": "older", "name": "p", "company": COMPANY, "created": day},
        ]
    )

    report = await import_paths(database, write_session(tmp_path, TASK | {"project_name": "p"}))

    assert (await read_stored(database, "task", ID))["project"] == "older"
    assert "project" not in report.collections


async def test_importing_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    """A second import of the same files leaves every byte as it is and counts all as skipped."""
    no_events = write_session(tmp_path, TASK | {"project_name": "a/b"})
    await import_paths(database, DUMP, SESSIONS, no_events)
    before = await read_everything(database)

    report = await import_paths(database, DUMP, SESSIONS, no_events)

    assert await read_everything(database) == before
    assert report.collections["task"] == Tally(skipped=14)
    assert sum(tally.imported + tally.updated for tally in report.collections.values()) == 0


async def test_the_order_of_keys_is_no_difference(database: Database, tmp_path: Path) -> None:
    """A document whose keys are stored in another order, or that has NaN in it, counts as the same."""
    await database["task"].insert_one({"_id": "x", "b": [{"d": math.nan, "c": "1"}], "a": 1})
    before = await read_everything(database)

    report = await import_paths(database, write_dump(tmp_path, {"a": 1, "b": [{"c": "1", "d": math.nan}], "_id": "x"}))

    assert report.collections["task"] == Tally(skipped=1)
    assert await read_everything(database) == before


async def test_another_type_is_a_difference(database: Database, tmp_path: Path) -> None:
    """A 1 that becomes a 1.0 or true has changed."""
    await database["task"].insert_many([{"_id": "x", "a": 1}, {"_id": "y", "a": 1}])

    report = await import_paths(database, write_dump(tmp_path, {"_id": "x", "a": 1.0}, {"_id": "y", "a": True}))

    assert report.collections["task"] == Tally(updated=2)


@pytest.mark.parametrize(
    ("there", "here", "tally"),
    [
        ({"last_change": 2}, {"last_change": 1}, Tally(skipped=1)),
        ({"last_change": 2}, {"last_change": 2}, Tally(updated=1)),
        ({"last_change": 2}, {"last_change": 3}, Tally(updated=1)),
        ({"last_update": 2}, {"last_update": 1}, Tally(skipped=1)),
        ({"last_change": 1, "last_update": 3}, {"last_change": 2, "last_update": 2}, Tally(updated=1)),
        ({"last_change": "text", "last_update": 3}, {"last_update": 2}, Tally(skipped=1)),
        ({"last_change": 2}, {}, Tally(updated=1)),
        ({}, {"last_change": 2}, Tally(updated=1)),
    ],
)
async def test_a_newer_document_is_kept(
    database: Database, tmp_path: Path, there: dict[str, Any], here: dict[str, Any], tally: Tally
) -> None:
    """A changed document is replaced unless the stored one has changed later than it."""
    kept, source = ({"_id": "x", "of": name, **times(of)} for name, of in [("there", there), ("here", here)])
    await database["task"].insert_one(kept)

    report = await import_paths(database, write_dump(tmp_path, source))

    assert report.collections["task"] == tally
    assert await read_stored(database, "task", "x") == (source if tally.updated else kept)


def times(of: dict[str, Any]) -> dict[str, Any]:
    return {name: datetime(2026, 1, day) if isinstance(day, int) else day for name, day in of.items()}  # noqa: DTZ001


async def test_a_change_at_the_same_moment_wins(database: Database) -> None:
    """What somebody changes between our look and our write is not overwritten."""
    tasks: Any = database.get_collection("task", RAW)
    await database["task"].insert_one({"_id": "x", **times({"last_change": 1})})
    document = {"_id": "x", "a": 1, **times({"last_change": 2})}

    operations, _ = await _build_operations(tasks, [Row(document, bson.encode(document))])
    await database["task"].update_one({"_id": "x"}, {"$set": times({"last_change": 3})})
    result = await tasks.bulk_write(operations, ordered=False)

    assert result.matched_count == 0
    assert await read_stored(database, "task", "x") == {"_id": "x", **times({"last_change": 3})}


async def test_rows_are_stored_by_the_batch(database: Database, tmp_path: Path) -> None:
    """A thousand and one documents take three queries and three writes."""
    file = write_dump(tmp_path, *({"_id": f"{number:032x}"} for number in range(1001)))
    await database.command("profile", 2)
    try:
        await import_paths(database, file)
        await database.command("profile", 0)
        seen = [entry["op"] async for entry in database["system.profile"].find({"ns": f"{database.name}.task"})]
    finally:
        await database.command("profile", 0)
        await database["system.profile"].drop()

    assert sorted(seen) == ["insert"] * 3 + ["query"] * 3


async def test_progress_tells_bytes_of_all_files(database: Database, tmp_path: Path) -> None:
    """Progress rises from file to file up to the size of all, and a large file tells it on the way."""
    large = write_dump(tmp_path, *({"_id": f"{number:032x}", "text": "x" * 1000} for number in range(2000)))
    told: list[Progress] = []

    await import_paths(database, SESSION, large, progress=told.append)

    total = large.stat().st_size + SESSION.stat().st_size
    assert all(earlier.done <= later.done for earlier, later in pairwise(told))
    assert {step.total for step in told} == {total}
    assert told[-1] == Progress(SESSION, total, total)
    assert 5 < sum(step.file == large for step in told) < 20


async def test_fields_that_are_not_shown_are_stored_and_reported(database: Database, tmp_path: Path) -> None:
    """The report counts the documents of each field that the API does not know."""
    documents = [{"_id": "x", "name": "a", "odd": 1}, {"_id": "y", "odd": 2, "rare": 3}]

    report = await import_paths(database, write_dump(tmp_path, *documents), shown_fields={"task": ["name"]})

    assert report.not_mapped == {("task", "odd"): 2, ("task", "rare"): 1}
    assert [document async for document in database["task"].find().sort("_id")] == documents


async def test_documents_of_other_companies_are_reported(database: Database, tmp_path: Path) -> None:
    """Documents are stored whoever owns them, and those that the viewer will not see are counted."""
    owned = [{"_id": f"{owner}'s", "company": owner} for owner in (COMPANY, "", "other")]
    tasks = write_dump(tmp_path, *owned, {"_id": "nobody's"})
    companies = write_dump(tmp_path, {"_id": COMPANY}, {"_id": "other"}, collection="company")

    report = await import_paths(database, tasks, companies)

    assert report.not_visible == 3
    assert await database["task"].count_documents({}) == 4


async def test_a_line_that_is_there_twice_is_one_document(database: Database, tmp_path: Path) -> None:
    """Blank lines and repeated lines of a dump are passed over."""
    (tmp_path / "task.jsonl").write_text('{"_id": "x"}\n\n{"_id": "x"}\r\n   \n{"_id": "y"}')

    report = await import_paths(database, tmp_path)

    assert report.collections["task"] == Tally(imported=2)


async def test_a_file_named_twice_is_imported_once(database: Database, tmp_path: Path) -> None:
    """A file that is found by two paths counts once."""
    file = write_dump(tmp_path, {"_id": "x"})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "task.jsonl").symlink_to(file)

    report = await import_paths(database, file, tmp_path)

    assert report.collections["task"] == Tally(imported=1)


async def test_a_linked_folder_is_not_followed(database: Database, tmp_path: Path) -> None:
    """A folder that links back to itself is searched once."""
    write_dump(tmp_path, {"_id": "x"})
    (tmp_path / "loop").symlink_to(tmp_path)

    report = await import_paths(database, tmp_path)

    assert report.problems == []
    assert report.unknown_files == [tmp_path / "loop"]
    assert report.collections["task"] == Tally(imported=1)


async def test_the_good_files_of_a_folder_are_imported(database: Database, tmp_path: Path) -> None:
    """A bad file is a problem of its own, and hidden files are nobody's business."""
    shutil.copytree(DUMP, tmp_path / "dump")
    (tmp_path / "dump" / "user.jsonl").write_text("{")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "task.jsonl").write_text("{")
    write_session(tmp_path)

    report = await import_paths(database, tmp_path)

    assert [(problem.file, problem.code) for problem in report.problems] == [
        (tmp_path / "dump" / "user.jsonl", ProblemCode.INVALID_JSON),
    ]
    assert report.collections["task"] == Tally(imported=11)
    assert await database["user"].count_documents({}) == 0


GOOD = b'{"_id": "good"}\n'
BAD_LINES: dict[str, tuple[bytes, ProblemCode]] = {
    "cut off": (b'{"_id": "x", "na', ProblemCode.INVALID_JSON),
    "no JSON": (b"_id: x\n", ProblemCode.INVALID_JSON),
    "two objects": (b'{"_id": "x"} {"_id": "y"}\n', ProblemCode.INVALID_JSON),
    "bad date": (b'{"_id": "x", "d": {"$date": "soon"}}\n', ProblemCode.INVALID_JSON),
    "bad decimal": (b'{"_id": "x", "d": {"$numberDecimal": "many"}}\n', ProblemCode.INVALID_JSON),
    "incomplete type": (b'{"_id": "x", "d": {"$timestamp": {"t": 1}}}\n', ProblemCode.INVALID_JSON),
    "no object id": (b'{"_id": "x", "d": {"$oid": null}}\n', ProblemCode.INVALID_JSON),
    "too long a number": (b'{"_id": "x", "n": ' + b"1" * 5000 + b"}\n", ProblemCode.INVALID_JSON),
    "a list": (b'[{"_id": "x"}]\n', ProblemCode.NOT_AN_OBJECT),
    "a text": (b'"x"\n', ProblemCode.NOT_AN_OBJECT),
    "a BSON type": (b'{"$oid": "0123456789abcdef01234567"}\n', ProblemCode.NOT_AN_OBJECT),
    "no id": (b'{"id": "x"}\n', ProblemCode.BAD_ID),
    "a number for an id": (b'{"_id": 5}\n', ProblemCode.BAD_ID),
    "an ObjectId": (b'{"_id": {"$oid": "0123456789abcdef01234567"}}\n', ProblemCode.BAD_ID),
    "a long id": (b'{"_id": "' + b"x" * 1001 + b'"}\n', ProblemCode.BAD_ID),
    "an empty id": (b'{"_id": ""}\n', ProblemCode.BAD_ID),
    "the id again": (b'{"_id": "good", "a": 1}\n', ProblemCode.DUPLICATE_ID),
    "a key twice": (b'{"_id": "x", "a": {"b": 1, "b": 2}}\n', ProblemCode.BAD_KEY),
    "NUL in a key": (b'{"_id": "x", "a": {"b\\u0000c": 1}}\n', ProblemCode.BAD_KEY),
    "an operator": (b'{"_id": "x", "$set": 1}\n', ProblemCode.BAD_KEY),
    "too long an integer": (b'{"_id": "x", "a": 9223372036854775808}\n', ProblemCode.BAD_VALUE),
    "half a character": (b'{"_id": "x", "a": "\\ud800"}\n', ProblemCode.BAD_VALUE),
    "half a character in the id": (b'{"_id": "\\ud800"}\n', ProblemCode.BAD_VALUE),
    "too deep": (b'{"_id": "x", "a": ' + b"[" * 100 + b"]" * 100 + b"}\n", ProblemCode.TOO_DEEP),
    "far too deep": (b'{"_id": "x", "a": ' + b'{"a":' * 9000 + b"1" + b"}" * 9001 + b"\n", ProblemCode.TOO_DEEP),
    "not UTF-8": (b'{"_id": "x", "a": "\xff"}\n', ProblemCode.INVALID_UTF8),
    "UTF-16": ('{"_id": "x"}\n'.encode("utf-16"), ProblemCode.INVALID_UTF8),
    "a long line": (b'{"_id": "x", "a": "' + b"x" * 16 * 1024**2 + b'"}\n', ProblemCode.LINE_TOO_LONG),
    "no line at all": (b"\0" * (16 * 1024**2 + 1), ProblemCode.LINE_TOO_LONG),
    "a large document": (b'{"_id":"x","a":"' + b"x" * (16 * 1024**2 - 19) + b'"}\n', ProblemCode.DOCUMENT_TOO_LARGE),
}


@pytest.mark.parametrize(("line", "code"), BAD_LINES.values(), ids=BAD_LINES.keys())
async def test_a_dump_with_a_bad_line(database: Database, tmp_path: Path, line: bytes, code: ProblemCode) -> None:
    """One bad line keeps its whole file out, and the report says which line."""
    await import_paths(database, DUMP / "project.jsonl")
    before = await read_everything(database)
    file = tmp_path / "task.jsonl"
    file.write_bytes(GOOD + line)

    report = await import_paths(database, file)

    [problem] = report.problems
    assert (problem.code, problem.file, problem.line) == (code, file, 2)
    assert len(str(problem)) < 600
    assert await read_everything(database) == before


async def test_nesting_up_to_the_limit_is_stored(database: Database, tmp_path: Path) -> None:
    """A hundred levels are what MongoDB takes."""
    (tmp_path / "task.jsonl").write_bytes(b'{"_id": "x", "a": ' + b"[" * 99 + b"]" * 99 + b"}")

    report = await import_paths(database, tmp_path)

    assert report.collections["task"] == Tally(imported=1)


def build_member(name: str, content: str = "", **fields: Any) -> Callable[[ZipFile], None]:
    """A member more, with fields of its header changed."""

    def add(archive: ZipFile) -> None:
        member = ZipInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        with catch_warnings():
            simplefilter("ignore")  # a name that is there twice
            archive.writestr(member, content)

    return add


EVENT = {"type": "log", "timestamp": 1}
BAD_SESSIONS: dict[str, tuple[dict[str, Any], ProblemCode]] = {
    "a list": ({"task": [TASK]}, ProblemCode.BAD_TASK),
    "a text for a task": ({"task": "x"}, ProblemCode.BAD_TASK),
    "no id": ({"task": {"name": "x"}}, ProblemCode.BAD_ID),
    "a number for an id": ({"task": TASK | {"id": 5}}, ProblemCode.BAD_ID),
    "only the prefix": ({"task": TASK | {"id": "offline-"}}, ProblemCode.BAD_ID),
    "a path for an id": ({"task": TASK | {"id": "offline-../x"}}, ProblemCode.BAD_ID),
    "a number for a name": ({"task": TASK | {"name": 5}}, ProblemCode.BAD_TASK),
    "a list for hyperparameters": ({"task": TASK | {"hyperparams": []}}, ProblemCode.BAD_TASK),
    "a list for a section": ({"task": TASK | {"hyperparams": {"Args": []}}}, ProblemCode.BAD_TASK),
    "an empty section": ({"task": TASK | {"hyperparams": {" ": {}}}}, ProblemCode.BAD_TASK),
    "a number for an artifact": ({"task": TASK | {"execution": {"artifacts": [5]}}}, ProblemCode.BAD_TASK),
    "an artifact without a key": ({"task": TASK | {"execution": {"artifacts": [{}]}}}, ProblemCode.BAD_TASK),
    "a long project": ({"task": TASK | {"project_name": "a/" * 600}}, ProblemCode.BAD_TASK),
    "an operator": ({"task": TASK | {"$set": 1}}, ProblemCode.BAD_KEY),
    "NUL in a key": ({"task": TASK | {"script": {"a\0": 1}}}, ProblemCode.BAD_KEY),
    "too deep": ({"task": TASK | {"script": json.loads('{"a":' * 100 + "1" + "}" * 100)}}, ProblemCode.TOO_DEEP),
    "half a character": ({"task": TASK | {"comment": "\ud800"}}, ProblemCode.BAD_VALUE),
    "a large document": ({"task": TASK | {"comment": "x" * 16 * 1024**2}}, ProblemCode.DOCUMENT_TOO_LARGE),
    "events not in a list": ({"metrics": [[EVENT], EVENT]}, ProblemCode.BAD_EVENTS),
    "a number for an event": ({"log": [[EVENT], [EVENT, 5]]}, ProblemCode.BAD_EVENTS),
    "an absolute name": ({"edit": build_member("/etc/passwd")}, ProblemCode.UNSAFE_ZIP),
    "a name that leads up": ({"edit": build_member("data/../../x")}, ProblemCode.UNSAFE_ZIP),
    "a drive": ({"edit": build_member("C:x")}, ProblemCode.UNSAFE_ZIP),
    "a backslash": ({"edit": build_member("data\\x")}, ProblemCode.UNSAFE_ZIP),
    "a link": (
        {"edit": build_member("data/x", "/etc", external_attr=(stat.S_IFLNK | 0o777) << 16)},
        ProblemCode.UNSAFE_ZIP,
    ),
    "task.json twice": ({"edit": build_member("task.json", json.dumps(TASK))}, ProblemCode.BAD_ZIP),
}


@pytest.mark.parametrize(("content", "code"), BAD_SESSIONS.values(), ids=BAD_SESSIONS.keys())
async def test_a_bad_session(database: Database, tmp_path: Path, content: dict[str, Any], code: ProblemCode) -> None:
    """A session with anything wrong in it brings neither its task nor its project."""
    await import_paths(database, DUMP / "project.jsonl")
    before = await read_everything(database)
    file = write_session(tmp_path, **{"task": TASK | {"project_name": "new"}, **content})

    report = await import_paths(database, file)

    assert list_codes(report) == [code]
    assert await read_everything(database) == before


def write_zip(folder: Path, members: dict[str, bytes], compression: int = ZIP_DEFLATED) -> Path:
    file = folder / "session.zip"
    with ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


MEMBER = {"task.json": json.dumps(TASK).encode()}
BAD_MEMBERS: dict[str, tuple[dict[str, bytes], ProblemCode, int | None]] = {
    "no task.json": ({"sub/task.json": MEMBER["task.json"]}, ProblemCode.NO_TASK, None),
    "an empty zip": ({}, ProblemCode.NO_TASK, None),
    "a task cut off": ({"task.json": b'{"id": "offline-'}, ProblemCode.INVALID_JSON, None),
    "a key twice": ({"task.json": b'{"id": "x", "id": "y"}'}, ProblemCode.BAD_KEY, None),
    "a task not UTF-8": ({"task.json": b'{"id": "\xff"}'}, ProblemCode.INVALID_UTF8, None),
    "a task far too deep": ({"task.json": b"[" * 9000 + b"]" * 9000}, ProblemCode.TOO_DEEP, None),
    "events cut off": (MEMBER | {"metrics.jsonl": b'[]\n[{"type": "lo'}, ProblemCode.INVALID_JSON, 2),
    "events not UTF-8": (MEMBER | {"log.jsonl": b'[{"a": "\xff"}]'}, ProblemCode.INVALID_UTF8, 1),
    "events far too deep": (MEMBER | {"log.jsonl": b"[" * 9000 + b"]" * 9000}, ProblemCode.TOO_DEEP, 1),
    "a line that unpacks to 17 MB": (MEMBER | {"log.jsonl": b" " * 17 * 1024**2}, ProblemCode.LINE_TOO_LONG, 1),
}


@pytest.mark.parametrize(("members", "code", "line"), BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
async def test_a_session_with_a_bad_member(
    database: Database, tmp_path: Path, members: dict[str, bytes], code: ProblemCode, line: int | None
) -> None:
    """A member that cannot be read keeps its session out."""
    report = await import_paths(database, write_zip(tmp_path, members))

    [problem] = report.problems
    assert (problem.code, problem.line) == (code, line)
    assert await read_everything(database) == {}


@pytest.mark.parametrize("name", ["task.json", "metrics.jsonl", "log.jsonl"])
async def test_a_bomb_is_stopped_while_it_unpacks(database: Database, tmp_path: Path, name: str) -> None:
    """More than a member may hold is not read, and empty lines count."""
    file = write_zip(tmp_path, MEMBER | {name: b"\n" * 100_000})

    report = await import_paths(database, file, limits=ImportLimits(task=50_000, events=50_000))

    assert list_codes(report) == [ProblemCode.FILE_TOO_LARGE]
    assert await read_everything(database) == {}


async def test_the_size_in_a_header_is_not_believed(database: Database, tmp_path: Path) -> None:
    """A member that says it is small is still counted, and found out."""
    file = write_zip(tmp_path, MEMBER | {"log.jsonl": b"[]\n" * 1000})
    file.write_bytes(file.read_bytes().replace((3000).to_bytes(4, "little"), (30).to_bytes(4, "little")))

    report = await import_paths(database, file)

    assert list_codes(report) == [ProblemCode.BAD_ZIP]
    assert await read_everything(database) == {}


async def test_an_unusual_compression_is_refused(database: Database, tmp_path: Path) -> None:
    """A compression that could unpack without a bound is not tried."""
    report = await import_paths(database, write_zip(tmp_path, MEMBER, ZIP_BZIP2))

    assert list_codes(report) == [ProblemCode.BAD_ZIP]
    assert await read_everything(database) == {}


async def test_an_encrypted_zip_is_refused(database: Database, tmp_path: Path) -> None:
    """Even when only an artifact is encrypted, the zip is."""
    file = write_session(tmp_path, edit=build_member("data/x", "secret"))
    content = bytearray(file.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    file.write_bytes(content)

    report = await import_paths(database, file)

    assert list_codes(report) == [ProblemCode.ENCRYPTED_ZIP]
    assert await read_everything(database) == {}


@pytest.mark.parametrize("length", [0, 100, 2000, 19_000])
async def test_a_zip_that_is_cut_off(database: Database, tmp_path: Path, length: int) -> None:
    """Half a download is no zip."""
    file = tmp_path / "session.zip"
    file.write_bytes(SESSION.read_bytes()[:length])

    report = await import_paths(database, file)

    assert list_codes(report) == [ProblemCode.BAD_ZIP]
    assert await read_everything(database) == {}


@pytest.mark.slow
async def test_damaged_bytes_in_a_zip(database: Database, tmp_path: Path) -> None:
    """Wherever a zip is damaged, it is imported whole or is a problem."""
    content = SESSION.read_bytes()
    file = tmp_path / "session.zip"
    file.write_bytes(content)
    await import_paths(database, file)
    whole = await read_everything(database)
    for position in range(0, len(content), 200):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        await delete_all(database)

        report = await import_paths(database, file)

        assert len(report.problems) + report.collections.get("task", Tally()).imported == 1
        assert await read_everything(database) == ({} if report.problems else whole)


async def test_paths_with_nothing_to_import(database: Database, tmp_path: Path) -> None:
    """A path that is not there, a folder without anything to import and an unknown file are a problem each."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "dump").mkdir()
    for name in ("versions.jsonl", "task.bson.zst", "Task.jsonl"):
        (tmp_path / "dump" / name).write_text("")

    paths = [tmp_path / name for name in ("nowhere", "empty", "dump", "dump/versions.jsonl", "a\0b")]
    report = await import_paths(database, *paths)

    assert list_codes(report) == [
        ProblemCode.PATH_NOT_FOUND,
        ProblemCode.EMPTY_FOLDER,
        ProblemCode.EMPTY_FOLDER,
        ProblemCode.UNKNOWN_FILE,
        ProblemCode.PATH_NOT_FOUND,
    ]
    assert [path.name for path in report.unknown_files] == ["Task.jsonl", "task.bson.zst", "versions.jsonl"]
    assert await read_everything(database) == {}


@pytest.mark.parametrize(("name", "code"), [("task.jsonl", ProblemCode.UNREADABLE), ("x.zip", ProblemCode.BAD_ZIP)])
async def test_a_file_that_cannot_be_read(database: Database, tmp_path: Path, name: str, code: ProblemCode) -> None:
    """A disk that fails is a problem of the file."""
    (tmp_path / name).symlink_to("/proc/self/mem")

    report = await import_paths(database, tmp_path)

    assert list_codes(report) == [code]


async def test_a_document_that_mongodb_refuses_is_a_problem(database: Database, tmp_path: Path) -> None:
    """An index that another server made can refuse a document, and the report says so."""
    index = await database["project"].create_index([("name", 1), ("company", 1)], unique=True)
    try:
        await database["project"].insert_one({"_id": "there", "company": "c", "name": "p"})
        file = write_dump(tmp_path, {"_id": "x", "company": "c", "name": "p"}, {"_id": "y"}, collection="project")

        report = await import_paths(database, file)
    finally:
        await database["project"].drop_index(index)

    assert list_codes(report) == [ProblemCode.REFUSED]
    assert "E11000" in report.problems[0].message
    assert report.collections["project"] == Tally(imported=1)


def test_every_problem_has_a_code_and_a_sentence() -> None:
    """Codes read as themselves, and each explains itself."""
    for code in ProblemCode:
        assert code == code.name
        assert code.sentence[0].isupper()
    assert str(ImportProblem(ProblemCode.BAD_ID, Path("a/task.jsonl"), 3)) == (
        "a/task.jsonl, line 3: The id is missing or is not a usable text"
    )


async def test_a_task_of_another_company_is_left_alone(database: Database) -> None:
    """Importing the same session for another company takes nothing away from the first."""
    first = await import_paths(database, SESSIONS)
    before = await read_everything(database)
    second = await import_files(database, [SESSIONS], company="another", user="u", shown_fields={})
    assert first.collections["task"].imported == 3
    assert (second.not_ours, second.collections["task"]) == (3, Tally())
    assert (await read_everything(database))["task"] == before["task"]


async def test_imports_at_the_same_time_refuse_each_other_nothing(database: Database) -> None:
    """Three imports of everything at once leave what one would."""
    reports = await asyncio.gather(*(import_paths(database, DUMP, SESSIONS) for _ in range(3)))
    assert [report.problems for report in reports] == [[], [], []]
    together = await read_everything(database)
    for name in together:
        await database[name].delete_many({})
    await import_paths(database, DUMP, SESSIONS)
    assert await read_everything(database) == together


async def test_a_field_named_language_is_no_matter_to_the_text_index(app: Starlette, database: Database) -> None:
    """What a document calls its language is its own business."""
    assert await app.state.database.prepare("c", "u") == []
    await database["task"].insert_one({"_id": "x", "language": "klingon", "script": {"language": "python"}})
