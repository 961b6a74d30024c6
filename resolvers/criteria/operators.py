"""The operators of filters: a row for each; HOCON names the operator of each field. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.types import Query
from resolvers.criteria.dates import parse_date_constraint, write_date_bound
from resolvers.criteria.filter_nodes import AllOf, Condition, parse_filter
from resolvers.criteria.sort_keys import (
    SHOWN_TEXT,
    SortKey,
    build_field_key,
    build_metric_key,
    build_parameter_key,
    list_stored_values,
    write_has_value,
    write_parameter,
)
from resolvers.criteria.text_fields import Text, find_text_fields
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from schema.spec import FieldSpec, ObjectSpec, Spec

MAX_PATTERN = 256
MAX_SEARCH = 1000
VALUES_OF_ONE_CONDITION = 100

NO_LIST: Query = {"$not": {"$type": "array"}}


@dataclass(frozen=True, slots=True)
class FilterType:
    """A filter input, the text fields that its patterns may search, and the fields that can be set or unset."""

    spec: ObjectSpec
    text_fields: Mapping[str, Text]
    sort_fields: Mapping[str, FieldSpec]

    def parse(self, values: Mapping[str, Any]) -> AllOf:
        return parse_filter(values, self.spec)


def read_filter_type(spec: Spec, collection: str) -> FilterType:
    definition = spec.get_object(collection)
    input_spec = spec.get_object(f"{collection}_filter")
    return FilterType(input_spec, find_text_fields(spec, definition), definition.sort_fields)


# -- lists of values -------------------------------------------------------------------------------


class Sides(NamedTuple):
    """The values that a list includes, and those that it excludes by a leading `-`."""

    included: list[str]
    excluded: list[str]


def split_sides(values: Sequence[str]) -> Sides:
    return Sides(
        [value for value in values if not value.startswith("-")],
        [value[1:] for value in values if value.startswith("-")],
    )


def write_sides(path: str, sides: Sides) -> list[Query]:
    """One of the included values must match, and none of the excluded ones."""
    conditions: list[Query] = []
    if sides.included:
        conditions.append({path: {"$in": sides.included}})
    if sides.excluded:
        conditions.append({path: {"$nin": sides.excluded}})
    return conditions


def _write_listed(condition: Condition, _type: FilterType) -> list[Query]:
    return write_sides(condition.path, split_sides(condition.value))


def _write_types(condition: Condition, _type: FilterType) -> list[Query]:
    return write_sides(condition.path, split_sides([value.lower() for value in condition.value]))


def _write_statuses(condition: Condition, _type: FilterType) -> list[Query]:
    return [{condition.path: {"$in": list(condition.value)}}] if condition.value else []


# -- single values ---------------------------------------------------------------------------------


def _write_equal(condition: Condition, _type: FilterType) -> list[Query]:
    return [{condition.path: condition.value}]


def _write_unset(condition: Condition, _type: FilterType) -> list[Query]:
    return [{condition.path: {"$in" if condition.value else "$nin": [None, ""]}}]


def _write_dates(condition: Condition, _type: FilterType) -> list[Query]:
    return [{condition.path: {**parse_date_constraint(text, condition.name), **NO_LIST}} for text in condition.value]


def _write_date_range(condition: Condition, _type: FilterType) -> list[Query]:
    bounds: dict[str, Any] = {}
    for operator, moment in _read_bounds(condition.value).items():
        bounds |= write_date_bound(operator, moment)
    return [{condition.path: {**bounds, **NO_LIST}}] if bounds else []


def _read_bounds(value: Mapping[str, Any]) -> dict[str, Any]:
    return {f"${name}": value[name] for name in ("eq", "gt", "gte", "lt", "lte") if value.get(name) is not None}


# -- texts -----------------------------------------------------------------------------------------


def _write_pattern(condition: Condition, _type: FilterType) -> list[Query]:
    if not condition.value:
        return []
    return [{condition.path: {"$regex": _check_pattern(condition.value, condition.name)}}]


def _write_insensitive(condition: Condition, _type: FilterType) -> list[Query]:
    if not condition.value:
        return []
    return [{condition.path: {"$regex": _check_pattern(condition.value, condition.name), "$options": "i"}}]


def _check_pattern(pattern: str, field: str) -> str:
    if len(pattern) > MAX_PATTERN:
        message = f"{field} has a pattern of {len(pattern)} characters; the maximum is {MAX_PATTERN}."
        raise limit_exceeded(message, field=field, limit="pattern", maximum=MAX_PATTERN, actual=len(pattern))
    if "\0" in pattern:
        message = f"{field} has a pattern with a NUL character; leave it out."
        raise InputError(ErrorCode.INVALID_REGEX_ERROR, message, field=field)
    return pattern


def _write_all_match(condition: Condition, filter_type: FilterType) -> list[Query]:
    matches = _write_matches(condition, filter_type)
    return [{"$and": matches}] if matches else []


def _write_any_match(condition: Condition, filter_type: FilterType) -> list[Query]:
    matches = _write_matches(condition, filter_type)
    return [{"$or": matches}] if matches else []


def _write_matches(condition: Condition, filter_type: FilterType) -> list[Query]:
    """The match of a pattern in each of several text fields."""
    name, pattern, fields = condition.name, condition.value.get("pattern"), condition.value.get("fields")
    if pattern is None or fields is None:
        raise InputError(ErrorCode.VALIDATION_ERROR, f"{name} needs both pattern and fields.", field=name)
    unique_fields = dict.fromkeys(fields)
    for field in unique_fields:
        if field not in filter_type.text_fields:
            message = f"{name} can't search {field!r}; the text fields are {', '.join(filter_type.text_fields)}."
            raise InputError(ErrorCode.INVALID_FIELDS, message, field=name)
    pattern = _check_pattern(pattern, name)
    return [_write_match(filter_type.text_fields[field], pattern) for field in unique_fields]


def _write_match(text: Text, pattern: str) -> Query:
    if isinstance(text, str):
        return {text: {"$regex": pattern, "$options": "i"}}
    return {"$expr": {"$regexMatch": {"input": text, "regex": {"$literal": pattern}, "options": "i"}}}


def _write_search(condition: Condition, _type: FilterType) -> list[Query]:
    name, text = condition.name, condition.value
    if condition.is_nested:
        message = f"{name} is allowed only at the top of a filter, not inside and, or, not."
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=name)
    if len(text) > MAX_SEARCH:
        message = f"{name} has {len(text)} characters; the maximum is {MAX_SEARCH}."
        raise limit_exceeded(message, field=name, limit="search", maximum=MAX_SEARCH, actual=len(text))
    return [{"$text": {"$search": text}}] if text else []


# -- values of sort keys ---------------------------------------------------------------------------


def _write_is_set(condition: Condition, filter_type: FilterType) -> list[Query]:
    return [write_has_value(build_field_key(filter_type.sort_fields[field])) for field in condition.value]


def _write_is_unset(condition: Condition, filter_type: FilterType) -> list[Query]:
    return [{"$nor": [is_set]} for is_set in _write_is_set(condition, filter_type)]


def _write_metrics(condition: Condition, _type: FilterType) -> list[Query]:
    conditions: list[Query] = []
    for item in condition.value:
        key, bounds = build_metric_key(item), _read_bounds(item)
        if bounds:
            conditions += [write_has_value(key), {key.path: bounds}]
        conditions += _write_existence(key, item)
    return conditions


def _write_hyperparams(condition: Condition, _type: FilterType) -> list[Query]:
    conditions: list[Query] = []
    for item in condition.value:
        key = build_parameter_key(item, condition.name)
        if comparisons := _write_comparisons(item, condition.name):
            conditions.append({"$expr": write_parameter(key, {"$and": comparisons})})
        conditions += _write_existence(key, item)
    return conditions


def _write_comparisons(item: Mapping[str, Any], field: str) -> list[Query]:
    """The expressions over the `$$stored`, `$$text` and `$$number` of a hyperparameter."""
    comparisons: list[Query] = []
    if item.get("eq") is not None:
        comparisons.append(_write_is_one_of([item["eq"]]))
    if item.get("in") is not None:
        comparisons.append(_write_is_one_of(item["in"]))
    if item.get("matches"):
        pattern = {"$literal": _check_pattern(item["matches"], field)}
        comparisons.append({"$regexMatch": {"input": SHOWN_TEXT, "regex": pattern}})
    bounds = _read_bounds({**item, "eq": None})
    if bounds:  # null is less than every number
        comparisons.append({"$ne": ["$$number", None]})
    for operator, bound in bounds.items():
        comparisons.append({operator: ["$$number", bound]})
    return comparisons


def _write_is_one_of(texts: Sequence[str]) -> Query:
    values = [{"$literal": value} for text in texts for value in list_stored_values(text)]
    return {"$in": ["$$stored", values]}


def _write_existence(key: SortKey, item: Mapping[str, Any]) -> list[Query]:
    is_set = item.get("is_set")
    if is_set is None:
        return []
    return [write_has_value(key) if is_set else {"$nor": [write_has_value(key)]}]


def _write_nothing(_condition: Condition, _type: FilterType) -> list[Query]:
    """`includeSubprojects` changes the condition on the projects instead."""
    return []


# -- patterns and sizes ----------------------------------------------------------------------------


def _has_no_pattern(_value: Any) -> bool:
    return False


def _has_matches(hyperparams: Sequence[Mapping[str, Any]]) -> bool:
    return any(item.get("matches") for item in hyperparams)


def _count_values(value: Any) -> int:
    """A list of plain values counts once for each hundred of them; all else counts with its inner values."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_count_values, value.values()))
    if isinstance(value, list):
        structures = [item for item in value if not isinstance(item, str | int | float)]
        return len(value) // VALUES_OF_ONE_CONDITION + sum(map(_count_values, structures))
    return 0 if value is None else 1


