"""YAML → values, event by event: nothing is constructed, tags are texts, and each alias costs what it repeats."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from resolvers.texts.budget import MAX_DEPTH, Budget, RepeatedError, UnreadError
from resolvers.texts.values import PYTHON, STR, Fields, Items, Scalar, Value, plain, text_of, verbatim

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PREFIX = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{PREFIX}{name}" for name in ("int", "float", "bool", "null")}
COLLECTION_TAGS = {None, "!", f"{PREFIX}map", f"{PREFIX}seq"}
MERGE = plain("<<").key
UNUSUAL = set('{}[]"=,')  # in a key without quotes they show that the text is something else, HOCON say
COMMENTS = (" //", " /*")  # of JavaScript, HOCON and JSON with comments; YAML has others


def read_yaml(text: str, budget: Budget, *, is_certain: bool = True) -> Value:
    """Raises RepeatedError, and UnreadError for what is not one YAML document.

    Unless it is certain that the text is YAML, signs of another format are a reason not to read it.
    """
    budget.spend_text(text)
    if "%TAG" in text:  # the parser's time is quadratic in these
        raise UnreadError
    try:
        return _Reader(text, budget, is_certain=is_certain).read(yaml.parse(text, Loader=LOADER))
    except (yaml.YAMLError, UnicodeError) as error:
        raise UnreadError from error


class _Mapping:
    """A mapping whose entries are being read; entries come as key, value, key, value."""

    def __init__(self, fields: Fields, *, is_flow: bool) -> None:
        self.value = fields
        self.is_flow = is_flow
        self.key: Scalar | None = None
        self._merged: list[Value] = []

    def add(self, value: Value) -> None:
        if self.key is None:
            if not isinstance(value, Scalar):
                raise UnreadError
            self.key = value
            return
        self._put(self.key, value)
        self.key = None

    def _put(self, key: Scalar, value: Value) -> None:
        if key.key == MERGE:
            self._merged.append(value)
            return
        if key.name in self.value.values:
            raise RepeatedError
        self.value.values[key.name] = value
        if not key.is_text:
            self.value.kinds[key.name] = f"{key.key}:"

    def close(self, budget: Budget) -> None:
        """Take over what `<<` names, where the mapping has nothing of its own."""
        for base in self._bases():
            if not isinstance(base, Fields) or base.tag or base is self.value:
                raise UnreadError
            budget.spend(len(base.values))
            for name, inner in base.values.items():
                if name not in self.value.values:
                    self.value.values[name] = inner
                    self.value.kinds |= {name: base.kinds[name]} if name in base.kinds else {}

    def _bases(self) -> Iterator[Value]:
        for merged in self._merged:
            yield from merged.values if isinstance(merged, Items) else [merged]


class _Sequence:
    """A sequence whose items are being read."""

    def __init__(self, items: Items, *, is_flow: bool) -> None:
        self.value = items
        self.is_flow = is_flow

    def add(self, value: Value) -> None:
        self.value.values.append(value)

    def close(self, _budget: Budget) -> None:
        pass


class _Reader:
    def __init__(self, text: str, budget: Budget, *, is_certain: bool) -> None:
        self._text = text
        self._budget = budget
        self._is_certain = is_certain
        self._open: list[_Mapping | _Sequence] = []
        self._anchors: dict[str, Value] = {}
        self._roots: list[Value] = []

    def read(self, events: Iterable[Any]) -> Value:
        for event in events:
            self._budget.spend()
            self._take(event)
        if len(self._roots) != 1:
            raise UnreadError
        return self._roots[0]

    def _take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(self._scalar(event), event.anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise UnreadError
                self._add(self._anchors[event.anchor])
            case yaml.MappingStartEvent():
                fields = Fields(tag=_collection_tag(event.tag))
                self._start(_Mapping(fields, is_flow=bool(event.flow_style)), event.anchor)
            case yaml.SequenceStartEvent():
                items = Items(tag=_collection_tag(event.tag))
                self._start(_Sequence(items, is_flow=bool(event.flow_style)), event.anchor)
            case yaml.CollectionEndEvent():
                self._open.pop().close(self._budget)

    def _start(self, collection: _Mapping | _Sequence, anchor: str | None) -> None:
        self._add(collection.value, anchor)
        self._open.append(collection)
        if len(self._open) > MAX_DEPTH:  # the parser's time grows with the depth
            raise UnreadError

    def _add(self, value: Value, anchor: str | None = None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value
        if self._open:
            self._open[-1].add(value)
        else:
            self._roots.append(value)

    def _scalar(self, event: Any) -> Scalar:
        text = event.value
        if event.tag in (None, "!", STR):
            is_plain = event.tag is None and event.implicit[0]
            if is_plain and not self._is_certain:
                return self._guess(text)
            return plain(text) if is_plain else text_of(text)
        return plain(text) if event.tag in PLAIN_TAGS else verbatim("tag", f"{_short(event.tag)} {text}")

    def _guess(self, text: str) -> Scalar:
        """A scalar without quotes; raises UnreadError for one that shows that the text is something else."""
        owner = self._open[-1] if self._open else None
        is_key = isinstance(owner, _Mapping) and owner.key is None
        is_flow = owner is not None and owner.is_flow
        if is_key and not UNUSUAL.isdisjoint(text):
            raise UnreadError
        if (is_key or is_flow) and any(mark in f" {text}" for mark in COMMENTS):
            raise UnreadError
        if is_flow and _is_fragment(text):
            raise UnreadError
        return verbatim("python", text) if is_flow and text in PYTHON else plain(text)


def _is_fragment(text: str) -> bool:
    """Whether it is nothing, as the values of a set of Python and of `{a:1}`, or a part of a tuple or call."""
    return not text or text.count("(") != text.count(")")


def _short(tag: str) -> str:
    return tag.replace(PREFIX, "!!", 1)


def _collection_tag(tag: str | None) -> str:
    return "" if tag is None or tag in COLLECTION_TAGS else _short(tag)
