"""An order → the segments of a list. Pure.

Values of the right kind come in their order. Everything else (null, missing, NaN, a wrong type) is one group, which
`nulls` puts first or last and the next keys order. The id decides last, so every order is total.

The first key splits the list into two segments, and an index can serve each. MongoDB computes the later keys for each
document, and also a first key that no index can serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from models.types import Query, Segment
from resolvers.criteria.filters import join_conditions
from resolvers.criteria.sort_keys import (
    SCORE,
    SortKey,
    build_field_key,
    build_metric_key,
    build_parameter_key,
    find_value_kind,
    write_has_value,
    write_rank,
    write_value,
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
NumberedKeys = Sequence[tuple[int, SortKey]]


class CursorValues(NamedTuple):
    """The values that a cursor holds of a document: one for each sort key, None for a null, and the id."""

    sort_values: list[Any]
    id: Any


@dataclass(frozen=True, slots=True)
class Order:
    """Keys, then the id in the direction of the first key, so that one index can serve both."""

    keys: tuple[SortKey, ...]
    is_id_ascending: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths at which a listed document has its sort values."""
        return tuple(_name_value(number) if key.is_computed else key.path for number, key in enumerate(self.keys))

    @property
    def sort(self) -> Mapping[str, int]:
        """The order of the index that can serve this one; empty for computed values and for several keys."""
        match self.keys:
            case ():
                return {"_id": self.id_direction}
            case (SortKey(is_computed=False) as key,):
                return {key.path: key.direction, "_id": self.id_direction}
        return {}

    @property
    def id_direction(self) -> int:
        return 1 if self.is_id_ascending else -1

    def reverse(self) -> "Order":
        return Order(tuple(key.reverse() for key in self.keys), not self.is_id_ascending)


# -- arguments -------------------------------------------------------------------------------------


def parse_order(
    fields: Mapping[str, FieldSpec], order_by: Sequence[Mapping[str, Any]], *, has_search: bool = False
) -> Order:
    """The order of `orderBy`. Keys after the id, and repeated ones, are left out."""
    keys: list[SortKey] = []
    for item in order_by[: MAX_KEYS + 1]:
        key = _direct(_parse_key(fields, item, has_search), item)
        if key.path == "_id":
            return Order(tuple(keys), key.is_ascending)
        if not any((key.kind, key.path) == (earlier.kind, earlier.path) for earlier in keys):
            keys.append(key)
    if len(keys) > MAX_KEYS:
        message = f"orderBy has more than {MAX_KEYS} keys; leave out those that decide least."
        raise limit_exceeded(message, field="orderBy", limit="orderKeys", maximum=MAX_KEYS, actual=len(keys))
    return Order(tuple(keys), keys[0].is_ascending)


def _parse_key(fields: Mapping[str, FieldSpec], item: Mapping[str, Any], has_search: bool) -> SortKey:
    match [name for name in ("field", "metric", "hyperparam", "text_score") if item.get(name)]:
        case ["field"]:
            return build_field_key(fields[item["field"]])
        case ["metric"]:
            return build_metric_key(item["metric"])
        case ["hyperparam"]:
            return build_parameter_key(item["hyperparam"], "orderBy")
        case ["text_score"] if has_search:
            return SCORE
        case ["text_score"]:
            message = "textScore needs searchText in the filter."
            raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field="orderBy")
    message = "An item of orderBy needs exactly one of field, metric, hyperparam and textScore."
    raise InputError(ErrorCode.VALIDATION_ERROR, message, field="orderBy")


def _direct(key: SortKey, item: Mapping[str, Any]) -> SortKey:
    if key is SCORE:
        return key
    return replace(key, is_ascending=item.get("direction") != "desc", has_nulls_last=item.get("nulls") != "first")


# -- segments --------------------------------------------------------------------------------------


