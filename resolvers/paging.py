"""Order, cursors and pages → the parts of a list. Pure.

Values of the right type come in their order; everything else (null, missing, NaN, a wrong type) is one group that
`nulls` puts first or last and that the next keys order. The id decides last, so every order is total.

The first key splits the list in two parts, each of which an index can serve; later keys are worked out per document.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import bson
from bson.binary import Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId

from models.reading import Part, Query
from resolvers.errors import ErrorCode, InputError, LimitError
from schema.spec import FieldSpec, Scalar

DEFAULT_PAGE = 50
CURSOR_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# the types of ids in MongoDB's order; ClearML's are all strings
ID_TYPES: Sequence[tuple[tuple[type, ...], str]] = (
    ((int, Int64, float), "number"),
    ((str,), "string"),
    ((dict,), "object"),
    ((bytes, Binary), "binData"),
    ((ObjectId,), "objectId"),
    ((bool,), "bool"),
    ((datetime, DatetimeMS), "date"),
)
NUMBERS = ("Int", "Long", "Float")
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an order: a stored path, the kind of its values, and which way they go."""

    path: str
    kind: str  # date, number or string
    ascending: bool
    nulls_last: bool

    @property
    def direction(self) -> int:
        return 1 if self.ascending else -1

    def reversed(self) -> "Key":
        return replace(self, ascending=not self.ascending, nulls_last=not self.nulls_last)


@dataclass(frozen=True, slots=True)
class Order:
    """Keys, then the id in the direction of the first key, so that one index can serve both."""

    keys: tuple[Key, ...]
    id_ascending: bool

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(key.path for key in self.keys)

    def reversed(self) -> "Order":
        return Order(tuple(key.reversed() for key in self.keys), not self.id_ascending)


@dataclass(frozen=True, slots=True)
class Page:
    """What to fetch: `limit` documents from `skip`, behind `cursor`, from the back when `backward`."""

    limit: int
    skip: int = 0
    cursor: str | None = None
    backward: bool = False


# -- arguments -------------------------------------------------------------------------------------


def order_of(fields: Mapping[str, FieldSpec], given: Sequence[Mapping[str, Any]]) -> Order:
    """The order asked for. Keys behind the id, and repeated ones, are left out."""
    keys: list[Key] = []
    for item in given:
        if item.get("field") is None:
            raise InputError(ErrorCode.VALIDATION_ERROR, "An item of orderBy names a field.", field="orderBy")
        field = fields[item["field"]]
        ascending = item.get("direction") != "desc"
        if field.stored[0] == "_id":
            return Order(tuple(keys), ascending)
        if field.stored[0] not in [key.path for key in keys]:
            keys.append(Key(field.stored[0], _kind(field), ascending, item.get("nulls") != "first"))
    return Order(tuple(keys), keys[0].ascending)


def page_of(given: Mapping[str, Any], max_page: int) -> Page:
    """The page asked for by cursors or by number; raises InputError and LimitError."""
    asked = {name for name, value in given.items() if value is not None}
    if asked & {"page", "page_size"}:
        return _numbered(given, asked, max_page)
    if asked & {"last", "before"}:
        if wrong := asked & {"first", "after"}:
            raise _contradiction("last", "before", wrong)
        return Page(_size(given.get("last"), "last", max_page), cursor=given.get("before"), backward=True)
    return Page(_size(given.get("first"), "first", max_page), cursor=given.get("after"))


def _numbered(given: Mapping[str, Any], asked: set[str], max_page: int) -> Page:
    if wrong := asked & {"first", "after", "last", "before"}:
        raise _contradiction("page", "pageSize", wrong)
    if "page_size" not in asked:
        raise InputError(ErrorCode.MISSING_REQUIRED_FIELDS, "page needs pageSize.", field="pageSize")
    size, page = _size(given["page_size"], "pageSize", max_page), given.get("page") or 0
    if page < 0:
        raise InputError(ErrorCode.VALIDATION_ERROR, "page counts from 0.", field="page")
    return Page(size, skip=page * size)


