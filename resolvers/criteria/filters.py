"""Filter input → MongoDB query. One row an operator; which field has which operator is said in HOCON. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from models.types import Query
from resolvers.criteria.dates import parse_date_constraint, write_date_bound
from resolvers.criteria.sort_keys import (
    SHOWN_TEXT,
    VIEWS,
    SortKey,
    build_field_key,
    build_metric_key,
    build_parameter_key,
    list_stored_values,
    write_has_value,
    write_parameter,
)
from resolvers.errors import ErrorCode, InputError, limit_exceeded
from schema.spec import EnumSpec, FieldSpec, ListOf, ObjectSpec, Ref, ScalarType, Spec

MAX_PATTERN = 256
MAX_NESTING = 16
MAX_CONDITIONS = 500
MAX_SEARCH = 1000
LISTED = {"is_set", "is_unset", "status_changed"}  # of which each item is a condition

Text = str | Query  # the stored path of a text, or an expression of it


@dataclass(frozen=True, slots=True)
class Filters:
    """A filter input: its fields, the texts that patterns may name, and the fields that can be set or unset."""

    spec: ObjectSpec
    texts: Mapping[str, Text]
    sortable: Mapping[str, FieldSpec]
    nesting: int = 0


Operator = Callable[[str, str, Any, Filters], list[Query]]


def filters_of(spec: Spec, collection: str) -> Filters:
    of = spec.get_object(collection)
    return Filters(spec.get_object(f"{collection}_filter"), text_paths(spec, of), of.sort_fields)


def to_query(given: Mapping[str, Any], filters: Filters) -> Query:
    """The query for a filter input, by HOCON names.

    Null and absent ask for nothing. Raises InputError and LimitError with the field's GraphQL name.
    """
    conditions: list[Query] = []
    for field in filters.spec.fields:
        value = given.get(field.name)
        if value is not None and field.filter_kind:
            path = field.stored_paths[0] if field.stored_paths else field.name
            conditions += OPERATORS[field.filter_kind](path, field.graphql_name, value, filters)
    return join_conditions(*conditions)


def refuse_large(given: Mapping[str, Any]) -> None:
    """Raises LimitError for a filter that is too deep, or has so many conditions that building it would take long."""
    conditions, depth = _size(given)
    for name, actual, maximum in (("filterDepth", depth, MAX_NESTING), ("conditions", conditions, MAX_CONDITIONS)):
        if actual > maximum:
            message = f"A filter has at most {maximum} of {name}."
            raise limit_exceeded(message, field="filter", limit=name, maximum=maximum, actual=actual)


def _size(given: Mapping[str, Any]) -> tuple[int, int]:
    """How many conditions a filter has, and how deep filters are within it."""
    inner = [*(given.get("and") or ()), *(given.get("or") or ()), *filter(None, [given.get("not")])]
    own = sum(
        len(value or ()) if name in LISTED else _conditions(value)
        for name, value in given.items() if name not in ("and", "or", "not")
    )  # fmt: skip
    sizes = [_size(filter_) for filter_ in inner]
    return own + sum(count for count, _ in sizes) + len(inner), 1 + max((depth for _, depth in sizes), default=-1)


def _conditions(value: Any) -> int:
    """A list of plain values is one condition for each hundred of them; everything else counts with its parts."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_conditions, value.values()))
    if isinstance(value, list):
        return len(value) // 100 + sum(_conditions(item) for item in value if not isinstance(item, str | int | float))
    return 0 if value is None else 1


def patterned(given: Mapping[str, Any], filters: Filters) -> set[str]:
    """The GraphQL names of the fields of a filter that hold regular expressions."""
    inner = [*(given.get("and") or ()), *(given.get("or") or ()), *filter(None, [given.get("not")])]
    own = {
        field.graphql_name for field in filters.spec.fields if _has_pattern(field.filter_kind, given.get(field.name))
    }
    return own.union(*(patterned(part, filters) for part in inner))


def _has_pattern(operator: str | None, value: Any) -> bool:
    if operator == "hyperparams":
        return any(item.get("matches") for item in value or ())
    return operator in ("pattern", "insensitive", "all_match", "any_match") and bool(value)


def join_conditions(*conditions: Query) -> Query:
    """The conjunction; conditions that ask for nothing are left out."""
    said = [condition for condition in conditions if condition]
    return {"$and": said} if len(said) > 1 else said[0] if said else {}


def text_paths(spec: Spec, of: ObjectSpec) -> dict[str, Text]:
    """GraphQL path → where every text below a definition is: strings, ids, enums and lists of them."""
    return dict(_texts(spec, of, "", "", {of.name}))