def build_sorted_segment(query: Query, order: Order, after: CursorValues | None) -> Segment:
    """The list after a cursor, or all of it, in one segment that MongoDB sorts: no index has it in this order.

    MongoDB sorts by fields that it computes first, not by expressions.
    """
    numbered = list(enumerate(order.keys))
    is_after = _write_after(order, numbered, after)
    by_id = {"_id": order.id_direction}
    if not numbered:
        return Segment(join_conditions(query, is_after), by_id)
    values = {_name_value(number): write_value(key) for number, key in numbered}
    ranks = {_name_rank(number): write_rank(key, f"${_name_value(number)}") for number, key in numbered}
    sort: dict[str, int] = {}
    for number, key in numbered:
        sort |= {_name_rank(number): 1, _name_value(number): key.direction}
    return Segment(query, sort | by_id, (values, ranks), is_after)


def build_index_segments(query: Query, order: Order, after: CursorValues | None) -> list[Segment]:
    """The segments of the list after a cursor, or of all of it, in an order that an index has (see `Order.sort`)."""
    if not order.keys:
        return [build_sorted_segment(query, order, after)]
    [key] = order.keys
    is_among_nulls = after is not None and after.sort_values[0] is None
    values = _build_value_segment(query, order, key, None if is_among_nulls else after)
    nulls = _build_null_segment(query, order, key, after if is_among_nulls else None)
    if key.has_nulls_last:
        return [nulls] if is_among_nulls else [values, nulls]
    return [nulls, values] if after is None or is_among_nulls else [values]


def _build_value_segment(query: Query, order: Order, key: SortKey, after: CursorValues | None) -> Segment:
    if after is None:
        return Segment(join_conditions(query, write_has_value(key)), order.sort)
    [value] = after.sort_values
    # the bound keeps the index scan short, the alternatives are exact
    bound = {key.path: {"$gte" if key.is_ascending else "$lte": value}}
    next_of_equals = join_conditions({key.path: value}, _write_after_id(order, after.id))
    is_after = {"$or": [{key.path: {key.after_operator: value}}, next_of_equals]}
    return Segment(join_conditions(query, write_has_value(key), bound, is_after), order.sort)


def _build_null_segment(query: Query, order: Order, key: SortKey, after: CursorValues | None) -> Segment:
    is_null = {"$nor": [write_has_value(key)]}
    return Segment(join_conditions(query, is_null, _write_after(order, [], after)), {"_id": order.id_direction})


def _write_after(order: Order, keys: NumberedKeys, after: CursorValues | None) -> Query:
    """The condition for documents after a cursor, by these keys and then by id."""
    if after is None:
        return {}
    alternatives: list[Query] = []
    equal: list[Query] = []
    for number, key in keys:
        value = after.sort_values[number]
        rank = key.rank(find_value_kind(value))
        alternatives.append(join_conditions(*equal, {_name_rank(number): {"$gt": rank}}))
        equal.append({_name_rank(number): rank})
        if value is not None:
            alternatives.append(join_conditions(*equal, {_name_value(number): {key.after_operator: value}}))
            equal.append({_name_value(number): value})
    alternatives.append(join_conditions(*equal, _write_after_id(order, after.id)))
    return {"$or": alternatives} if len(alternatives) > 1 else alternatives[0]


def _name_value(number: int) -> str:
    return f"_key{number}"


def _name_rank(number: int) -> str:
    return f"_rank{number}"


def _write_after_id(order: Order, id_: Any) -> Query:
    """The condition for ids after this one, in MongoDB's order of all types."""
    after_operator = "$gt" if order.is_id_ascending else "$lt"
    if type(id_) is str:  # older servers have no index for an expression, and a comparison stays within one type
        types = AFTER_TEXTS if order.is_id_ascending else BEFORE_TEXTS
        return {"$or": [{"_id": {after_operator: id_}}, {"_id": {"$type": list(types)}}]}
    return {"$expr": {after_operator: ["$_id", {"$literal": id_}]}}
