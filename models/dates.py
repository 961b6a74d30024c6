"""Stored dates: naive UTC in whole milliseconds. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - stored dates are naive UTC
MILLISECOND = timedelta(milliseconds=1)
# Python's first and last date, in milliseconds since 1970.
EARLIEST_MS = (datetime.min - EPOCH) // MILLISECOND  # noqa: DTZ901
LATEST_MS = (datetime.max - EPOCH) // MILLISECOND  # noqa: DTZ901


def now() -> datetime:
    """Read the clock, as the database stores it."""
    return floor_to_millisecond(datetime.now(UTC).replace(tzinfo=None))


def floor_to_millisecond(date: datetime) -> datetime:
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def build_date(milliseconds: int) -> datetime:
    """Convert milliseconds since 1970; values beyond Python's years become the first or the last date."""
    return EPOCH + min(max(milliseconds, EARLIEST_MS), LATEST_MS) * MILLISECOND


def format_date(value: Any) -> str | None:
    """Write a date as RFC 3339 in UTC with milliseconds; None for any other value."""
    if not isinstance(value, datetime):
        return None
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return naive.isoformat(timespec="milliseconds") + "Z"
