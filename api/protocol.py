"""uvicorn's HTTP with a maximum of what comes before a body, and its own refusals in our shape.

Only a WebSocket's handshake changes the protocol. Every other wish for one (Upgrade: h2c, as Java's client and
`curl --http2` send it with each request) is ignored, as HTTP allows.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httptools
import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.errors import RefusedError, shown
from api.lingering import MAX_DRAINED, MAX_SILENCE
from resolvers.errors import ErrorCode

MAX_HEAD = 65_536  # bytes; a little more passes when it comes at once
WISHES = (b"upgrade", b"http2-settings")


class Protocol(HttpToolsProtocol):
    """A connection of a client."""

    _in_head = False
    _head = 0
    _drained: int | None = None  # bytes that came after a refusal
    _running: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        if self._drained is not None:
            self._drain(len(data))
            return
        self._unset_keepalive_if_required()
        was_in_head = self._in_head
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self._refuse(RefusedError(400, "Invalid HTTP request received."))
            return
        if was_in_head and self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                message = f"The first line and the headers of a request have at most {MAX_HEAD} bytes."
                self._refuse(RefusedError(431, message, ErrorCode.LIMIT_EXCEEDED))

    def _parse(self, data: memoryview) -> None:
        """Parse what has come. The parser stops behind a head that wishes for another protocol and skips the body."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as wish:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                self._begin_without_wish()
                data = data[wish.args[0] :]
            else:
                return

    def _begin_without_wish(self) -> None:
        """Begin the same message again with a parser that sees no wish, so that it finds the body."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("a tunnel")
        lines = [b"%s %s HTTP/%s" % (method, self.url, version), *_without_wishes(self.headers), b"", b""]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(b"\r\n".join(lines))

    def _should_upgrade(self) -> bool:
        """Tells whether the head is a WebSocket's handshake."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"websocket" in _tokens(self.headers, b"upgrade")
            and any(name == b"sec-websocket-key" for name, _ in self.headers)
        )

    def handle_websocket_upgrade(self) -> None:
        # the library refuses a handshake that names other protocols as well
        self.headers[:] = [*(header for header in self.headers if header[0] != b"upgrade"), (b"upgrade", b"websocket")]
        super().handle_websocket_upgrade()
        websocket: Any = self.transport.get_protocol()
        if not websocket.handshake_initiated:  # the library leaves a connection open whose handshake it can't read
            self.connections.discard(websocket)
            self.connections.add(self)
            self.transport.set_protocol(self)
            message = "The WebSocket handshake has a body, too many headers or too long ones; send it without them."
            self._refuse(RefusedError(400, message))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._should_upgrade() or not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer, and close once the client has seen it: a connection that is closed at once loses the answer."""
        self._end_running()
        body = orjson.dumps({"errors": [shown(refusal)]})
        head = (
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
            "content-type: application/json; charset=utf-8",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.write_eof()
        self._drained = 0
        self.loop.call_later(MAX_SILENCE, self.transport.close)

    def _end_running(self) -> None:
        """End an earlier request of the connection, as when its client leaves: a refusal is the last answer."""
        if self._running:
            self._running.disconnected = True
            self._running.message_event.set()

    def _drain(self, size: int) -> None:
        assert self._drained is not None
        self._drained += size
        if self._drained > MAX_DRAINED:
            self.transport.close()


def _tokens(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """What a header that is a list says, in lower case and from all of its lines."""
    return [token.strip().lower() for key, value in headers if key == name for token in value.split(b",")]


def _without_wishes(headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The lines of a head but for the wish for another protocol."""
    for name, value in headers:
        if name not in (*WISHES, b"connection"):
            yield b"%s: %s" % (name, value)
    for token in _tokens(headers, b"connection"):
        if token not in WISHES:
            yield b"connection: " + token
