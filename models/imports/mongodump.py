"""A collection as mongodump writes it, one BSON document after the other → documents, byte for byte as stored."""

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
from models.imports.files import ARCHIVE_START, ImportProblem, Limits, ProblemCode, Row, Seen, check, readable

LENGTH = 4  # bytes at the beginning of a document that say how long it is
SHORTEST = 5  # bytes of an empty document


def read_bson(file: Path, limits: Limits) -> Iterator[Row]:
    """Read the documents of a .bson or .bson.gz; one that repeats an earlier one is left out.

    bson.decode_file_iter would believe any length, and does not say where a mistake is.

    :raises ImportProblem: at the first document that cannot be imported, with its number and the byte where it begins
    """
    seen = Seen(file)
    with readable(file), file.open("rb") as packed:
        dump = _Dump(file, packed, limits)
        for raw in dump.documents():
            with dump.problems():
                row = Row(dump.decode(raw), raw, packed.tell())
                is_new = seen.is_new(row, dump.number)
            if is_new:
                yield row


class _Dump:
    """The documents of a file, and where reading stands: the number of the document, from 1, and its first byte."""

    def __init__(self, file: Path, packed: BinaryIO, limits: Limits) -> None:
        is_packed = file.suffix == ".gz"
        self._file = file
        self._limits = limits
        self._stream = cast("BinaryIO", GzipFile(fileobj=packed)) if is_packed else packed
        self._most = max(limits.unpacked, limits.packing * file.stat().st_size) if is_packed else math.inf
        self.number = 1
        self.offset = 0

    def documents(self) -> Iterator[bytes]:
        with self.problems():
            raw = self._read()
        while raw:
            yield raw
            self.number += 1
            self.offset += len(raw)
            with self.problems():
                raw = self._read()

    def decode(self, raw: bytes) -> dict[str, Any]:
        document = bson.decode(raw, TOLERANT)
        check(document, self._file, None, self._limits)
        return document

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Say of each problem at which document it is."""
        try:
            yield
        except ImportProblem as problem:
            raise self._problem(problem.code, problem.detail) from problem
        except (BadGzipFile, EOFError, zlib.error) as error:
            raise self._problem(ProblemCode.BAD_GZIP, error) from error
        except RecursionError as error:
            raise self._problem(ProblemCode.TOO_DEEP) from error
        except (BSONError, ValueError, OverflowError) as error:
            raise self._problem(ProblemCode.INVALID_BSON, error) from error

    def _problem(self, code: ProblemCode, detail: object = None) -> ImportProblem:
        return ImportProblem(code, self._file, self.number, detail, self.offset)

    def _read(self) -> bytes:
        """The next document; empty at the end."""
        head = self._stream.read(LENGTH)
        if not head:
            return b""
        if head == ARCHIVE_START:
            raise self._problem(ProblemCode.ARCHIVE)
        length = int.from_bytes(head, "little", signed=True)
        if len(head) < LENGTH or length < SHORTEST:
            raise self._problem(ProblemCode.INVALID_BSON, "no length of a document")
        if length > self._limits.document:
            detail = f"{length} bytes by its first four; a file that is not BSON reads like this"
            raise self._problem(ProblemCode.DOCUMENT_TOO_LARGE, detail)
        if self.offset + length > self._most:
            raise self._problem(ProblemCode.FILE_TOO_LARGE)
        raw = head + self._stream.read(length - LENGTH)
        if len(raw) < length:
            raise self._problem(ProblemCode.INVALID_BSON, f"{len(raw)} bytes of {length}")
        return raw
