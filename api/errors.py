"""The one shape of errors that leave: a message, `extensions.code`, and where in the document it happened."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from graphql import GraphQLError, GraphQLSyntaxError

from resolvers.errors import ApiError, ErrorCode, RequestError, find_api_error

log = logging.getLogger("taskql")


class RefusedError(RequestError):
    """A request that is not answered, with the HTTP status and headers that say so."""

    def __init__(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_REQUEST, **headers: str) -> None:
        super().__init__(code, message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def shown(error: Exception) -> dict[str, Any]:
    """The error as clients see it. Faults of ours are masked and logged."""
    at = dict(error.formatted) if isinstance(error, GraphQLError) else {}
    known = find_api_error(error) or _refusal(error) or masked(error)
    return {"message": str(known), **{key: at[key] for key in ("locations", "path") if key in at},
            "extensions": known.extensions}  # fmt: skip


def masked(error: Exception) -> ApiError:
    """What a client may know of a fault of ours: a number, which finds all of it in the log."""
    number = uuid4().hex
    log.error("internal error %s", number, exc_info=error)
    return ApiError(ErrorCode.INTERNAL_ERROR, f"Internal error {number}.")


def _refusal(error: Exception) -> ApiError | None:
    """The request that GraphQL itself refuses; None for faults of ours, whose text may be in the message."""
    if not isinstance(error, GraphQLError):
        return None
    if not all(isinstance(cause, GraphQLError) for cause in _originals(error)):
        return _unread(error)
    code = ErrorCode.PARSE_FAILED if isinstance(error, GraphQLSyntaxError) else ErrorCode.VALIDATION_FAILED
    return RequestError(code, _in_json(error.message))


def _in_json(message: str) -> str:
    """The message with null in place of Python's name for it."""
    return f"{message.removesuffix('None.')}null." if message.endswith(" not to be None.") else message


def _unread(error: GraphQLError) -> ApiError | None:
    """The refusal of a value that made a type fail to read it, before anything was executed."""
    if error.path is not None or not error.nodes:
        return None
    return RequestError(ErrorCode.VALIDATION_FAILED, "The request holds a value that its type can't read.")


def _originals(error: GraphQLError) -> Iterator[Exception]:
    """What raised the error, and what raised that: a fault's text may have come along into the message."""
    cause = error.original_error
    while cause is not None:
        yield cause
        cause = getattr(cause, "original_error", None)
