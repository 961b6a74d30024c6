"""Values that a text holds. Values that are equal have equal keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from yaml import ScalarNode
from yaml.resolver import Resolver

from resolvers.texts.budget import MAX_DEPTH, Budget, UnreadError

NUMBER = re.compile(r"([-+]?)(0|[1-9][0-9]*|(?=\.[0-9]))(?:\.([0-9]*))?(?:[eE]([-+]?[0-9]{1,18}))?", re.ASCII)
NULLS = {"", "~", "null", "Null", "NULL"}
BOOLEANS = {"true", "True", "TRUE", "false", "False", "FALSE"}
CONSTANTS = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}  # as Python writes them in JSON
INFINITE = {".inf", "-.inf", "+.inf", ".nan"}
PYTHON = {"None", "nan", "inf", "-inf"}  # constants of Python, which a Python dictionary holds without quotes
STR = "tag:yaml.org,2002:str"
YAML_1_1 = Resolver()

NamePath = tuple[str, ...]


class ScalarValue(NamedTuple):
    """One value with its key: `text` where it stands alone, `text_in_list` inside a list.

    The key of a string is the string in JSON quotes.
    """

    key: str
    text: str
    text_in_list: str

    @property
    def is_string(self) -> bool:
        return self.key.startswith('"')

    @property
    def field_name(self) -> str:
        """The scalar as the name of a field of an object."""
        field_name: str = orjson.loads(self.key) if self.is_string else self.text
        return field_name


@dataclass(slots=True)
class ListValue:
    values: list["ParsedValue"] = field(default_factory=list)
    tag: str = ""


@dataclass(slots=True)
class ObjectValue:
    """`name_keys` holds a key for each name that is not a string, such as the number 1."""

    values: dict[str, "ParsedValue"] = field(default_factory=dict)
    tag: str = ""
    name_keys: dict[str, str] = field(default_factory=dict)


ParsedValue = ScalarValue | ListValue | ObjectValue


# -- scalars ---------------------------------------------------------------------------------------


def quote_json(text: str) -> str:
    """Quote a text as JSON does; raises UnreadError for half a surrogate pair."""
    try:
        return orjson.dumps(text).decode()
    except TypeError as error:
        raise UnreadError from error


def make_string(text: str, *, in_quotes: bool = False) -> ScalarValue:
    """Make a string, with JSON quotes around its text where it would read as something else without them."""
    quoted = quote_json(text)
    return ScalarValue(quoted, quoted if in_quotes or _needs_quotes(text) else text, quoted)


def parse_plain(source: str) -> ScalarValue:
    """Parse a source without quotes: a number, true, false, null, another scalar of YAML, or a string."""
    if number := NUMBER.fullmatch(source):
        return _make_scalar(_normalize_number(number), source)
    if source in BOOLEANS:
        return _make_scalar(source.lower(), source)
    if source in NULLS:
        return _make_scalar("null", source or "null")
    if _is_older_infinity(source):
        return _make_scalar(source.lower().lstrip("+"), source)
    return _make_scalar(f"plain {source}", source) if _is_older_scalar(source) else make_string(source)


def make_constant(source: str) -> ScalarValue:
    """Make NaN, Infinity or -Infinity of JSON."""
    return _make_scalar(CONSTANTS[source], source)


def make_number(value: float) -> ScalarValue:
    """Make a number that is stored as one; an integer and a float of the same value have the same key."""
    source = orjson.dumps(value).decode()
    return parse_plain(str(int(value)) if value == int(value) else source)._replace(text=source, text_in_list=source)


def make_verbatim(kind: str, source: str) -> ScalarValue:
    """Make a scalar of a source that is not interpreted; it never equals one of another kind."""
    return _make_scalar(f"{kind} {quote_json(source)}", source)


def _make_scalar(key: str, text: str) -> ScalarValue:
    return ScalarValue(key, text, text)


def _normalize_number(number: re.Match[str]) -> str:
    """Write sign, digits without zeros at either end, and exponent; exact at any length."""
    sign, integer, fraction, exponent = (group or "" for group in number.groups())
    digits = (integer + fraction).lstrip("0")
    if not digits:
        return "0"
    significant = digits.rstrip("0")
    shift = int(exponent or 0) - len(fraction) + len(digits) - len(significant)
    return f"{sign.strip('+')}{significant}e{shift}"


def _is_older_infinity(source: str) -> bool:
    return source.lower() in INFINITE and _is_older_scalar(source)


def _is_older_scalar(source: str) -> bool:
    """Whether YAML 1.1 reads a source as another scalar than a string, such as yes, 2026-01-01 and 0x1F."""
    return bool(YAML_1_1.resolve(ScalarNode, source, (True, False)) != STR)


def _needs_quotes(text: str) -> bool:
    if not text:
        return False
    return text[0] in '"[{' or text in NULLS or text in CONSTANTS or not _is_plain_text(text)


def _is_plain_text(text: str) -> bool:
    return not (NUMBER.fullmatch(text) or text in BOOLEANS or text in PYTHON or _is_older_scalar(text))


# -- trees -----------------------------------------------------------------------------------------


def walk_leaves(root: ParsedValue, budget: Budget) -> Iterator[tuple[NamePath, ScalarValue]]:
    """Yield each value inside objects with its path; a list is one value. Raises UnreadError beyond MAX_DEPTH."""
    waiting: list[tuple[NamePath, str, ParsedValue]] = [((), "", root)]
    while waiting:
        path, key_prefix, value = waiting.pop()
        budget.spend(1 + len(path))
        if len(path) > MAX_DEPTH:
            raise UnreadError
        if isinstance(value, ObjectValue) and value.values:
            if value.tag:
                yield path, _make_scalar(key_prefix + value.tag, value.tag)
            for name, inner in value.values.items():
                waiting.append(((*path, name), key_prefix + value.name_keys.get(name, ""), inner))
        else:
            leaf = write_json_line(value, budget)
            yield path, leaf._replace(key=key_prefix + leaf.key)


def write_json_line(value: ParsedValue, budget: Budget, depth: int = 0) -> ScalarValue:
    """Write a value as one line of JSON, its scalars as the text has them."""
    budget.spend()
    if isinstance(value, ScalarValue):
        return value
    if depth > MAX_DEPTH:
        raise UnreadError
    tag = value.tag and f"{value.tag} "
    if isinstance(value, ListValue):
        lines = [write_json_line(item, budget, depth + 1) for item in value.values]
        keys = ",".join(line.key for line in lines)
        texts = ",".join(line.text_in_list for line in lines)
        return _make_scalar(f"{tag}[{keys}]", f"{tag}[{texts}]")
    field_keys: list[str] = []
    field_texts: list[str] = []
    for name, inner in value.values.items():
        quoted, line = quote_json(name), write_json_line(inner, budget, depth + 1)
        field_keys.append(f"{value.name_keys.get(name, '')}{quoted}:{line.key}")
        field_texts.append(f"{quoted}:{line.text_in_list}")
    return _make_scalar(f"{tag}{{{','.join(sorted(field_keys))}}}", f"{tag}{{{','.join(field_texts)}}}")
