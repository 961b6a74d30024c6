"""An HTTP response as plain data, and the one place where errors become one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from api.errors import RefusedError, format_error

JSON_TYPE = "application/json"
RESPONSE_TYPE = "application/graphql-response+json"
EVENTS_TYPE = "text/event-stream"
STATUS_OF_CODE = {"INTERNAL_ERROR": 500, "TIMEOUT": 503, "DATABASE_UNAVAILABLE": 503}


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def to_response(self) -> Response:
        return Response(self.body, self.status, self.headers)


def build_answer(
    status: int, body: Mapping[str, Any], media_type: str = JSON_TYPE, headers: Mapping[str, str] | None = None
) -> Answer:
    return Answer(status, {"content-type": f"{media_type}; charset=utf-8", **(headers or {})}, orjson.dumps(body))


def answer_refusal(refusal: RefusedError, media_type: str = JSON_TYPE) -> Answer:
    """Answer with the status and the headers of the refusal."""
    return build_answer(refusal.status, {"errors": [format_error(refusal)]}, media_type, refusal.headers)


def answer_failures(failures: Sequence[Exception]) -> Answer:
    """Answer with the highest status that the codes of the failures have; 400 for those of the client."""
    errors = [format_error(failure) for failure in failures]
    statuses = [STATUS_OF_CODE.get(error["extensions"]["code"], 400) for error in errors]
    return build_answer(max(statuses), {"errors": errors})
