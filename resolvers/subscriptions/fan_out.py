"""Equal subscriptions form a group, in which each change of the database is looked up and answered once.

The life of a subscription, with the methods of each step:

    join      a subscriber enters the group of its equals, which follows the change stream already (join)
    catch up  with a resume token it first gets the events that it missed (_read_missed)
    follow    the group collects the changes that come while it delivers earlier ones (_follow, _collect)
    deliver   the event source makes events of the changes, the group answers them (_deliver_inbox, answer),
              and each subscriber yields the results that are for it (Subscriber.deliver, iter_results)
    retry     the group waits for a database that is away or slow, so that no event is lost (_execute, _build_events)
    leave     the subscriber leaves at the end of join, and the last one stops the group (stop)

A subscriber that is slower than the changes gets them merged: each task or series once, with its state by then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

from graphql import ExecutionResult, Executor, execute_subscription_event

from models.store.change_stream import (
    ChangeBatch,
    NoChangeStreamError,
    OplogPosition,
    OplogPositionError,
    build_change_batch,
)
from models.store.shared_change_stream import Listener, SharedChangeStream
from resolvers.errors import ErrorCode, ServiceError, find_api_error, limit_exceeded
from resolvers.execution.context import Context
from resolvers.execution.plan import Plan, ReportError, build_answers
from resolvers.execution.selection import Selection
from resolvers.subscriptions.resume_token import ResumeToken, build_token_error
from resolvers.subscriptions.sources import Event, EventBatch, EventKey, EventSource

log = logging.getLogger("taskql.subscriptions")

MAX_WAITING = 5000  # events that wait for one subscriber
RETRY_PAUSE = 1.0  # seconds
POSITION_PAUSE = 0.01  # seconds
AWAY = {ErrorCode.DATABASE_UNAVAILABLE}
AWAY_OR_SLOW = {*AWAY, ErrorCode.TIMEOUT}
MAX_SLOW_ATTEMPTS = 3
NO_REPLICA_SET = (
    "Subscriptions need a MongoDB that is a replica set, and this one is a standalone server: start it with --replSet "
    "rs0 and run rs.initiate() in it once. Its data stays as it is."
)
CHANGES_LOST = "MongoDB no longer knows what changed. Read the current state, then subscribe again."


class Delivery(NamedTuple):
    """Events with their results; without them where they are merged, and answered when the subscriber takes them."""

    batch: EventBatch
    results: Sequence[ExecutionResult] | None = None


class EventBatchPlan(Plan):
    """The plan of a subscription's field: it answers all events of a batch at once."""

    def __init__(self, source: EventSource, batch: EventBatch) -> None:
        self._source = source
        self._batch = batch

    async def answer(self, context: Context, selection: Selection, _report: ReportError) -> Any:
        return await build_answers(context, selection, await self._source.load_documents(context, self._batch))


