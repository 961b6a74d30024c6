"""The common base of all stored documents."""

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


def create_id() -> str:
    return uuid4().hex


def trim_name(name: str) -> str:
    """Strip the blanks around a name.

    :raises ValueError: fewer than 3 characters are left
    """
    if len(name := name.strip()) < MIN_NAME:
        raise ValueError(NAME_TOO_SHORT)
    return name


def _check_keys_and_numbers(value: Any) -> Any:
    """Refuse empty keys and infinite numbers at any depth. Dots and dollars in keys stay as they are."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str) and not key.strip():
                raise ValueError("a key is empty")
            _check_keys_and_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_keys_and_numbers(inner)
    return value


def _restore_reference(value: Any) -> Any:
    """Restore the object that the driver decoded as a reference because it has the keys $ref and $id."""
    return value.as_doc() if isinstance(value, DBRef) else value


Name = Annotated[str, AfterValidator(trim_name)]
FreeObject = Annotated[dict[str, Any], BeforeValidator(_restore_reference), AfterValidator(_check_keys_and_numbers)]


class SubDocument(BaseModel):
    """A sub-document. Fields that other servers add are kept."""

    model_config = KEEP_UNKNOWN_FIELDS


class StoredDocument(Document):
    """A document with a string id (32 hexadecimal digits when made here)."""

    model_config = KEEP_UNKNOWN_FIELDS

    id: str = Field(default_factory=create_id, alias="_id")  # type: ignore[assignment]

    def to_raw(self) -> dict[str, Any]:
        """Build the raw document, without fields that have no value."""
        document: dict[str, Any] = self.model_dump(by_alias=True, exclude_none=True, exclude={"revision_id"})
        return document


class OwnedDocument(StoredDocument):
    """A document of one company; public when `company` is empty."""

    company: str
    created: datetime = Field(default_factory=now)
    tags: list[str] = []
    system_tags: list[str] = []
