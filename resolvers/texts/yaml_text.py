"""YAML → values, event by event: nothing is constructed, tags are texts, and each alias costs what it repeats."""

from collections.abc import Iterable
from typing import Any

import yaml

from resolvers.texts.budget import MAX_DEPTH, Budget, UnreadError
from resolvers.texts.values import STR, Fields, Items, Scalar, Value, plain, text_of, verbatim

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PREFIX = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{PREFIX}{name}" for name in ("int", "float", "bool", "null")}
COLLECTION_TAGS = {None, "!", f"{PREFIX}map", f"{PREFIX}seq"}
MERGE = plain("<<").key
UNUSUAL = set('{}[]"=,')  # in a key without quotes they show that the text is something else, HOCON say


def read_yaml(text: str, budget: Budget, *, is_certain: bool = True) -> Value:
    """Raises UnreadError for what is not one YAML document.

    Unless it is certain that the text is YAML, unusual keys without quotes are a reason not to read it.
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

    def __init__(self, fields: Fields) -> None:
        self.value = fields
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
            self._merged += value.values if isinstance(value, Items) else [value]
            return
        if key.name in self.value.values:
            raise UnreadError
        self.value.values[key.name] = value
        if not key.is_text:
            self.value.kinds[key.name] = f"{key.key}:"

    def close(self, budget: Budget) -> None:
        """Take over what `<<` names, where the mapping has nothing of its own."""
        for base in self._merged:
            if not isinstance(base, Fields) or base.tag or base is self.value:
                raise UnreadError
            budget.spend(len(base.values))
            for name, inner in base.values.items():
                if name not in self.value.values:
                    self.value.values[name] = inner
                    self.value.kinds |= {name: base.kinds[name]} if name in base.kinds else {}


class _Sequence:
    """A sequence whose items are being read."""

    def __init__(self, items: Items) -> None:
        self.value = items

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
                self._start(_Mapping(Fields(tag=_collection_tag(event.tag))), event.anchor)
            case yaml.SequenceStartEvent():
                self._start(_Sequence(Items(tag=_collection_tag(event.tag))), event.anchor)
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
        if event.tag in (None, "!", STR):
            is_plain = event.tag is None and event.implicit[0]
            if is_plain and not self._is_certain and self._is_key():
                _check_key(event.value)
            return plain(event.value) if is_plain else text_of(event.value)
        if event.tag in PLAIN_TAGS:
            return plain(event.value)
        source = self._text[event.start_mark.index : event.end_mark.index].strip()
        return verbatim(event.tag, source)

    def _is_key(self) -> bool:
        return bool(self._open) and isinstance(inner := self._open[-1], _Mapping) and inner.key is None


def _check_key(name: str) -> None:
    if not UNUSUAL.isdisjoint(name) or name.startswith("//"):
        raise UnreadError


def _collection_tag(tag: str | None) -> str:
    return "" if tag is None or tag in COLLECTION_TAGS else tag.replace(PREFIX, "!!", 1)
