"""The family of errors. A client meets no others, and knows each by `extensions.code`.

ApiError              a message, a code and details; INTERNAL_ERROR is one, made where an error leaves (api/errors.py)
├── RequestError      The request never reaches the data.
│                       BAD_REQUEST PERSISTED_QUERY_NOT_SUPPORTED PARSE_FAILED VALIDATION_FAILED
├── InputError        The arguments ask for something impossible.
│                       VALIDATION_ERROR MISSING_REQUIRED_FIELDS INVALID_FIELDS FIELDS_VALUE_ERROR INVALID_REGEX_ERROR
│                       BAD_CURSOR INVALID_TASK_ID INVALID_QUEUE_ID INVALID_MODEL_ID INVALID_PROJECT_ID
│                       TASK_VALIDATION_ERROR DATA_VALIDATION_ERROR
├── ConflictError     The stored data does not allow it now.
│                       INVALID_TASK_STATUS FAILED_CHANGING_TASK_STATUS TASK_CANNOT_BE_DELETED TASK_ALREADY_QUEUED
│                       NO_DEFAULT_QUEUE MULTIPLE_DEFAULT_QUEUES IDEMPOTENCY_KEY_REUSED MISSING_TASK_FIELDS
│                       EXPECTED_UNIQUE_DATA
├── ForbiddenError    This viewer may not do it.
│                       NO_WRITE_PERMISSION
├── LimitError        It is more than the server allows.
│                       LIMIT_EXCEEDED
└── ServiceError      The server or its database can't do it, whoever asks.
                        TIMEOUT DATABASE_UNAVAILABLE REPLICA_SET_REQUIRED
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

from models.store.writer import StandaloneError

# -- codes of MongoDB ------------------------------------------------------------------------------

BAD_VALUE = 2
INDEX_NOT_FOUND = 27
SNAPSHOT_TOO_OLD = 239
RUNAWAY_REGEX = 51156
BAD_REGEX = {51091, 51108, 51111}
BEFORE_REASON = re.compile(r"invalid: |regexMatch: ")  # in MongoDB's message
# a document, one after its update (and the same for a newer server), an answer that outgrows the server's buffer
TOO_LARGE = {10334, 17419, 17420, 13548}
TOO_LARGE_WORDS = ("BSONObj size", "BSONObjSize", "larger than", "too large", "BufBuilder attempted to grow")


# -- the family ------------------------------------------------------------------------------------


class ErrorCode(StrEnum):
    """The codes, each with its meaning."""

    BAD_REQUEST = "The HTTP request is not a GraphQL request."
    PERSISTED_QUERY_NOT_SUPPORTED = "The server stores no documents by their hash; send the query itself."
    PARSE_FAILED = "The document is not GraphQL."
    VALIDATION_FAILED = "The document or its variables do not fit the schema."
    VALIDATION_ERROR = "Arguments contradict each other or are outside their range."
    MISSING_REQUIRED_FIELDS = "An argument needs another argument."
    INVALID_FIELDS = "A field path names no field that can be used there."
    FIELDS_VALUE_ERROR = "A value can't be read, or can't be used here."
    INVALID_REGEX_ERROR = "The database refuses the regular expression."
    BAD_CURSOR = "The cursor or token is damaged or too old, or the cursor belongs to another filter, order or viewer."
    INVALID_TASK_ID = "No task has this id, or you may not see it."
    INVALID_QUEUE_ID = "No queue of your company has this id."
    INVALID_MODEL_ID = "No model has this id, or you may not change it."
    INVALID_PROJECT_ID = "No project has this id, or you may not see it."
    INVALID_TASK_STATUS = (
        "The status of the task does not allow this; the error names those that do, and whether force helps."
    )
    FAILED_CHANGING_TASK_STATUS = "The task has another status than expectedStatus; another client was faster."
    TASK_VALIDATION_ERROR = (
        "The task lacks something that the mutation needs, or its parent or destination breaks a rule."
    )
    MISSING_TASK_FIELDS = "The task has no script whose requirements could be set."
    DATA_VALIDATION_ERROR = "A value can't be stored: a name is too short, a key is empty, an item is repeated."
    EXPECTED_UNIQUE_DATA = "Another task, project or queue has this name."
    TASK_CANNOT_BE_DELETED = (
        "The task's status, models or children forbid to delete or reset it; pass force: true to do it anyway."
    )
    TASK_ALREADY_QUEUED = "The task is in this queue already."
    NO_DEFAULT_QUEUE = "The input names no queue, and the company has no default queue."
    MULTIPLE_DEFAULT_QUEUES = "The input names no queue, and the company has several default queues."
    NO_WRITE_PERMISSION = "The task or project is public: everybody may read it, only its owner may change it."
    IDEMPOTENCY_KEY_REUSED = "Another request has used this idempotencyKey."
    REPLICA_SET_REQUIRED = "Mutations and subscriptions need a replica set, and this MongoDB is a standalone server."
    LIMIT_EXCEEDED = "The request asks for more than the server allows at once."
    TIMEOUT = "The request takes longer than the server allows."
    DATABASE_UNAVAILABLE = "The database can't be reached; the same request may succeed later."
    INTERNAL_ERROR = "The server failed; its log has the details under the number in the message."


class ApiError(Exception):
    """An error that clients see as it is: a sentence, a code, and details by which a program can react."""

    def __init__(self, code: ErrorCode, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.extensions = {"code": code.name, **details}


class RequestError(ApiError):
    pass


class InputError(ApiError):
    pass


class ConflictError(ApiError):
    pass


class ForbiddenError(ApiError):
    pass


class LimitError(ApiError):
    pass


class ServiceError(ApiError):
    pass


# -- makers ----------------------------------------------------------------------------------------


def not_found(collection: str, id_: str, *, field: str | None = None, message: str | None = None) -> InputError:
    """The error for an id without a document that the viewer may see; `field` is the argument with the id."""
    code = ErrorCode[f"INVALID_{collection.upper()}_ID"]
    message = message or f"No {collection} has the id {id_!r}."
    return InputError(code, message, field=field or collection, **{collection: id_})


def limit_exceeded(
    message: str,
    *,
    field: str | None = None,
    limit: str | None = None,
    maximum: int | None = None,
    actual: int | None = None,
) -> LimitError:
    """The error for more than a maximum; `limit` is the name of the maximum in `serverInfo.limits`."""
    details = {"field": field, "limit": limit, "maximum": maximum, "actual": actual}
    present = {name: value for name, value in details.items() if value is not None}
    return LimitError(ErrorCode.LIMIT_EXCEEDED, message, **present)


def document_too_large() -> LimitError:
    return limit_exceeded("MongoDB takes at most 16 MB in one document or query; send less.", limit="document")


# -- translation -----------------------------------------------------------------------------------


def find_api_error(error: BaseException) -> ApiError | None:
    """The ApiError that an error wraps, or that stands for an error of the driver; None for a fault of the server."""
    translations: list[ApiError] = []
    for cause in _walk_causes(error):
        if isinstance(cause, ApiError):
            return cause
        if isinstance(cause, StandaloneError):
            return ServiceError(ErrorCode.REPLICA_SET_REQUIRED, str(cause))
        if isinstance(cause, PyMongoError | DocumentTooLarge):
            translations += filter(None, [_translate_driver_error(cause)])
    # a transaction that is tried again until its time is up ends with a timeout, whose cause says more
    for translation in translations:
        if translation.code != ErrorCode.TIMEOUT:
            return translation
    return translations[-1] if translations else None


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = getattr(cause, "original_error", None) or cause.__cause__


def _translate_driver_error(error: PyMongoError | DocumentTooLarge) -> ApiError | None:
    if isinstance(error, DocumentTooLarge):
        return document_too_large()
    if isinstance(error, ExecutionTimeout | NetworkTimeout):
        message = "The query took longer than the database may take. Narrow it, or filter by an indexed field."
        return ServiceError(ErrorCode.TIMEOUT, message)
    if isinstance(error, ConnectionFailure):
        return ServiceError(ErrorCode.DATABASE_UNAVAILABLE, "The database can't be reached.")
    if error.has_error_label("TransientTransactionError"):
        message = "Aborted after repeated write conflicts; nothing was changed. Try again."
        return ServiceError(ErrorCode.TIMEOUT, message)
    return _translate_failure(error) if isinstance(error, OperationFailure) else None


def _translate_failure(failure: OperationFailure) -> ApiError | None:
    if failure.code in BAD_REGEX:
        reason = BEFORE_REASON.split(_read_message(failure.details))[-1] or "malformed"
        return InputError(ErrorCode.INVALID_REGEX_ERROR, f"The regular expression is invalid: {reason}.")
    if failure.code == RUNAWAY_REGEX:
        message = (
            "The regular expression can't be tried on all stored texts: it takes too many steps, or a text is broken."
        )
        return InputError(ErrorCode.INVALID_REGEX_ERROR, message)
    if _is_too_large(failure):
        return document_too_large()
    if failure.code == SNAPSHOT_TOO_OLD:
        message = "The query outlived the database's snapshot (about five minutes). Narrow it and try again."
        return ServiceError(ErrorCode.TIMEOUT, message)
    if failure.code == INDEX_NOT_FOUND:
        message = "searchText needs a text index, and this database has none; `taskql init` creates it."
        return InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field="searchText")
    return None


def _is_too_large(failure: OperationFailure) -> bool:
    details = failure.details or {}
    return any(map(_reports_size, [details, *details.get("writeErrors", ())]))


def _reports_size(details: Any) -> bool:
    """Whether a reply of MongoDB reports an excess of its maximum size; some replies do so only in their message."""
    if details.get("code") in TOO_LARGE:
        return True
    message = _read_message(details)
    return details.get("code") == BAD_VALUE and any(words in message for words in TOO_LARGE_WORDS)


def _read_message(details: Any) -> str:
    return str((details or {}).get("errmsg", ""))
