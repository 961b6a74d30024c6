"""The open subscriptions of a process; equal ones share a group."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Hashable
from contextlib import aclosing, asynccontextmanager

from graphql import ExecutionResult, GraphQLError, create_source_event_stream

from resolvers.errors import limit_exceeded
from resolvers.subscriptions.fan_out import SubscriberGroup
from resolvers.subscriptions.request import SubscriptionRequest
from resolvers.subscriptions.sources import EventSource


class SubscriptionEnd(ExecutionResult):
    """The error that ends a subscription, or refuses it. It is the last result, and belongs to no event."""


class SubscriptionRegistry:
    """The open subscriptions of a process, `maximum` at most."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._count = 0
        self._groups: dict[Hashable, SubscriberGroup] = {}

    async def subscribe(self, request: SubscriptionRequest) -> AsyncGenerator[ExecutionResult, None]:
        """The results of its events until the client leaves, or a SubscriptionEnd."""
        if self._count >= self._maximum:
            message = f"The {self._maximum} subscriptions that this server allows are in use. Try again later."
            error = limit_exceeded(message, limit="subscriptions", maximum=self._maximum)
            yield _build_end(error)
            return
        self._count += 1
        try:
            async with aclosing(self._iter_results(request)) as results:
                async for result in results:
                    yield result
        finally:
            self._count -= 1

    async def _iter_results(self, request: SubscriptionRequest) -> AsyncGenerator[ExecutionResult, None]:
        creation = create_source_event_stream(request.executor)
        stream = await creation if isinstance(creation, Awaitable) else creation
        if isinstance(stream, ExecutionResult):
            yield SubscriptionEnd(None, stream.errors)
            return
        source: EventSource = await anext(aiter(stream))
        try:
            async with (
                self._enter_group(request, source) as group,
                group.join(source.resume_token) as subscriber,
                aclosing(subscriber.iter_results()) as results,
            ):
                async for result in results:
                    yield result
        except Exception as error:  # noqa: BLE001 - the view masks errors without a code
            yield _build_end(error)

    @asynccontextmanager
    async def _enter_group(self, request: SubscriptionRequest, source: EventSource) -> AsyncIterator[SubscriberGroup]:
        """The group of a request, started for the first of its kind and stopped after the last."""
        key = request.group_key
        group = self._groups.get(key)
        if group is None or group.running.done():
            group = self._groups[key] = SubscriberGroup(request.executor, source)
        group.user_count += 1
        try:
            await asyncio.shield(group.ready)
            yield group
        finally:
            group.user_count -= 1
            if not group.user_count:
                if self._groups.get(key) is group:
                    del self._groups[key]
                group.stop()


def _build_end(error: Exception) -> SubscriptionEnd:
    return SubscriptionEnd(None, [GraphQLError(str(error), original_error=error)])
