"""The model document."""

from datetime import datetime
from typing import ClassVar

from pymongo import IndexModel

from models.documents.base import FreeObject, Name, OwnedDocument


class Model(OwnedDocument):
    """A trained model; `task` made it, and `ready` says that it is published."""

    name: Name
    user: str | None = None
    project: str | None = None
    parent: str | None = None
    task: str | None = None
    comment: str | None = None
    uri: str | None = None
    framework: str | None = None
    design: FreeObject = {}
    labels: dict[str, int] = {}
    ready: bool = False
    last_update: datetime | None = None

    class Settings:
        name = "model"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("name", 1)]),
            IndexModel([("company", 1), ("task", 1)]),
            IndexModel([("company", 1), ("project", 1)]),
            IndexModel([("company", 1), ("last_update", -1), ("_id", -1)]),
        ]
