"""Arguments as plain data."""

import dataclasses
import enum
import keyword
from collections.abc import Mapping
from typing import Any

import strawberry

from resolvers.errors import ErrorCode, InputError
from schema.derive import UNKNOWN
from schema.scalars import Plain


def read_arguments(value: Any) -> Any:
    """An argument as plain data by HOCON names, what was not given left out; UNKNOWN is refused."""
    if isinstance(value, Plain):
        return value
    if isinstance(value, enum.Enum):
        if value.name == UNKNOWN:
            message = "UNKNOWN only ever answers; it can't be asked for or set."
            raise InputError(ErrorCode.VALIDATION_ERROR, message)
        return value.value
    if isinstance(value, list):
        return [read_arguments(item) for item in value]
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name.rstrip("_") if name.endswith("_") and keyword.iskeyword(name[:-1]) else name: read_arguments(inner)
                for name, inner in value.items() if inner is not strawberry.UNSET}  # fmt: skip
    return value
