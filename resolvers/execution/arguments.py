"""Arguments as plain data."""

import dataclasses
import enum
import keyword
from collections.abc import Mapping
from typing import Any

import strawberry

from resolvers.errors import ErrorCode, InputError
from schema.derive import UNKNOWN
from schema.scalars import PlainObject


def read_arguments(value: Any) -> Any:
    """Read arguments as plain data by HOCON names, without those that are omitted. Raises InputError for UNKNOWN."""
    if isinstance(value, PlainObject):
        return value
    if isinstance(value, enum.Enum):
        if value.name == UNKNOWN:
            message = "UNKNOWN stands only in answers; send another enum value."
            raise InputError(ErrorCode.VALIDATION_ERROR, message)
        return value.value
    if isinstance(value, list):
        return [read_arguments(item) for item in value]
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            _read_name(name): read_arguments(inner) for name, inner in value.items() if inner is not strawberry.UNSET
        }
    return value


def _read_name(name: str) -> str:
    """The HOCON name of an argument; Python's has an underscore after a keyword."""
    return name.rstrip("_") if keyword.iskeyword(name.removesuffix("_")) else name
