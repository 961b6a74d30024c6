"""uvicorn's HTTP protocol with a maximum size of the head, and with its own refusals in our shape.

Only the handshake of a WebSocket upgrades the protocol. Every other upgrade (h2c, which Java's client and
`curl --http2` ask for with each request) is ignored, as HTTP allows.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.answers import answer_refusal
from api.errors import RefusedError
from api.lingering_close import MAX_DRAINED, MAX_SILENCE
from api.middleware import SAFE_HEADERS
from resolvers.errors import ErrorCode

MAX_HEAD = 65_536  # bytes; a little more passes when it comes at once
UPGRADE_HEADERS = (b"upgrade", b"http2-settings")

RawHeaders = list[tuple[bytes, bytes]]


class HttpProtocol(HttpToolsProtocol):
    """A connection of a client."""

    _is_in_head = False
    _head_size = 0  # bytes
    _drained_size: int | None = None  # bytes after a refusal; None before one
    _running_cycle: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        if self._drained_size is not None:
            self._drain(len(data))
            return
        self._unset_keepalive_if_required()
        was_in_head = self._is_in_head
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self._refuse(RefusedError(400, "Invalid HTTP request received."))
            return
        if was_in_head and self._is_in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                message = f"The first line and the headers of a request have a maximum of {MAX_HEAD} bytes."
                self._refuse(RefusedError(431, message, ErrorCode.LIMIT_EXCEEDED))

    def _parse(self, data: memoryview) -> None:
        """Parse the data. The parser stops after a head that asks for an upgrade, and skips the body."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                self._restart_without_upgrade()
                data = data[upgrade.args[0] :]
            else:
                return

    def _restart_without_upgrade(self) -> None:
        """Parse the same head again without its upgrade, so that the parser finds the body."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("a tunnel")
        first_line = b"%s %s HTTP/%s" % (method, self.url, version)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(b"\r\n".join([first_line, *_write_without_upgrade(self.headers), b"", b""]))

    def _should_upgrade(self) -> bool:
        """Return whether the head is the handshake of a WebSocket."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"websocket" in _read_tokens(self.headers, b"upgrade")
            and any(name == b"sec-websocket-key" for name, _ in self.headers)
        )

    def handle_websocket_upgrade(self) -> None:
        # the library refuses a handshake that names other protocols as well
        headers = [header for header in self.headers if header[0] != b"upgrade"]
        self.headers[:] = [*headers, (b"upgrade", b"websocket")]
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
        self._is_in_head, self._head_size = True, 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._should_upgrade() or not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer, and close once the client has seen it: a connection that is closed at once loses the answer."""
        self._disconnect_running()
        self.transport.write(_write_refusal(refusal))
        self.transport.write_eof()
        self._drained_size = 0
        self.loop.call_later(MAX_SILENCE, self.transport.close)

    def _disconnect_running(self) -> None:
        """End an earlier request of the connection, as when its client leaves: a refusal is the last answer."""
        if self._running_cycle:
            self._running_cycle.disconnected = True
            self._running_cycle.message_event.set()

    def _drain(self, size: int) -> None:
        assert self._drained_size is not None
        self._drained_size += size
        if self._drained_size > MAX_DRAINED:
            self.transport.close()


def _write_refusal(refusal: RefusedError) -> bytes:
    answer = answer_refusal(refusal)
    headers = answer.headers | SAFE_HEADERS | {"content-length": str(len(answer.body)), "connection": "close"}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


def _write_without_upgrade(headers: RawHeaders) -> Iterator[bytes]:
    """Yield the lines of a head except those that ask for an upgrade."""
    for name, value in headers:
        if name not in (*UPGRADE_HEADERS, b"connection"):
            yield b"%s: %s" % (name, value)
    for token in _read_tokens(headers, b"connection"):
        if token not in UPGRADE_HEADERS:
            yield b"connection: " + token


def _read_tokens(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the items of a header that is a list, in lower case and from all of its lines."""
    return [token.strip().lower() for key, value in headers if key == name for token in value.split(b",")]
