"""Stored BSON as JSON: MongoDB's relaxed extended JSON, with the times, UUIDs and numbers of our own answers. Pure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary, UuidRepresentation
from bson.code import Code
from bson.objectid import ObjectId

UUID_BYTES = 16
UUID_REPRESENTATIONS = {UUID_SUBTYPE: UuidRepresentation.STANDARD, 3: UuidRepresentation.PYTHON_LEGACY}


def as_json(value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    """The JSON value of a stored one: NaN and infinity are null, times RFC 3339 and UUIDs texts."""
    match value:
        case Code():  # the driver's Code is a str as well
            return as_json(json_util.default(value, json_util.RELAXED_JSON_OPTIONS))
        case None | bool() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case int():
            return int(value)
        case Mapping():
            return {str(key): as_json(inner) for key, inner in value.items()}
        case list():
            return [as_json(inner) for inner in value]
        case datetime():
            return moment(value)
    return uuid_text(value) or as_json(json_util.default(value, json_util.RELAXED_JSON_OPTIONS))


def moment(value: Any) -> str | None:
    """RFC 3339 in UTC with milliseconds; the driver's datetimes are naive UTC."""
    if not isinstance(value, datetime):
        return None
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return naive.isoformat(timespec="milliseconds") + "Z"


def uuid_text(value: Any) -> str | None:
    """A stored UUID as text. One of the older subtype is read in the order of bytes that Python's drivers write."""
    if not isinstance(value, Binary) or len(value) != UUID_BYTES or value.subtype not in UUID_REPRESENTATIONS:
        return None
    return str(value.as_uuid(UUID_REPRESENTATIONS[value.subtype]))


def id_text(value: Any) -> str:
    """The text of a document's own id, which other programs may make of any type.

    A text is itself, an ObjectId its hexadecimal digits, a time RFC 3339, a UUID its text. Any other id is written as
    extended JSON: null, 5, true, {"$minKey":1}.
    """
    if type(value) is str:
        return value
    if isinstance(value, ObjectId):
        return str(value)
    is_lost = isinstance(value, float) and not math.isfinite(value)
    shown = json_util.default(value, json_util.RELAXED_JSON_OPTIONS) if is_lost else as_json(value)
    return shown if isinstance(shown, str) else orjson.dumps(shown).decode()


def cell_text(value: Any) -> str:
    """A cell of a stored table as text."""
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else str(value)
    return id_text(value)
