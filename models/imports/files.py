"""Paths → the files to import, and the lines of a dump → documents that MongoDB accepts.

Files are read line by line and never written; a problem ends the reading of its file.
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
from typing import Any, BinaryIO, NamedTuple, Self

import bson
from bson import json_util
from bson.errors import BSONError

from models.codecs import EXTENDED_JSON

COLLECTIONS = ("company", "model", "project", "queue", "task", "user")
BSON_FORMS = ("bson", "bson.gz")
# A dump of a whole server has these beside the backend; ClearML's auth has users, too, with their credentials.
OTHER_DATABASES = ("auth", "admin", "config", "local")
ARCHIVE_START = b"\x6d\xe2\x99\x81"
MIB = 1024 * 1024
MAX_ID_LENGTH = 1000
# bson raises these at a malformed {"$date": …} or the like.
_EXTENDED_JSON_ERRORS = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, BSONError)


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
    BAD_TASK = "BAD_TASK", "The task.json does not have the form that the SDK writes"
    BAD_EVENTS = "BAD_EVENTS", "The line is not a list of events"
    REFUSED = "REFUSED", "MongoDB refused a document; others of the file may be stored"


class _BadKeyError(ValueError):
    pass


class ImportProblem(Exception):  # noqa: N818 - a problem of one file, reported beside others
    """One file was not imported. ``line`` counts from 1; with an ``offset`` in bytes it counts documents."""

    def __init__(
        self, code: ProblemCode, file: Path, line: int | None = None, detail: object = None, offset: int | None = None
    ) -> None:
        self.code, self.file, self.line, self.detail, self.offset = code, file, line, detail, offset
        # The detail may quote the file, and a line can be long.
        self.message = f"{code.sentence}: {str(detail)[:200]}" if detail else code.sentence
        location = f", line {line}" if line else ""
        if offset is not None:
            location = f", document {line} (at byte {offset})"
        super().__init__(f"{file}{location}: {self.message}")


@dataclass(frozen=True, slots=True)
class ImportLimits:
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
    """A checked document, its BSON, and the position in the file after it."""

    document: dict[str, Any]
    raw: bytes
    position: int = 0


class ImportSources(NamedTuple):
    """The sources at some paths. ``unknown_files`` are files in folders that can't be imported."""

    sources: list[Source]
    unknown_files: list[Path]
    problems: list[ImportProblem]


def find_sources(paths: Iterable[Path]) -> ImportSources:
    """Find the sources at files and in folders, without hidden names; a file named twice is one.

    Dumps come before sessions, so that a session finds the project of a dump.
    """
    sources: dict[Path, Source] = {}
    unknown_files: list[Path] = []
    problems: list[ImportProblem] = []
    for path in paths:
        for item in _find_sources(path):
            if isinstance(item, Source):
                sources[item.file.resolve()] = item
            elif isinstance(item, Path):
                unknown_files.append(item)
            else:
                problems.append(item)
    ordered = sorted(sources.values(), key=lambda source: source.collection is None)
    return ImportSources(ordered, unknown_files, problems)


def read_dump(file: Path, limits: ImportLimits) -> Iterator[Row]:
    """Read one document a line, in extended JSON, without lines that repeat an earlier one.

    :raises ImportProblem: at the first line that cannot be imported
    """
    seen = SeenDocuments(file)
    with translate_os_errors(file), file.open("rb") as stream:
        for number, line, position in read_lines(stream, file, limits):
            document = parse_json(line, file, number, _decode_extended_json)
            row = Row(document, encode_document(document, file, number, limits), position)
            if seen.is_new(row, number):
                yield row


class SeenDocuments:
    """The documents of a dump so far, as hashes of their ids and contents."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._contents: dict[bytes, bytes] = {}

    def is_new(self, row: Row, line: int) -> bool:
        """Whether no earlier document has this id; raises ImportProblem when one has it with other content."""
        id_hash, content = _hash(row.document["_id"].encode()), _hash(row.raw)
        if id_hash not in self._contents:
            self._contents[id_hash] = content
            return True
        if self._contents[id_hash] != content:
            raise ImportProblem(ProblemCode.DUPLICATE_ID, self._file, line, repr(row.document["_id"]))
        return False


@contextmanager
def translate_os_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImportProblem(ProblemCode.UNREADABLE, file, detail=error.strerror) from error


def read_lines(
    stream: BinaryIO, file: Path, limits: ImportLimits, total: float = math.inf
) -> Iterator[tuple[int, bytes, int]]:
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


def parse_json(text: bytes, file: Path, line: int | None, hook: Callable[[list[tuple[str, Any]]], Any]) -> Any:
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
    except _EXTENDED_JSON_ERRORS as error:
        raise ImportProblem(ProblemCode.INVALID_JSON, file, line, error) from error


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict, but refuse a repeated key, and a key that BSON has no form for."""
    values = dict(pairs)
    if len(values) < len(pairs) or any("\0" in key for key in values):
        raise _BadKeyError
    return values


