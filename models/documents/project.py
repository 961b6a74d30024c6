"""The project document."""

from datetime import datetime
from typing import ClassVar

from pymongo import IndexModel

from models.documents.base import Name, OwnedDocument


class Project(OwnedDocument):
    """`path` are the ids of its ancestors, the outermost first; `basename` is the last part of the name."""

    name: Name
    basename: str | None = None
    description: str = ""
    user: str | None = None
    parent: str | None = None
    path: list[str] = []
    default_output_destination: str | None = None
    last_update: datetime | None = None

    class Settings:
        name = "project"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("name", 1)]),
            IndexModel([("company", 1), ("path", 1)]),
            IndexModel([("company", 1), ("parent", 1)]),
            IndexModel([("company", 1), ("last_update", -1), ("_id", -1)]),
        ]
