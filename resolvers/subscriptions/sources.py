"""Event sources: they make events of the changes of the database. Each kind of subscription has one."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from models.store.change_stream import ChangeBatch, OplogPosition
from models.types import Document
from resolvers.execution.context import Context
from resolvers.subscriptions.resume_token import ResumeToken

EventKey = str | tuple[str, str]  # the id of a task, or the metric and variant of a series


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one task or series. A removal is delivered only to subscribers who have got an event of its key."""

    key: EventKey
    content: Any
    is_removal: bool = False


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events that are delivered together, in the order of their keys; `last_key` is the same after `select`."""

    after: OplogPosition
    until: OplogPosition
    events: Mapping[EventKey, Event]
    last_key: EventKey | None

    def select(self, key: EventKey) -> "EventBatch":
        return replace(self, events={key: self.events[key]})


class EventSource(ABC):
    """The events of one kind of subscription. A resolver returns it, as an iterator whose one item is the source."""

    resume_token: ResumeToken | None = None

    async def __aiter__(self) -> AsyncIterator["EventSource"]:
        yield self

    @abstractmethod
    async def start(self, context: Context) -> None:
        """Read what the first events need. The group listens to changes already, and has delivered none."""

    @abstractmethod
    def is_affected_by(self, changes: ChangeBatch) -> bool:
        """Whether these changes may make events; decided without the database."""

    @abstractmethod
    async def build_events(self, context: Context, changes: ChangeBatch) -> EventBatch:
        """Look up what these changes mean for the subscription."""

    @abstractmethod
    def merge_events(self, earlier: Event, later: Event) -> Event:
        """Make one of two events with the same key."""

    @abstractmethod
    async def load_documents(self, context: Context, event_batch: EventBatch) -> list[Document]:
        """Load the document of each event, in order."""

    def merge(self, earlier: EventBatch, later: EventBatch) -> EventBatch:
        """Make one of two batches that follow each other."""
        events = dict(earlier.events)
        for key, event in later.events.items():
            events[key] = self.merge_events(events[key], event) if key in events else event
        return build_event_batch(earlier.after, later.until, events.values())


def build_event_batch(after: OplogPosition, until: OplogPosition, events: Iterable[Event]) -> EventBatch:
    ordered = sorted(events, key=attrgetter("key"))
    last_key = ordered[-1].key if ordered else None
    return EventBatch(after, until, {event.key: event for event in ordered}, last_key)
