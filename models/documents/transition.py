"""The history of tasks: one document for each accepted change of a status, never changed again."""

from datetime import datetime
from typing import ClassVar

from beanie import Document
from pydantic import Field
from pymongo import IndexModel

from models.documents.base import KEEP_UNKNOWN_FIELDS

TRANSITIONS = "taskql_transition"  # a collection that ClearML does not have


class Transition(Document):
    """Numbered from 1 within its task; the id is made of both, so that ids sort in the order of time."""

    model_config = KEEP_UNKNOWN_FIELDS

    id: str = Field(alias="_id")  # type: ignore[assignment]
    company: str
    task: str
    number: int
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    mutation: str
    actor: str
    reason: str = ""
    message: str = ""
    force: bool = False
    at: datetime

    class Settings:
        name = TRANSITIONS
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("task", 1), ("number", 1)], unique=True),
        ]
