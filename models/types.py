"""Names that all that is stored shares. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Document = dict[str, Any]
Documents = list[Document]
Query = Mapping[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `company` decides what is visible: its own documents and public ones (company "")."""

    user: str
    company: str
    role: str

    @property
    def sees(self) -> tuple[str, str]:
        """The companies whose documents are visible."""
        return self.company, ""


class Part(NamedTuple):
    """A stretch of an ordered list: documents that match, in this order.

    `computed` are fields that are worked out, stage by stage, before `then` is matched and the order applied.
    """

    query: Query
    sort: Mapping[str, int]
    computed: Sequence[Mapping[str, Any]] = ()
    then: Query = {}
