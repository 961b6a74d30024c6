"""Cursors: the cursor values of a document and the signature of its list, as an opaque token. Pure."""

from typing import Any

import bson
from bson.errors import BSONError
from bson.regex import Regex

from models.codecs import DATES_AS_MILLISECONDS
from models.extended_json import convert_to_json
from models.types import Document
from resolvers.criteria.nesting import measure_nesting
from resolvers.criteria.opaque_token import decode_token, digest_content, encode_token
from resolvers.criteria.ordering import CursorValues, Order
from resolvers.criteria.sort_keys import find_value_kind, read_sort_value
from resolvers.errors import ErrorCode, InputError

SIGNATURE_BYTES = 12
MAX_ID_LEVELS = 100  # of objects and lists in the id of a cursor; MongoDB reads a query of 200


def sign_list(list_identity: object, order: Order) -> bytes:
    """The cursor signature of a list, by which a cursor of any other list is refused.

    `list_identity` holds the viewer's company, the collection, and the filter as the request has it.
    """
    return digest_content(f"({list_identity!r}, {_spell_order(order)})".encode(), SIGNATURE_BYTES)


def _spell_order(order: Order) -> str:
    """Clients hold cursors that are signed with this spelling, so it stays when attributes get other names."""
    keys = [
        f"Key(path={key.path!r}, kind={key.kind!r}, ascending={key.is_ascending}, nulls_last={key.has_nulls_last}, "
        f"text_last={key.has_text_last}, legacy={key.legacy_name!r})"
        for key in order.keys
    ]
    last_comma = "," if len(keys) == 1 else ""
    return f"Order(keys=({', '.join(keys)}{last_comma}), id_ascending={order.is_id_ascending})"


def read_cursor_values(document: Document, order: Order) -> CursorValues:
    sort_values = [
        document[path] if key.is_computed else read_sort_value(document, key)
        for key, path in zip(order.keys, order.paths, strict=True)
    ]
    return CursorValues(sort_values, document["_id"])


def write_cursor(document: Document, order: Order, signature: bytes) -> str:
    sort_values, id_ = read_cursor_values(document, order)
    return encode_token(bson.encode({"s": signature, "v": sort_values, "i": id_}))


def read_cursor(cursor: str, order: Order, signature: bytes) -> CursorValues:
    """Raises InputError BAD_CURSOR for a damaged cursor, and for one of another list."""
    try:
        content = bson.decode(decode_token(cursor), DATES_AS_MILLISECONDS)
        values = CursorValues(content["v"], content["i"])
        is_valid = content["s"] == signature and _are_sort_values(values.sort_values, order) and _is_id(values.id)
    except (ValueError, KeyError, TypeError, RecursionError, BSONError):
        is_valid = False
    if not is_valid:
        message = "The cursor is damaged, or belongs to another filter, order or viewer. Leave it out to start again."
        raise InputError(ErrorCode.BAD_CURSOR, message)
    return values


def _are_sort_values(values: Any, order: Order) -> bool:
    """Raises ValueError for more or fewer values than the order has keys."""
    return isinstance(values, list) and all(
        value is None or find_value_kind(value) in key.value_kinds
        for key, value in zip(order.keys, values, strict=True)
    )


def _is_id(value: Any) -> bool:
    """Whether MongoDB takes the value as an `_id`: no list, no pattern, no object with an operator's key, not deep."""
    if isinstance(value, list | Regex):
        return False
    if isinstance(value, dict) and any(name.startswith("$") for name in value):
        return False
    return measure_nesting(convert_to_json(value)) <= MAX_ID_LEVELS
