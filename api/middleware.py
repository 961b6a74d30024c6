"""Properties that all answers share: one shape of errors, no text of a fault, and safe headers."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accepts import is_gzip_allowed
from api.answers import answer_failures, answer_refusal
from api.errors import RefusedError, mask_fault

SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",  # an answer is one viewer's, and old at once
}
LOWEST_ERROR_STATUS = 400
# sentences for Starlette's own words, which lack the advice
SENTENCES = {
    "Not Found": "There is nothing at this address; GraphQL is at /graphql.",
    "Method Not Allowed": "That method is not served at this address.",
    "Invalid host header": "This Host header is not allowed. Add the host to TASKQL_ALLOWED_HOSTS.",
    "Disallowed CORS origin": "This origin is not allowed. Add it to TASKQL_ALLOWED_ORIGINS.",
}


class UniformAnswersMiddleware:
    """Gives every answer safe headers, and the plain-text errors of Starlette and its middleware our shape."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        text_error: list[Message] = []  # the messages of a plain-text error, held until they are complete

        async def send_uniform(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
                if _is_text_error(message["status"], headers):
                    text_error.append(message)
                    return
            elif text_error:
                text_error.append(message)
                if not message.get("more_body"):
                    await _send_in_our_shape(text_error, send)
                return
            await send(message)

        await self.app(scope, receive, send_uniform)


def _is_text_error(status: int, headers: Headers) -> bool:
    return status >= LOWEST_ERROR_STATUS and headers.get("content-type", "").startswith("text/plain")


async def _send_in_our_shape(text_error: list[Message], send: Send) -> None:
    start, *chunks = text_error
    text = b"".join(chunk.get("body", b"") for chunk in chunks).decode()
    answer = answer_refusal(RefusedError(start["status"], SENTENCES.get(text, f"{text}.")))
    MutableHeaders(scope=start).update({**answer.headers, "content-length": str(len(answer.body))})
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})


class AcceptEncodingMiddleware:
    """Says gzip or identity to Starlette's GZipMiddleware, which compresses for `gzip;q=0` as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            coding = b"gzip" if is_gzip_allowed(Headers(scope=scope)) else b"identity"
            headers = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
            scope = {**scope, "headers": [*headers, (b"accept-encoding", coding)]}
        await self.app(scope, receive, send)


class MaskFaultsMiddleware:
    """Answers a fault that no one else caught with its number in the log, and nothing else of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def send_watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_watched)
        except Exception as fault:
            if has_begun:
                raise
            response = answer_failures([mask_fault(fault)]).to_response()
            await response(scope, receive, send)
