"""YAML → values, event by event. Tags construct nothing and stay texts; an alias costs as much as its value."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from resolvers.texts.budget import MAX_DEPTH, Budget, RepeatedError, UnreadError
from resolvers.texts.values import (
    PYTHON,
    STR,
    ListValue,
    ObjectValue,
    ParsedValue,
    ScalarValue,
    make_string,
    make_verbatim,
    parse_plain,
)

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PREFIX = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{PREFIX}{name}" for name in ("int", "float", "bool", "null")}
COLLECTION_TAGS = {None, "!", f"{PREFIX}map", f"{PREFIX}seq"}
MERGE = parse_plain("<<").key
UNUSUAL = set('{}[]"=,')  # in a key without quotes they show another format, such as HOCON
COMMENTS = (" //", " /*")  # of JavaScript, HOCON and JSON with comments, but not of YAML


def read_yaml(text: str, budget: Budget, *, is_certain: bool = True) -> ParsedValue:
    """Read a YAML text; raises RepeatedError, and UnreadError when it is not exactly one YAML document.

    Unless `is_certain`, it also raises UnreadError for signs of another format.
    """
    budget.spend_text(text)
    if "%TAG" in text:  # the parser takes quadratic time for these
        raise UnreadError
    try:
        return _YamlReader(text, budget, is_certain=is_certain).read(yaml.parse(text, Loader=LOADER))
    except (yaml.YAMLError, UnicodeError) as error:
        raise UnreadError from error


class _OpenMapping:
    """A mapping that is being read; it receives key, value, key, value."""

    def __init__(self, fields: ObjectValue, *, is_flow: bool) -> None:
        self.value = fields
        self.is_flow = is_flow
        self.key: ScalarValue | None = None
        self._merged: list[ParsedValue] = []

    def add(self, value: ParsedValue) -> None:
        if self.key is None:
            if not isinstance(value, ScalarValue):
                raise UnreadError
            self.key = value
            return
        self._set_field(self.key, value)
        self.key = None

    def _set_field(self, key: ScalarValue, value: ParsedValue) -> None:
        if key.key == MERGE:
            self._merged.append(value)
            return
        if key.field_name in self.value.values:
            raise RepeatedError
        self.value.values[key.field_name] = value
        if not key.is_string:
            self.value.name_keys[key.field_name] = f"{key.key}:"

    def close(self, budget: Budget) -> None:
        """Copy the fields of the mappings that `<<` names, except those that the mapping has itself."""
        for base in self._list_merged_values():
            if not isinstance(base, ObjectValue) or base.tag or base is self.value:
                raise UnreadError
            budget.spend(len(base.values))
            for name, inner in base.values.items():
                if name not in self.value.values:
                    self.value.values[name] = inner
                    self.value.name_keys |= {name: base.name_keys[name]} if name in base.name_keys else {}

    def _list_merged_values(self) -> Iterator[ParsedValue]:
        for merged in self._merged:
            yield from merged.values if isinstance(merged, ListValue) else [merged]


class _OpenSequence:
    """A sequence that is being read."""

    def __init__(self, items: ListValue, *, is_flow: bool) -> None:
        self.value = items
        self.is_flow = is_flow

    def add(self, value: ParsedValue) -> None:
        self.value.values.append(value)

    def close(self, _budget: Budget) -> None:
        pass


class _YamlReader:
    def __init__(self, text: str, budget: Budget, *, is_certain: bool) -> None:
        self._text = text
        self._budget = budget
        self._is_certain = is_certain
        self._open: list[_OpenMapping | _OpenSequence] = []
        self._anchors: dict[str, ParsedValue] = {}
        self._roots: list[ParsedValue] = []

    def read(self, events: Iterable[Any]) -> ParsedValue:
        for event in events:
            self._budget.spend()
            self._handle_event(event)
        if len(self._roots) != 1:
            raise UnreadError
        return self._roots[0]

    def _handle_event(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(self._read_scalar(event), event.anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise UnreadError
                self._add(self._anchors[event.anchor])
            case yaml.MappingStartEvent():
                fields = ObjectValue(tag=_read_collection_tag(event.tag))
                self._start(_OpenMapping(fields, is_flow=bool(event.flow_style)), event.anchor)
            case yaml.SequenceStartEvent():
                items = ListValue(tag=_read_collection_tag(event.tag))
                self._start(_OpenSequence(items, is_flow=bool(event.flow_style)), event.anchor)
            case yaml.CollectionEndEvent():
                self._open.pop().close(self._budget)

    def _start(self, collection: _OpenMapping | _OpenSequence, anchor: str | None) -> None:
        self._add(collection.value, anchor)
        self._open.append(collection)
        if len(self._open) > MAX_DEPTH:  # the parser takes longer the deeper it is
            raise UnreadError

    def _add(self, value: ParsedValue, anchor: str | None = None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value
        if self._open:
            self._open[-1].add(value)
        else:
            self._roots.append(value)

    def _read_scalar(self, event: Any) -> ScalarValue:
        text = event.value
        if event.tag in (None, "!", STR):
            is_plain = event.tag is None and event.implicit[0]
            if is_plain and not self._is_certain:
                return self._read_uncertain_scalar(text)
            return parse_plain(text) if is_plain else make_string(text)
        return (
            parse_plain(text) if event.tag in PLAIN_TAGS else make_verbatim("tag", f"{_shorten_tag(event.tag)} {text}")
        )

    def _read_uncertain_scalar(self, text: str) -> ScalarValue:
        """Read a scalar without quotes; raises UnreadError when it shows another format."""
        owner = self._open[-1] if self._open else None
        is_key = isinstance(owner, _OpenMapping) and owner.key is None
        is_flow = owner is not None and owner.is_flow
        if is_key and not UNUSUAL.isdisjoint(text):
            raise UnreadError
        if (is_key or is_flow) and any(mark in f" {text}" for mark in COMMENTS):
            raise UnreadError
        if is_flow and _is_fragment(text):
            raise UnreadError
        return make_verbatim("python", text) if is_flow and text in PYTHON else parse_plain(text)


def _is_fragment(text: str) -> bool:
    """Whether a text is empty, as values in a Python set and in `{a:1}`, or a piece of a tuple or call."""
    return not text or text.count("(") != text.count(")")


def _shorten_tag(tag: str) -> str:
    return tag.replace(PREFIX, "!!", 1)


def _read_collection_tag(tag: str | None) -> str:
    return "" if tag is None or tag in COLLECTION_TAGS else _shorten_tag(tag)
