"""The error family. Every refusal a client can meet is one of these, told apart by `extensions.code`.

ApiError
├── RequestError      BAD_REQUEST PERSISTED_QUERY_NOT_SUPPORTED PARSE_FAILED VALIDATION_FAILED: never reached the data
├── InputError        VALIDATION_ERROR MISSING_REQUIRED_FIELDS INVALID_FIELDS FIELDS_VALUE_ERROR
│                     INVALID_REGEX_ERROR BAD_CURSOR INVALID_TASK_ID INVALID_QUEUE_ID INVALID_MODEL_ID
│                     INVALID_PROJECT_ID TASK_VALIDATION_ERROR DATA_VALIDATION_ERROR: the arguments say something
│                     impossible
├── ConflictError     INVALID_TASK_STATUS FAILED_CHANGING_TASK_STATUS TASK_CANNOT_BE_DELETED TASK_ALREADY_QUEUED
│                     NO_DEFAULT_QUEUE MULTIPLE_DEFAULT_QUEUES IDEMPOTENCY_KEY_REUSED MISSING_TASK_FIELDS
│                     EXPECTED_UNIQUE_DATA: possible, but not as things are
├── ForbiddenError    NO_WRITE_PERMISSION: possible, but not for this viewer
├── LimitError        LIMIT_EXCEEDED: possible, but more than this server gives
└── ServiceError      TIMEOUT DATABASE_UNAVAILABLE REPLICA_SET_REQUIRED INTERNAL_ERROR: not the client's doing
"""

import re
from collections.abc import Iterator, Mapping
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

BAD_REGEX = {51091, 51108, 51111}
RUNAWAY_REGEX = 51156
BEFORE_REASON = re.compile(r"invalid: |regexMatch: ")  # in MongoDB's message
# a document, one after its update (and the same for a newer server), an answer that outgrows the server's buffer
TOO_LARGE = {10334, 17419, 17420, 13548}
TOO_LARGE_WORDS = ("BSONObj size", "BSONObjSize", "larger than", "too large", "BufBuilder attempted to grow")
BAD_VALUE = 2
INDEX_NOT_FOUND = 27
SNAPSHOT_TOO_OLD = 239


class ErrorCode(StrEnum):
    """Each code with what it means; `extensions` of an error may carry more than the code."""

    BAD_REQUEST = "The HTTP request is not a GraphQL request."
    PERSISTED_QUERY_NOT_SUPPORTED = "The server keeps no documents by their hash; send the query itself."
    PARSE_FAILED = "The document is not GraphQL."
    VALIDATION_FAILED = "The document or its variables do not fit the schema."
    VALIDATION_ERROR = "Arguments contradict each other or lie outside their range."
    MISSING_REQUIRED_FIELDS = "An argument needs another one beside it."
    INVALID_FIELDS = "A field path names nothing that can be used there."
    FIELDS_VALUE_ERROR = "A value can't be read, or can't be used here."
    INVALID_REGEX_ERROR = "The database refuses the regular expression."
    BAD_CURSOR = "The cursor or token is damaged or too old, or the cursor belongs to another filter, order or viewer."
    INVALID_TASK_ID = "There is no such task, or it is not the viewer's to see."
    INVALID_QUEUE_ID = "There is no such queue in the viewer's company."
    INVALID_MODEL_ID = "There is no such model, or it is not the viewer's to change."
    INVALID_PROJECT_ID = "There is no such project in the viewer's company."
    INVALID_TASK_STATUS = "The task's status does not allow this; the error tells which would, and whether force helps."
    FAILED_CHANGING_TASK_STATUS = "The task has another status than expectedStatus; somebody was faster."
    TASK_VALIDATION_ERROR = (
        "The task lacks something that this needs, or its parent or destination is not as the rules say."
    )
    MISSING_TASK_FIELDS = "The task has no script whose requirements could be set."
    DATA_VALIDATION_ERROR = "A value can't be stored: a name is too short, a key empty, something given twice."
    EXPECTED_UNIQUE_DATA = "Another task, project or queue has this name."
    TASK_CANNOT_BE_DELETED = "The task's status, models or children forbid to delete or reset it without force."
    TASK_ALREADY_QUEUED = "The task is in that queue already."
    NO_DEFAULT_QUEUE = "No queue was named, and the company has no default queue."
    MULTIPLE_DEFAULT_QUEUES = "No queue was named, and the company has several default queues."
    NO_WRITE_PERMISSION = "The task or project is public: everybody may read it and only its owner change it."
    IDEMPOTENCY_KEY_REUSED = "The idempotencyKey was given before, with another request."
    REPLICA_SET_REQUIRED = "Changes need transactions, which this MongoDB, a standalone server, does not have."
    LIMIT_EXCEEDED = "More was asked for than this server gives at once."
    TIMEOUT = "The request took longer than this server allows."
    DATABASE_UNAVAILABLE = "The database can't be reached; the same request may succeed later."
    INTERNAL_ERROR = "A fault of the server; the id in the message finds it in the log."


