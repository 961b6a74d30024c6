"""An offline session of the ClearML SDK → one task document in the 2.3 layout.

A session is a zip with ``task.json`` at its root, beside it ``metrics.jsonl`` and ``log.jsonl``, of which each line is
a list of events. Nothing else in it is read, and nothing is unpacked to disk.
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
from models.imports.files import ImportProblem, Limits, ProblemCode, lines, parse, readable, unique_keys
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


class Session:
    """What a session zip says, once `read` has come to its end."""

    def __init__(self, file: Path, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.metrics = LastMetrics()
        self.series = SeriesCollector()
        self.task: dict[str, Any] = {}
        self.first = self.last = EPOCH

    def read(self) -> Iterator[int]:
        """Read and check everything; tell now and then how many bytes of the zip are behind.

        :raises ImportProblem: at the first thing that cannot be imported
        """
        with readable(self.file), self.file.open("rb") as handle, _zip_problems(self.file), ZipFile(handle) as archive:
            members = _members(archive, self.file)
            self.task = self._read_task(archive, members[TASK])
            times: set[int] = set()
            for name in EVENTS:
                for events in self._read_events(archive, members.get(name)):
                    self.metrics.add_events(events)
                    self.series.add_events(events)
                    times |= {time for event in events if (time := _time(event)) is not None}
                    times = {min(times), max(times)} if times else times
                    yield handle.tell()
            ends = [build_date(time) for time in times] or [_zipped(members[TASK])]
            self.first, self.last = min(ends), max(ends)

    def project_names(self) -> list[str]:
        """List the full names of the project's ancestors and of the project itself, the root first."""
        parts = [part.strip() for part in self.task.get("project_name", "").split("/") if part.strip()]
        return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]

    def document(self, viewer: Viewer) -> dict[str, Any]:
        """Build the task, all but its project. Fields that are not known here stay as they are.

        :raises ImportProblem: what the session holds does not fit the layout
        """
        kept = {name: value for name, value in self.task.items() if name not in ("id", "project_name")}
        if not kept.get("offline_output_models"):
            kept.pop("offline_output_models", None)
        try:
            layouts = _layouts(self.task)
        except ValueError as error:
            raise ImportProblem(ProblemCode.BAD_TASK, self.file / TASK, detail=error) from error
        except (TypeError, KeyError, AttributeError) as error:
            raise ImportProblem(ProblemCode.BAD_TASK, self.file / TASK, detail="an inner field is off") from error
        return {
            **kept,
            **layouts,
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
        """Build the blocks of the task's curves."""
        return self.series.build_blocks(task["_id"], task["company"], self.last, self.metrics.last_metrics)

    def _read_task(self, archive: ZipFile, member: ZipInfo) -> dict[str, Any]:
        file = self.file / TASK
        with archive.open(member) as stream:
            text = stream.read(self.limits.task + 1)
        if len(text) > self.limits.task:
            raise ImportProblem(ProblemCode.FILE_TOO_LARGE, file)
        task = parse(text, file, None, unique_keys)
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
            for number, line, _ in lines(stream, file, self.limits, self.limits.events):
                yield _parse_events(line, file, number)


@contextmanager
def _zip_problems(file: Path) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, OSError) as error:
        raise ImportProblem(ProblemCode.BAD_ZIP, file, detail=error) from error


def _members(archive: ZipFile, file: Path) -> dict[str, ZipInfo]:
    """Find the members that are read, having looked at all of them."""
    members: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        if _leads_out(member):
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


def _leads_out(member: ZipInfo) -> bool:
    name = member.orig_filename
    outside = name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name
    return outside or bool(_DRIVE.match(name)) or stat.S_ISLNK(member.external_attr >> 16)


def _parse_events(line: bytes, file: Path, number: int) -> list[dict[str, Any]]:
    try:
        events = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The SDK writes NaN and Infinity, which are no JSON.
        events = parse(line, file, number, dict)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ImportProblem(ProblemCode.BAD_EVENTS, file, number)
    return events


def _time(event: dict[str, Any]) -> int | None:
    """Read the milliseconds since 1970."""
    time = event.get("timestamp")
    return int(time) if isinstance(time, int | float) and 0 <= time <= LATEST_MS else None


def _zipped(member: ZipInfo) -> datetime:
    try:
        return datetime(*member.date_time)  # noqa: DTZ001 - a zip names no zone
    except ValueError:
        return EPOCH


def _layouts(task: dict[str, Any]) -> dict[str, Any]:
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
