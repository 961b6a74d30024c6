"""JSON → values. Numbers stay as they are written; a text that names a key twice is not read."""

import json
from typing import Any

from resolvers.texts.budget import MAX_DEPTH, Budget, UnreadError
from resolvers.texts.values import Fields, Items, Scalar, Value, constant, plain, text_of


def read_json(text: str, budget: Budget) -> Value:
    """Raises UnreadError for what is not JSON."""
    budget.spend_text(text)
    try:
        found = json.loads(text, parse_int=plain, parse_float=plain, parse_constant=constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UnreadError from error
    return _value(found, budget, 0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadError
    return found


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
