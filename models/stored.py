"""What all stored documents have in common."""

from datetime import UTC, datetime
from uuid import uuid4

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field

TOLERANT = ConfigDict(extra="allow", populate_by_name=True)


def new_id() -> str:
    return uuid4().hex


def now() -> datetime:
    """Naive UTC in whole milliseconds: what the database keeps."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Part(BaseModel):
    """A sub-document. Fields that other servers add are kept."""

    model_config = TOLERANT


class Stored(Document):
    """A document with a string id (32 hexadecimal digits when made here)."""

    model_config = TOLERANT

    id: str = Field(default_factory=new_id, alias="_id")  # type: ignore[assignment]


class Owned(Stored):
    """A document of one company; public when `company` is empty."""

    company: str
    created: datetime = Field(default_factory=now)
    tags: list[str] = []
    system_tags: list[str] = []