def _contradiction(one: str, other: str, wrong: set[str]) -> InputError:
    message = f"{one} and {other} don't go with {', '.join(sorted(wrong))}."
    return InputError(ErrorCode.VALIDATION_ERROR, message, field=one)


def _size(value: int | None, name: str, max_page: int) -> int:
    if value is None:
        return min(DEFAULT_PAGE, max_page)
    if value < 1:
        raise InputError(ErrorCode.VALIDATION_ERROR, f"{name} is at least 1.", field=name)
    if value > max_page:
        message = f"{name} is at most {max_page}; ask for more pages."
        raise LimitError(ErrorCode.LIMIT_EXCEEDED, message, field=name, limit="page", maximum=max_page, actual=value)
    return value


def _kind(field: FieldSpec) -> str:
    if field.type == Scalar("DateTime"):
        return "date"
    return "number" if isinstance(field.type, Scalar) and field.type.name in NUMBERS else "string"


# -- cursors ---------------------------------------------------------------------------------------


def fingerprint(query: Query, order: Order) -> bytes:
    """What a cursor belongs to. The query holds the viewer's company, so cursors are no use to others."""
    return hashlib.sha256(repr((query, order)).encode()).digest()[:12]


def cursor(document: Document, order: Order, seal: bytes) -> str:
    """The place of a document in a list, opaque."""
    values = [value_of(document, key) for key in order.keys]
    packed = bson.encode({"s": seal, "v": values, "i": document["_id"]})
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def position(text: str, order: Order, seal: bytes) -> tuple[list[Any], Any]:
    """The values of the keys (None for a null) and the id that a cursor holds; raises InputError BAD_CURSOR."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = bson.decode(packed, CURSOR_OPTIONS)
        values, id_ = found["v"], found["i"]
        is_whole = (
            found["s"] == seal
            and isinstance(values, list)
            and [*map(_kind_of, values)]
            == [key.kind if value is not None else None for key, value in zip(order.keys, values, strict=True)]
        )
    except (ValueError, KeyError, TypeError, BSONError):
        is_whole = False
    if not is_whole or not _is_id(id_):
        message = "This cursor is damaged, or belongs to another filter, order or viewer."
        raise InputError(ErrorCode.BAD_CURSOR, message)
    return values, id_


def _is_id(value: Any) -> bool:
    if isinstance(value, dict):
        return not any(name.startswith("$") for name in value)
    return any(type(value) in kinds for kinds, _ in ID_TYPES)


def value_of(document: Document, key: Key) -> Any:
    """The value by which a document is ordered, None when it has none of the right kind."""
    value: Any = document
    for part in key.path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if value is not None and _kind_of(value) == key.kind else None


def _kind_of(value: Any) -> str | None:
    match value:
        case bool() | None:
            return None
        case str() if type(value) is str:  # the driver's Code is one as well
            return "string"
        case datetime() | DatetimeMS():
            return "date"
        case int() | float() if math.isfinite(value):
            return "number"
    return "other"


# -- parts -----------------------------------------------------------------------------------------


def parts(query: Query, order: Order, at: tuple[list[Any], Any] | None) -> list[Part]:
    """The stretches of the list behind `at`, or all of them."""
    if not order.keys:
        then = [_past_id(order, at[1])] if at else []
        return [Part(_all(query, *then), {"_id": _direction(order)})]
    first = order.keys[0]
    with_value = _values_part(query, order, at)
    rest = _rest_part(query, order, at if at and at[0][0] is None else None)
    if at is None:
        return [with_value, rest] if first.nulls_last else [rest, with_value]
    if at[0][0] is None:
        return [rest] if first.nulls_last else [rest, _values_part(query, order, None)]
    return [with_value, rest] if first.nulls_last else [with_value]


def _values_part(query: Query, order: Order, at: tuple[list[Any], Any] | None) -> Part:
    first, *later = order.keys
    bounds: list[Query] = _is_value(first)
    past: Query = {}
    if at and at[0][0] is not None:
        values, id_ = at
        # the bound keeps the index scan short, the alternatives are exact
        bounds.append({first.path: {"$gte" if first.ascending else "$lte": values[0]}})
        past = {
            "$or": [
                {first.path: {_past(first): values[0]}},
                {"$and": [{first.path: values[0]}, _past_later(order, values, id_)]},
            ]
        }
    sort = {first.path: first.direction} | _later_sort(later) | {"_id": _direction(order)}
    if later:
        return Part(_all(query, *bounds), sort, _computed(later), past)
    return Part(_all(query, *bounds, past), sort)


def _rest_part(query: Query, order: Order, at: tuple[list[Any], Any] | None) -> Part:
    first, *later = order.keys
    past = _past_later(order, *at) if at else {}
    sort = _later_sort(later) | {"_id": _direction(order)}
    rest: Query = {"$nor": [_all(*_is_value(first))]}
    if later:
        return Part(_all(query, rest), sort, _computed(later), past)
    return Part(_all(query, rest, past), sort)


def _past_later(order: Order, values: list[Any], id_: Any) -> Query:
    """Behind the position in the keys after the first, and the id."""
    alternatives: list[Query] = []
    equal: list[Query] = []
    for number, (key, value) in enumerate(zip(order.keys[1:], values[1:], strict=True), start=1):
        rank = int((value is None) == key.nulls_last)
        alternatives.append(_all(*equal, {f"_rank{number}": {"$gt": rank}}))
        equal.append({f"_rank{number}": rank})
        if value is not None:
            alternatives.append(_all(*equal, {f"_key{number}": {_past(key): value}}))
            equal.append({f"_key{number}": value})
    alternatives.append(_all(*equal, _past_id(order, id_)))
    return {"$or": alternatives} if len(alternatives) > 1 else alternatives[0]


def _later_sort(keys: Sequence[Key]) -> dict[str, int]:
    return {
        name: direction
        for number, key in enumerate(keys, start=1)
        for name, direction in ((f"_rank{number}", 1), (f"_key{number}", key.direction))
    }


def _computed(keys: Sequence[Key]) -> dict[str, Any]:
    """For each later key its value or null, and the rank that puts nulls where they belong."""
    fields: dict[str, Any] = {}
    for number, key in enumerate(keys, start=1):
        field = f"${key.path}"
        fields[f"_rank{number}"] = {"$cond": [_is_value_expression(key), int(not key.nulls_last), int(key.nulls_last)]}
        fields[f"_key{number}"] = {"$cond": [_is_value_expression(key), field, None]}
    return fields


def _is_value(key: Key) -> list[Query]:
    """The conditions for a value of the right kind; MongoDB would also look inside lists, which are no values here."""
    parts = key.path.split(".")
    no_lists = [{".".join(parts[:end]): {"$not": {"$type": "array"}}} for end in range(1, len(parts))]
    if key.kind == "number":
        return [{key.path: {"$gt": -math.inf, "$lt": math.inf, "$not": {"$type": ["array", "decimal"]}}}, *no_lists]
    return [{key.path: {"$type": key.kind, "$not": {"$type": "array"}}}, *no_lists]


def _is_value_expression(key: Key) -> Query:
    field = f"${key.path}"
    if key.kind != "number":
        return {"$eq": [{"$type": field}, key.kind]}
    kinds = {"$in": [{"$type": field}, ["int", "long", "double"]]}
    return {"$and": [kinds, {"$gt": [field, -math.inf]}, {"$lt": [field, math.inf]}]}


def _past(key: Key) -> str:
    return "$gt" if key.ascending else "$lt"


def _past_id(order: Order, id_: Any) -> Query:
    """Behind an id. A comparison stays within one type, so the types behind it are named."""
    place = next((number for number, (kinds, _) in enumerate(ID_TYPES) if type(id_) in kinds), None)
    past: Query = {"_id": {"$gt" if order.id_ascending else "$lt": id_}}
    if place is None:
        return past
    behind = ID_TYPES[place + 1 :] if order.id_ascending else ID_TYPES[:place]
    return {"$or": [past, {"_id": {"$type": [name for _, name in behind]}}]} if behind else past


def _direction(order: Order) -> int:
    return 1 if order.id_ascending else -1


def _all(*conditions: Query) -> Query:
    said = [condition for condition in conditions if condition]
    return {"$and": said} if len(said) > 1 else said[0] if said else {}