# -- rows ------------------------------------------------------------------------------------------


class Operator(NamedTuple):
    """One operator: the functions of a condition that write its query, find its patterns and count its size."""

    write: Callable[[Condition, FilterType], list[Query]]
    has_pattern: Callable[[Any], bool] = _has_no_pattern
    count: Callable[[Any], int] = _count_values


OPERATORS: Mapping[str, Operator] = {
    "listed": Operator(_write_listed),
    "names": Operator(_write_listed),
    "types": Operator(_write_types),
    "statuses": Operator(_write_statuses),
    "equal": Operator(_write_equal),
    "unset": Operator(_write_unset),
    "pattern": Operator(_write_pattern, has_pattern=bool),
    "insensitive": Operator(_write_insensitive, has_pattern=bool),
    "all_match": Operator(_write_all_match, has_pattern=bool),
    "any_match": Operator(_write_any_match, has_pattern=bool),
    "text": Operator(_write_search),
    "dates": Operator(_write_dates, count=len),
    "date_range": Operator(_write_date_range),
    "is_set": Operator(_write_is_set, count=len),
    "is_unset": Operator(_write_is_unset, count=len),
    "metrics": Operator(_write_metrics),
    "hyperparams": Operator(_write_hyperparams, has_pattern=_has_matches),
    "subprojects": Operator(_write_nothing),
}
