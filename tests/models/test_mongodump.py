"""Dumps as mongodump writes them: `<database>/<collection>.bson` and `.metadata.json`, compressed or not."""

import gzip
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase

from models.imports.files import ImportLimits, ProblemCode
from models.imports.importer import Report, Tally, import_files
from tests.support.paths import DATA
from tests.support.servers import NAIVE_DATES, run, serve

pytestmark = pytest.mark.slow

DUMP = DATA / "clearml-backend"
COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
RAW: Any = bson.CodecOptions(document_class=RawBSONDocument)
Database = AsyncDatabase[dict[str, Any]]


def write_mongodump(folder: Path, name: str, documents: Iterable[Mapping[str, Any]], *, packed: bool = False) -> Path:
    """The files of a collection, as mongodump writes them; the path of the one with the documents."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (f"{name}.bson.gz" if packed else f"{name}.bson")
    metadata = folder / (f"{name}.metadata.json.gz" if packed else f"{name}.metadata.json")
    content = b"".join(bson.encode(document) for document in documents)
    described = b'{"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"}],"collectionName":"%s"}' % name.encode()
    file.write_bytes(gzip.compress(content) if packed else content)
    metadata.write_bytes(gzip.compress(described) if packed else described)
    return file


def write_whole_dump(folder: Path, *, packed: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Write the real data as `mongodump` of a whole ClearML server does; its documents by collection."""
    documents = {
        file.stem: [json_util.loads(line, json_options=NAIVE_DATES) for line in file.read_text().splitlines()]
        for file in sorted(DUMP.glob("*.jsonl"))
    }
    for name, found in documents.items():
        write_mongodump(folder / "backend", name, found, packed=packed)
    write_mongodump(folder / "backend", "settings", [{"_id": "server.uuid", "value": "x"}], packed=packed)
    write_mongodump(folder / "backend", "task__trash", [{"_id": "t"}], packed=packed)
    write_mongodump(folder / "auth", "user", [{"_id": "u", "credentials": [{"secret": "s3cret"}]}], packed=packed)
    write_mongodump(folder / "admin", "system.version", [{"_id": "v"}], packed=packed)
    return {name: found for name, found in documents.items() if found}


async def import_paths(database: Database, *paths: Path, **options: Any) -> Report:
    return await import_files(database, paths, **{"company": COMPANY, "user": "me", "shown_fields": {}, **options})


async def read_everything(database: Database) -> dict[str, list[bytes]]:
    """All that is stored, to the byte."""
    found = {}
    for name in await database.list_collection_names():
        raw: Any = database.get_collection(name, RAW)
        found[name] = [bytes(document.raw) async for document in raw.find().sort("_id")]
    return {name: documents for name, documents in found.items() if documents}


@pytest.mark.parametrize("packed", [False, True])
async def test_the_dump_of_a_server_is_stored_byte_for_byte(database: Database, tmp_path: Path, packed: bool) -> None:
    """That of the backend; other databases and collections are left alone, and a second import changes nothing."""
    documents = write_whole_dump(tmp_path / "dump", packed=packed)
    report = await import_paths(database, tmp_path / "dump")
    assert report.problems == []
    assert await read_everything(database) == {
        name: sorted((bson.encode(document) for document in found), key=lambda raw: bson.decode(raw)["_id"])
        for name, found in documents.items()
    }
    ending = ".bson.gz" if packed else ".bson"
    assert sorted(path.name for path in report.unknown_files) == sorted(
        name + ending for name in ("settings", "task__trash", "user", "system.version")
    )
    again = await import_paths(database, tmp_path / "dump" / "backend")
    assert {name: again.collections[name] for name in documents} == {
        name: Tally(skipped=len(found)) for name, found in documents.items()
    }


def test_a_dump_is_imported_on_the_command_line_and_answered(tmp_path: Path) -> None:
    write_whole_dump(tmp_path / "dump", packed=True)
    with serve(data_dir=tmp_path / "data") as server:
        report = run("import", tmp_path / "dump", data_dir=tmp_path / "data")
        assert report.returncode == 0, report.stdout
        assert server.data("{ tasks { totalCount } }") == {"tasks": {"totalCount": 10}}
    assert "metadata.json" not in report.stdout
    assert "s3cret" not in report.stdout


