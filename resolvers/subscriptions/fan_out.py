"""Groups of equal subscriptions, in each of which a change is looked up and answered once.

    changes of the database → Group: what there is to tell, and the answer to it → Subscriber: one after the other

A subscriber that is slower than the changes gets them merged, each task or curve once, with what it is by then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

from graphql import ExecutionResult, Executor, execute_subscription_event

from models.store.change_stream import Batch, NoChangesError, Position, PositionError, batch
from models.store.changes import Changes, Listener
from resolvers.errors import ErrorCode, ServiceError, coded, limit_exceeded
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.subscriptions.resume_token import Mark, bad_mark
from resolvers.subscriptions.sources import Event, Feed, Key, Round

log = logging.getLogger("taskql.subscriptions")

MAX_WAITING = 5000  # tasks or curves of which a subscriber has not been told yet
PAUSE = 1.0  # seconds between attempts to look changes up
WAIT = 0.01  # seconds
AWAY = {ErrorCode.DATABASE_UNAVAILABLE}
PASSING = {*AWAY, ErrorCode.TIMEOUT}
ATTEMPTS = 3
NO_REPLICA_SET = (
    "Subscriptions need a MongoDB that is a replica set, and this one is a standalone server: start it with --replSet "
    "rs0 and run rs.initiate() in it once. Its data stays as it is."
)


class Told(NamedTuple):
    """A round with the answers to its events, if they were worked out already."""

    round: Round
    answers: Sequence[ExecutionResult] | None = None


class Telling(Plan):
    """The field of a subscription: the answers to all events of a round in one."""

    def __init__(self, feed: Feed, told: Round) -> None:
        self._feed = feed
        self._told = told

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        return await build_answers(context, selection, await self._feed.documents(context, self._told))


class Group:
    """Subscriptions with the same document, variables and viewer."""

    def __init__(self, executor: Executor[Any], feed: Feed) -> None:
        self.users = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.running = asyncio.create_task(self._run())
        self._executor = executor
        self._context: Context = executor.context_value
        self._feed = feed
        self._changes: Changes = self._context.changes
        self._subscribers: set[Subscriber] = set()
        self._inbox: Batch | None = None
        self._telling: Batch | None = None
        self._filled = asyncio.Event()
        self._error: Exception | None = None  # that ended it
        self._is_stopped = False

    def stop(self) -> None:
        """End at once, or after the current step: `asyncio.wait_for` of Python 3.11 may lose a cancellation."""
        self._is_stopped = True
        self.running.cancel()

    @property
    def _position(self) -> Position:
        """Up to here all subscribers are told."""
        untold = self._telling or self._inbox
        return untold.after if untold else self._changes.position

    @asynccontextmanager
    async def joined(self, mark: Mark | None) -> AsyncIterator["Subscriber"]:
        """Raises InputError for a mark behind which it can't continue."""
        if mark:
            await self._come_to(mark.upto)
        if self._error:
            raise self._error
        # from here on it is told what comes, which waits until it was told what it missed
        subscriber, position = Subscriber(self), self._position
        self._subscribers.add(subscriber)
        try:
            if mark:
                subscriber.missed += await self._missed(mark, position)
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def merged(self, earlier: Round, later: Round) -> Round:
        return self._feed.both(earlier, later)

    async def answer(self, told: Round) -> Sequence[ExecutionResult]:
        """What its events come to, in order."""
        result = await self._execute(told)
        if result.data is None or (result.errors and len(told.events) > 1):
            # each by itself, so that an error stands where it belongs
            return [result] if len(told.events) == 1 else [await self._execute(told.only(key)) for key in told.events]
        [(name, values)] = result.data.items()
        return [ExecutionResult({name: value}, result.errors) for value in values]

    async def _execute(self, told: Round) -> ExecutionResult:
        """The result once the database is there. What takes too long again and again is told so."""
        for attempt in count(1):
            executor = self._executor.build_per_event_executor(Telling(self._feed, told))
            executor.context_value = self._context.renew()
            found = execute_subscription_event(executor)
            result = await found if isinstance(found, Awaitable) else found
            # to somebody who waits, a database that is away and one that takes too long look alike
            passing = PASSING if attempt < ATTEMPTS else AWAY
            if not any(_is_any_of(passing, error) for error in result.errors or ()):
                break
            log.warning("changes can't be told at the moment: %s", result.errors)
            await asyncio.sleep(PAUSE)
        return result

    # -- what comes --------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with self._changes.listening(Listener(self._receive, self._end)):
                await self._feed.begin(self._context)
                self.ready.set_result(None)
                while not self._is_stopped:
                    await self._filled.wait()
                    await self._tell()
        except Exception as error:  # noqa: BLE001 - it ends the subscriptions, and is told there
            self._end(error)

    def _receive(self, told: Batch) -> None:
        if self._feed.concerns(told):
            self._inbox = self._inbox.then(told) if self._inbox else told
            self._filled.set()

    def _end(self, error: Exception) -> None:
        self.stop()
        self._error = _known(error)
        if not self.ready.done():
            self.ready.set_exception(self._error)
            self.ready.exception()  # nobody may be there any more to ask for it
        for subscriber in self._subscribers:
            subscriber.end(self._error)

    async def _tell(self) -> None:
        """What came since the last time, as one."""
        assert self._inbox
        self._telling, self._inbox = self._inbox, None
        self._filled.clear()
        found = await _patiently(self._feed, self._context, self._telling)
        if found.events:
            told = Told(found, await self.answer(found))
            for subscriber in self._subscribers:
                subscriber.tell(told)
        self._telling = None

    async def _come_to(self, position: Position) -> None:
        """Another group may have told of it, while this one is about to. Raises InputError."""
        try:
            await self._changes.come_to(position)
        except PositionError as error:
            raise bad_mark(str(error)) from error
        while self._position < position and not self._error:  # noqa: ASYNC110 - rare, and over at once
            await asyncio.sleep(WAIT)

    async def _missed(self, mark: Mark, position: Position) -> list[Told]:
        """What was told behind a mark up to a position: the rest of the mark's round, and what came after that."""
        try:
            records = await self._changes.since(mark.after)
        except PositionError as error:
            raise bad_mark(str(error)) from error
        rest = [record for record in records if record.position <= mark.upto and record.task > (mark.id or "")]
        later = [record for record in records if mark.upto < record.position <= position]
        batches = [batch(mark.after, mark.upto, rest), batch(mark.upto, position, later)]
        found = [await _patiently(self._feed, self._context, one) for one in batches]
        return [Told(one) for one in found if one.events]


