"""Cursors: the place of a document in a list, opaque. Pure."""

import base64
import hashlib
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.regex import Regex

from models.extended_json import convert_to_json
from models.types import Document
from resolvers.criteria.nesting import nesting
from resolvers.criteria.ordering import Order, Place
from resolvers.criteria.sort_keys import kind_of, value_of
from resolvers.errors import ErrorCode, InputError

CURSOR_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
MAX_ID_LEVELS = 100  # of objects and lists in the id of a cursor; MongoDB reads a query of 200


def fingerprint(asked: Any, order: Order) -> bytes:
    """What a cursor belongs to: the viewer's company, the collection and the filter as it was asked, and the order."""
    return hashlib.sha256(repr((asked, order)).encode()).digest()[:12]


def place(document: Document, order: Order) -> Place:
    """Where a document stands in a list."""
    values = [
        document[path] if key.is_computed else value_of(document, key)
        for key, path in zip(order.keys, order.paths, strict=True)
    ]
    return values, document["_id"]


def cursor(document: Document, order: Order, seal: bytes) -> str:
    """The place of a document in a list, opaque."""
    values, id_ = place(document, order)
    packed = bson.encode({"s": seal, "v": values, "i": id_})
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def position(text: str, order: Order, seal: bytes) -> Place:
    """The place that a cursor holds; raises InputError BAD_CURSOR."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = bson.decode(packed, CURSOR_OPTIONS)
        values, id_ = found["v"], found["i"]
        is_whole = (
            found["s"] == seal
            and isinstance(values, list)
            and all(value is None or kind_of(value) in key.kinds for key, value in zip(order.keys, values, strict=True))
            and _can_be_id(id_)
            and nesting(convert_to_json(id_)) <= MAX_ID_LEVELS
        )
    except (ValueError, KeyError, TypeError, RecursionError, BSONError):
        is_whole = False
    if not is_whole:
        message = "This cursor is damaged, or belongs to another filter, order or viewer."
        raise InputError(ErrorCode.BAD_CURSOR, message)
    return values, id_


def _can_be_id(value: Any) -> bool:
    """Whether MongoDB takes the value as an `_id`: no list, no pattern, no object with an operator's key."""
    if isinstance(value, dict):
        return not any(name.startswith("$") for name in value)
    return not isinstance(value, list | Regex)