async def test_a_dump_mixes_with_lines_of_json_and_single_files(database: Database, tmp_path: Path) -> None:
    """One document in two forms is one document."""
    shared = {"_id": "a", "n": Int64(5)}
    write_mongodump(tmp_path / "in", "task", [shared, {"_id": "b"}])
    (tmp_path / "in" / "task.jsonl").write_text(json_util.dumps(shared, json_options=json_util.CANONICAL_JSON_OPTIONS))
    single = write_mongodump(tmp_path / "elsewhere", "project", [{"_id": "p"}], packed=True)
    report = await import_paths(database, tmp_path / "in", single)
    assert report.problems == []
    assert report.collections == {"task": Tally(imported=2, skipped=1), "project": Tally(imported=1)}


async def test_every_type_of_bson_is_kept_as_the_source_holds_it(database: Database, tmp_path: Path) -> None:
    """Old types, times beyond the year 9999, NaN with a payload, text that is not UTF-8, and keys that come twice."""
    document = bson.encode(
        {
            "_id": "x",
            "far": bson.DatetimeMS(10**15),
            "date": bson.DatetimeMS(5),
            "long": Int64(1),
            "nan": math.nan,
            "oid": ObjectId(),
            "decimal": Decimal128("1.10"),
            "bytes": Binary(b"\0", 128),
            "regex": Regex("a", "i"),
            "code": Code("f()"),
            "scope": Code("f()", {"x": 1}),
            "timestamp": Timestamp(1, 2),
            "max": MaxKey(),
            "min": MinKey(),
            "ref": DBRef("task", "x"),
            "nested": [{"a.b": {"$x": None}}],
        }
    )
    odd = (
        b"\x02bad\0\x02\0\0\0\xff\0" + b"\x06undefined\0" + b"\x0esymbol\0\x02\0\0\0s\0" + b"\x08twice\0\0\x08twice\0\1"
    )
    raw = (len(document) + len(odd)).to_bytes(4, "little") + document[4:-1] + odd + b"\0"
    (tmp_path / "task.bson").write_bytes(raw)
    report = await import_paths(database, tmp_path / "task.bson")
    assert report.problems == []
    assert await read_everything(database) == {"task": [raw]}


GOOD = bson.encode({"_id": "a"}) + bson.encode({"_id": "b", "name": "b"})
DEEP: dict[str, Any] = {"_id": "deep"}
for _ in range(120):
    DEEP = {"_id": "deep", "a": DEEP}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (bson.encode({"_id": "c", "name": "cut"})[:-3], ProblemCode.INVALID_BSON),
        (b"\x20", ProblemCode.INVALID_BSON),
        (b"\x04\0\0\0", ProblemCode.INVALID_BSON),
        (b"\xff\xff\xff\xff\0", ProblemCode.INVALID_BSON),
        (b"\0" * 100, ProblemCode.INVALID_BSON),
        (b"\xff\xff\xff\x7f" + b"\0" * 100, ProblemCode.DOCUMENT_TOO_LARGE),
        (b"\x0c\0\0\0\x99name\0\0\0", ProblemCode.INVALID_BSON),
        (b'{"_id": "a"}\n' * 3, ProblemCode.DOCUMENT_TOO_LARGE),
        (bson.encode({"_id": "a", "other": 1}), ProblemCode.DUPLICATE_ID),
        (bson.encode({"_id": 5}), ProblemCode.BAD_ID),
        (bson.encode({"name": "none"}), ProblemCode.BAD_ID),
        (bson.encode({"_id": "d", "$set": 1}), ProblemCode.BAD_KEY),
        (bson.encode(DEEP), ProblemCode.TOO_DEEP),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_a_mistake_is_named_by_document_and_byte_and_imports_nothing_of_its_file(
    database: Database, tmp_path: Path, bad: bytes, code: ProblemCode, packed: bool
) -> None:
    """The other files still import."""
    file = tmp_path / ("task.bson.gz" if packed else "task.bson")
    file.write_bytes(gzip.compress(GOOD + bad) if packed else GOOD + bad)
    write_mongodump(tmp_path, "project", [{"_id": "p"}])
    report = await import_paths(database, tmp_path)
    [problem] = report.problems
    assert (problem.code, problem.line, problem.offset) == (code, 3, len(GOOD))
    assert f"{file}, document 3 (at byte {len(GOOD)}): {code.sentence}" in str(problem)
    assert list(await read_everything(database)) == ["project"]


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-9], lambda packed: packed[:30] + b"\xff" * 9, lambda _: GOOD]
)
async def test_a_damaged_gzip_imports_nothing(database: Database, tmp_path: Path, damage: Any) -> None:
    (tmp_path / "task.bson.gz").write_bytes(damage(gzip.compress(GOOD * 200)))
    [problem] = (await import_paths(database, tmp_path)).problems
    assert problem.code is ProblemCode.BAD_GZIP
    assert await read_everything(database) == {}


