"""Reading, with tenants apart: nothing leaves a collection that the viewer may not see.

Lists are raw documents with exactly the projected paths, read through the collections of the Beanie documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pymongo
from beanie import Document as BeanieDocument
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.collection import AsyncCollection

Document = dict[str, Any]
Query = Mapping[str, Any]
# dates outside Python's years and broken UTF-8 must not take a whole batch down
TOLERANT: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `company` decides what is visible: its own documents and public ones (company "")."""

    user: str
    company: str
    role: str


class Part(NamedTuple):
    """A stretch of an ordered list: documents that match, in this order.

    `computed` are fields that are worked out, stage by stage, before `then` is matched and the order applied.
    """

    query: Query
    sort: Mapping[str, int]
    computed: Sequence[Mapping[str, Any]] = ()
    then: Query = {}


@dataclass(frozen=True, slots=True)
class Reader:
    """The only way to read stored documents; `max_time_ms` bounds every command."""

    viewer: Viewer
    documents: Mapping[str, type[BeanieDocument]]
    max_time_ms: int = field(default=5000)

    def visible(self, collection: str, query: Query) -> Query:
        """The query, held to what the viewer may see. A company sees itself."""
        if collection == "company":
            own: Query = {"_id": self.viewer.company}
        else:
            own = {"company": {"$in": [self.viewer.company, ""]}}
        return {"$and": [own, query]} if query else own

    async def by_ids(self, collection: str, ids: Sequence[str], projection: Mapping[str, int]) -> list[Document]:
        query = self.visible(collection, {"_id": {"$in": list(ids)}})
        with self._in_time():
            cursor = self._collection(collection).find(
                query, projection, batch_size=len(ids) + 1, limit=len(ids), max_time_ms=self.max_time_ms
            )
            return await cursor.to_list()

    async def list(
        self, collection: str, parts: Sequence[Part], *, skip: int, limit: int, projection: Mapping[str, int]
    ) -> list[Document]:
        """The parts one behind the other, from `skip`, at most `limit`: one command."""
        first, *others = (
            [*self._stages(collection, part), {"$limit": skip + limit}, {"$project": dict(projection)}]
            for part in parts
        )
        unions = [{"$unionWith": {"coll": collection, "pipeline": other}} for other in others]
        ends = [{"$skip": skip}] if skip else []
        # a batch larger than the answer closes the cursor with the first reply
        pipeline = [*first, *unions, *ends, {"$limit": limit}]
        with self._in_time():
            cursor = await self._collection(collection).aggregate(
                pipeline, batchSize=limit + 1, maxTimeMS=self.max_time_ms
            )
            return await cursor.to_list()

    async def count(self, collection: str, query: Query) -> int:
        found = self.visible(collection, query)
        with self._in_time():
            return await self._collection(collection).count_documents(found, maxTimeMS=self.max_time_ms)

    def _in_time(self) -> AbstractContextManager[None]:
        """Bounds what the server can't: a server that does not answer at all. It gets a second more than a command."""
        return pymongo.timeout(self.max_time_ms / 1000 + 1)

    def _stages(self, collection: str, part: Part) -> Iterable[Mapping[str, Any]]:
        yield {"$match": self.visible(collection, part.query)}
        for fields in part.computed:
            yield {"$set": dict(fields)}
        if part.then:
            yield {"$match": part.then}
        yield {"$sort": dict(part.sort)}

    def _collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        return self.documents[name].get_pymongo_collection().with_options(codec_options=TOLERANT)
