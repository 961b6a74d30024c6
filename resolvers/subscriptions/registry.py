"""All subscriptions of a process; those that ask the same share one group."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Hashable
from contextlib import aclosing, asynccontextmanager

from graphql import ExecutionResult, GraphQLError, create_source_event_stream

from resolvers.errors import limit_exceeded
from resolvers.subscriptions.fan_out import Group
from resolvers.subscriptions.sources import Feed
from resolvers.subscriptions.subscribed import Subscribed


class Ended(ExecutionResult):
    """The error that ends a subscription, or does not let it begin. It is the last result, and of no event."""


class Subscriptions:
    """All subscriptions of a process; `most` is how many there may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._groups: dict[Hashable, Group] = {}

    async def results(self, subscribed: Subscribed) -> AsyncGenerator[ExecutionResult, None]:
        """The results of its events, until the client leaves; Ended where the server ends it."""
        if self._count >= self._most:
            message = f"This server has {self._most} subscriptions at once, and as many are open; try again later."
            error = limit_exceeded(message, limit="subscriptions", maximum=self._most)
            yield _failed(error)
            return
        self._count += 1
        try:
            async with aclosing(self._results(subscribed)) as results:
                async for result in results:
                    yield result
        finally:
            self._count -= 1

    async def _results(self, subscribed: Subscribed) -> AsyncGenerator[ExecutionResult, None]:
        source = create_source_event_stream(subscribed.executor)
        found = await source if isinstance(source, Awaitable) else source
        if isinstance(found, ExecutionResult):
            yield Ended(None, found.errors)
            return
        feed: Feed = await anext(aiter(found))
        try:
            async with (
                self._group(subscribed, feed) as group,
                group.joined(feed.mark) as subscriber,
                aclosing(subscriber.results()) as results,
            ):
                async for result in results:
                    yield result
        except Exception as error:  # noqa: BLE001 - the view masks what it does not know
            yield _failed(error)

    @asynccontextmanager
    async def _group(self, subscribed: Subscribed, feed: Feed) -> AsyncIterator[Group]:
        identity = subscribed.identity
        group = self._groups.get(identity)
        if group is None or group.running.done():
            group = self._groups[identity] = Group(subscribed.executor, feed)
        group.users += 1
        try:
            await asyncio.shield(group.ready)
            yield group
        finally:
            group.users -= 1
            if not group.users:
                if self._groups.get(identity) is group:
                    del self._groups[identity]
                group.stop()


def _failed(error: Exception) -> Ended:
    return Ended(None, [GraphQLError(str(error), original_error=error)])
