"""What one request has at hand: who asks, what they may read, and the loaders that batch its look-ups."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from strawberry.dataloader import DataLoader

from models.status import DOCUMENTED
from models.store.changes import Changes
from models.store.reader import Reader
from models.store.writer import Writer
from models.types import Document, Viewer
from resolvers.criteria.pages import Page, Rows, page_of, refuse_deep
from resolvers.execution.selection import Tree
from resolvers.execution.serializer import Shaping
from schema.spec import Spec

Wanted = TypeVar("Wanted", str, Document)
Loaded = TypeVar("Loaded")


class Answering(Protocol):
    """A plan, as far as a context knows one."""

    async def answer(self, context: "Context", tree: Tree, report: Any, /) -> Any: ...


class Context:
    """Made anew for each request; nothing of it outlives one."""

    def __init__(
        self,
        viewer: Viewer,
        reader: Reader,
        writer: Writer,
        changes: Changes,
        spec: Spec,
        max_page: int,
        rules: str = DOCUMENTED,
        storages: Sequence[str] = (),
        rows: Rows = Rows(),  # noqa: B008 - frozen
        *,
        related: Mapping[str, "Loader"],
    ) -> None:
        self._made_of = (viewer, reader, writer, changes, spec, max_page, rules, storages, rows)
        self.viewer = viewer
        self.reader = reader
        self.writer = writer
        self.changes = changes
        self.rules = rules
        self.storages = storages
        self.spec = spec
        self.max_page = max_page
        self.related = related
        self.rows = rows
        self.shaping = Shaping(spec)
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}

    async def carry_out(self, plan: Answering, tree: Tree, report: Any) -> Any:
        """The value of the field with this plan."""
        return await plan.answer(self, tree, report)

    def page(self, asked: Mapping[str, Any]) -> Page:
        """The page of a list that its arguments ask for; raises InputError and LimitError."""
        page = page_of(asked, self.max_page)
        refuse_deep(page, self.rows, is_served=True)
        return page

    async def documents(self, collection: str, ids: Sequence[str], fields: Mapping[str, int]) -> list[Document | None]:
        """The visible documents with these ids, in order, None for those that are not there."""

        async def load(keys: list[str]) -> list[Document | None]:
            return in_order(keys, await self.reader.by_ids(collection, keys, fields))

        return await self.batched((collection, frozenset(fields)), load, ids)

    async def batched(
        self, key: Hashable, load: Callable[[list[Wanted]], Awaitable[list[Loaded]]], wanted: Sequence[Wanted]
    ) -> list[Loaded]:
        """What `load` finds for these ids or documents, in order; all look-ups of a request with the same key share
        its commands.
        """
        return await self._loaders.setdefault(key, DataLoader(load, cache_key_fn=_id_of)).load_many(wanted)

    def anew(self) -> "Context":
        """Another for the same viewer, that has read nothing yet."""
        made = Context(*self._made_of, related=self.related)
        made.reader = self.reader.renew()
        return made

    def forget(self) -> None:
        """What was read so far: something has changed."""
        self._loaders.clear()


def _id_of(wanted: Any) -> Hashable:
    id_: Hashable = wanted["_id"] if isinstance(wanted, dict) else wanted
    return id_


def in_order(keys: list[str], documents: list[Document]) -> list[Document | None]:
    found = {document["_id"]: document for document in documents}
    return [found.get(key) for key in keys]


# (context, arguments, documents, tree) → for each document those that the field shows
Loader = Callable[[Context, Mapping[str, Any], Sequence[Document], Tree], Awaitable[list[list[Document]]]]