class ApiError(Exception):
    """An error shown as it is: a sentence, a code, and what a program needs to react."""

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
    """The error for an id that no document has which the viewer sees; `field` is the argument that holds the id."""
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
    return limit_exceeded("MongoDB keeps at most 16 MB in one document or query.", limit="document")


# -- translation -----------------------------------------------------------------------------------


def coded(error: BaseException) -> ApiError | None:
    """The coded error at the bottom of this one, a driver's error translated; None for our own faults."""
    from_driver: list[ApiError] = []
    for cause in _causes(error):
        if isinstance(cause, ApiError):
            return cause
        if isinstance(cause, StandaloneError):
            return ServiceError(ErrorCode.REPLICA_SET_REQUIRED, str(cause))
        if isinstance(cause, PyMongoError | DocumentTooLarge):
            from_driver += filter(None, [_from_driver(cause)])
    # whatever made a transaction try again until its time was up stands behind that
    return next((found for found in from_driver if found.code != ErrorCode.TIMEOUT), [None, *from_driver][-1])


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = getattr(cause, "original_error", None) or cause.__cause__


def _from_driver(error: PyMongoError | DocumentTooLarge) -> ApiError | None:
    if isinstance(error, DocumentTooLarge):
        return document_too_large()
    if isinstance(error, ExecutionTimeout | NetworkTimeout):
        message = "The database took too long; ask for less, or filter by an indexed field."
        return ServiceError(ErrorCode.TIMEOUT, message)
    if isinstance(error, ConnectionFailure):
        return ServiceError(ErrorCode.DATABASE_UNAVAILABLE, "The database can't be reached.")
    if error.has_error_label("TransientTransactionError"):
        return ServiceError(ErrorCode.TIMEOUT, "Others kept changing the same; nothing was done. Try again.")
    return _from_failure(error) if isinstance(error, OperationFailure) else None


def _is_too_large(failure: OperationFailure) -> bool:
    """Whether something outgrew what MongoDB keeps; that of a plain bad value is only in its words."""
    details: Mapping[str, Any] = failure.details or {}
    return any(
        said.get("code") in TOO_LARGE
        or (said.get("code") == BAD_VALUE and any(words in str(said.get("errmsg")) for words in TOO_LARGE_WORDS))
        for said in (details, *details.get("writeErrors", ()))
    )


def _from_failure(failure: OperationFailure) -> ApiError | None:
    said = str((failure.details or {}).get("errmsg", ""))
    if failure.code in BAD_REGEX:
        reason = BEFORE_REASON.split(said)[-1] or "malformed"
        return InputError(ErrorCode.INVALID_REGEX_ERROR, f"The regular expression is invalid: {reason}.")
    if failure.code == RUNAWAY_REGEX:
        message = (
            "The regular expression can't be tried on all stored texts: it takes too many steps, or one is broken."
        )
        return InputError(ErrorCode.INVALID_REGEX_ERROR, message)
    if _is_too_large(failure):
        return document_too_large()
    if failure.code == SNAPSHOT_TOO_OLD:
        message = "This took longer than the database remembers how things were; ask for less."
        return ServiceError(ErrorCode.TIMEOUT, message)
    if failure.code == INDEX_NOT_FOUND:
        message = "Text search needs a text index, and this database has none; `taskql init` creates it."
        return InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field="searchText")
    return None
