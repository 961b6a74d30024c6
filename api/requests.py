"""Read a GraphQL request from an HTTP request. A request with two possible readings is refused."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from api.accepts import Accept
from api.answers import EVENTS_TYPE, JSON_TYPE, RESPONSE_TYPE
from api.errors import RefusedError
from resolvers.errors import ErrorCode

METHODS = "GET, POST"
MAX_URL_QUERY = 8192  # bytes
MAX_JSON_NESTING = 512  # levels that can be read safely; the schema has a lower limit for a variable
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
    read_body: Callable[[], Awaitable[bytes]]
    accept: Accept = Accept()


class GraphQLRequest(NamedTuple):
    query: str
    operation_name: str | None
    variables: dict[str, Any] | None
    extensions: dict[str, Any] | None


# -- method and media type -------------------------------------------------------------------------


def check_method(method: str) -> None:
    """Raises RefusedError for all but GET and POST."""
    if method not in METHODS.split(", "):
        raise RefusedError(405, f"GraphQL is served by {METHODS}.", allow=METHODS)


def prefers_events(accept: Accept) -> bool:
    """Return whether the client ranks events above any JSON, for every kind of operation."""
    return accept.prefers(EVENTS_TYPE, JSON_TYPE, RESPONSE_TYPE)


def choose_json_type(accept: Accept) -> str:
    """Return the JSON type that the client ranks highest, of equals application/json; raises RefusedError."""
    kinds = (RESPONSE_TYPE, JSON_TYPE) if accept.allows_by_name(RESPONSE_TYPE) else (JSON_TYPE, RESPONSE_TYPE)
    media_type = accept.choose(*kinds)
    if media_type is None:
        raise RefusedError(406, f"Answers are {RESPONSE_TYPE} or {JSON_TYPE}; the Accept header allows neither.")
    return media_type


# -- parameters ------------------------------------------------------------------------------------


async def read_graphql_request(request: HttpRequest, url_parameters: Iterable[str] = ()) -> GraphQLRequest:
    """Read the GraphQL request of an HTTP request; raises RefusedError, also for a body with a parameter of the URL."""
    if len(request.url_query) > MAX_URL_QUERY:
        message = f"The address has a maximum of {MAX_URL_QUERY} bytes after the ?; send this by POST."
        raise RefusedError(414, message, ErrorCode.LIMIT_EXCEEDED)
    if request.method == "GET":
        return build_graphql_request(_read_url_parameters(request.url_query))
    parameters = await _read_body_parameters(request)
    for name in url_parameters:
        if name in parameters:
            raise RefusedError(400, f"{name} belongs in the address, as in /export?format=jsonl.")
    return build_graphql_request(parameters)


def build_graphql_request(parameters: Mapping[str, Any]) -> GraphQLRequest:
    """Make a GraphQL request of these parameters; raises RefusedError."""
    for name, type_ in PARAMETERS.items():
        if parameters.get(name) is not None and not isinstance(parameters[name], type_):
            raise RefusedError(400, f"{name} must be {'text' if type_ is str else 'an object'}.")
    query, extensions = parameters.get("query"), parameters.get("extensions")
    if not query:
        has_hash = (extensions or {}).get("persistedQuery") is not None
        raise PersistedQueryError if has_hash else RefusedError(400, "The request has no query.")
    return GraphQLRequest(query, parameters.get("operationName"), parameters.get("variables"), extensions)


def _read_url_parameters(url_query: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(url_query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise RefusedError(400, "The address holds bytes that are not UTF-8 in percent-encoding.") from None
    parameters: dict[str, Any] = {name: value for name, value in _build_object(pairs).items() if value}
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = parse_strict_json(parameters[name].encode(), name)
    return parameters


async def _read_body_parameters(request: HttpRequest) -> dict[str, Any]:
    _check_encoding(request.headers.get("content-encoding", "identity"))
    _check_content_type(request.headers.get("content-type", ""))
    parameters = parse_strict_json(await request.read_body(), "The body")
    if isinstance(parameters, list):
        raise RefusedError(400, "Batches are not served; send each request by itself.")
    if not isinstance(parameters, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return parameters


def _check_encoding(encoding: str) -> None:
    if encoding.strip().lower() != "identity":
        # a few kilobytes of gzip can hold a gigabyte; GraphQL requests are small without it
        raise RefusedError(415, "Send the request uncompressed.", accept_encoding="identity")


def _check_content_type(content_type: str) -> None:
    media_type, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    if media_type != JSON_TYPE:
        raise RefusedError(415, f"Send the request as {JSON_TYPE}.", accept_post=JSON_TYPE)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            raise RefusedError(415, "Send the request in UTF-8.", accept_post=JSON_TYPE)


async def read_body(chunks: AsyncIterator[bytes], announced: str | None, max_bytes: int, max_seconds: float) -> bytes:
    """Read the body, within its maximum of size and time; raises RefusedError."""
    too_long = RefusedError(413, f"A request has a maximum of {max_bytes} bytes.", ErrorCode.LIMIT_EXCEEDED)
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


# -- strict JSON -----------------------------------------------------------------------------------


def parse_strict_json(data: bytes, name: str) -> Any:
    """Parse JSON that has one reading only; `name` is its name in the message of the RefusedError."""
    try:
        parse_integer = _check_json(data, name)
        return json.loads(data, object_pairs_hook=_build_object, parse_int=parse_integer)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"{name} is not JSON: {_explain_json_error(error)}.") from None


def _check_json(data: bytes, name: str) -> Callable[[str], float]:
    """Parse JSON strictly, and return the parser for its whole numbers; raises ValueError and RefusedError.

    orjson is strict, but takes the last of equal keys, makes doubles of long whole numbers and refuses longer ones.
    """
    parse_integer: Callable[[str], float] = int
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if not _is_about_infinity(error):
            raise
        value, parse_integer = orjson.loads(LONG_DIGITS.sub(rb"\1", data)), _parse_long_integer
    if _is_nested_deeper(value, MAX_JSON_NESTING):
        message = f"{name} is nested deeper than {MAX_JSON_NESTING} levels."
        raise RefusedError(400, message, ErrorCode.LIMIT_EXCEEDED)
    return parse_integer


def _parse_long_integer(digits: str) -> float:
    """Parse a whole number; one with more than MAX_DIGITS is infinity, which fits no type."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _is_about_infinity(error: Exception) -> bool:
    return "infinity" in str(error)


def _explain_json_error(error: Exception) -> str:
    """Return the words of the error; for numbers that Python writes and others can't read, the advice as well."""
    if _is_about_infinity(error):
        return "a number in it is larger than a double can hold"
    if isinstance(error, json.JSONDecodeError):
        rest = error.doc[max(error.pos - 1, 0) :]
        if match := NO_NUMBER.match(rest):
            return f"it has no {match[1]}; send null instead"
    return str(error)


def _is_nested_deeper(value: Any, levels: int) -> bool:
    containers: list[Any] = [[value]]
    for _ in range(levels + 1):
        containers = _list_inner_containers(containers)
        if not containers:
            return False
    return True


def _list_inner_containers(containers: Iterable[Any]) -> list[Any]:
    """List the lists and objects that are values of these lists and objects."""
    inner: list[Any] = []
    for container in containers:
        values = container.values() if isinstance(container, dict) else container
        inner += (value for value in values if isinstance(value, dict | list))
    return inner


def _build_object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object in which each name occurs once; raises RefusedError."""
    built: dict[str, Any] = {}
    for name, value in pairs:
        if name in built:
            raise RefusedError(400, f"{json.dumps(name[:50])} is given twice.")
        built[name] = value
    return built
