"""What all answers have in common: one shape of errors, no text of a fault, and safe headers."""

from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accepts import allows_gzip
from api.errors import RefusedError, masked, shown

JSON = "application/json; charset=utf-8"
SAFE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",  # an answer is one person's, and old at once
}
# where Starlette's own words would leave somebody at a loss
SENTENCES = {
    "Not Found": "There is nothing at this address; GraphQL is at /graphql.",
    "Method Not Allowed": "That method is not served at this address.",
    "Invalid host header": "This Host header is not allowed. Add the host to TASKQL_ALLOWED_HOSTS.",
    "Disallowed CORS origin": "This origin is not allowed. Add it to TASKQL_ALLOWED_ORIGINS.",
}


class OneShape:
    """Gives the plain-text errors of Starlette and its middleware the shape of ours, and every answer safe headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def shaped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
                if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):  # noqa: PLR2004
                    held.append(message)
                    return
            elif held:
                held.append(message)
                if message.get("more_body"):
                    return
                for one in _reshaped(held):
                    await send(one)
                return
            await send(message)

        await self.app(scope, receive, shaped)


def _reshaped(messages: list[Message]) -> list[Message]:
    start, *parts = messages
    text = b"".join(part.get("body", b"") for part in parts).decode()
    body = _error(start["status"], SENTENCES.get(text, f"{text}."))
    headers = MutableHeaders(scope=start)
    headers["content-type"] = JSON
    headers["content-length"] = str(len(body))
    return [start, {"type": "http.response.body", "body": body}]


class AcceptedGzip:
    """Says gzip or identity to Starlette's GZipMiddleware, which takes `gzip;q=0` for leave to compress."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            coding = b"gzip" if allows_gzip(Headers(scope=scope)) else b"identity"
            others = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
            scope = {**scope, "headers": [*others, (b"accept-encoding", coding)]}
        await self.app(scope, receive, send)


class MaskedFaults:
    """Answers a fault that nothing else met with its number; the rest of it stays in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as fault:
            if has_begun:
                raise
            body = orjson.dumps({"errors": [shown(masked(fault))]})
            await Response(body, 500, {"content-type": JSON})(scope, receive, send)


def _error(status: int, message: str) -> bytes:
    body: dict[str, Any] = {"errors": [shown(RefusedError(status, message))]}
    return orjson.dumps(body)
