"""What all stored documents have in common."""

import math
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from beanie import Document
from bson.dbref import DBRef
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.dates import now

KEEP_UNKNOWN_FIELDS = ConfigDict(extra="allow", populate_by_name=True)
MIN_NAME = 3  # characters
NAME_TOO_SHORT = f"a name has at least {MIN_NAME} characters, not counting the blanks around it"


def new_id() -> str:
    return uuid4().hex


def trim_name(name: str) -> str:
    """Strip the blanks around a name.

    :raises ValueError: fewer than 3 characters are left
    """
    if len(name := name.strip()) < MIN_NAME:
        raise ValueError(NAME_TOO_SHORT)
    return name


def _named(value: Any) -> Any:
    """FreeObject data in which every key is a name and every number one. Dots and dollars are kept as they are."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(key, str) and not key.strip():
            raise ValueError("a key is empty")
        _named(inner)
    return value


def _opened(value: Any) -> Any:
    """The driver takes an object with the keys $ref and $id for a reference."""
    return value.as_doc() if isinstance(value, DBRef) else value


Name = Annotated[str, AfterValidator(trim_name)]
FreeObject = Annotated[dict[str, Any], BeforeValidator(_opened), AfterValidator(_named)]


class SubDocument(BaseModel):
    """A sub-document. Fields that other servers add are kept."""

    model_config = KEEP_UNKNOWN_FIELDS


class StoredDocument(Document):
    """A document with a string id (32 hexadecimal digits when made here)."""

    model_config = KEEP_UNKNOWN_FIELDS

    id: str = Field(default_factory=new_id, alias="_id")  # type: ignore[assignment]

    def stored(self) -> dict[str, Any]:
        """The raw document; what has no value is not stored."""
        document: dict[str, Any] = self.model_dump(by_alias=True, exclude_none=True, exclude={"revision_id"})
        return document


class OwnedDocument(StoredDocument):
    """A document of one company; public when `company` is empty."""

    company: str
    created: datetime = Field(default_factory=now)
    tags: list[str] = []
    system_tags: list[str] = []
