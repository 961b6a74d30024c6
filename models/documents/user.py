"""The user document."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field
from pymongo import IndexModel

from models.dates import now
from models.documents.base import StoredDocument


class User(StoredDocument):
    company: str
    name: str
    given_name: str | None = None
    family_name: str | None = None
    avatar: str | None = None
    created: datetime = Field(default_factory=now)

    class Settings:
        name = "user"
        indexes: ClassVar[list[IndexModel]] = [IndexModel([("company", 1), ("name", 1)])]
