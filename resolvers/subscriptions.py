"""Subscriptions: which there are, and which of them ask the same, so that they are told by one group."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Hashable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLError,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    create_source_event_stream,
    visit,
)

from resolvers.context import Context
from resolvers.errors import ErrorCode, LimitError
from resolvers.feeds import Feed
from resolvers.groups import Group


class Subscribed(NamedTuple):
    """A subscription to execute, what it asks, and the extensions of its first result."""

    executor: Executor[Any]
    document: DocumentNode
    query: str
    variables: Mapping[str, Any]
    extensions: dict[str, Any]

    @property
    def identity(self) -> Hashable:
        """The same for all who are told the same from now on, wherever they continue."""
        uses = Uses()
        visit(self.document, uses)
        apart = uses.as_marks - uses.otherwise
        asked = {name: value for name, value in self.variables.items() if name not in apart}
        name = self.executor.operation.name
        context: Context = self.executor.context_value
        return self.query, name and name.value, json.dumps(asked, sort_keys=True), context.viewer


class Ended(ExecutionResult):
    """The error that ends a subscription, or does not let it begin. It is the last result, and of no event."""


class Uses(Visitor):
    """What the variables of a document are used for."""

    def __init__(self) -> None:
        super().__init__()
        self.as_marks: set[str] = set()
        self.otherwise: set[str] = set()

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: Any) -> Any:
        return SKIP

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        if node.name.value == "resumeAfter" and isinstance(node.value, VariableNode):
            self.as_marks.add(node.value.name.value)
            return SKIP
        return None

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.otherwise.add(node.name.value)


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
            error = LimitError(ErrorCode.LIMIT_EXCEEDED, message, limit="subscriptions", maximum=self._most)
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
                group.running.cancel()


def _failed(error: Exception) -> Ended:
    return Ended(None, [GraphQLError(str(error), original_error=error)])
