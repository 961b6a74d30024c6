"""The task document, in the layout of ClearML server 2.3."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pymongo import TEXT, IndexModel

from models.dates import now
from models.documents.base import FreeObject, Name, OwnedDocument, SubDocument

# Filters whose matches are listed newest first. Tags are not among them: an index takes one list of a document at most.
NEWEST_FIRST_BY = ("status", "project", "user", "type", "parent")
SORTED_BY = (
    "name",
    "status",
    "project",
    "user",
    "type",
    "parent",
    "tags",
    "system_tags",
    "created",
    "started",
    "completed",
    "status_changed",
    "active_duration",
)
SEARCHED = (
    "name",
    "_id",
    "comment",
    "report",
    "models.input.model",
    "models.output.model",
    "script.repository",
    "script.entry_point",
)


class ArtifactTypeData(SubDocument):
    preview: str | None = None
    content_type: str | None = None
    data_hash: str | None = None


class Artifact(SubDocument):
    key: str
    type: str
    mode: str = "output"
    uri: str | None = None
    content_size: int | None = None
    hash: str | None = None
    timestamp: int | None = None
    type_data: ArtifactTypeData | None = None
    display_data: list[list[int | float | str | None]] | None = None


class Execution(SubDocument):
    """Older servers store fields here that now are elsewhere.

    `model` is in `models.input`, `parameters` in `hyperparams`, `model_desc` in `configuration` and `docker_cmd` in
    `container`.
    """

    queue: str | None = None
    parameters: dict[str, Any] | None = None
    model: str | None = None
    model_desc: dict[str, Any] | None = None
    model_labels: dict[str, int | None] = {}
    framework: str | None = None
    docker_cmd: str | None = None
    artifacts: dict[str, Artifact] = {}

    @field_validator("model_labels")
    @classmethod
    def _refuse_equal_numbers(cls, value: dict[str, int | None]) -> dict[str, int | None]:
        numbers = [number for number in value.values() if number is not None]
        if len(set(numbers)) < len(numbers):
            raise ValueError("two labels have the same number")
        return value


class Script(SubDocument):
    binary: str = "python"
    repository: str = ""
    tag: str | None = None
    branch: str | None = None
    version_num: str | None = None
    entry_point: str = ""
    working_dir: str | None = None
    requirements: FreeObject = {}
    diff: str | None = None

    @field_validator("*")
    @classmethod
    def _trim(cls, value: Any, info: ValidationInfo) -> Any:
        """Trim every text but the patch, in which every blank counts."""
        return value.strip() if isinstance(value, str) and info.field_name != "diff" else value


class Output(SubDocument):
    """Older servers store in `model` the model that now is in `models.output`."""

    destination: str | None = None
    model: str | None = None
    result: str | None = None
    error: str | None = None

    @field_validator("destination")
    @classmethod
    def _trim(cls, value: str | None) -> str | None:
        return value.strip() if value else value


class Hyperparam(SubDocument):
    section: str
    name: str
    value: str | None = None
    type: str | None = None
    description: str | None = None


class ConfigurationItem(SubDocument):
    name: str
    value: str | None = None
    type: str | None = None
    description: str | None = None


class TaskModel(SubDocument):
    name: str | None = None
    model: str
    updated: datetime | None = None


class TaskModels(SubDocument):
    input: list[TaskModel] = []
    output: list[TaskModel] = []


class LastMetricsEvent(SubDocument):
    metric: str
    variant: str
    value: float | None = None
    min_value: float | None = None
    min_value_iteration: int | None = None
    max_value: float | None = None
    max_value_iteration: int | None = None
    first_value: float | None = None
    first_value_iteration: int | None = None
    mean_value: float | None = None
    count: int | None = None
    x_axis_label: str | None = None


class Task(OwnedDocument):
    """One run.

    Keys of `hyperparams`, `configuration`, `container` and labels are escaped, those of `last_metrics` hashed.
    """

    name: Name
    user: str | None = None
    type: str
    status: str = "created"
    status_changed: datetime | None = None
    status_reason: str | None = None
    status_message: str | None = None
    comment: str | None = None
    report: str | None = None
    started: datetime | None = None
    completed: datetime | None = None
    published: datetime | None = None
    active_duration: int | None = None
    parent: str | None = None
    project: str | None = None
    output: Output = Output()
    execution: Execution = Execution()
    script: Script | None = None
    hyperparams: dict[str, dict[str, Hyperparam]] = {}
    configuration: dict[str, ConfigurationItem] = {}
    container: dict[str, str | None] = {}
    runtime: dict[str, Any] = {}
    models: TaskModels = TaskModels()
    last_worker: str | None = None
    last_worker_report: datetime | None = None
    last_update: datetime = Field(default_factory=now)
    last_change: datetime | None = None
    last_changed_by: str | None = None
    last_iteration: int = 0
    last_metrics: dict[str, dict[str, LastMetricsEvent]] = {}
    unique_metrics: list[str] = []

    class Settings:
        name = "task"
        # The company leads, because every read carries it; the id ends an index that serves an order.
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("last_update", -1), ("_id", -1)]),
            *(IndexModel([("company", 1), (field, 1), ("last_update", -1), ("_id", -1)]) for field in NEWEST_FIRST_BY),
            IndexModel([("company", 1), ("project", 1), ("status", 1)]),  # counts without reading a document
            *(IndexModel([("company", 1), (field, 1), ("_id", 1)]) for field in SORTED_BY),
            IndexModel(
                [(field, TEXT) for field in SEARCHED],
                name="taskql_text",
                weights={"name": 10, "_id": 10, "comment": 10, "models.input.model": 2, "models.output.model": 2},
                default_language="english",
                language_override="taskql_language",  # else a field named language, at any depth, sets the language
            ),
        ]
