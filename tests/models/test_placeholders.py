"""What taskql makes because something needs it gives way to the source's own."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from api.settings import CLEARML_COMPANY as COMPANY
from models.store.placeholders import build_placeholder_id, replace_placeholders

Database = AsyncDatabase[dict[str, Any]]
OLD = build_placeholder_id("project", COMPANY, "a/b")
OUTER = build_placeholder_id("project", COMPANY, "a")


async def insert_documents(database: Database) -> None:
    own = {"company": COMPANY}
    await database["project"].insert_many(
        [
            {"_id": OUTER, "name": "a", "path": [], **own},
            {"_id": OLD, "name": "a/b", "parent": OUTER, "path": [OUTER], **own},
            {"_id": "real", "name": "a/b", "parent": "outer", "path": ["outer"], **own},
            {"_id": "outer", "name": "a", "path": [], **own},
            {"_id": "inner", "name": "a/b/c", "parent": OLD, "path": [OUTER, OLD], **own},
            {"_id": "foreign", "name": "a/b", "company": "another"},
        ]
    )
    await database["task"].insert_many([{"_id": "t", "project": OLD, **own}, {"_id": "u", "project": "inner", **own}])
    await database["model"].insert_one({"_id": "m", "project": OLD, **own})


async def read_documents(database: Database, name: str) -> dict[str, dict[str, Any]]:
    return {document.pop("_id"): document async for document in database[name].find()}


async def test_everything_that_names_a_placeholder_then_names_the_real_project(database: Database) -> None:
    await insert_documents(database)
    await replace_placeholders(database, COMPANY)
    projects = await read_documents(database, "project")
    assert projects.keys() == {"real", "outer", "inner", "foreign"}
    assert projects["inner"] | {"parent": "real", "path": ["outer", "real"]} == projects["inner"]
    assert (await read_documents(database, "task"))["t"]["project"] == "real"
    assert (await read_documents(database, "model"))["m"]["project"] == "real"


async def test_a_reference_written_during_the_replacement_is_replaced_the_next_time(database: Database) -> None:
    await insert_documents(database)
    await replace_placeholders(database, COMPANY)
    await database["task"].insert_one({"_id": "late", "company": COMPANY, "project": OLD})
    await replace_placeholders(database, COMPANY)
    assert (await read_documents(database, "task"))["late"]["project"] == "real"


async def test_doing_it_again_changes_nothing(database: Database) -> None:
    await insert_documents(database)
    default = {"company": COMPANY, "system_tags": ["default"]}
    await database["queue"].insert_many(
        [
            {"_id": build_placeholder_id("queue", COMPANY, "default"), **default, "entries": [{"task": "t"}]},
            {"_id": "real", "name": "Main", **default, "entries": [{"task": "u"}]},
        ]
    )
    await replace_placeholders(database, COMPANY)
    after = [await read_documents(database, name) for name in ("project", "task", "model", "queue")]
    await replace_placeholders(database, COMPANY)
    assert [await read_documents(database, name) for name in ("project", "task", "model", "queue")] == after
    assert after[3].keys() == {"real"}
    assert after[3]["real"]["entries"] == [{"task": "u"}, {"task": "t"}]


async def test_without_real_documents_the_placeholders_stay(database: Database) -> None:
    await database["project"].insert_one({"_id": OLD, "name": "a/b", "company": COMPANY})
    before = await read_documents(database, "project")
    await replace_placeholders(database, COMPANY)
    assert await read_documents(database, "project") == before
