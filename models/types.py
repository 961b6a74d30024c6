"""Types and the tenancy of everything that is stored. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Document = dict[str, Any]
Documents = list[Document]
Query = Mapping[str, Any]
SeriesName = tuple[str, str]

COMPANY = "company"  # the collection of companies, and the field that names the owner of a document
PUBLIC = ""  # the owner of public documents


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user of a request: reads the documents of their company and public ones, writes those of their company."""

    user: str
    company: str
    role: str

    def can_read(self, collection: str, document: Mapping[str, Any]) -> bool:
        if collection == COMPANY:
            return bool(document.get("_id") == self.company)
        return document.get(COMPANY) in (self.company, PUBLIC)

    def can_write(self, document: Mapping[str, Any]) -> bool:
        return bool(document.get(COMPANY) == self.company)

    def narrow_to_readable(self, collection: str, query: Query) -> Query:
        """Add the condition that the viewer may read a document; of the companies that is only their own."""
        if collection == COMPANY:
            condition: Query = {"_id": self.company}
        else:
            condition = {COMPANY: {"$in": [self.company, PUBLIC]}}
        return {"$and": [condition, query]} if query else condition

    def narrow_to_writable(self, query: Query) -> Query:
        """Add the condition that the document belongs to the viewer's company."""
        return {"$and": [{COMPANY: self.company}, query]}

    def claim(self, document: Document) -> Document:
        """Copy a document and make it the viewer's company's."""
        return document | {COMPANY: self.company}


class Segment(NamedTuple):
    """A part of an ordered list: the documents that match, in this order.

    `computed` are fields that are computed, stage by stage, before `computed_query` and the order apply.
    """

    query: Query
    sort: Mapping[str, int]
    computed: Sequence[Mapping[str, Any]] = ()
    computed_query: Query = {}
