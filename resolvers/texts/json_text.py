"""JSON → values. Numbers stay as they are written; a text with a repeated key is not read."""

import json
from typing import Any

from resolvers.texts.budget import MAX_DEPTH, Budget, RepeatedError, UnreadError
from resolvers.texts.values import (
    ListValue,
    ObjectValue,
    ParsedValue,
    ScalarValue,
    make_constant,
    make_string,
    make_verbatim,
    parse_plain,
)


def read_json(text: str, budget: Budget) -> ParsedValue:
    """Read a JSON text; raises RepeatedError, and UnreadError when it is not JSON."""
    budget.spend_text(text)
    try:
        tree = json.loads(
            text,
            parse_int=_parse_json_number,
            parse_float=_parse_json_number,
            parse_constant=make_constant,
            object_pairs_hook=_refuse_repeats,
        )
    except (ValueError, RecursionError) as error:
        raise UnreadError from error
    return _convert_json(tree, budget, 0)


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RepeatedError
    return fields


def _parse_json_number(source: str) -> ScalarValue:
    """Parse a number; one whose exponent has more than 18 digits stays as it is written."""
    number = parse_plain(source)
    return make_verbatim("number", source) if number.is_string else number


def _convert_json(tree: Any, budget: Budget, depth: int) -> ParsedValue:
    budget.spend()
    if depth > MAX_DEPTH:
        raise UnreadError
    match tree:
        case ScalarValue():
            return tree
        case str():
            return make_string(tree)
        case list():
            return ListValue([_convert_json(item, budget, depth + 1) for item in tree])
        case dict():
            return ObjectValue({name: _convert_json(inner, budget, depth + 1) for name, inner in tree.items()})
    return parse_plain(json.dumps(tree))
