"""Order, cursors and pages → the parts of a list. Pure.

Values of the right type come in their order; everything else (null, missing, NaN, a wrong type) is one group that
`nulls` puts first or last and that the next keys order. The id decides last, so every order is total.

A key with an index splits the list in two parts: the documents with a value, which the index has in order, and the
rest. In every other order, and for several keys, the values are worked out for each document, and it is sorted.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from models.reading import Document, Part, Query
from resolvers.errors import ErrorCode, InputError, LimitError
from resolvers.extended_json import as_json
from resolvers.filters import both
from resolvers.keys import (
    SCORE,
    Key,
    field_key,
    has_value,
    kind_of,
    metric_value_key,
    parameter_key,
    rank_expression,
    value_expression,
    value_of,
)  # fmt: skip
from resolvers.limits import nesting
from schema.spec import FieldSpec

DEFAULT_PAGE = 50
PAGING = {
    "first": "first", "after": "after", "last": "last", "before": "before", "page": "page", "page_size": "pageSize",
}  # fmt: skip
MAX_KEYS = 8  # of an order; MongoDB sorts by 32 fields at most
CURSOR_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
MAX_ID_LEVELS = 100  # of objects and lists in the id of a cursor; MongoDB reads a query of 200
# the types of ids in MongoDB's order, before and after texts, which ClearML's all are
BEFORE_TEXTS = ("minKey", "null", "number")
AFTER_TEXTS = (
    "object",
    "binData",
    "objectId",
    "bool",
    "date",
    "timestamp",
    "dbPointer",
    "javascript",
    "javascriptWithScope",
    "maxKey",
)
Numbered = Sequence[tuple[int, Key]]
Place = tuple[list[Any], Any]  # the values of an order's keys, None for a null, and an id


@dataclass(frozen=True, slots=True)
class Order:
    """Keys, then the id in the direction of the first key, so that one index can serve both."""

    keys: tuple[Key, ...]
    id_ascending: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """Where a listed document has the values that its cursor holds."""
        return tuple(_key(number) if key.is_computed else key.path for number, key in enumerate(self.keys))

    @property
    def sort(self) -> Mapping[str, int]:
        """The order that an index would have; none when values are worked out, or come from several keys."""
        by_id = {"_id": 1 if self.id_ascending else -1}
        match self.keys:
            case ():
                return by_id
            case (Key(is_computed=False) as key,):
                return {key.path: key.direction, **by_id}
        return {}

    def reversed(self) -> "Order":
        return Order(tuple(key.reversed() for key in self.keys), not self.id_ascending)


class Rows(NamedTuple):
    """The row at which a page may start that is asked for by its number: where an index has the order, and elsewhere.

    MongoDB walks through, or sorts, all rows before it.
    """

    served: int = 100_000
    sorted: int = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """What to fetch: `limit` documents from `skip`, behind `cursor`, from the back when `backward`."""

    limit: int
    skip: int = 0
    cursor: str | None = None
    backward: bool = False


# -- arguments -------------------------------------------------------------------------------------


def order_of(fields: Mapping[str, FieldSpec], given: Sequence[Mapping[str, Any]], *, searches: bool = False) -> Order:
    """The order asked for. Keys behind the id, and repeated ones, are left out."""
    keys: list[Key] = []
    for item in given[: MAX_KEYS + 1]:
        key = _directed(_key_of(fields, item, searches), item)
        if key.path == "_id":
            return Order(tuple(keys), key.ascending)
        if (key.kind, key.path) not in [(known.kind, known.path) for known in keys]:
            keys.append(key)
    if len(keys) > MAX_KEYS:
        message = f"A list is ordered by at most {MAX_KEYS} keys."
        raise LimitError(
            ErrorCode.LIMIT_EXCEEDED, message, field="orderBy", limit="orderKeys", maximum=MAX_KEYS, actual=len(keys)
        )
    return Order(tuple(keys), keys[0].ascending)


def _key_of(fields: Mapping[str, FieldSpec], item: Mapping[str, Any], searches: bool) -> Key:
    asked = [name for name in ("field", "metric", "hyperparam", "text_score") if item.get(name)]
    match asked:
        case ["field"]:
            return field_key(fields[item["field"]])
        case ["metric"]:
            return metric_value_key(item["metric"])
        case ["hyperparam"]:
            return parameter_key(item["hyperparam"], "orderBy")
        case ["text_score"] if searches:
            return SCORE
        case ["text_score"]:
            message = "textScore needs searchText in the filter."
            raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field="orderBy")
    message = "An item of orderBy has exactly one of field, metric, hyperparam and textScore."
    raise InputError(ErrorCode.VALIDATION_ERROR, message, field="orderBy")


def _directed(key: Key, item: Mapping[str, Any]) -> Key:
    if key is SCORE:
        return key
    return replace(key, ascending=item.get("direction") != "desc", nulls_last=item.get("nulls") != "first")


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


def refuse_deep(page: Page, rows: Rows, *, is_served: bool) -> None:
    """Raises LimitError for a page that starts too far in."""
    limit, maximum = ("rows", rows.served) if is_served else ("rowsSorted", rows.sorted)
    if page.skip > maximum:
        order = "" if is_served else " of an order without an index"
        message = (
            f"page starts at row {page.skip}; a page{order} that is asked for by its number starts at row {maximum} at "
            "most. Go on with cursors: first and after."
        )
        raise LimitError(
            ErrorCode.LIMIT_EXCEEDED, message, field="page", limit=limit, maximum=maximum, actual=page.skip
        )


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


# -- cursors ---------------------------------------------------------------------------------------


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
            and nesting(as_json(id_)) <= MAX_ID_LEVELS
        )
    except (ValueError, KeyError, TypeError, RecursionError, BSONError):
        is_whole = False
    if not is_whole:
        message = "This cursor is damaged, or belongs to another filter, order or viewer."
        raise InputError(ErrorCode.BAD_CURSOR, message)
    return values, id_


# -- parts -----------------------------------------------------------------------------------------


def whole(query: Query, order: Order, at: Place | None) -> Part:
    """The list behind `at`, or all of it, in one stretch that is sorted: no index has it in this order.

    MongoDB sorts what the list shows of a document, not the document: values are worked out before.
    """
    numbered = list(enumerate(order.keys))
    past = _past(order, numbered, at)
    by_id = {"_id": 1 if order.id_ascending else -1}
    if not numbered:
        return Part(both(query, past), by_id)
    values = {_key(number): value_expression(key) for number, key in numbered}
    ranks = {_rank(number): rank_expression(key, f"${_key(number)}") for number, key in numbered}
    return Part(query, {**_sort(numbered), **by_id}, (values, ranks), past)


def parts(query: Query, order: Order, at: Place | None) -> list[Part]:
    """The stretches of the list behind `at`, or of all of it, in an order that an index has (see `Order.sort`)."""
    if not order.keys:
        return [whole(query, order, at)]
    [key] = order.keys
    is_among_nulls = at is not None and at[0][0] is None
    with_value = _values_part(query, order, key, None if is_among_nulls else at)
    rest = _rest_part(query, order, key, at if is_among_nulls else None)
    if not key.nulls_last:
        return [rest, with_value] if at is None or is_among_nulls else [with_value]
    return [rest] if is_among_nulls else [with_value, rest]


def _values_part(query: Query, order: Order, key: Key, at: Place | None) -> Part:
    if at is None:
        return Part(both(query, has_value(key)), order.sort)
    [value], id_ = at
    # the bound keeps the index scan short, the alternatives are exact
    bound = {key.path: {"$gte" if key.ascending else "$lte": value}}
    past = {"$or": [{key.path: {key.past: value}}, both({key.path: value}, _past_id(order, id_))]}
    return Part(both(query, has_value(key), bound, past), order.sort)


def _rest_part(query: Query, order: Order, key: Key, at: Place | None) -> Part:
    return Part(both(query, {"$nor": [has_value(key)]}, _past(order, [], at)), {"_id": order.sort["_id"]})


def _past(order: Order, keys: Numbered, at: Place | None) -> Query:
    """Behind the place in these keys, and the id."""
    if at is None:
        return {}
    values, id_ = at
    alternatives: list[Query] = []
    equal: list[Query] = []
    for number, key in keys:
        value = values[number]
        rank = key.rank(kind_of(value))
        alternatives.append(both(*equal, {_rank(number): {"$gt": rank}}))
        equal.append({_rank(number): rank})
        if value is not None:
            alternatives.append(both(*equal, {_key(number): {key.past: value}}))
            equal.append({_key(number): value})
    alternatives.append(both(*equal, _past_id(order, id_)))
    return {"$or": alternatives} if len(alternatives) > 1 else alternatives[0]


def _sort(keys: Numbered) -> dict[str, int]:
    return {
        name: direction
        for number, key in keys
        for name, direction in ((_rank(number), 1), (_key(number), key.direction))
    }


def _key(number: int) -> str:
    return f"_key{number}"


def _rank(number: int) -> str:
    return f"_rank{number}"


def _past_id(order: Order, id_: Any) -> Query:
    """Behind an id, in MongoDB's order of all types."""
    past = "$gt" if order.id_ascending else "$lt"
    if type(id_) is str:  # older servers have no index for an expression, and a comparison stays within one type
        types = AFTER_TEXTS if order.id_ascending else BEFORE_TEXTS
        return {"$or": [{"_id": {past: id_}}, {"_id": {"$type": list(types)}}]}
    return {"$expr": {past: ["$_id", {"$literal": id_}]}}
