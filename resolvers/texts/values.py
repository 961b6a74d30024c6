"""Values of a text, each with a key that is the same for equal values, and as it is shown."""

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
CONSTANTS = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}  # as Python writes them into JSON
INFINITE = {".inf", "-.inf", "+.inf", ".nan"}
PYTHON = {"None", "nan", "inf", "-inf"}  # what a dictionary of Python has without quotes
STR = "tag:yaml.org,2002:str"
YAML_1_1 = Resolver()

Path = tuple[str, ...]


class Scalar(NamedTuple):
    """`shown` stands alone, `inner` inside a list. The key of a text is the text in JSON quotes."""

    key: str
    shown: str
    inner: str

    @property
    def is_text(self) -> bool:
        return self.key.startswith('"')

    @property
    def name(self) -> str:
        """The scalar as a key of an object."""
        name: str = orjson.loads(self.key) if self.is_text else self.shown
        return name


@dataclass(slots=True)
class Items:
    values: list["Value"] = field(default_factory=list)
    tag: str = ""


@dataclass(slots=True)
class Fields:
    """`kinds` has the key of each name that is not a text."""

    values: dict[str, "Value"] = field(default_factory=dict)
    tag: str = ""
    kinds: dict[str, str] = field(default_factory=dict)


Value = Scalar | Items | Fields


# -- scalars ---------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """The text as JSON; raises UnreadError for half a surrogate pair."""
    try:
        return orjson.dumps(text).decode()
    except TypeError as error:
        raise UnreadError from error


def text_of(text: str, *, in_quotes: bool = False) -> Scalar:
    """A text is shown in JSON quotes where it would read as something else without them."""
    key = quoted(text)
    shown = key if in_quotes or _reads_otherwise(text) else text
    return Scalar(key, shown, key)


def plain(source: str) -> Scalar:
    """What stands without quotes: a number, true, false, null, another scalar of YAML, or a text."""
    if found := NUMBER.fullmatch(source):
        return _same(_canonical(found), source)
    if source in BOOLEANS:
        return _same(source.lower(), source)
    if source in NULLS:
        return _same("null", source or "null")
    if _is_infinite(source):
        return _same(source.lower().lstrip("+"), source)
    return _same(f"plain {source}", source) if _is_older_scalar(source) else text_of(source)


def constant(source: str) -> Scalar:
    """NaN, Infinity or -Infinity of JSON."""
    return _same(CONSTANTS[source], source)


def number(value: float) -> Scalar:
    """A stored number; an integer and a float of the same value have one key."""
    source = orjson.dumps(value).decode()
    return plain(str(int(value)) if value == int(value) else source)._replace(shown=source, inner=source)


def verbatim(kind: str, source: str) -> Scalar:
    """A source text whose meaning is left open, equal to none of another kind."""
    return _same(f"{kind} {quoted(source)}", source)


def _same(key: str, shown: str) -> Scalar:
    return Scalar(key, shown, shown)


def _canonical(found: re.Match[str]) -> str:
    """Sign, digits without zeros at either end, and exponent: exact at any length."""
    sign, whole, fraction, exponent = (part or "" for part in found.groups())
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0"
    significant = digits.rstrip("0")
    shift = int(exponent or 0) - len(fraction) + len(digits) - len(significant)
    return f"{sign.strip('+')}{significant}e{shift}"


def _is_infinite(source: str) -> bool:
    return source.lower() in INFINITE and _is_older_scalar(source)


def _is_older_scalar(source: str) -> bool:
    """Whether YAML 1.1 reads yes, 2026-01-01, 0x1F and the like as something else than a text."""
    return bool(YAML_1_1.resolve(ScalarNode, source, (True, False)) != STR)


def _reads_otherwise(text: str) -> bool:
    if not text:
        return False
    return text[0] in '"[{' or text in NULLS or text in CONSTANTS or not _is_plain_text(text)


def _is_plain_text(text: str) -> bool:
    return not (NUMBER.fullmatch(text) or text in BOOLEANS or text in PYTHON or _is_older_scalar(text))


# -- trees -----------------------------------------------------------------------------------------


def leaves(root: Value, budget: Budget) -> Iterator[tuple[Path, Scalar]]:
    """Every value inside objects by its path; a list is one value. Raises UnreadError beyond MAX_DEPTH."""
    waiting: list[tuple[Path, str, Value]] = [((), "", root)]
    while waiting:
        path, mark, value = waiting.pop()
        budget.spend(1 + len(path))
        if len(path) > MAX_DEPTH:
            raise UnreadError
        if isinstance(value, Fields) and value.values:
            if value.tag:
                yield path, _same(mark + value.tag, value.tag)
            for name, inner in value.values.items():
                waiting.append(((*path, name), mark + value.kinds.get(name, ""), inner))
        else:
            leaf = written(value, budget)
            yield path, leaf._replace(key=mark + leaf.key)


def written(value: Value, budget: Budget, depth: int = 0) -> Scalar:
    """A value as one line of JSON, its scalars as they are stored."""
    budget.spend()
    if isinstance(value, Scalar):
        return value
    if depth > MAX_DEPTH:
        raise UnreadError
    tag = value.tag and f"{value.tag} "
    if isinstance(value, Items):
        lines = [written(item, budget, depth + 1) for item in value.values]
        keys, shown = [line.key for line in lines], [line.inner for line in lines]
        return Scalar(f"{tag}[{','.join(keys)}]", *[f"{tag}[{','.join(shown)}]"] * 2)
    named = [(quoted(name), name, written(inner, budget, depth + 1)) for name, inner in value.values.items()]
    keys = sorted(f"{value.kinds.get(name, '')}{key}:{line.key}" for key, name, line in named)
    shown = [f"{key}:{line.inner}" for key, _, line in named]
    return Scalar(f"{tag}{{{','.join(keys)}}}", *[f"{tag}{{{','.join(shown)}}}"] * 2)
