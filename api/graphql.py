"""The GraphQL view: one request in, one answer out. Knows HTTP, and nothing of tasks."""

import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import orjson
import strawberry
from graphql import GraphQLError, GraphQLSyntaxError
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.context import Context
from resolvers.errors import ApiError, ErrorCode, RequestError, coded

log = logging.getLogger("taskql")
JSON_TYPE = "application/json"
RESPONSE_TYPE = "application/graphql-response+json"
MAX_BODY = 1_000_000  # bytes
READS = {OperationType.QUERY}
ALL = {OperationType.QUERY, OperationType.MUTATION}


class BadRequestError(RequestError):
    """A request that holds no GraphQL request, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message)
        self.status = status
        self.headers = headers


class GraphQLView:
    """Answers GET (queries only) and POST with application/json, by the GraphQL-over-HTTP draft."""

    def __init__(self, schema: strawberry.Schema, new_context: Callable[[Request], Context]) -> None:
        self._schema = schema
        self._new_context = new_context

    async def answer(self, request: Request) -> Response:
        media_type = _accepted(request)
        try:
            asked = await _asked(request)
            result = await self._schema.execute(
                asked["query"],
                variable_values=asked.get("variables"),
                operation_name=asked.get("operationName"),
                context_value=self._new_context(request),
                allowed_operation_types=READS if request.method == "GET" else ALL,
                operation_extensions=asked.get("extensions"),
            )
        except BadRequestError as refusal:
            return _refused(refusal, JSON_TYPE)
        except InvalidOperationTypeError:
            return _refused(
                BadRequestError(405, "GET only reads; send this operation by POST.", allow="POST"), media_type
            )
        except CannotGetOperationTypeError:
            message = "The document has no operation of that name, or several and none was named."
            return _refused(BadRequestError(400, message), media_type)
        return _answer(result, media_type)


def _accepted(request: Request) -> str:
    accepts = request.headers.get("accept", "")
    return RESPONSE_TYPE if RESPONSE_TYPE in accepts else JSON_TYPE


async def _asked(request: Request) -> Mapping[str, Any]:
    asked = _from_url(request) if request.method == "GET" else await _from_body(request)
    for name, kind in (("query", str), ("operationName", str), ("variables", dict), ("extensions", dict)):
        if asked.get(name) is not None and not isinstance(asked[name], kind):
            raise BadRequestError(400, f"{name} is to be {'text' if kind is str else 'an object'}.")
    if not asked.get("query"):
        raise BadRequestError(400, "There is no query in the request.")
    return asked


def _from_url(request: Request) -> Mapping[str, Any]:
    asked: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    for name in ("variables", "extensions"):
        if name in asked:
            asked[name] = _json(asked[name].encode(), name)
    return asked


async def _from_body(request: Request) -> Mapping[str, Any]:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != JSON_TYPE:
        raise BadRequestError(415, f"Send the request as {JSON_TYPE}.")
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise BadRequestError(415, "Send the request in UTF-8.")
    asked = _json(await _body(request), "The body")
    if not isinstance(asked, dict):
        raise BadRequestError(400, "The body is to be a JSON object.")
    return asked


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BadRequestError(413, f"A request has at most {MAX_BODY} bytes.")
    return bytes(body)


def _json(data: bytes, what: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(400, f"{what} is no JSON: {error}.") from None


def _answer(result: ExecutionResult, media_type: str) -> Response:
    body: dict[str, Any] = {}
    if result.errors:
        body["errors"] = [_formatted(error) for error in result.errors]
    was_executed = result.data is not None or any(error.path for error in result.errors or ())
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    status = 400 if not was_executed and media_type == RESPONSE_TYPE else 200
    return _response(body, status, media_type, {})


def _refused(refusal: BadRequestError, media_type: str) -> Response:
    return _response({"errors": [_formatted(refusal)]}, refusal.status, media_type, refusal.headers)


def _formatted(error: Exception) -> dict[str, Any]:
    """The one shape of errors: message, code, and where it happened. Faults of ours are masked and logged."""
    shown: dict[str, Any] = dict(error.formatted) if isinstance(error, GraphQLError) else {}
    known = coded(error) or _refusal(error)
    if known is None:
        number = uuid4().hex
        log.error("internal error %s", number, exc_info=error)
        known = ApiError(ErrorCode.INTERNAL_ERROR, f"Internal error {number}.")
    return {"message": str(known), **{key: shown[key] for key in ("locations", "path") if key in shown},
            "extensions": known.extensions}  # fmt: skip


def _refusal(error: Exception) -> ApiError | None:
    if not isinstance(error, GraphQLError):
        return None
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        return None
    code = ErrorCode.PARSE_FAILED if isinstance(error, GraphQLSyntaxError) else ErrorCode.VALIDATION_FAILED
    return RequestError(code, error.message)


def _response(body: Mapping[str, Any], status: int, media_type: str, headers: Mapping[str, str]) -> Response:
    response = Response(orjson.dumps(body), status, media_type=f"{media_type}; charset=utf-8")
    MutableHeaders(raw=response.raw_headers).update(headers)
    return response
