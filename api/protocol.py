"""uvicorn's HTTP with an end to what comes before a body, and its own refusals in our shape."""

from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import RefusedError, shown
from resolvers.errors import ErrorCode

MAX_HEAD = 65_536  # bytes; a little more passes when it comes at once


class Protocol(HttpToolsProtocol):
    """A connection of a client."""

    _in_head = False
    _head = 0

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                message = f"The first line and the headers of a request have at most {MAX_HEAD} bytes."
                self._refuse(RefusedError(431, message, ErrorCode.LIMIT_EXCEEDED))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(RefusedError(400, msg))

    def _refuse(self, refusal: RefusedError) -> None:
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
        self.transport.close()
