"""Paths → the files that can be imported, and the lines of a dump → documents that MongoDB will take.

Files are read line by line and never written; each problem ends the reading of its file.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from gzip import GzipFile
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Self

import bson
from bson import json_util
from bson.errors import BSONError

from models.codecs import EXTENDED_JSON

COLLECTIONS = ("company", "model", "project", "queue", "task", "user")
BSON_FORMS = ("bson", "bson.gz")
# A dump of a whole server holds these beside the backend; ClearML's auth has users, too, with their credentials.
OTHER_DATABASES = ("auth", "admin", "config", "local")
ARCHIVE_START = b"\x6d\xe2\x99\x81"
MIB = 1024 * 1024
LONGEST_ID = 1000
# What bson raises at a {"$date": …} or the like that is none.
_NOT_EXTENDED_JSON = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, BSONError)


class ProblemCode(StrEnum):
    """Why a file was not imported, with a sentence for people."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    PATH_NOT_FOUND = "PATH_NOT_FOUND", "There is nothing at this path"
    UNREADABLE = "UNREADABLE", "The file cannot be read"
    UNKNOWN_FILE = (
        "UNKNOWN_FILE",
        f"Neither a session .zip nor a dump of {', '.join(COLLECTIONS)} (.jsonl, .bson, .bson.gz)",
    )
    ARCHIVE = "ARCHIVE", "An archive of mongodump cannot be read; dump into a folder, without --archive"
    EMPTY_FOLDER = "EMPTY_FOLDER", "The folder holds no file to import"
    INVALID_UTF8 = "INVALID_UTF8", "The text is not UTF-8"
    INVALID_JSON = "INVALID_JSON", "The text is cut off or is not JSON"
    INVALID_BSON = "INVALID_BSON", "The file is cut off or is not BSON"
    BAD_GZIP = "BAD_GZIP", "The compressed file is cut off or damaged"
    NOT_AN_OBJECT = "NOT_AN_OBJECT", "The line is not one JSON object"
    BAD_ID = "BAD_ID", "The id is missing or is not a usable text"
    DUPLICATE_ID = "DUPLICATE_ID", "Two lines have the same _id and different content"
    BAD_KEY = "BAD_KEY", "A key is there twice in one object, has a NUL, or begins with $ at the top"
    BAD_VALUE = "BAD_VALUE", "MongoDB has no form for a value"
    TOO_DEEP = "TOO_DEEP", "Objects and lists are nested too deep"
    LINE_TOO_LONG = "LINE_TOO_LONG", "The line is too long"
    FILE_TOO_LARGE = "FILE_TOO_LARGE", "The unpacked file is too large"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE", "The document is larger than MongoDB takes"
    BAD_ZIP = "BAD_ZIP", "The zip is damaged or of an unusual kind"
    ENCRYPTED_ZIP = "ENCRYPTED_ZIP", "The zip is encrypted"
    UNSAFE_ZIP = "UNSAFE_ZIP", "The zip has a name that leads out of it, or a link"
    NO_TASK = "NO_TASK", "The zip has no task.json at its root"
    BAD_TASK = "BAD_TASK", "The task.json is not what the SDK writes"
    BAD_EVENTS = "BAD_EVENTS", "The line is not a list of events"
    REFUSED = "REFUSED", "MongoDB refused a document; others of the file may be stored"


class _BadKeyError(ValueError):
    pass