class SubscriberGroup:
    """The subscribers with the same document, variables and viewer."""

    def __init__(self, executor: Executor[Any], source: EventSource) -> None:
        self.user_count = 0  # with the requests that wait for it to be ready
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.running = asyncio.create_task(self._follow())
        self.source = source
        self._executor = executor
        self._context: Context = executor.context_value
        self._changes: SharedChangeStream = self._context.changes
        self._subscribers: set[Subscriber] = set()
        self._inbox: ChangeBatch | None = None
        self._delivering: ChangeBatch | None = None
        self._has_changes = asyncio.Event()
        self._error: Exception | None = None  # the error that ended the group
        self._is_stopped = False

    # -- join and catch up -------------------------------------------------------------------------

    @asynccontextmanager
    async def join(self, token: ResumeToken | None) -> AsyncIterator["Subscriber"]:
        """A subscriber, which leaves at the end; raises InputError for a token from which it can't continue."""
        if token:
            await self._wait_for(token.until)
        if self._error:
            raise self._error
        # the subscriber gets all events from here on, which wait until it has got those that it missed
        subscriber, position = Subscriber(self), self._delivered_until
        self._subscribers.add(subscriber)
        try:
            if token:
                subscriber.missed += await self._read_missed(token, position)
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def _wait_for(self, position: OplogPosition) -> None:
        """Wait until this group has delivered what another one has delivered already. Raises InputError."""
        try:
            await self._changes.wait_until(position)
        except OplogPositionError as error:
            raise build_token_error(str(error)) from error
        while self._delivered_until < position and not self._error:  # noqa: ASYNC110 - rare, and soon over
            await asyncio.sleep(POSITION_PAUSE)

    @property
    def _delivered_until(self) -> OplogPosition:
        """The oplog position up to which all changes are delivered."""
        undelivered = self._delivering or self._inbox
        return undelivered.after if undelivered else self._changes.position

    async def _read_missed(self, token: ResumeToken, position: OplogPosition) -> list[Delivery]:
        """The events between a token and a position: the rest of the token's batch, and all later changes as one."""
        try:
            records = await self._changes.read_since(token.after)
        except OplogPositionError as error:
            raise build_token_error(str(error)) from error
        rest = [record for record in records if record.position <= token.until and record.task > (token.id or "")]
        later = [record for record in records if token.until < record.position <= position]
        missed = [
            await self._build_events(build_change_batch(token.after, token.until, rest)),
            await self._build_events(build_change_batch(token.until, position, later)),
        ]
        return [Delivery(event_batch) for event_batch in missed if event_batch.events]

    # -- follow and deliver ------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Deliver changes until the group is stopped. An error ends the group and its subscribers."""
        try:
            async with self._changes.listen(Listener(self._collect, self._end)):
                await self.source.start(self._context)
                self.ready.set_result(None)
                while not self._is_stopped:
                    await self._has_changes.wait()
                    await self._deliver_inbox()
        except Exception as error:  # noqa: BLE001 - each subscriber raises it
            self._end(error)

    def _collect(self, changes: ChangeBatch) -> None:
        if self.source.is_affected_by(changes):
            self._inbox = self._inbox.merge(changes) if self._inbox else changes
            self._has_changes.set()

    async def _deliver_inbox(self) -> None:
        """Deliver all changes that were collected since the last time, as one batch of events."""
        assert self._inbox
        self._delivering, self._inbox = self._inbox, None
        self._has_changes.clear()
        event_batch = await self._build_events(self._delivering)
        if event_batch.events:
            delivery = Delivery(event_batch, await self.answer(event_batch))
            for subscriber in self._subscribers:
                subscriber.deliver(delivery)
        self._delivering = None

    async def answer(self, event_batch: EventBatch) -> Sequence[ExecutionResult]:
        """A result for each event, in order."""
        result = await self._execute(event_batch)
        if len(event_batch.events) > 1 and (result.data is None or result.errors):
            # each event on its own, so that an error stands only beside the event that it belongs to
            return [await self._execute(event_batch.select(key)) for key in event_batch.events]
        if result.data is None:
            return [result]
        [(name, values)] = result.data.items()
        return [ExecutionResult({name: value}, result.errors) for value in values]

    # -- retry -------------------------------------------------------------------------------------

    async def _execute(self, event_batch: EventBatch) -> ExecutionResult:
        """The result as soon as the database is there; that of a slow database stands after a few attempts."""
        for attempt in count(1):
            executor = self._executor.build_per_event_executor(EventBatchPlan(self.source, event_batch))
            executor.context_value = self._context.renew()
            execution = execute_subscription_event(executor)
            result = await execution if isinstance(execution, Awaitable) else execution
            # a database that is away may look like one that is slow
            retried = AWAY_OR_SLOW if attempt < MAX_SLOW_ATTEMPTS else AWAY
            if not any(_has_code(error, retried) for error in result.errors or ()):
                break
            log.warning("changes can't be answered at the moment: %s", result.errors)
            await asyncio.sleep(RETRY_PAUSE)
        return result

    async def _build_events(self, changes: ChangeBatch) -> EventBatch:
        """The events of these changes, as soon as the database answers."""
        while True:
            try:
                return await self.source.build_events(self._context.renew(), changes)
            except Exception as error:
                if not _has_code(error, AWAY_OR_SLOW):
                    raise
                log.warning("changes can't be looked up at the moment: %s", error)
                await asyncio.sleep(RETRY_PAUSE)

    # -- leave -------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop at once, or after the current step: `asyncio.wait_for` of Python 3.11 may lose a cancellation."""
        self._is_stopped = True
        self.running.cancel()

    def _end(self, error: Exception) -> None:
        self.stop()
        self._error = _translate_error(error)
        if not self.ready.done():
            self.ready.set_exception(self._error)
            self.ready.exception()  # marks it as read, as all who waited for it may have left
        for subscriber in self._subscribers:
            subscriber.end(self._error)


class Subscriber:
    """A member of a group: the events that wait for it, and the keys of those that it has got."""

    def __init__(self, group: SubscriberGroup) -> None:
        self.missed: deque[Delivery] = deque()  # from before it joined
        self._group = group
        self._waiting: Delivery | None = None
        self._error: Exception | None = None
        self._woken = asyncio.Event()
        self._delivered_keys: set[EventKey] = set()

    def deliver(self, delivery: Delivery) -> None:
        """Let a delivery wait for this subscriber, merged with one that waits already."""
        if self._error:
            return
        if self._waiting:
            delivery = Delivery(self._group.source.merge(self._waiting.batch, delivery.batch))
        if self._waiting and len(delivery.batch.events) > MAX_WAITING:
            message = (
                f"The client reads too slowly: more than {MAX_WAITING} changes wait. Read faster, and subscribe again."
            )
            self.end(limit_exceeded(message, limit="waiting", maximum=MAX_WAITING))
            return
        self._waiting = delivery
        self._woken.set()

    def end(self, error: Exception) -> None:
        self._error, self._waiting = error, None
        self.missed.clear()
        self._woken.set()

    async def iter_results(self) -> AsyncGenerator[ExecutionResult, None]:
        """The results of this subscriber's events; raises the error that ends them."""
        while True:
            delivery = await self._take_oldest()
            results = delivery.results or await self._group.answer(delivery.batch)
            for event, result in zip(delivery.batch.events.values(), results, strict=True):
                if self._accept(event):
                    yield result

    async def _take_oldest(self) -> Delivery:
        while not (self.missed or self._waiting or self._error):
            self._woken.clear()
            await self._woken.wait()
        if self._error:
            raise self._error
        if self.missed:
            return self.missed.popleft()
        assert self._waiting
        delivery, self._waiting = self._waiting, None
        return delivery

    def _accept(self, event: Event) -> bool:
        """Whether this subscriber gets the event: a removal only if it has got an event of the same key."""
        if not event.is_removal:
            self._delivered_keys.add(event.key)
            return True
        is_known = event.key in self._delivered_keys
        self._delivered_keys.discard(event.key)
        return is_known


def _has_code(error: Exception, codes: Collection[ErrorCode]) -> bool:
    api_error = find_api_error(error)
    return api_error is not None and api_error.code in codes


def _translate_error(error: Exception) -> Exception:
    if isinstance(error, NoChangeStreamError):
        return ServiceError(ErrorCode.REPLICA_SET_REQUIRED, NO_REPLICA_SET)
    if isinstance(error, OplogPositionError):
        return ServiceError(ErrorCode.DATABASE_UNAVAILABLE, CHANGES_LOST)
    return error
