"""From an HTTP request to a GraphQL request. What is not exactly one is refused, never guessed at."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from api.accepts import Accept
from api.errors import RefusedError
from resolvers.errors import ErrorCode

JSON_TYPE = "application/json"
RESPONSE_TYPE = "application/graphql-response+json"
EVENTS_TYPE = "text/event-stream"
METHODS = "GET, POST"
MAX_URL_QUERY = 8192  # bytes
MAX_NESTING = 512  # as deep as can be read safely; how deep a variable may be is a limit of the schema
PARAMETERS = {"query": str, "operationName": str, "variables": dict, "extensions": dict}
NO_NUMBER = re.compile(r"[^-]?(NaN|-?Infinity)")
LONG_DIGITS = re.compile(rb"(?<!\d)(\d{8})\d{300,}")
MAX_DIGITS = 1000  # of a whole number that is read: Python's time for it is quadratic


class PersistedQueryError(RefusedError):
    """A request with the hash of a document instead of it. Clients know the message, and send the document then."""

    def __init__(self) -> None:
        super().__init__(400, "PersistedQueryNotSupported", ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED)


class HttpRequest(NamedTuple):
    """As much of an HTTP request as GraphQL needs; the names of headers are in lower case."""

    method: str
    url_query: bytes
    headers: Mapping[str, str]
    body: Callable[[], Awaitable[bytes]]
    accept: Accept = Accept()


class Asked(NamedTuple):
    """A GraphQL request."""

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None
    extensions: dict[str, Any] | None


def prefers_events(accept: Accept) -> bool:
    """Tells whether the client would rather have events than any JSON, whatever it asks for."""
    return accept.prefers(EVENTS_TYPE, JSON_TYPE, RESPONSE_TYPE)


def check_method(method: str) -> None:
    """Raises RefusedError for all but GET and POST."""
    if method not in METHODS.split(", "):
        raise RefusedError(405, f"GraphQL is served by {METHODS}.", allow=METHODS)


def accepted(accept: Accept) -> str:
    """The JSON type that the client likes best; where it does not mind, application/json. Raises RefusedError."""
    kinds = (RESPONSE_TYPE, JSON_TYPE) if accept.names(RESPONSE_TYPE) else (JSON_TYPE, RESPONSE_TYPE)
    best = accept.best(*kinds)
    if best is None:
        raise RefusedError(406, f"Answers are {RESPONSE_TYPE} or {JSON_TYPE}; the Accept header allows neither.")
    return best


async def read_request(request: HttpRequest, in_address: Iterable[str] = ()) -> Asked:
    """The GraphQL request in an HTTP request; raises RefusedError, as for a body with what is to be in the address."""
    if len(request.url_query) > MAX_URL_QUERY:
        message = f"The address has a maximum of {MAX_URL_QUERY} bytes after the ?; send this by POST."
        raise RefusedError(414, message, ErrorCode.LIMIT_EXCEEDED)
    if request.method == "GET":
        return asked_for(_from_url(request.url_query))
    asked = await _from_body(request)
    for name in in_address:
        if name in asked:
            raise RefusedError(400, f"{name} belongs in the address, as in /export?format=jsonl.")
    return asked_for(asked)


def asked_for(given: Mapping[str, Any]) -> Asked:
    """The GraphQL request that these parameters make; raises RefusedError."""
    for name, kind in PARAMETERS.items():
        if given.get(name) is not None and not isinstance(given[name], kind):
            raise RefusedError(400, f"{name} must be {'text' if kind is str else 'an object'}.")
    if not given.get("query"):
        has_hash = (given.get("extensions") or {}).get("persistedQuery") is not None
        raise PersistedQueryError if has_hash else RefusedError(400, "There is no query in the request.")
    return Asked(given["query"], given.get("operationName"), given.get("variables"), given.get("extensions"))


def _from_url(url_query: bytes) -> dict[str, Any]:
    try:
        given = parse_qsl(url_query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise RefusedError(400, "The address holds bytes that are not UTF-8 in percent-encoding.") from None
    asked: dict[str, Any] = {name: value for name, value in _once(given).items() if value}
    for name in ("variables", "extensions"):
        if name in asked:
            asked[name] = strict_json(asked[name].encode(), name)
    return asked


async def _from_body(request: HttpRequest) -> dict[str, Any]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        # a few kilobytes of gzip can hold a gigabyte; GraphQL requests are small without it
        raise RefusedError(415, "Send the request uncompressed.", accept_encoding="identity")
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    if kind != JSON_TYPE:
        raise RefusedError(415, f"Send the request as {JSON_TYPE}.", accept_post=JSON_TYPE)
    charsets = [
        value.strip(' "') for name, _, value in (part.partition("=") for part in parameters) if name == "charset"
    ]
    if any(charset not in {"utf-8", "utf8"} for charset in charsets):
        raise RefusedError(415, "Send the request in UTF-8.", accept_post=JSON_TYPE)
    asked = strict_json(await request.body(), "The body")
    if isinstance(asked, list):
        raise RefusedError(400, "Batches are not served; send each request by itself.")
    if not isinstance(asked, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return asked


async def read_body(chunks: AsyncIterator[bytes], announced: str | None, max_bytes: int, max_seconds: float) -> bytes:
    """The body, in time and of a size that is served; raises RefusedError."""
    too_long = RefusedError(413, f"A request has at most {max_bytes} bytes.", ErrorCode.LIMIT_EXCEEDED)
    if announced and announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(max_seconds):
            async for chunk in chunks:
                body += chunk
                if len(body) > max_bytes:
                    raise too_long
    except TimeoutError:
        raise RefusedError(408, f"The request did not arrive within {max_seconds:g} seconds.") from None
    return bytes(body)


def strict_json(data: bytes, what: str) -> Any:
    """The JSON value in these bytes, which has one reading only; raises RefusedError."""
    try:
        read_whole = _check_json(data, what)
        return json.loads(data, object_pairs_hook=_once, parse_int=read_whole)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"{what} is not JSON: {_reason(error)}.") from None


def _check_json(data: bytes, what: str) -> Callable[[str], float]:
    """Read JSON strictly, and return the reader of its whole numbers; raises ValueError and RefusedError.

    orjson is strict, but takes the last of equal keys, makes doubles of long whole numbers and refuses longer ones.
    """
    read_whole: Callable[[str], float] = int
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if not _is_infinite(error):
            raise
        value, read_whole = orjson.loads(LONG_DIGITS.sub(rb"\1", data)), _read_long
    if _is_deeper(value, MAX_NESTING):
        message = f"{what} is nested deeper than {MAX_NESTING} levels."
        raise RefusedError(400, message, ErrorCode.LIMIT_EXCEEDED)
    return read_whole


def _read_long(digits: str) -> float:
    """A whole number; one with more digits than are read is infinity, which fits no type."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _is_infinite(error: Exception) -> bool:
    return "infinity" in str(error)


def _reason(error: Exception) -> str:
    """What an error of reading JSON says; for numbers that Python writes and others can't read, what to do."""
    if _is_infinite(error):
        return "a number in it is larger than a double can hold"
    near = error.doc[max(error.pos - 1, 0) :] if isinstance(error, json.JSONDecodeError) else ""
    found = NO_NUMBER.match(near)
    return f"it has no {found[1]}; send null instead" if found else str(error)


def _is_deeper(value: Any, levels: int) -> bool:
    level = [[value]]
    for _ in range(levels + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    """The lists and objects that are directly in this value."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (inner for inner in values if isinstance(inner, dict | list))


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RefusedError(400, f"{json.dumps(name[:50])} is given twice.")
        found[name] = value
    return found
