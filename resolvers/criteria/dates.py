"""Constraints on dates, which filters write as one text, such as ">=2026-01-31". Pure."""

import math
import re
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal

from bson.datetime_ms import DatetimeMS

from models.dates import EPOCH, floor_to_millisecond
from models.types import Query
from resolvers.errors import ErrorCode, InputError
from schema.moments import OFFSET, read_moment

MILLISECONDS_FROM = 10**11  # as seconds that is the year 5138: whoever writes more means milliseconds
CONSTRAINT = re.compile(r"(>=|>|<=|<)?\s*(.*)", re.DOTALL)
NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?\Z", re.ASCII)
COMPACT_DATE = re.compile(r"\d{8}\Z", re.ASCII)
DATE = re.compile(rf"\d{{4}}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?{OFFSET}?)?\Z|\d{{8}}(T\d{{6}}Z?)?\Z", re.ASCII)
COMPARISONS = {">=": "$gte", ">": "$gt", "<=": "$lte", "<": "$lt", None: "$eq"}
DOWN = Context(rounding=ROUND_FLOOR)
MAX_QUOTED = 100  # characters of a refused text


def parse_date_constraint(text: str, name: str) -> Query:
    """A constraint such as `>=2026-01-01T00:00:00Z` → a comparison with a naive UTC date; raises InputError."""
    comparison, date = CONSTRAINT.match(text.strip()).groups()  # type: ignore[union-attr]
    try:
        return write_date_bound(COMPARISONS[comparison], _parse_date(date))
    except (ValueError, OverflowError):
        quoted = repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…")
        message = (
            f"{name} can't read {quoted}: use RFC 3339 (2026-01-31T12:00:00Z), a day (2026-01-31), or seconds or "
            "milliseconds since 1970, after >=, >, <=, < or nothing."
        )
        raise InputError(ErrorCode.FIELDS_VALUE_ERROR, message, field=name) from None


def write_date_bound(operator: str, when: datetime) -> Query:
    """The comparison with a moment, which may lie between two of the milliseconds that MongoDB stores."""
    earlier = floor_to_millisecond(when)
    if earlier == when or operator in ("$lte", "$gt"):
        return {operator: earlier}
    if operator == "$eq":
        return {"$in": []}
    return {operator: DatetimeMS(int(DatetimeMS(earlier)) + 1)}  # the last millisecond of Python's has a next one here


def _parse_date(text: str) -> datetime:
    if NUMBER.match(text) and not COMPACT_DATE.match(text):
        return _parse_timestamp(text)
    if not DATE.match(text.upper()):
        raise ValueError(text)
    return read_moment(text)


def _parse_timestamp(text: str) -> datetime:
    """A number of seconds or milliseconds. Finer digits than a microsecond's keep it between milliseconds."""
    number = Decimal(text)
    power = 3 if abs(number) >= MILLISECONDS_FROM else 6
    microseconds = math.floor(DOWN.scaleb(number, power))
    is_between = microseconds % 1000 == 0 and Decimal(microseconds).scaleb(-power) != number
    return EPOCH + timedelta(microseconds=microseconds + is_between)