class ImportProblem(Exception):  # noqa: N818 - it is of the file, and is reported beside others
    """One file was not imported. ``line`` counts from 1; with an ``offset`` in bytes it counts documents."""

    def __init__(
        self, code: ProblemCode, file: Path, line: int | None = None, detail: object = None, offset: int | None = None
    ) -> None:
        self.code, self.file, self.line, self.detail, self.offset = code, file, line, detail, offset
        # The detail may quote the file, and a line can be long.
        self.message = f"{code.sentence}: {str(detail)[:200]}" if detail else code.sentence
        place = f", line {line}" if line else ""
        if offset is not None:
            place = f", document {line} (at byte {offset})"
        super().__init__(f"{file}{place}: {self.message}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes; those of zip members are counted while unpacking, whatever their headers say."""

    task: int = 64 * MIB  # a task.json
    events: int = 2048 * MIB  # a metrics.jsonl or log.jsonl
    line: int = 16 * MIB
    document: int = 16 * MIB  # in BSON; MongoDB's own limit
    unpacked: int = 64 * MIB  # of a .bson.gz, or `packing` times its size where that is more
    packing: int = 250  # documents take about a tenth, and a bomb a thousandth
    depth: int = 100  # of objects and lists


@dataclass(frozen=True, slots=True)
class Source:
    """A file to import: a dump of ``collection``, or a session when that is None."""

    file: Path
    collection: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Row:
    """A checked document, also in BSON, and where it ends in its file."""

    document: dict[str, Any]
    raw: bytes
    position: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What there is at some paths. ``others`` are files in folders that are of no kind known here."""

    sources: list[Source]
    others: list[Path]
    problems: list[ImportProblem]


def find_sources(paths: Iterable[Path]) -> Found:
    """Find what to import at files and in folders, leaving out hidden names; a file named twice is one.

    Dumps come before sessions, so that a session finds the project which a dump brings.
    """
    found = [item for path in paths for item in _find(path)]
    sources = {item.file.resolve(): item for item in found if isinstance(item, Source)}
    ordered = sorted(sources.values(), key=lambda source: source.collection is None)
    others = [item for item in found if isinstance(item, Path)]
    return Found(ordered, others, [item for item in found if isinstance(item, ImportProblem)])


def read_dump(file: Path, limits: Limits) -> Iterator[Row]:
    """Read one document a line, in extended JSON; a line that repeats an earlier one is left out.

    :raises ImportProblem: at the first line that cannot be imported
    """
    seen = Seen(file)
    with readable(file), file.open("rb") as stream:
        for number, line, position in lines(stream, file, limits):
            document = parse(line, file, number, _extended)
            row = Row(document, encode(document, file, number, limits), position)
            if seen.is_new(row, number):
                yield row


class Seen:
    """The documents that a dump has had so far, by digests of their ids and contents."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._contents: dict[bytes, bytes] = {}

    def is_new(self, row: Row, line: int) -> bool:
        """Whether no earlier document has this id; raises ImportProblem when one has, with another content."""
        identity, content = _digest(row.document["_id"].encode()), _digest(row.raw)
        if identity not in self._contents:
            self._contents[identity] = content
            return True
        if self._contents[identity] != content:
            raise ImportProblem(ProblemCode.DUPLICATE_ID, self._file, line, repr(row.document["_id"]))
        return False


@contextmanager
def readable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImportProblem(ProblemCode.UNREADABLE, file, detail=error.strerror) from error


def lines(stream: BinaryIO, file: Path, limits: Limits, total: float = math.inf) -> Iterator[tuple[int, bytes, int]]:
    """Read the lines that are not blank: each with its number, from 1, and the bytes up to its end."""
    position = 0
    for number in count(1):
        line = stream.readline(limits.line + 1)
        position += len(line)
        if len(line) > limits.line:
            raise ImportProblem(ProblemCode.LINE_TOO_LONG, file, number)
        if position > total:
            raise ImportProblem(ProblemCode.FILE_TOO_LARGE, file, number)
        if not line:
            return
        if not line.isspace():
            yield number, line, position


def parse(text: bytes, file: Path, line: int | None, hook: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """Read JSON, with NaN and Infinity as Python and the SDK write them."""
    try:
        return json.loads(text.decode(), object_pairs_hook=hook)
    except UnicodeDecodeError as error:
        raise ImportProblem(ProblemCode.INVALID_UTF8, file, line) from error
    except _BadKeyError as error:
        raise ImportProblem(ProblemCode.BAD_KEY, file, line) from error
    except RecursionError as error:
        raise ImportProblem(ProblemCode.TOO_DEEP, file, line) from error
    except json.JSONDecodeError as error:
        raise ImportProblem(ProblemCode.INVALID_JSON, file, line, f"{error.msg} (character {error.pos + 1})") from error
    except _NOT_EXTENDED_JSON as error:
        raise ImportProblem(ProblemCode.INVALID_JSON, file, line, error) from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict as JSON's reader does, but lose no value and take no key that BSON has no form for."""
    found = dict(pairs)
    if len(found) < len(pairs) or any("\0" in key for key in found):
        raise _BadKeyError
    return found


def encode(document: Any, file: Path, line: int | None, limits: Limits) -> bytes:
    """Check a document for what MongoDB would refuse, and give its BSON."""
    check(document, file, line, limits)
    try:
        raw = bson.encode(document)
    except (BSONError, ValueError, OverflowError) as error:
        raise ImportProblem(ProblemCode.BAD_VALUE, file, line, error) from error
    if len(raw) > limits.document:
        raise ImportProblem(ProblemCode.DOCUMENT_TOO_LARGE, file, line)
    return raw


def check(document: Any, file: Path, line: int | None, limits: Limits) -> None:
    """Raise ImportProblem where a document has no usable id, a key that MongoDB refuses, or too many levels."""
    if not isinstance(document, dict):
        raise ImportProblem(ProblemCode.NOT_AN_OBJECT, file, line)
    if not isinstance(document.get("_id"), str) or not 0 < len(document["_id"]) <= LONGEST_ID:
        raise ImportProblem(ProblemCode.BAD_ID, file, line)
    if any(key.startswith("$") for key in document):
        raise ImportProblem(ProblemCode.BAD_KEY, file, line)
    if _is_deeper(document, limits.depth):
        raise ImportProblem(ProblemCode.TOO_DEEP, file, line)


def _find(path: Path) -> Iterator[Source | Path | ImportProblem]:
    try:
        if path.is_dir():
            found = [_source(file) or file for file in _walk(path) if not _describes_dump(file)]
            archives = [item for item in found if isinstance(item, Path) and _is_archive(item)]
            yield from (item for item in found if item not in archives)
            yield from (ImportProblem(ProblemCode.ARCHIVE, file) for file in archives)
            if not archives and not any(isinstance(item, Source) for item in found):
                yield ImportProblem(ProblemCode.EMPTY_FOLDER, path)
        elif path.exists():
            code = ProblemCode.ARCHIVE if _is_archive(path) else ProblemCode.UNKNOWN_FILE
            yield _source(path) or ImportProblem(code, path)
        else:
            yield ImportProblem(ProblemCode.PATH_NOT_FOUND, path)
    except OSError as error:
        yield ImportProblem(ProblemCode.UNREADABLE, path, detail=error.strerror)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        # A linked folder could lead back to where we are.
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _source(file: Path) -> Source | None:
    is_session, collection = file.suffix.lower() == ".zip", _dumped(file)
    if not file.is_file() or not (is_session or collection):
        return None
    return Source(file, collection, file.stat().st_size)


def _dumped(file: Path) -> str | None:
    """The collection whose dump this is by its name, and by its folder, which mongodump names after the database."""
    name, _, form = file.name.partition(".")
    if name not in COLLECTIONS or form not in ("jsonl", *BSON_FORMS):
        return None
    return None if form in BSON_FORMS and file.absolute().parent.name in OTHER_DATABASES else name


def is_bson(file: Path) -> bool:
    return file.name.partition(".")[2] in BSON_FORMS


def _describes_dump(file: Path) -> bool:
    """Whether mongodump put it beside the dump of a collection, whose options and indexes it holds."""
    return file.name.endswith((".metadata.json", ".metadata.json.gz"))


def _is_archive(file: Path) -> bool:
    """Whether a file begins as those of `mongodump --archive` do, compressed or not."""
    if not file.is_file():
        return False
    with suppress(OSError, EOFError, zlib.error), file.open("rb") as plain:
        if plain.read(len(ARCHIVE_START)) == ARCHIVE_START:
            return True
        plain.seek(0)
        with GzipFile(fileobj=plain) as unpacked:
            return unpacked.read(len(ARCHIVE_START)) == ARCHIVE_START
    return False


def _extended(pairs: list[tuple[str, Any]]) -> Any:
    found = unique_keys(pairs)
    # bson would make up an id, another one each time.
    if found.get("$oid", "") is None:
        raise ValueError("$oid is null")
    return json_util.object_hook(found, EXTENDED_JSON)


def _is_deeper(document: dict[str, Any], depth: int) -> bool:
    level: list[Any] = [document]
    for _ in range(depth):
        children = (child for item in level for child in (item.values() if isinstance(item, dict) else item))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
