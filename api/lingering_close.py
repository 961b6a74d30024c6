"""Close a connection only after its body is read, so that the client gets to see an early answer."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_DRAINED = 64_000_000  # bytes of a refused body that are read
MAX_DRAIN_SECONDS = 10.0
MAX_SILENCE = 2.0  # seconds between two chunks


class LingeringCloseMiddleware:
    """Reads on within bounds after an early answer, then closes the connection.

    A connection that is closed while the client still sends is reset, and the client loses the answer with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        has_ended = False

        async def receive_watched() -> Message:
            nonlocal has_ended
            message = await receive()
            has_ended = has_ended or not message.get("more_body")
            return message

        async def send_and_drain(message: Message) -> None:
            if has_ended:
                await send(message)
            elif message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
                await send(message)
            elif message.get("more_body"):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await _drain_body(receive_watched)
                await send({"type": "http.response.body"})

        await self.app(scope, receive_watched, send_and_drain)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _drain_body(receive: Receive) -> None:
    """Receive the rest of the body, up to the bounds."""
    size, has_more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            while has_more and size < MAX_DRAINED:
                async with asyncio.timeout(MAX_SILENCE):
                    message = await receive()
                size += len(message.get("body", b""))
                has_more = message.get("more_body", False)