async def test_a_gzip_that_unpacks_to_a_thousand_times_its_size_is_refused(database: Database, tmp_path: Path) -> None:
    (tmp_path / "task.bson.gz").write_bytes(gzip.compress(bson.encode({"_id": "a", "text": "x" * 50_000}) * 400))
    [problem] = (await import_paths(database, tmp_path, limits=ImportLimits(unpacked=1_000_000))).problems
    assert problem.code is ProblemCode.FILE_TOO_LARGE
    assert await read_everything(database) == {}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["dump.archive", "backup", "task.bson"])
async def test_an_archive_says_what_to_do_instead(database: Database, tmp_path: Path, packed: bool, name: str) -> None:
    """As a path and in a folder; nothing of it is imported."""
    content = b"\x6d\xe2\x99\x81" + bson.encode({"concurrent_collections": 4, "version": "0.1"}) + b"\xff\xff\xff\xff"
    file = tmp_path / (f"{name}.gz" if packed else name)
    file.write_bytes(gzip.compress(content) if packed else content)
    for path in (file, tmp_path):
        report = await import_paths(database, path)
        [problem] = report.problems
        assert "without --archive" in str(problem)
        assert report.unknown_files == []
    assert await read_everything(database) == {}


async def test_a_dump_of_logins_is_no_dump_of_users(database: Database, tmp_path: Path) -> None:
    """Not by its path either: ClearML's database auth has a collection user, with credentials."""
    file = write_mongodump(tmp_path / "auth", "user", [{"_id": "u", "credentials": []}])
    assert [problem.code for problem in (await import_paths(database, file)).problems] == [ProblemCode.UNKNOWN_FILE]
    assert [problem.code for problem in (await import_paths(database, tmp_path)).problems] == [ProblemCode.EMPTY_FOLDER]
    assert await read_everything(database) == {}


MEMORY = """
import resource
import sys
from pathlib import Path
from models.imports.mongodump import read_bson
from models.imports.files import ImportLimits
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in read_bson(Path(sys.argv[1]), ImportLimits()))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_dump_is_read_in_constant_memory(tmp_path: Path, packed: bool) -> None:
    """150 MB of documents take a few."""
    file = tmp_path / ("task.bson.gz" if packed else "task.bson")
    noise = [bytes((index * 7 + at * at) % 251 for at in range(5000)) for index in range(20)]
    with gzip.open(file, "wb", compresslevel=1) if packed else file.open("wb") as stream:
        for index in range(3000):
            stream.write(bson.encode({"_id": f"{index:032d}", "noise": b"".join(noise[index % 20 :])[:50_000]}))
    read = subprocess.run([sys.executable, "-c", MEMORY, file], capture_output=True, text=True, timeout=120, check=True)
    count, megabytes = map(int, read.stdout.split())
    assert count == 3000
    assert megabytes < 60
