"""The queue document."""

from datetime import datetime
from typing import ClassVar

from pymongo import IndexModel

from models.documents.base import Name, OwnedDocument, SubDocument


class QueueEntry(SubDocument):
    task: str
    added: datetime


class Queue(OwnedDocument):
    """Tasks that wait, first in first out. A company's default queue has the system tag `default`."""

    name: Name
    entries: list[QueueEntry] = []
    last_update: datetime | None = None

    class Settings:
        name = "queue"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("name", 1)]),
            IndexModel([("company", 1), ("system_tags", 1)]),
        ]
