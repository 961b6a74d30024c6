"""Texts → points in time. Pure."""

import re
from datetime import UTC, datetime, timedelta

OFFSET = r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
RFC_3339 = re.compile(rf"\d{{4}}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?{OFFSET}", re.ASCII)
SECONDS = re.compile(r"(?<=:\d\d:)(\d\d)(?:\.(\d+))?", re.ASCII)


def read_rfc_3339(text: str) -> datetime:
    """Read a text with an offset as naive UTC; raises ValueError and OverflowError."""
    if not RFC_3339.fullmatch(text):
        raise ValueError(text)
    return read_moment(text)


def read_moment(text: str) -> datetime:
    """Read a text of ISO 8601 as naive UTC, which MongoDB's driver stores; raises ValueError and OverflowError.

    A leap second, 23:59:60 UTC at the end of a month, becomes the first second of the next month: MongoDB has none.
    Digits beyond microseconds only keep a moment from being a whole number of milliseconds.
    """
    seconds = SECONDS.search(text)
    if seconds is None:
        return _to_utc(text)
    second, digits = seconds[1], seconds[2] or ""
    is_leap = second == "60"
    moment = _to_utc(text[: seconds.start()] + ("59" if is_leap else second) + text[seconds.end() :])
    if is_leap:
        moment += timedelta(seconds=1)
        if moment.day != 1 or moment.time().isoformat() != "00:00:00":
            raise ValueError(text)
    return moment.replace(microsecond=_round_up_microseconds(digits))


def _to_utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _round_up_microseconds(digits: str) -> int:
    microseconds = int(f"{digits[:6]:0<6}")
    is_between = microseconds % 1000 == 0 and digits[6:].strip("0") != ""
    return microseconds + is_between
