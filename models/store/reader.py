"""Reading for one viewer: every query is narrowed to the documents that the viewer may read.

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

HintArgument = Mapping[str, Any]  # `hint` of the driver's methods, or nothing
Result = TypeVar("Result")
MAX_BATCH = 100_000  # a batch larger than the answer closes the cursor with the first reply


def build_tally_pipeline(query: Query, keys: Mapping[str, Any]) -> list[Query]:
    """Build the pipeline that counts the matches by the values of some expressions."""
    return [
        {"$match": query},
        {"$group": {"_id": dict(keys), "count": {"$sum": 1}}},
        {"$project": {"_id": 0, "count": 1, **{name: f"$_id.{name}" for name in keys}}},
    ]


@dataclass(frozen=True, slots=True)
class Reader:
    """The only way to read stored documents; `max_time_ms` bounds every command, a `snapshot` is the data at one time.

    One request has one reader, whose commands wait for their `turns`.
    """

    viewer: Viewer
    database: AsyncDatabase[Document]
    max_time_ms: int = field(default=5000)
    snapshot: AsyncClientSession | None = field(default=None)
    indexes: Indexes = field(default_factory=Indexes)
    turns: Turns = field(default_factory=Turns)

    def renew(self) -> "Reader":
        """Make the reader of another request, whose commands have turns of their own."""
        return replace(self, turns=Turns(self.turns.number))

    async def read_by_ids(self, collection: str, ids: Sequence[str], projection: Mapping[str, int]) -> Documents:
        return await self.read_all(collection, {"_id": {"$in": list(ids)}}, projection, limit=len(ids))

    async def read_all(
        self, collection: str, query: Query, projection: Mapping[str, Any], *, limit: int = 0
    ) -> Documents:
        """Read all matches, in no order; a limit of 0 means no limit."""
        readable = self.viewer.narrow_to_readable(collection, query)

        async def find(hint: HintArgument) -> Documents:
            cursor = self._get_collection(collection).find(
                readable,
                projection,
                limit=limit,
                batch_size=MAX_BATCH,
                max_time_ms=self.max_time_ms,
                session=self.snapshot,
                **hint,
            )
            return await cursor.to_list()

        return await self._run(collection, readable, find)

    def is_served(self, collection: str, query: Query, sort: Sort) -> bool:
        """Whether an index has the matches in this order."""
        return self.indexes.is_served(collection, self.viewer.narrow_to_readable(collection, query), sort)

    async def read_list(
        self, collection: str, segments: Sequence[Segment], *, skip: int, limit: int, projection: Mapping[str, int]
    ) -> Documents:
        """Read one segment after the other, from `skip`, at most `limit` documents: one command."""
        first, *rest = (
            [*self._build_stages(collection, segment), {"$limit": skip + limit}, {"$project": dict(projection)}]
            for segment in segments
        )
        unions = [{"$unionWith": {"coll": collection, "pipeline": pipeline}} for pipeline in rest]
        skipping = [{"$skip": skip}] if skip else []
        sort = {} if segments[0].computed else segments[0].sort
        return await self._aggregate(collection, [*first, *unions, *skipping, {"$limit": limit}], sort)

    async def read_first_of_each(
        self,
        collection: str,
        path: str,
        values: Sequence[str],
        *,
        segment: Segment,
        limit: int,
        projection: Mapping[str, int],
    ) -> Documents:
        """Read, for each value of a path, the first `limit` documents of the segment that have it; with the path."""
        query = {path: {"$in": list(values), "$not": {"$type": "array"}}}  # a list can't be a partition
        narrowed = segment._replace(query={"$and": [query, segment.query]})
        *stages, sort = self._build_stages(collection, narrowed)
        number = {"$sum": 1, "window": {"documents": ["unbounded", "current"]}}
        window = {"partitionBy": f"${path}", "sortBy": sort["$sort"], "output": {"_number": number}}
        pipeline: list[Query] = [
            *stages,
            {"$setWindowFields": window},
            {"$match": {"_number": {"$lte": limit}}},
            {"$project": {**projection, path: 1}},
        ]
        return await self._aggregate(collection, pipeline)

    async def tally(self, collection: str, query: Query, keys: Mapping[str, Any]) -> Documents:
        """Count the matches by the values of some expressions: a document with the values and `count` for each."""
        readable = self.viewer.narrow_to_readable(collection, query)
        return await self._aggregate(collection, build_tally_pipeline(readable, keys))

    async def group(self, collection: str, query: Query, stages: Sequence[Query], *, limit: int) -> Documents:
        """Run stages on the matches; at most `limit` documents."""
        readable = self.viewer.narrow_to_readable(collection, query)
        return await self._aggregate(collection, [{"$match": readable}, *stages, {"$limit": limit}])

    async def read_server(self) -> Document:
        """Read the `version` of the database server and its `topology`: standalone, replica_set or sharded."""
        admin = self.database.client.admin
        async with self._wait_for_turn():
            hello = await admin.command("hello", maxTimeMS=self.max_time_ms)
            build = await admin.command("buildInfo", maxTimeMS=self.max_time_ms)
        if hello.get("msg") == "isdbgrid":
            topology = "sharded"
        else:
            topology = "replica_set" if "setName" in hello else "standalone"
        return {"version": build["version"], "topology": topology}

    async def count(self, collection: str, query: Query) -> int:
        readable = self.viewer.narrow_to_readable(collection, query)

        async def count(hint: HintArgument) -> int:
            return await self._get_collection(collection).count_documents(
                readable, session=self.snapshot, maxTimeMS=self.max_time_ms, **hint
            )

        return await self._run(collection, readable, count)

    async def _aggregate(self, collection: str, pipeline: Sequence[Query], sort: Sort | None = None) -> Documents:
        """Run a pipeline; an index may have the matches of its first stage, a `$match`, in the order of `sort`."""

        async def aggregate(hint: HintArgument) -> Documents:
            cursor = await self._get_collection(collection).aggregate(
                pipeline, self.snapshot, batchSize=MAX_BATCH, maxTimeMS=self.max_time_ms, **hint
            )
            return await cursor.to_list()

        return await self._run(collection, pipeline[0]["$match"], aggregate, sort)

    async def _run(
        self,
        collection: str,
        query: Query,
        command: Callable[[HintArgument], Awaitable[Result]],
        sort: Sort | None = None,
    ) -> Result:
        """Run a command with the hint that is right for its query; without one when the index was dropped since."""
        name = self.indexes.find_hint(collection, query, sort)
        async with self._wait_for_turn():
            if name is None:
                return await command({})
            try:
                return await command({"hint": name})
            except OperationFailure as error:
                if not is_bad_hint(error):
                    raise
            await self.indexes.refuse(collection, name)
            return await command({})

    def _wait_for_turn(self) -> AbstractAsyncContextManager[None]:
        """The turn lasts a second longer than a command may: it ends one that the server itself can't."""
        return self.turns.wait_for_turn(self.max_time_ms / 1000 + 1)

    def _build_stages(self, collection: str, segment: Segment) -> Iterable[Mapping[str, Any]]:
        yield {"$match": self.viewer.narrow_to_readable(collection, segment.query)}
        for fields in segment.computed:
            yield {"$set": dict(fields)}
        if segment.computed_query:
            yield {"$match": segment.computed_query}
        yield {"$sort": dict(segment.sort)}

    def _get_collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        return self.database[name].with_options(codec_options=TOLERANT)
