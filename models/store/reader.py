"""Reading, with tenants apart: nothing leaves a collection that the viewer may not see.

Lists are raw documents with exactly the projected paths. They are read through the database itself: a Beanie document
knows only the one that it was bound to last.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from models.codecs import TOLERANT
from models.store.indexes import Indexes, Sort, is_bad_hint
from models.store.turns import Turns
from models.types import Document, Documents, Query, Segment, Viewer

Hint = Mapping[str, Any]  # an argument of the driver's methods, or none
Result = TypeVar("Result")
MAX_BATCH = 100_000  # a batch larger than the answer closes the cursor with the first reply


def build_tally_pipeline(query: Query, by: Mapping[str, Any]) -> list[Query]:
    """The pipeline that counts what matches by the values of these expressions."""
    return [
        {"$match": query},
        {"$group": {"_id": dict(by), "count": {"$sum": 1}}},
        {"$project": {"_id": 0, "count": 1, **{name: f"$_id.{name}" for name in by}}},
    ]


@dataclass(frozen=True, slots=True)
class Reader:
    """The only way to read stored documents; `max_time_ms` bounds every command, `snapshot` shows all at one moment.

    One request has one reader, whose commands wait for their `turns`.
    """

    viewer: Viewer
    database: AsyncDatabase[Document]
    max_time_ms: int = field(default=5000)
    snapshot: AsyncClientSession | None = field(default=None)
    indexes: Indexes = field(default_factory=Indexes)
    turns: Turns = field(default_factory=Turns)

    def renew(self) -> "Reader":
        """The reader of another request, whose commands have turns of their own."""
        return replace(self, turns=Turns(self.turns.number))

    async def read_by_ids(self, collection: str, ids: Sequence[str], projection: Mapping[str, int]) -> Documents:
        return await self.read_all(collection, {"_id": {"$in": list(ids)}}, projection, limit=len(ids))

    async def read_all(
        self, collection: str, query: Query, projection: Mapping[str, Any], *, limit: int = 0
    ) -> Documents:
        """Everything that matches, in no order; 0 is no limit."""
        visible = self.viewer.narrow_to_readable(collection, query)

        async def find(hint: Hint) -> Documents:
            cursor = self._collection(collection).find(
                visible,
                projection,
                limit=limit,
                batch_size=MAX_BATCH,
                max_time_ms=self.max_time_ms,
                session=self.snapshot,
                **hint,
            )
            return await cursor.to_list()

        return await self._hinted(collection, visible, find)

    def is_served(self, collection: str, query: Query, sort: Sort) -> bool:
        """Whether an index has the documents that match in this order."""
        return self.indexes.is_served(collection, self.viewer.narrow_to_readable(collection, query), sort)

    async def read_list(
        self, collection: str, parts: Sequence[Segment], *, skip: int, limit: int, projection: Mapping[str, int]
    ) -> Documents:
        """The parts one behind the other, from `skip`, at most `limit`: one command."""
        first, *others = (
            [*self._stages(collection, part), {"$limit": skip + limit}, {"$project": dict(projection)}]
            for part in parts
        )
        unions = [{"$unionWith": {"coll": collection, "pipeline": other}} for other in others]
        ends = [{"$skip": skip}] if skip else []
        sort = {} if parts[0].computed else parts[0].sort
        return await self._aggregate(collection, [*first, *unions, *ends, {"$limit": limit}], sort)

    async def read_first_of_each(
        self, collection: str, path: str, values: Sequence[str], *,
        part: Segment, limit: int, projection: Mapping[str, int],
    ) -> Documents:  # fmt: skip
        """For each value that a path may have the first so many of the part that have it, in order; with the path."""
        query = {path: {"$in": list(values), "$not": {"$type": "array"}}}  # a list would be no partition
        place = {"$sum": 1, "window": {"documents": ["unbounded", "current"]}}
        *selected, sort = self._stages(collection, part._replace(query={"$and": [query, part.query]}))
        window = {"partitionBy": f"${path}", "sortBy": sort["$sort"], "output": {"_place": place}}
        pipeline: list[Query] = [
            *selected,
            {"$setWindowFields": window},
            {"$match": {"_place": {"$lte": limit}}},
            {"$project": {**projection, path: 1}},
        ]
        return await self._aggregate(collection, pipeline)

    async def tally(self, collection: str, query: Query, by: Mapping[str, Any]) -> Documents:
        """How many documents have which values of these expressions: a document with them and `count` for each."""
        return await self._aggregate(
            collection, build_tally_pipeline(self.viewer.narrow_to_readable(collection, query), by)
        )

    async def group(self, collection: str, query: Query, stages: Sequence[Query], *, limit: int) -> Documents:
        """At most `limit` of what the stages make of the documents that match."""
        return await self._aggregate(
            collection, [{"$match": self.viewer.narrow_to_readable(collection, query)}, *stages, {"$limit": limit}]
        )

    async def read_server(self) -> Document:
        """The `version` of the database server, and its `topology`: standalone, replica_set or sharded."""
        admin = self.database.client.admin
        async with self._turn():
            hello = await admin.command("hello", maxTimeMS=self.max_time_ms)
            build = await admin.command("buildInfo", maxTimeMS=self.max_time_ms)
        is_sharded, is_replicated = hello.get("msg") == "isdbgrid", "setName" in hello
        topology = "sharded" if is_sharded else "replica_set" if is_replicated else "standalone"
        return {"version": build["version"], "topology": topology}

    async def count(self, collection: str, query: Query) -> int:
        visible = self.viewer.narrow_to_readable(collection, query)

        async def count(hint: Hint) -> int:
            return await self._collection(collection).count_documents(
                visible, session=self.snapshot, maxTimeMS=self.max_time_ms, **hint
            )

        return await self._hinted(collection, visible, count)

    async def _aggregate(self, collection: str, pipeline: Sequence[Query], sort: Sort | None = None) -> Documents:
        """`sort` is the order in which an index may have what the first stage, a `$match`, finds."""

        async def aggregate(hint: Hint) -> Documents:
            cursor = await self._collection(collection).aggregate(
                pipeline, self.snapshot, batchSize=MAX_BATCH, maxTimeMS=self.max_time_ms, **hint
            )
            return await cursor.to_list()

        return await self._hinted(collection, pipeline[0]["$match"], aggregate, sort)

    async def _hinted(
        self, collection: str, query: Query, work: Callable[[Hint], Awaitable[Result]], sort: Sort | None = None
    ) -> Result:
        """A command with the hint that is right for its query; without one when the index is gone meanwhile."""
        name = self.indexes.hint(collection, query, sort)
        async with self._turn():
            if name is None:
                return await work({})
            try:
                return await work({"hint": name})
            except OperationFailure as error:
                if not is_bad_hint(error):
                    raise
            await self.indexes.refuse(collection, name)
            return await work({})

    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Bounds what the server can't: it gets a second more than a command."""
        return self.turns.turn(self.max_time_ms / 1000 + 1)

    def _stages(self, collection: str, part: Segment) -> Iterable[Mapping[str, Any]]:
        yield {"$match": self.viewer.narrow_to_readable(collection, part.query)}
        for fields in part.computed:
            yield {"$set": dict(fields)}
        if part.then:
            yield {"$match": part.then}
        yield {"$sort": dict(part.sort)}

    def _collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        return self.database[name].with_options(codec_options=TOLERANT)
