"""What taskql makes because something needs it gives way to the source's own."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from api.settings import CLEARML_COMPANY as COMPANY
from models.store.placeholders import build_placeholder_id, replace_placeholders

Database = AsyncDatabase[dict[str, Any]]
OLD = build_placeholder_id("project", COMPANY, "a/b")
OUTER = build_placeholder_id("project", COMPANY, "a")


async def store(database: Database) -> None:
    own = {"company": COMPANY}
    await database["project"].insert_many([
        {"_id": OUTER, "name": "a", "path": [], **own},
        {"_id": OLD, "name": "a/b", "parent": OUTER, "path": [OUTER], **own},
        {"_id": "real", "name": "a/b", "parent": "outer", "path": ["outer"], **own},
        {"_id": "outer", "name": "a", "path": [], **own},
        {"_id": "inner", "name": "a/b/c", "parent": OLD, "path": [OUTER, OLD], **own},
        {"_id": "foreign", "name": "a/b", "company": "another"},
    ])  # fmt: skip
    await database["task"].insert_many([{"_id": "t", "project": OLD, **own}, {"_id": "u", "project": "inner", **own}])
    await database["model"].insert_one({"_id": "m", "project": OLD, **own})


async def documents(database: Database, name: str) -> dict[str, dict[str, Any]]:
    return {document.pop("_id"): document async for document in database[name].find()}


async def test_everything_that_names_a_stand_in_then_names_the_real_project(database: Database) -> None:
    await store(database)
    await replace_placeholders(database, COMPANY)
    projects = await documents(database, "project")
    assert projects.keys() == {"real", "outer", "inner", "foreign"}
    assert projects["inner"] | {"parent": "real", "path": ["outer", "real"]} == projects["inner"]
    assert (await documents(database, "task"))["t"]["project"] == "real"
    assert (await documents(database, "model"))["m"]["project"] == "real"


async def test_a_name_that_came_while_it_was_replaced_is_mended_the_next_time(database: Database) -> None:
    await store(database)
    await replace_placeholders(database, COMPANY)
    await database["task"].insert_one({"_id": "late", "company": COMPANY, "project": OLD})
    await replace_placeholders(database, COMPANY)
    assert (await documents(database, "task"))["late"]["project"] == "real"


async def test_doing_it_again_changes_nothing(database: Database) -> None:
    await store(database)
    default = {"company": COMPANY, "system_tags": ["default"]}
    await database["queue"].insert_many([
        {"_id": build_placeholder_id("queue", COMPANY, "default"), **default, "entries": [{"task": "t"}]},
        {"_id": "real", "name": "Main", **default, "entries": [{"task": "u"}]},
    ])  # fmt: skip
    await replace_placeholders(database, COMPANY)
    after = [await documents(database, name) for name in ("project", "task", "model", "queue")]
    await replace_placeholders(database, COMPANY)
    assert [await documents(database, name) for name in ("project", "task", "model", "queue")] == after
    assert after[3].keys() == {"real"}
    assert after[3]["real"]["entries"] == [{"task": "u"}, {"task": "t"}]


async def test_without_real_ones_the_stand_ins_stay(database: Database) -> None:
    await database["project"].insert_one({"_id": OLD, "name": "a/b", "company": COMPANY})
    before = await documents(database, "project")
    await replace_placeholders(database, COMPANY)
    assert await documents(database, "project") == before
