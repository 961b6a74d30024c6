"""The shape that every error has when it leaves: a message, `extensions.code`, and its place in the document."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from graphql import GraphQLError, GraphQLSyntaxError

from resolvers.errors import ApiError, ErrorCode, RequestError, find_api_error

log = logging.getLogger("taskql")


class RefusedError(RequestError):
    """A request that is not answered, with the HTTP status and headers of the refusal."""

    def __init__(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_REQUEST, **headers: str) -> None:
        super().__init__(code, message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def format_error(error: Exception) -> dict[str, Any]:
    """Return the error as clients see it. A fault of the server is masked and logged."""
    api_error = find_api_error(error) or _read_refusal(error) or mask_fault(error)
    formatted: dict[str, Any] = {"message": str(api_error)}
    if isinstance(error, GraphQLError):
        in_document = error.formatted
        formatted |= {key: in_document[key] for key in ("locations", "path") if key in in_document}
    return formatted | {"extensions": api_error.extensions}


def mask_fault(error: Exception) -> ApiError:
    """Log a fault of the server, and return an error with its number in the log."""
    number = uuid4().hex
    log.error("internal error %s", number, exc_info=error)
    return ApiError(ErrorCode.INTERNAL_ERROR, f"Internal error {number}.")


def _read_refusal(error: Exception) -> ApiError | None:
    """Return the refusal of GraphQL itself; None for a fault of the server, whose text may be in the message."""
    if not isinstance(error, GraphQLError):
        return None
    if not all(isinstance(cause, GraphQLError) for cause in _iter_originals(error)):
        return _read_value_refusal(error)
    code = ErrorCode.PARSE_FAILED if isinstance(error, GraphQLSyntaxError) else ErrorCode.VALIDATION_FAILED
    return RequestError(code, _replace_none(error.message))


def _replace_none(message: str) -> str:
    """Return the message with null in place of Python's name for it."""
    return f"{message.removesuffix('None.')}null." if message.endswith(" not to be None.") else message


def _read_value_refusal(error: GraphQLError) -> ApiError | None:
    """Return the refusal of a value that made a type fail to read it, before anything was executed."""
    if error.path is not None or not error.nodes:
        return None
    return RequestError(ErrorCode.VALIDATION_FAILED, "The request holds a value that its type can't read.")


def _iter_originals(error: GraphQLError) -> Iterator[Exception]:
    """Yield the cause of the error, and the cause of that: the text of a fault may be in the message."""
    cause = error.original_error
    while cause is not None:
        yield cause
        cause = getattr(cause, "original_error", None)
