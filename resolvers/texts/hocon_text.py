"""HOCON → values in one pass, without includes and substitutions.

A value with `${…}` stays its source text. The reader refuses a text that it does not fully understand: one with an
include, `+=`, a value that is set twice, or concatenated objects.
"""

import re

import orjson

from resolvers.texts.budget import MAX_DEPTH, Budget, UnreadError
from resolvers.texts.values import (
    CONSTANTS,
    ListValue,
    ObjectValue,
    ParsedValue,
    ScalarValue,
    make_constant,
    make_string,
    make_verbatim,
    parse_plain,
    quote_json,
)

STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
BLANKS = re.compile(r"(?:[ \t\r\ufeff]|#[^\n]*+|//[^\n]*+)*+")
GAP = re.compile(r"(?:[ \t\r\ufeff\n]|#[^\n]*+|//[^\n]*+)*+")
NAME = re.compile(rf"({STRING})|(?!')[^\s\"{{}}\[\]():=,+#`^?!@*&\\$.]+")
TOKEN = re.compile(
    rf"({STRING})|(\$\{{[^}}\n]*\}})|[^\s\"{{}}\[\],=$#/:]+|[$#/]|:(?!\s)|[ \t\r]+(?!\s|[}},\]]|#|//|\Z)"
)
LONG_QUOTES = '"""'


def read_hocon(text: str, budget: Budget) -> ParsedValue:
    """Read a HOCON text; raises UnreadError when it is not HOCON or needs more than the text itself."""
    budget.spend_text(text)
    return _HoconReader(text, budget).read()


class _HoconReader:
    def __init__(self, text: str, budget: Budget) -> None:
        self._text = text
        self._budget = budget
        self._position = 0

    def read(self) -> ParsedValue:
        self._skip(GAP)
        if self._peek() and self._peek() in "{[":
            root = self._read_collection(1)
            self._skip(GAP)
            self._expect("")
            return root
        fields = self._read_fields(1, "")
        if not fields.values:
            raise UnreadError
        return fields

    # -- collections -------------------------------------------------------------------------------

    def _read_collection(self, depth: int) -> ParsedValue:
        if depth > MAX_DEPTH:
            raise UnreadError
        opening = self._peek()
        self._position += 1
        collection = self._read_fields(depth, "}") if opening == "{" else self._read_items(depth)
        self._position += 1
        return collection

    def _read_fields(self, depth: int, end: str) -> ObjectValue:
        fields = ObjectValue()
        self._skip(GAP)
        while self._peek() != end:
            self._budget.spend()
            path = self._read_path()
            if depth + len(path) > MAX_DEPTH:
                raise UnreadError
            self._skip(BLANKS)
            if self._peek() != "{":
                self._expect("=", ":")
                self._position += 1
            self._set_field(fields, path, self._read_value(depth + len(path)))
            self._end_value()
        return fields

    def _read_items(self, depth: int) -> ListValue:
        items = ListValue()
        self._skip(GAP)
        while self._peek() != "]":
            self._budget.spend()
            items.values.append(self._read_value(depth + 1))
            self._end_value()
        return items

    def _read_path(self) -> list[str]:
        path = [self._read_name()]
        while self._peek() == ".":
            self._position += 1
            path.append(self._read_name())
        return path

    def _read_name(self) -> str:
        name = NAME.match(self._text, self._position)
        if not name:
            raise UnreadError
        self._position = name.end()
        return _decode_string(name[1]) if name[1] else name[0]

    def _set_field(self, fields: ObjectValue, path: list[str], value: ParsedValue) -> None:
        *outer_names, name = path
        for outer_name in outer_names:
            inner = fields.values.setdefault(outer_name, ObjectValue())
            if not isinstance(inner, ObjectValue):
                raise UnreadError
            fields = inner
        previous = fields.values.get(name)
        if previous is None:
            fields.values[name] = value
        elif isinstance(previous, ObjectValue) and isinstance(value, ObjectValue):
            for inner_name, inner_value in value.values.items():
                self._budget.spend()
                self._set_field(previous, [inner_name], inner_value)
        else:
            raise UnreadError

    # -- values ------------------------------------------------------------------------------------

    def _read_value(self, depth: int) -> ParsedValue:
        self._skip(BLANKS)
        if self._peek() and self._peek() in "{[":
            return self._read_collection(depth + 1)
        if self._text.startswith(LONG_QUOTES, self._position):
            return self._read_long_string()
        return self._read_line()

    def _read_long_string(self) -> ScalarValue:
        start = self._position + len(LONG_QUOTES)
        end = self._text.find(LONG_QUOTES, start)
        if end < 0:
            raise UnreadError
        while self._text.startswith(LONG_QUOTES, end + 1):  # further quotes at the end belong to the string
            end += 1
        self._position = end + len(LONG_QUOTES)
        return _make_hocon_string(self._text[start:end])

    def _read_line(self) -> ScalarValue:
        start, tokens = self._position, []
        while token := TOKEN.match(self._text, self._position):
            tokens.append(token)
            self._position = token.end()
        source = self._text[start : self._position].strip()
        if not source or " /*" in f" {source}":  # another format has this comment
            raise UnreadError
        if len(tokens) == 1 and tokens[0][1]:
            return _make_hocon_string(_decode_string(source))
        has_string_or_substitution = any(token[1] or token[2] for token in tokens)
        return make_verbatim("hocon", source) if has_string_or_substitution else _parse_unquoted(source)

    def _end_value(self) -> None:
        """Skip the end of the line, the comma or both that separate a value from the next one."""
        self._skip(BLANKS)
        self._expect("\n", ",", "}", "]", "")
        self._skip(GAP)
        if self._peek() == ",":
            self._position += 1
            self._skip(GAP)

    # -- characters --------------------------------------------------------------------------------

    def _peek(self) -> str:
        """Look at the next character; "" at the end."""
        return self._text[self._position : self._position + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if gap := pattern.match(self._text, self._position):
            self._position = gap.end()

    def _expect(self, *characters: str) -> None:
        if self._peek() not in characters:
            raise UnreadError


def _parse_unquoted(source: str) -> ScalarValue:
    """Parse a value without quotes. `NaN` is a number that Python wrote as JSON; `~`, null in YAML, is a string."""
    if source in CONSTANTS:
        return make_constant(source)
    return make_string(source) if source == "~" else parse_plain(source)


def _make_hocon_string(text: str) -> ScalarValue:
    """Make a string that keeps its quotes around `${…}`, which is a substitution without them."""
    return make_string(text, in_quotes="${" in text)


def _decode_string(source: str) -> str:
    try:
        text: str = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise UnreadError from error
    quote_json(text)
    return text
