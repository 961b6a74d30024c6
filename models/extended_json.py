"""Stored BSON → JSON: MongoDB's relaxed extended JSON, with the API's own form of dates, UUIDs and numbers. Pure."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary, UuidRepresentation
from bson.code import Code
from bson.objectid import ObjectId

from models.dates import format_date

UUID_BYTES = 16
UUID_REPRESENTATIONS = {UUID_SUBTYPE: UuidRepresentation.STANDARD, 3: UuidRepresentation.PYTHON_LEGACY}


def convert_to_json(value: Any) -> Any:  # noqa: PLR0911 - one return for each type
    """Convert a stored value to JSON: NaN and infinity become null, dates RFC 3339, UUIDs text."""
    match value:
        case Code():  # a str, too
            return convert_to_json(json_util.default(value, json_util.RELAXED_JSON_OPTIONS))
        case None | bool() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case int():
            return int(value)
        case Mapping():
            return {str(key): convert_to_json(inner) for key, inner in value.items()}
        case list():
            return [convert_to_json(inner) for inner in value]
        case datetime():
            return format_date(value)
    return format_uuid(value) or convert_to_json(json_util.default(value, json_util.RELAXED_JSON_OPTIONS))


def format_uuid(value: Any) -> str | None:
    """Write a stored UUID as text; the older subtype has the byte order of Python's drivers."""
    if not isinstance(value, Binary) or len(value) != UUID_BYTES or value.subtype not in UUID_REPRESENTATIONS:
        return None
    return str(value.as_uuid(UUID_REPRESENTATIONS[value.subtype]))


def format_id(value: Any) -> str:
    """Write a document's own id as text; other programs store ids of any type.

    Text stays as it is, an ObjectId becomes its hexadecimal digits, a date RFC 3339, a UUID its text. Any other id
    becomes extended JSON: null, 5, true, {"$minKey":1}.
    """
    if type(value) is str:
        return value
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        json_value = json_util.default(value, json_util.RELAXED_JSON_OPTIONS)
    else:
        json_value = convert_to_json(value)
    return json_value if isinstance(json_value, str) else orjson.dumps(json_value).decode()


def format_cell(value: Any) -> str:
    """Write a cell of a stored table as text."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    return format_id(value)
