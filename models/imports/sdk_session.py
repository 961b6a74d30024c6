"""An offline session of the ClearML SDK → one task document in the 2.3 layout.

A session is a zip with ``task.json`` at its root, beside it ``metrics.jsonl`` and ``log.jsonl``, each line a list
of events. No other member is read, and nothing is unpacked to disk.
"""

import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import orjson

from models import layout
from models.dates import EPOCH, LATEST_MS, build_date
from models.imports.files import (
    ImportLimits,
    ImportProblem,
    ProblemCode,
    build_object,
    parse_json,
    read_lines,
    translate_os_errors,
)
from models.metrics.blocks import SeriesCollector
from models.metrics.last_metrics import LastMetrics
from models.types import Viewer

TASK = "task.json"
EVENTS = ("metrics.jsonl", "log.jsonl")
PREFIX = "offline-"

_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_PROJECT = 1000
_SHAPES: dict[str, type] = {
    "name": str,
    "type": str,
    "comment": str,
    "project_name": str,
    "tags": list,
    "system_tags": list,
    "script": dict,
    "output": dict,
    "execution": dict,
    "hyperparams": dict,
    "configuration": dict,
    "container": dict,
    "models": dict,
}


class OfflineSession:
    """The content of a session zip, once `read` has ended."""

    def __init__(self, file: Path, limits: ImportLimits) -> None:
        self.file = file
        self.limits = limits
        self.metrics = LastMetrics()
        self.series = SeriesCollector()
        self.task: dict[str, Any] = {}
        self.first = self.last = EPOCH

    def read(self) -> Iterator[int]:
        """Read and check everything; yields the position in the zip after each line.

        :raises ImportProblem: at the first problem
        """
        with (
            translate_os_errors(self.file),
            self.file.open("rb") as handle,
            _translate_zip_errors(self.file),
            ZipFile(handle) as archive,
        ):
            members = _find_members(archive, self.file)
            self.task = self._read_task(archive, members[TASK])
            times: set[int] = set()
            for name in EVENTS:
                for events in self._read_events(archive, members.get(name)):
                    self.metrics.add_events(events)
                    self.series.add_events(events)
                    times |= {time for event in events if (time := _read_time(event)) is not None}
                    if times:
                        times = {min(times), max(times)}
                    yield handle.tell()
            ends = [build_date(time) for time in times] or [_read_zip_date(members[TASK])]
            self.first, self.last = min(ends), max(ends)

    def list_project_names(self) -> list[str]:
        """List the full names of the project's ancestors and of the project itself, the root first."""
        basenames = [name.strip() for name in self.task.get("project_name", "").split("/") if name.strip()]
        return ["/".join(basenames[: depth + 1]) for depth in range(len(basenames))]

    def build_task(self, viewer: Viewer) -> dict[str, Any]:
        """Build the task without its project. Unknown fields stay as they are.

        :raises ImportProblem: the session does not fit the layout
        """
        fields = {name: value for name, value in self.task.items() if name not in ("id", "project_name")}
        if not fields.get("offline_output_models"):
            fields.pop("offline_output_models", None)
        try:
            layout_fields = _build_layout(self.task)
        except ValueError as error:
            raise ImportProblem(ProblemCode.BAD_TASK, self.file / TASK, detail=error) from error
        except (TypeError, KeyError, AttributeError) as error:
            raise ImportProblem(ProblemCode.BAD_TASK, self.file / TASK, detail="an inner field is off") from error
        return {
            **fields,
            **layout_fields,
            "_id": self.task["id"].removeprefix(PREFIX),
            "company": viewer.company,
            "user": viewer.user,
            "status": "completed",
            "status_reason": "",
            "status_message": "",
            "created": self.first,
            "started": self.first,
            "completed": self.last,
            "status_changed": self.last,
            "last_update": self.last,
            "last_change": self.last,
            "last_changed_by": viewer.user,
            "active_duration": int((self.last - self.first).total_seconds()),
            "last_iteration": self.metrics.last_iteration,
            "last_metrics": self.metrics.last_metrics,
            "unique_metrics": self.metrics.unique_metrics,
        }

    def build_blocks(self, task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Build the blocks of the task's series."""
        return self.series.build_blocks(task["_id"], task["company"], self.last, self.metrics.last_metrics)

    def _read_task(self, archive: ZipFile, member: ZipInfo) -> dict[str, Any]:
        file = self.file / TASK
        with archive.open(member) as stream:
            text = stream.read(self.limits.task + 1)
        if len(text) > self.limits.task:
            raise ImportProblem(ProblemCode.FILE_TOO_LARGE, file)
        task = parse_json(text, file, None, build_object)
        if not isinstance(task, dict):
            raise ImportProblem(ProblemCode.BAD_TASK, file, detail="not an object")
        task = {name: value for name, value in task.items() if value is not None}
        for name, shape in _SHAPES.items():
            if not isinstance(task.get(name, shape()), shape):
                raise ImportProblem(ProblemCode.BAD_TASK, file, detail=f"{name} is of another type")
        if len(task.get("project_name", "")) > _LONGEST_PROJECT:
            raise ImportProblem(ProblemCode.BAD_TASK, file, detail="project_name is too long")
        if not isinstance(task.get("id"), str) or not _ID.fullmatch(task["id"].removeprefix(PREFIX)):
            raise ImportProblem(ProblemCode.BAD_ID, file)
        return task

    def _read_events(self, archive: ZipFile, member: ZipInfo | None) -> Iterator[list[dict[str, Any]]]:
        if member is None:
            return
        file = self.file / member.filename
        with BufferedReader(cast("RawIOBase", archive.open(member))) as stream:
            for number, line, _ in read_lines(stream, file, self.limits, self.limits.events):
                yield _parse_events(line, file, number)


@contextmanager
def _translate_zip_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, OSError) as error:
        raise ImportProblem(ProblemCode.BAD_ZIP, file, detail=error) from error