def encode_document(document: Any, file: Path, line: int | None, limits: ImportLimits) -> bytes:
    """Check a document and encode it as BSON; raises ImportProblem for one that MongoDB would refuse."""
    check_document(document, file, line, limits)
    try:
        raw = bson.encode(document)
    except (BSONError, ValueError, OverflowError) as error:
        raise ImportProblem(ProblemCode.BAD_VALUE, file, line, error) from error
    if len(raw) > limits.document:
        raise ImportProblem(ProblemCode.DOCUMENT_TOO_LARGE, file, line)
    return raw


def check_document(document: Any, file: Path, line: int | None, limits: ImportLimits) -> None:
    """Raises ImportProblem for a document without a usable id, with a key that MongoDB refuses, or nested too deep."""
    if not isinstance(document, dict):
        raise ImportProblem(ProblemCode.NOT_AN_OBJECT, file, line)
    if not isinstance(document.get("_id"), str) or not 0 < len(document["_id"]) <= MAX_ID_LENGTH:
        raise ImportProblem(ProblemCode.BAD_ID, file, line)
    if any(key.startswith("$") for key in document):
        raise ImportProblem(ProblemCode.BAD_KEY, file, line)
    if _is_document_deeper(document, limits.depth):
        raise ImportProblem(ProblemCode.TOO_DEEP, file, line)


def _find_sources(path: Path) -> Iterator[Source | Path | ImportProblem]:
    try:
        if path.is_dir():
            items = [_read_source(file) or file for file in _walk(path) if not _is_dump_metadata(file)]
            archives = [item for item in items if isinstance(item, Path) and _is_archive(item)]
            yield from (item for item in items if item not in archives)
            yield from (ImportProblem(ProblemCode.ARCHIVE, file) for file in archives)
            if not archives and not any(isinstance(item, Source) for item in items):
                yield ImportProblem(ProblemCode.EMPTY_FOLDER, path)
        elif path.exists():
            code = ProblemCode.ARCHIVE if _is_archive(path) else ProblemCode.UNKNOWN_FILE
            yield _read_source(path) or ImportProblem(code, path)
        else:
            yield ImportProblem(ProblemCode.PATH_NOT_FOUND, path)
    except OSError as error:
        yield ImportProblem(ProblemCode.UNREADABLE, path, detail=error.strerror)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        # A linked folder could contain itself.
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _read_source(file: Path) -> Source | None:
    collection = _find_collection(file)
    is_session = file.suffix.lower() == ".zip"
    if not file.is_file() or not (is_session or collection):
        return None
    return Source(file, collection, file.stat().st_size)


def _find_collection(file: Path) -> str | None:
    """Find the collection of a dump by the names of its file and its folder, the database for mongodump."""
    name, _, form = file.name.partition(".")
    if name not in COLLECTIONS or form not in ("jsonl", *BSON_FORMS):
        return None
    return None if form in BSON_FORMS and file.absolute().parent.name in OTHER_DATABASES else name


def is_bson(file: Path) -> bool:
    return file.name.partition(".")[2] in BSON_FORMS


def _is_dump_metadata(file: Path) -> bool:
    """Whether the file has the options and indexes of a collection, which mongodump writes beside its dump."""
    return file.name.endswith((".metadata.json", ".metadata.json.gz"))


def _is_archive(file: Path) -> bool:
    """Whether a file, compressed or not, begins like an archive of `mongodump --archive`."""
    if not file.is_file():
        return False
    with suppress(OSError, EOFError, zlib.error), file.open("rb") as plain:
        if plain.read(len(ARCHIVE_START)) == ARCHIVE_START:
            return True
        plain.seek(0)
        with GzipFile(fileobj=plain) as unpacked:
            return unpacked.read(len(ARCHIVE_START)) == ARCHIVE_START
    return False


def _decode_extended_json(pairs: list[tuple[str, Any]]) -> Any:
    values = build_object(pairs)
    # bson would create another id each time.
    if values.get("$oid", "") is None:
        raise ValueError("$oid is null")
    return json_util.object_hook(values, EXTENDED_JSON)


def _is_document_deeper(document: dict[str, Any], depth: int) -> bool:
    level: list[Any] = [document]
    for _ in range(depth):
        children: list[Any] = []
        for item in level:
            children += item.values() if isinstance(item, dict) else item
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
