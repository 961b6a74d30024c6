"""Texts → points in time. Pure."""

import re
from datetime import UTC, datetime, timedelta

OFFSET = r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
RFC_3339 = re.compile(rf"\d{{4}}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?{OFFSET}", re.ASCII)
SECONDS = re.compile(r"(?<=:\d\d:)(\d\d)(?:\.(\d+))?", re.ASCII)


def read_rfc_3339(text: str) -> datetime:
    """The naive UTC of a text with an offset; raises ValueError and OverflowError."""
    if not RFC_3339.fullmatch(text):
        raise ValueError(text)
    return read_moment(text)


def read_moment(text: str) -> datetime:
    """The naive UTC of a text of ISO 8601, as MongoDB's driver stores it; raises ValueError and OverflowError.

    A leap second, 23:59:60 UTC at the end of a month, is the first second of the next month: MongoDB has none. Digits
    beyond microseconds only keep a moment from being a whole number of milliseconds.
    """
    found = SECONDS.search(text)
    if found is None:
        return _as_utc(text)
    second, digits = found[1], found[2] or ""
    is_leap = second == "60"
    moment = _as_utc(text[: found.start()] + ("59" if is_leap else second) + text[found.end() :])
    if is_leap:
        moment += timedelta(seconds=1)
        if moment.day != 1 or moment.time().isoformat() != "00:00:00":
            raise ValueError(text)
    return moment.replace(microsecond=_microseconds(digits))


def _as_utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _microseconds(digits: str) -> int:
    microseconds = int(f"{digits[:6]:0<6}")
    is_between = microseconds % 1000 == 0 and digits[6:].strip("0") != ""
    return microseconds + is_between
