"""What a client would rather be sent, by its headers Accept and Accept-Encoding (RFC 9110, 12.5).

A range with a malformed weight is ignored, and a header without any other is as good as none.
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
NAMED = 2  # the specificity from which on a range is about one kind
UTF_8 = {"charset": "utf-8"}


class Rank(NamedTuple):
    """How much a client likes a kind: its weight, and whether the header names it or only a range around it."""

    weight: float = 0
    is_named: bool = False


class _Range(NamedTuple):
    name: str
    parameters: dict[str, str]
    weight: float


class Accept:
    """A header Accept or Accept-Encoding; all lines of it are one list. Kinds are media types or codings."""

    def __init__(self, *lines: str) -> None:
        self._ranges = list(_ranges(", ".join(lines))) or [_Range("*/*", {}, 1)]

    def rank(self, kind: str) -> Rank:
        """The rank by the most specific range that covers the kind; of no weight when none does."""
        fitting = [(_specificity(known, kind), known.weight) for known in self._ranges]
        specificity, weight = max(fitting, default=(-1, 0))
        return Rank(weight if specificity >= 0 else 0, specificity >= NAMED)

    def best(self, *kinds: str) -> str | None:
        """The kind of the highest rank, of equals the first; None when the header allows none of them."""
        best = max(kinds, key=self.rank)
        return best if self.rank(best).weight else None

    def names(self, kind: str) -> bool:
        """Tells whether the header allows the kind by its name."""
        weight, is_named = self.rank(kind)
        return is_named and weight > 0

    def prefers(self, kind: str, *others: str) -> bool:
        """Tells whether the header names the kind and ranks it above all others."""
        return self.names(kind) and self.rank(kind) > max(map(self.rank, others))


def accept_of(headers: Headers, name: str = "accept") -> Accept:
    """All lines of a header Accept or Accept-Encoding."""
    return Accept(*headers.getlist(name))


def allows_gzip(headers: Headers) -> bool:
    """Tells whether an answer may be compressed: only where gzip is not worse than no compression."""
    accept = accept_of(headers, "accept-encoding")
    identity, gzip = accept.rank("identity"), accept.rank("gzip")
    if not gzip.is_named:
        gzip = accept.rank("x-gzip")  # an old name of the same
    return gzip.weight > 0 and (not identity.is_named or gzip.weight >= identity.weight)


def _ranges(header: str) -> Iterator[_Range]:
    for part in ITEM.findall(header)[:MAX_RANGES]:
        name, *pieces = (piece.strip() for piece in PIECE.findall(part.strip()) or [""])
        parameters = dict(map(_parameter, pieces))
        weight = parameters.pop("q", "1")
        if name and WEIGHT.fullmatch(weight):
            yield _Range(name.lower(), parameters, min(1.0, float(weight)))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip(' \t"').lower()


def _specificity(known: _Range, kind: str) -> int:
    """From 0 for a range around everything; -1 when the range does not cover the kind.

    Parameters that no answer has make a range the least of those that name the kind, rather than to lose its client.
    """
    if known.name == kind:
        return 4 if known.parameters == UTF_8 else NAMED if known.parameters else 3
    if known.name == f"{kind.partition('/')[0]}/*":
        return 1
    return 0 if known.name == "*" or (known.name == "*/*" and "/" in kind) else -1
