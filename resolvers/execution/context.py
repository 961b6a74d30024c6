"""The context of one request: who asks, the doors to the database, and look-ups that share their commands."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from strawberry.dataloader import DataLoader

from models.status import DOCUMENTED
from models.store.reader import Reader
from models.store.shared_change_stream import SharedChangeStream
from models.store.writer import Writer
from models.types import Document, Viewer
from resolvers.criteria.pages import Page, RowLimits, parse_page, refuse_deep_page
from resolvers.execution.selection import Selection
from resolvers.execution.serializer import Serializer
from schema.spec import Spec

Key = TypeVar("Key", str, Document)
Loaded = TypeVar("Loaded")


class AnyPlan(Protocol):
    """A plan, as far as a context knows one."""

    async def answer(self, context: "Context", selection: Selection, report: Any, /) -> Any: ...


@dataclass(eq=False)
class Context:
    """What resolvers of one request share; nothing of it outlives the request."""

    viewer: Viewer
    reader: Reader
    writer: Writer
    changes: SharedChangeStream
    spec: Spec
    max_page: int
    rules: str = DOCUMENTED
    storages: Sequence[str] = ()
    row_limits: RowLimits = field(default_factory=RowLimits)
    related_fields: Mapping[str, "LoadRelated"] = field(kw_only=True)
    _loaders: dict[Hashable, DataLoader[Any, Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.serializer = Serializer(self.spec)

    async def execute_plan(self, plan: AnyPlan, selection: Selection, report: Any) -> Any:
        """The value of the field with this plan."""
        return await plan.answer(self, selection, report)

    def read_page(self, arguments: Mapping[str, Any]) -> Page:
        """Read the page of a list from its arguments. Raises InputError and LimitError."""
        page = parse_page(arguments, self.max_page)
        refuse_deep_page(page, self.row_limits, is_served=True)
        return page

    async def load_documents(
        self, collection: str, ids: Sequence[str], projection: Mapping[str, int]
    ) -> list[Document | None]:
        """Load the documents with these ids, in order; None for one that the viewer can't see."""

        async def load(ids: list[str]) -> list[Document | None]:
            documents = await self.reader.read_by_ids(collection, ids, projection)
            by_id = {document["_id"]: document for document in documents}
            return [by_id.get(id_) for id_ in ids]

        return await self.load_batched((collection, frozenset(projection)), load, ids)

    async def load_batched(
        self, loader_key: Hashable, load: Callable[[list[Key]], Awaitable[list[Loaded]]], keys: Sequence[Key]
    ) -> list[Loaded]:
        """Load a row for each id or document, in order; look-ups with the same loader key share their commands."""
        loader = self._loaders.setdefault(loader_key, DataLoader(load, cache_key_fn=_get_id))
        return await loader.load_many(keys)

    def renew(self) -> "Context":
        """Build another context for the same viewer, which has read nothing yet."""
        return replace(self, reader=self.reader.renew())

    def forget_documents(self) -> None:
        """Forget all that was read, as something has changed."""
        self._loaders.clear()


def _get_id(key: Any) -> Hashable:
    id_: Hashable = key["_id"] if isinstance(key, dict) else key
    return id_


# (context, arguments, documents, selection) → for each document the rows that the field shows, or the one row of it.
# A document has its _id, its company and the field's x-stored paths; arguments are by HOCON names, with the "page".
LoadRelated = Callable[[Context, Mapping[str, Any], Sequence[Document], Selection], Awaitable[list[list[Document]]]]
