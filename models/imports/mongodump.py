"""A collection of mongodump, one BSON document after the other → documents, byte for byte as stored."""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import Any, BinaryIO, cast

import bson
from bson.errors import BSONError

from models.codecs import TOLERANT
from models.imports.files import (
    ARCHIVE_START,
    ImportLimits,
    ImportProblem,
    ProblemCode,
    Row,
    SeenDocuments,
    check_document,
    translate_os_errors,
)

LENGTH_BYTES = 4  # at the beginning of a document
MIN_BYTES = 5  # of a document, an empty one


def read_bson(file: Path, limits: ImportLimits) -> Iterator[Row]:
    """Read the documents of a .bson or .bson.gz, without those that repeat an earlier one.

    bson.decode_file_iter would believe any length, and does not locate a mistake.

    :raises ImportProblem: at the first document that cannot be imported, with its number and the byte where it begins
    """
    seen = SeenDocuments(file)
    with translate_os_errors(file), file.open("rb") as packed:
        dump = _Dump(file, packed, limits)
        for raw in dump.read_documents():
            with dump.locate_problems():
                row = Row(dump.decode(raw), raw, packed.tell())
                is_new = seen.is_new(row, dump.number)
            if is_new:
                yield row


class _Dump:
    """The documents of a file; `number`, from 1, and `offset` in bytes locate the one that is read."""

    def __init__(self, file: Path, packed: BinaryIO, limits: ImportLimits) -> None:
        is_packed = file.suffix == ".gz"
        self._file = file
        self._limits = limits
        self._stream = cast("BinaryIO", GzipFile(fileobj=packed)) if is_packed else packed
        self._max_bytes = max(limits.unpacked, limits.packing * file.stat().st_size) if is_packed else math.inf
        self.number = 1
        self.offset = 0

    def read_documents(self) -> Iterator[bytes]:
        with self.locate_problems():
            raw = self._read_document()
        while raw:
            yield raw
            self.number += 1
            self.offset += len(raw)
            with self.locate_problems():
                raw = self._read_document()

    def decode(self, raw: bytes) -> dict[str, Any]:
        document = bson.decode(raw, TOLERANT)
        check_document(document, self._file, None, self._limits)
        return document

    @contextmanager
    def locate_problems(self) -> Iterator[None]:
        """Raise each problem with the location of the document."""
        try:
            yield
        except ImportProblem as problem:
            raise self._build_problem(problem.code, problem.detail) from problem
        except (BadGzipFile, EOFError, zlib.error) as error:
            raise self._build_problem(ProblemCode.BAD_GZIP, error) from error
        except RecursionError as error:
            raise self._build_problem(ProblemCode.TOO_DEEP) from error
        except (BSONError, ValueError, OverflowError) as error:
            raise self._build_problem(ProblemCode.INVALID_BSON, error) from error

    def _build_problem(self, code: ProblemCode, detail: object = None) -> ImportProblem:
        return ImportProblem(code, self._file, self.number, detail, self.offset)

    def _read_document(self) -> bytes:
        """Read the next document; empty at the end."""
        head = self._stream.read(LENGTH_BYTES)
        if not head:
            return b""
        if head == ARCHIVE_START:
            raise self._build_problem(ProblemCode.ARCHIVE)
        length = int.from_bytes(head, "little", signed=True)
        if len(head) < LENGTH_BYTES or length < MIN_BYTES:
            raise self._build_problem(ProblemCode.INVALID_BSON, "no length of a document")
        if length > self._limits.document:
            detail = f"{length} bytes by its first four; a file that is not BSON reads like this"
            raise self._build_problem(ProblemCode.DOCUMENT_TOO_LARGE, detail)
        if self.offset + length > self._max_bytes:
            raise self._build_problem(ProblemCode.FILE_TOO_LARGE)
        raw = head + self._stream.read(length - LENGTH_BYTES)
        if len(raw) < length:
            raise self._build_problem(ProblemCode.INVALID_BSON, f"{len(raw)} bytes of {length}")
        return raw
