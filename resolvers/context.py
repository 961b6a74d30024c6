"""What one request has at hand: who asks, what they may read, and the loaders that batch its look-ups."""

from collections.abc import Mapping, Sequence

from strawberry.dataloader import DataLoader

from models.reading import Document, Reader, Viewer
from resolvers.shaping import Shaping
from schema.spec import Spec


class Context:
    """Made anew for each request; nothing of it outlives one."""

    def __init__(self, viewer: Viewer, reader: Reader, spec: Spec, max_page: int) -> None:
        self.viewer = viewer
        self.reader = reader
        self.spec = spec
        self.max_page = max_page
        self.shaping = Shaping(spec)
        self._loaders: dict[tuple[str, frozenset[str]], DataLoader[str, Document | None]] = {}

    async def documents(self, collection: str, ids: Sequence[str], fields: Mapping[str, int]) -> list[Document | None]:
        """The visible documents with these ids, in order, None for those that are not there.

        All look-ups of a request that read the same fields of a collection share their commands.
        """
        key = (collection, frozenset(fields))
        if key not in self._loaders:

            async def load(keys: list[str]) -> list[Document | None]:
                return in_order(keys, await self.reader.by_ids(collection, keys, fields))

            self._loaders[key] = DataLoader(load)
        return await self._loaders[key].load_many(ids)


def in_order(keys: list[str], documents: list[Document]) -> list[Document | None]:
    found = {document["_id"]: document for document in documents}
    return [found.get(key) for key in keys]
