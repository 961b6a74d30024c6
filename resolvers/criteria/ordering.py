"""An order → the parts of a list. Pure.

Values of the right type come in their order; everything else (null, missing, NaN, a wrong type) is one group that
`nulls` puts first or last and that the next keys order. The id decides last, so every order is total.

The first key splits the list in two parts, each of which an index can serve; later keys, and those that no index can
serve, are worked out per document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.types import Part, Query
from resolvers.criteria.filters import both
from resolvers.criteria.sort_keys import (
    SCORE,
    Key,
    field_key,
    has_value,
    kind_of,
    metric_value_key,
    parameter_key,
    rank_expression,
    value_expression,
)
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from schema.spec import FieldSpec

MAX_KEYS = 8  # of an order; MongoDB sorts by 32 fields at most
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
        raise limit_exceeded(message, field="orderBy", limit="orderKeys", maximum=MAX_KEYS, actual=len(keys))
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
