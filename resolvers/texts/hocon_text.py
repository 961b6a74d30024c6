"""HOCON → values, as far as it needs nothing but the text: no includes, no substitutions, one pass.

A value with `${…}` is its source text. What this reader does not fully understand (an include, `+=`, a value that is
set twice, objects put together) it does not read at all.
"""

import re

import orjson

from resolvers.texts.budget import MAX_DEPTH, Budget, UnreadError
from resolvers.texts.values import CONSTANTS, Fields, Items, Scalar, Value, constant, plain, quoted, text_of, verbatim

STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
BLANKS = re.compile(r"(?:[ \t\r\ufeff]|#[^\n]*+|//[^\n]*+)*+")
GAP = re.compile(r"(?:[ \t\r\ufeff\n]|#[^\n]*+|//[^\n]*+)*+")
NAME = re.compile(rf"({STRING})|(?!')[^\s\"{{}}\[\]():=,+#`^?!@*&\\$.]+")
PART = re.compile(rf"({STRING})|(\$\{{[^}}\n]*\}})|[^\s\"{{}}\[\],=$#/:]+|[$#/]|:(?!\s)|[ \t\r]+(?!\s|[}},\]]|#|//|\Z)")
LONG = '"""'


def read_hocon(text: str, budget: Budget) -> Value:
    """Raises UnreadError for what is not HOCON or needs more than the text."""
    budget.spend_text(text)
    return _Reader(text, budget).read()


class _Reader:
    def __init__(self, text: str, budget: Budget) -> None:
        self._text = text
        self._budget = budget
        self._at = 0

    def read(self) -> Value:
        self._skip(GAP)
        if self._next() and self._next() in "{[":
            root = self._collection(1)
            self._skip(GAP)
            self._expect("")
            return root
        fields = self._fields(1, "")
        if not fields.values:
            raise UnreadError
        return fields

    # -- collections -------------------------------------------------------------------------------

    def _collection(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise UnreadError
        opening = self._next()
        self._at += 1
        found = self._fields(depth, "}") if opening == "{" else self._items(depth)
        self._at += 1
        return found

    def _fields(self, depth: int, end: str) -> Fields:
        found = Fields()
        self._skip(GAP)
        while self._next() != end:
            self._budget.spend()
            path = self._path()
            if depth + len(path) > MAX_DEPTH:
                raise UnreadError
            self._skip(BLANKS)
            if self._next() != "{":
                self._expect("=", ":")
                self._at += 1
            self._put(found, path, self._value(depth + len(path)))
            self._end_value()
        return found

    def _items(self, depth: int) -> Items:
        found = Items()
        self._skip(GAP)
        while self._next() != "]":
            self._budget.spend()
            found.values.append(self._value(depth + 1))
            self._end_value()
        return found

    def _path(self) -> list[str]:
        path = [self._name()]
        while self._next() == ".":
            self._at += 1
            path.append(self._name())
        return path

    def _name(self) -> str:
        found = NAME.match(self._text, self._at)
        if not found:
            raise UnreadError
        self._at = found.end()
        return _unquoted(found[1]) if found[1] else found[0]

    def _put(self, fields: Fields, path: list[str], value: Value) -> None:
        *outer, name = path
        for part in outer:
            inner = fields.values.setdefault(part, Fields())
            if not isinstance(inner, Fields):
                raise UnreadError
            fields = inner
        known = fields.values.get(name)
        if known is None:
            fields.values[name] = value
        elif isinstance(known, Fields) and isinstance(value, Fields):
            for inner_name, inner_value in value.values.items():
                self._budget.spend()
                self._put(known, [inner_name], inner_value)
        else:
            raise UnreadError

    # -- values ------------------------------------------------------------------------------------

    def _value(self, depth: int) -> Value:
        self._skip(BLANKS)
        if self._next() and self._next() in "{[":
            return self._collection(depth + 1)
        if self._text.startswith(LONG, self._at):
            return self._long_text()
        return self._line()

    def _long_text(self) -> Scalar:
        start = self._at + len(LONG)
        end = self._text.find(LONG, start)
        if end < 0:
            raise UnreadError
        while self._text.startswith(LONG, end + 1):  # further quotes at the end belong to the text
            end += 1
        self._at = end + len(LONG)
        return _text(self._text[start:end])

    def _line(self) -> Scalar:
        start, parts = self._at, []
        while part := PART.match(self._text, self._at):
            parts.append(part)
            self._at = part.end()
        source = self._text[start : self._at].strip()
        if not source or " /*" in f" {source}":  # a comment of another format
            raise UnreadError
        if len(parts) == 1 and parts[0][1]:
            return _text(_unquoted(source))
        is_open = any(part[1] or part[2] for part in parts)
        return verbatim("hocon", source) if is_open else _without_quotes(source)

    def _end_value(self) -> None:
        """Skip what separates a value from the next one: the end of the line, a comma, or both."""
        self._skip(BLANKS)
        self._expect("\n", ",", "}", "]", "")
        self._skip(GAP)
        if self._next() == ",":
            self._at += 1
            self._skip(GAP)

    # -- characters --------------------------------------------------------------------------------

    def _next(self) -> str:
        """The next character, "" at the end."""
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _expect(self, *characters: str) -> None:
        if self._next() not in characters:
            raise UnreadError


def _without_quotes(source: str) -> Scalar:
    """A value without quotes. `NaN` is a number of JSON that Python wrote; `~`, which is null in YAML, is a text."""
    if source in CONSTANTS:
        return constant(source)
    return text_of(source) if source == "~" else plain(source)


def _text(text: str) -> Scalar:
    """In quotes `${…}` is a text, without them a substitution: the quotes stay."""
    return text_of(text, in_quotes="${" in text)


def _unquoted(source: str) -> str:
    try:
        text: str = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise UnreadError from error
    quoted(text)
    return text