def _texts(spec: Spec, of: ObjectSpec, shown: str, stored: str, seen: set[str]) -> list[tuple[str, Text]]:
    found: list[tuple[str, Text]] = []
    for name, output_field in of.output_fields.items():
        inner = spec.definitions.get(output_field.type.name) if isinstance(output_field.type, Ref) else None
        if output_field.layout_reader and output_field.layout_reader in VIEWS:
            found.append((shown + name, VIEWS[output_field.layout_reader]))
        if output_field.layout_reader or output_field.map_view or output_field.relation or output_field.related:
            continue
        path = output_field.stored_paths[0] if output_field.stored_paths else stored + output_field.name
        if _is_text(spec, output_field):
            found.append((shown + name, path))
        elif isinstance(inner, ObjectSpec) and inner.name not in seen:
            found += _texts(spec, inner, f"{shown}{name}.", f"{path}.", seen | {inner.name})
    return found


def _is_text(spec: Spec, output_field: FieldSpec) -> bool:
    type_ = output_field.type.item if isinstance(output_field.type, ListOf) else output_field.type
    if isinstance(type_, Ref):
        return isinstance(spec.definitions[type_.name], EnumSpec)
    return type_ in (ScalarType("String"), ScalarType("ID"))


class Sides(NamedTuple):
    """What a list of values includes, and what it excludes by a leading `-`."""

    include: list[str]
    exclude: list[str]


def sides(values: Sequence[str]) -> Sides:
    return Sides(
        [value for value in values if not value.startswith("-")],
        [value[1:] for value in values if value.startswith("-")],
    )


def _listed(path: str, _name: str, values: Sequence[str] | Sides, _filters: Filters) -> list[Query]:
    """Includes are alternatives, and all that is excluded is."""
    include, exclude = values if isinstance(values, Sides) else sides(values)
    conditions: list[Query] = [{path: {"$in": include}}] if include else []
    return conditions + ([{path: {"$nin": exclude}}] if exclude else [])


def _types(path: str, name: str, values: Sequence[str], filters: Filters) -> list[Query]:
    return _listed(path, name, [value.lower() for value in values], filters)


def _statuses(path: str, _name: str, values: Sequence[str], _filters: Filters) -> list[Query]:
    return [{path: {"$in": list(values)}}] if values else []


def _equal(path: str, _name: str, value: str, _filters: Filters) -> list[Query]:
    return [{path: value}]


def _pattern(path: str, name: str, value: str, _filters: Filters) -> list[Query]:
    return [{path: {"$regex": _checked(value, name)}}] if value else []


def _insensitive(path: str, name: str, value: str, _filters: Filters) -> list[Query]:
    return [{path: {"$regex": _checked(value, name), "$options": "i"}}] if value else []


def _unset(path: str, _name: str, value: bool, _filters: Filters) -> list[Query]:
    return [{path: {"$in" if value else "$nin": [None, ""]}}]


def _text(_path: str, name: str, value: str, filters: Filters) -> list[Query]:
    if filters.nesting:
        message = f"{name} stands only at the top of a filter, not within and, or, not."
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=name)
    if len(value) > MAX_SEARCH:
        message = f"A search has at most {MAX_SEARCH} characters."
        raise limit_exceeded(message, field=name, limit="search", maximum=MAX_SEARCH, actual=len(value))
    return [{"$text": {"$search": value}}] if value else []


def _dates(path: str, name: str, values: Sequence[str], _filters: Filters) -> list[Query]:
    no_list: Query = {"$not": {"$type": "array"}}
    return [{path: {**parse_date_constraint(value, name), **no_list}} for value in values]


def _match(combine: str) -> Operator:
    def match(_path: str, name: str, value: Mapping[str, Any], filters: Filters) -> list[Query]:
        pattern, asked = value.get("pattern"), value.get("fields")
        if pattern is None or asked is None:
            raise InputError(ErrorCode.VALIDATION_ERROR, f"{name} needs both pattern and fields.", field=name)
        fields = dict.fromkeys(asked)
        for field in fields:
            if field not in filters.texts:
                message = f"{field!r} is no text field of a task; those are {', '.join(filters.texts)}."
                raise InputError(ErrorCode.INVALID_FIELDS, message, field=name)
        checked = _checked(pattern, name)
        return [{combine: [_matching(filters.texts[field], checked) for field in fields]}] if fields else []

    return match


def _matching(text: Text, pattern: str) -> Query:
    if isinstance(text, str):
        return {text: {"$regex": pattern, "$options": "i"}}
    return {"$expr": {"$regexMatch": {"input": text, "regex": {"$literal": pattern}, "options": "i"}}}


