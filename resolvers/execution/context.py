"""What one request has at hand: who asks, what they may read, and the loaders that batch its look-ups."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from strawberry.dataloader import DataLoader

from models.status import DOCUMENTED
from models.store.reader import Reader
from models.store.shared_change_stream import SharedChangeStream
from models.store.writer import Writer
from models.types import Document, Viewer
from resolvers.criteria.pages import Page, Rows, parse_page, refuse_deep_page
from resolvers.execution.selection import Selection
from resolvers.execution.serializer import Serializer
from schema.spec import Spec

Wanted = TypeVar("Wanted", str, Document)
Loaded = TypeVar("Loaded")


class AnyPlan(Protocol):
    """A plan, as far as a context knows one."""

    async def answer(self, context: "Context", selection: Selection, report: Any, /) -> Any: ...


class Context:
    """Made anew for each request; nothing of it outlives one."""

    def __init__(
        self,
        viewer: Viewer,
        reader: Reader,
        writer: Writer,
        changes: SharedChangeStream,
        spec: Spec,
        max_page: int,
        rules: str = DOCUMENTED,
        storages: Sequence[str] = (),
        rows: Rows = Rows(),  # noqa: B008 - frozen
        *,
        related_fields: Mapping[str, "LoadRelated"],
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
        self.related_fields = related_fields
        self.rows = rows
        self.serializer = Serializer(spec)
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}

    async def execute_plan(self, plan: AnyPlan, selection: Selection, report: Any) -> Any:
        """The value of the field with this plan."""
        return await plan.answer(self, selection, report)

    def read_page(self, asked: Mapping[str, Any]) -> Page:
        """The page of a list that its arguments ask for; raises InputError and LimitError."""
        page = parse_page(asked, self.max_page)
        refuse_deep_page(page, self.rows, is_served=True)
        return page

    async def load_documents(
        self, collection: str, ids: Sequence[str], fields: Mapping[str, int]
    ) -> list[Document | None]:
        """The visible documents with these ids, in order, None for those that are not there."""

        async def load(keys: list[str]) -> list[Document | None]:
            return in_order(keys, await self.reader.read_by_ids(collection, keys, fields))

        return await self.load_batched((collection, frozenset(fields)), load, ids)

    async def load_batched(
        self, key: Hashable, load: Callable[[list[Wanted]], Awaitable[list[Loaded]]], wanted: Sequence[Wanted]
    ) -> list[Loaded]:
        """What `load` finds for these ids or documents, in order; all look-ups of a request with the same key share
        its commands.
        """
        return await self._loaders.setdefault(key, DataLoader(load, cache_key_fn=_id_of)).load_many(wanted)

    def renew(self) -> "Context":
        """Another for the same viewer, that has read nothing yet."""
        made = Context(*self._made_of, related_fields=self.related_fields)
        made.reader = self.reader.renew()
        return made

    def forget_documents(self) -> None:
        """What was read so far: something has changed."""
        self._loaders.clear()


def _id_of(wanted: Any) -> Hashable:
    id_: Hashable = wanted["_id"] if isinstance(wanted, dict) else wanted
    return id_


def in_order(keys: list[str], documents: list[Document]) -> list[Document | None]:
    found = {document["_id"]: document for document in documents}
    return [found.get(key) for key in keys]


# (context, arguments, documents, selection) → for each document those that the field shows
LoadRelated = Callable[[Context, Mapping[str, Any], Sequence[Document], Selection], Awaitable[list[list[Document]]]]
