"""Sources of events: changes of the database → events with a key each."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.store.change_stream import Batch, Position
from models.types import Document
from resolvers.execution.context import Context
from resolvers.subscriptions.resume_token import Mark

Key = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell. What is not `news` is only told to those who were told of the same key before."""

    key: Key
    what: Any
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class Round:
    """Events that are told together, in order; `last` is the key of the last one, also where only one is looked at."""

    after: Position
    upto: Position
    events: Mapping[Key, Event]
    last: Key | None

    def only(self, key: Key) -> "Round":
        return replace(self, events={key: self.events[key]})


class Feed(ABC):
    """What the resolver of a subscription returns: as a source of events it has one, itself."""

    mark: Mark | None = None

    async def __aiter__(self) -> AsyncIterator["Feed"]:
        yield self

    @abstractmethod
    async def begin(self, context: Context) -> None:
        """Called once changes are listened to, before the first of them."""

    @abstractmethod
    def concerns(self, batch: Batch) -> bool:
        """Whether there may be something to tell; decided without the database."""

    @abstractmethod
    async def round(self, context: Context, batch: Batch) -> Round:
        """What there is to tell."""

    @abstractmethod
    def together(self, earlier: Event, later: Event) -> Event:
        """Two events with the same key as one."""

    @abstractmethod
    async def documents(self, context: Context, told: Round) -> list[Document]:
        """For each event the document of the subscription's type."""

    def both(self, earlier: Round, later: Round) -> Round:
        """Two rounds as one, for those who were not ready for the first."""
        events = dict(earlier.events)
        for key, event in later.events.items():
            events[key] = self.together(events[key], event) if key in events else event
        return round_of(earlier.after, later.upto, events.values())


def round_of(after: Position, upto: Position, events: Sequence[Event] | Any) -> Round:
    ordered = sorted(events, key=lambda event: event.key)
    return Round(after, upto, {event.key: event for event in ordered}, ordered[-1].key if ordered else None)