class Subscriber:
    """One of a group: what it was told, and what it waits to be told."""

    def __init__(self, group: Group) -> None:
        self.missed: deque[Told] = deque()  # before it came
        self._group = group
        self._waiting: Told | None = None
        self._error: Exception | None = None
        self._woken = asyncio.Event()
        self._known: set[Key] = set()

    def tell(self, told: Told) -> None:
        if self._error:
            return
        if self._waiting is None:
            self._waiting = told
        elif len((merged := self._group.merged(self._waiting.round, told.round)).events) <= MAX_WAITING:
            self._waiting = Told(merged)
        else:
            message = f"The client has not taken what it was told: more than {MAX_WAITING} changes wait. Resume it."
            self.end(limit_exceeded(message, limit="waiting", maximum=MAX_WAITING))
        self._woken.set()

    def end(self, error: Exception) -> None:
        self._error, self._waiting = error, None
        self.missed.clear()
        self._woken.set()

    async def results(self) -> AsyncGenerator[ExecutionResult, None]:
        while True:
            told = await self._next()
            found = told.answers or await self._group.answer(told.round)
            for event, result in zip(told.round.events.values(), found, strict=True):
                if self._is_told(event):
                    yield result

    async def _next(self) -> Told:
        """The oldest of what waits; raises what ended it."""
        while not (self.missed or self._waiting or self._error):
            self._woken.clear()
            await self._woken.wait()
        if self._error:
            raise self._error
        if self.missed:
            return self.missed.popleft()
        assert self._waiting
        told, self._waiting = self._waiting, None
        return told

    def _is_told(self, event: Event) -> bool:
        if event.is_news:
            self._known.add(event.key)
            return True
        was_known = event.key in self._known
        self._known.discard(event.key)
        return was_known


async def _patiently(feed: Feed, context: Context, told: Batch) -> Round:
    """What there is to tell, as soon as the database can be asked."""
    while True:
        try:
            return await feed.round(context.renew(), told)
        except Exception as error:
            if not _is_any_of(PASSING, error):
                raise
            log.warning("changes can't be looked up at the moment: %s", error)
            await asyncio.sleep(PAUSE)


def _is_any_of(codes: Collection[ErrorCode], error: Exception) -> bool:
    known = coded(error)
    return known is not None and known.code in codes


def _known(error: Exception) -> Exception:
    if isinstance(error, NoChangesError):
        return ServiceError(ErrorCode.REPLICA_SET_REQUIRED, NO_REPLICA_SET)
    if isinstance(error, PositionError):
        message = "MongoDB does not know any more what changed; read what there is now, and subscribe again."
        return ServiceError(ErrorCode.DATABASE_UNAVAILABLE, message)
    return error
