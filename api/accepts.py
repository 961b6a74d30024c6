"""The preferences of a client, by its headers Accept and Accept-Encoding (RFC 9110, 12.5).

A range with a malformed weight is ignored; a header with nothing else counts as absent.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from starlette.datastructures import Headers

MAX_RANGES = 100  # of one header; further ones are ignored
WEIGHT = re.compile(r"\d+(?:\.\d*)?|\.\d+")
QUOTED = r'"(?:\\.|[^"\\])*"?'
ITEM = re.compile(rf'(?:[^,"]|{QUOTED})+')  # of a list
PIECE = re.compile(rf'(?:[^;"]|{QUOTED})+')  # of an item: its name, or a parameter
NAMED = 2  # the lowest specificity of a range that names one kind
UTF_8 = {"charset": "utf-8"}


class Rank(NamedTuple):
    """The weight of a kind, and whether the header names it or only a range around it."""

    weight: float = 0
    is_named: bool = False


class _Range(NamedTuple):
    name: str
    parameters: dict[str, str]
    weight: float


class Accept:
    """A header Accept or Accept-Encoding; all lines of it are one list. Kinds are media types or codings."""

    def __init__(self, *lines: str) -> None:
        self._ranges = list(_parse_ranges(", ".join(lines))) or [_Range("*/*", {}, 1)]

    def rank(self, kind: str) -> Rank:
        """Return the rank by the most specific range that covers the kind; weight 0 when none does."""
        specificity, weight = -1, 0.0
        for range_ in self._ranges:
            specificity, weight = max((specificity, weight), (_measure_specificity(range_, kind), range_.weight))
        return Rank(weight if specificity >= 0 else 0, specificity >= NAMED)

    def choose(self, *kinds: str) -> str | None:
        """Return the kind of the highest rank, of equals the first; None when the header allows none of them."""
        best = max(kinds, key=self.rank)
        return best if self.rank(best).weight else None

    def allows_by_name(self, kind: str) -> bool:
        weight, is_named = self.rank(kind)
        return is_named and weight > 0

    def prefers(self, kind: str, *alternatives: str) -> bool:
        """Return whether the header names the kind and ranks it above all alternatives."""
        return self.allows_by_name(kind) and self.rank(kind) > max(map(self.rank, alternatives))


def read_accept(headers: Headers, name: str = "accept") -> Accept:
    """Read all lines of a header Accept or Accept-Encoding."""
    return Accept(*headers.getlist(name))


def is_gzip_allowed(headers: Headers) -> bool:
    """Return whether an answer may be compressed: only where gzip ranks no lower than no compression."""
    accept = read_accept(headers, "accept-encoding")
    identity, gzip = accept.rank("identity"), accept.rank("gzip")
    if not gzip.is_named:
        gzip = accept.rank("x-gzip")  # an old name of the same
    return gzip.weight > 0 and (not identity.is_named or gzip.weight >= identity.weight)


def _parse_ranges(header: str) -> Iterator[_Range]:
    for item in ITEM.findall(header)[:MAX_RANGES]:
        name, *pieces = (piece.strip() for piece in PIECE.findall(item.strip()) or [""])
        parameters = dict(map(_parse_parameter, pieces))
        weight = parameters.pop("q", "1")
        if name and WEIGHT.fullmatch(weight):
            yield _Range(name.lower(), parameters, min(1.0, float(weight)))


def _parse_parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip(' \t"').lower()


def _measure_specificity(range_: _Range, kind: str) -> int:
    """Return 0 for a range around everything, more for a closer one; -1 when the range does not cover the kind.

    A range with parameters that no answer has still names the kind, with the lowest specificity: a strict reading would
    leave its client without an answer.
    """
    if range_.name == kind:
        if range_.parameters == UTF_8:
            return 4
        return NAMED if range_.parameters else 3
    if range_.name == f"{kind.partition('/')[0]}/*":
        return 1
    is_for_all = range_.name == "*" or (range_.name == "*/*" and "/" in kind)
    return 0 if is_for_all else -1