def _date_range(path: str, _name: str, value: Mapping[str, Any], _filters: Filters) -> list[Query]:
    compared: dict[str, Any] = {}
    for operator, when in _comparison(value).items():
        compared |= write_date_bound(operator, when)
    return [{path: {**compared, "$not": {"$type": "array"}}}] if compared else []


def _is_set(_path: str, _name: str, values: Sequence[str], filters: Filters) -> list[Query]:
    return [write_has_value(build_field_key(filters.sortable[value])) for value in values]


def _is_unset(_path: str, _name: str, values: Sequence[str], filters: Filters) -> list[Query]:
    return [{"$nor": [write_has_value(build_field_key(filters.sortable[value]))]} for value in values]


def _metrics(_path: str, _name: str, values: Sequence[Mapping[str, Any]], _filters: Filters) -> list[Query]:
    return [condition for value in values for condition in _metric(value)]


def _metric(value: Mapping[str, Any]) -> list[Query]:
    key, compared = build_metric_key(value), _comparison(value)
    conditions = [write_has_value(key), {key.path: compared}] if compared else []
    return conditions + _existence(key, value)


def _hyperparams(_path: str, name: str, values: Sequence[Mapping[str, Any]], _filters: Filters) -> list[Query]:
    return [condition for value in values for condition in _hyperparam(value, name)]


def _hyperparam(value: Mapping[str, Any], name: str) -> list[Query]:
    key = build_parameter_key(value, name)
    conditions: list[Query] = []
    if value.get("eq") is not None:
        conditions.append(_is_one_of([value["eq"]]))
    if value.get("in") is not None:
        conditions.append(_is_one_of(value["in"]))
    if value.get("matches"):
        pattern = {"$literal": _checked(value["matches"], name)}
        conditions.append({"$regexMatch": {"input": SHOWN_TEXT, "regex": pattern}})
    bounds = _comparison({**value, "eq": None})
    if bounds:  # null is less than every number
        conditions += [{"$ne": ["$$number", None]}, *({name: ["$$number", bound]} for name, bound in bounds.items())]
    all_of_it = [{"$expr": write_parameter(key, {"$and": conditions})}] if conditions else []
    return all_of_it + _existence(key, value)


def _is_one_of(texts: Sequence[str]) -> Query:
    return {"$in": ["$$stored", [{"$literal": stored} for text in texts for stored in list_stored_values(text)]]}


def _existence(key: SortKey, value: Mapping[str, Any]) -> list[Query]:
    asked = value.get("is_set")
    if asked is None:
        return []
    return [write_has_value(key) if asked else {"$nor": [write_has_value(key)]}]


def _comparison(value: Mapping[str, Any]) -> dict[str, Any]:
    return {f"${name}": value[name] for name in ("eq", "gt", "gte", "lt", "lte") if value.get(name) is not None}


def _and(_path: str, _name: str, values: Sequence[Mapping[str, Any]], filters: Filters) -> list[Query]:
    return [_nested(value, filters) for value in values]


def _or(_path: str, name: str, values: Sequence[Mapping[str, Any]], filters: Filters) -> list[Query]:
    if not values:
        message = f"{name} needs at least one filter; leave it out to ask for nothing."
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=name)
    return [{"$or": [_nested(value, filters) for value in values]}]


def _not(_path: str, _name: str, value: Mapping[str, Any], filters: Filters) -> list[Query]:
    return [{"$nor": [_nested(value, filters)]}]


def _nested(value: Mapping[str, Any], filters: Filters) -> Query:
    return to_query(value, replace(filters, nesting=filters.nesting + 1))


OPERATORS: Mapping[str, Operator] = {
    "listed": _listed,
    "names": _listed,
    "types": _types,
    "statuses": _statuses,
    "equal": _equal,
    "pattern": _pattern,
    "insensitive": _insensitive,
    "unset": _unset,
    "dates": _dates,
    "text": _text,
    "all_match": _match("$and"),
    "any_match": _match("$or"),
    "subprojects": lambda *_: [],  # widens `project` before this: resolvers/criteria/subprojects.py
    "date_range": _date_range,
    "is_set": _is_set,
    "is_unset": _is_unset,
    "metrics": _metrics,
    "hyperparams": _hyperparams,
    "and": _and,
    "or": _or,
    "not": _not,
}


def _checked(pattern: str, name: str) -> str:
    if len(pattern) > MAX_PATTERN:
        message = f"A pattern has at most {MAX_PATTERN} characters."
        raise limit_exceeded(message, field=name, limit="pattern", maximum=MAX_PATTERN, actual=len(pattern))
    if "\0" in pattern:
        raise InputError(ErrorCode.INVALID_REGEX_ERROR, "A pattern can't hold a NUL character.", field=name)
    return pattern
