"""JSON → values. Numbers stay as they are written; a text that names a key twice is not read."""

import json
from typing import Any

from resolvers.texts.budget import MAX_DEPTH, Budget, RepeatedError, UnreadError
from resolvers.texts.values import Fields, Items, Scalar, Value, constant, plain, text_of, verbatim


def read_json(text: str, budget: Budget) -> Value:
    """Raises RepeatedError, and UnreadError for what is not JSON."""
    budget.spend_text(text)
    try:
        found = json.loads(
            text, parse_int=_number, parse_float=_number, parse_constant=constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise UnreadError from error
    return _value(found, budget, 0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedError
    return found


def _number(source: str) -> Scalar:
    """The number; one whose exponent is beyond all measure stays as it is written."""
    number = plain(source)
    return verbatim("number", source) if number.is_text else number


def _value(found: Any, budget: Budget, depth: int) -> Value:
    budget.spend()
    if depth > MAX_DEPTH:
        raise UnreadError
    match found:
        case Scalar():
            return found
        case str():
            return text_of(found)
        case list():
            return Items([_value(item, budget, depth + 1) for item in found])
        case dict():
            return Fields({name: _value(inner, budget, depth + 1) for name, inner in found.items()})
    return plain(json.dumps(found))