def _find_members(archive: ZipFile, file: Path) -> dict[str, ZipInfo]:
    """Find the members to read; raises ImportProblem when any member is unsafe or encrypted."""
    members: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        if _is_unsafe(member):
            raise ImportProblem(ProblemCode.UNSAFE_ZIP, file, detail=repr(member.orig_filename))
        if member.flag_bits & 1:
            raise ImportProblem(ProblemCode.ENCRYPTED_ZIP, file)
        if member.filename in (TASK, *EVENTS):
            # bzip2 and LZMA unpack without a bound, and the SDK uses neither.
            if member.filename in members or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ImportProblem(ProblemCode.BAD_ZIP, file, detail=member.filename)
            members[member.filename] = member
    if TASK not in members:
        raise ImportProblem(ProblemCode.NO_TASK, file)
    return members


def _is_unsafe(member: ZipInfo) -> bool:
    name = member.orig_filename
    outside = name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name
    return outside or bool(_DRIVE.match(name)) or stat.S_ISLNK(member.external_attr >> 16)


def _parse_events(line: bytes, file: Path, number: int) -> list[dict[str, Any]]:
    try:
        events = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The SDK writes NaN and Infinity, which JSON does not have.
        events = parse_json(line, file, number, dict)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ImportProblem(ProblemCode.BAD_EVENTS, file, number)
    return events


def _read_time(event: dict[str, Any]) -> int | None:
    """Read the milliseconds since 1970."""
    time = event.get("timestamp")
    return int(time) if isinstance(time, int | float) and 0 <= time <= LATEST_MS else None


def _read_zip_date(member: ZipInfo) -> datetime:
    try:
        return datetime(*member.date_time)  # noqa: DTZ001 - a zip has no time zones
    except ValueError:
        return EPOCH


def _build_layout(task: dict[str, Any]) -> dict[str, Any]:
    execution = {name: value for name, value in task.get("execution", {}).items() if value not in (None, "")}
    parameters, model = execution.pop("parameters", None), execution.pop("model", None)
    texts, command = execution.pop("model_desc", None), execution.pop("docker_cmd", None)
    if "model_labels" in execution:
        execution["model_labels"] = layout.escape_keys(execution["model_labels"])
    if isinstance(execution.get("artifacts"), list):
        execution["artifacts"] = layout.build_artifact_map(execution["artifacts"])
    sections = task.get("hyperparams", {}).items()
    escaped = layout.escape_keys({section: layout.escape_keys(items) for section, items in sections})
    return {
        "tags": task.get("tags", []),
        "system_tags": task.get("system_tags", []),
        "output": task.get("output", {}),
        "execution": execution,
        "models": task.get("models", {"input": layout.read_model_items(None, model), "output": []}),
        "hyperparams": escaped or layout.read_hyperparams(None, parameters),
        "configuration": layout.read_configurations(None, texts) | layout.escape_keys(task.get("configuration", {})),
        "container": layout.read_container(layout.escape_keys(task.get("container", {})), command),
    }
